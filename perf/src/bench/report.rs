//! The reports of a folder: `README.md`, `report.html` in one piece, and pictures beside them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::charts::{self, Chart};
use super::figures::FIGURES;
use super::goals::{self, Judged};
use super::plot::{self, escaped};
use super::results::Results;
use super::spec::Workload;
use crate::Failure;
use crate::process;
use crate::table::{Table, significant};

/// Whom and to whom the overview compares.
const OURS: &str = "ringlog";
const THEIRS: &str = "kafka";
/// Pictures that are files as well; the page has all of them.
const FILES: [&str; 3] = ["latency", "end-to-end-latency", "throughput"];
const PAGE_STYLE: &str = "\
body{margin:0 auto;max-width:1320px;padding:24px;font:15px/1.5 system-ui,sans-serif;\
color:var(--ink);background:var(--ground)}\
h1{font-size:26px}h2{font-size:20px;margin-top:44px;border-bottom:1px solid var(--line)}\
h3{font-size:16px;margin:32px 0 8px}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:10px 0}\
td,th{border-bottom:1px solid var(--line);padding:3px 12px 3px 0;text-align:right}\
td:first-child,th:first-child{text-align:left}\
.wide{overflow-x:auto}.pictures{display:flex;flex-wrap:wrap;gap:16px}\
.pictures svg{max-width:100%;height:auto}.soft{color:var(--soft)}\
.met{color:var(--c3)}.missed{color:var(--c0);font-weight:600}\
pre{overflow-x:auto;white-space:pre-wrap;color:var(--soft);font-size:12px}";

/// Writes all of it.
pub fn write(folder: &Path, results: &Results) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let mut names = Vec::new();
    let overview = charts::overview(results, OURS, THEIRS);
    if let Some((_, alone)) = &overview {
        keep_picture(folder, "overview.svg", alone, &mut names)?;
    }
    let mut parts = Vec::new();
    for workload in results.workloads() {
        let charts = charts::charts(results, workload);
        for chart in charts.iter().filter(|chart| FILES.contains(&chart.kind.as_str())) {
            let name = format!("{}-{}.svg", file_name(&workload.name), chart.kind);
            keep_picture(folder, &name, &chart.alone, &mut names)?;
        }
        parts.push((workload, charts));
    }
    let text = markdown(results, &names);
    process::write_file(&folder.join("README.md"), text.as_bytes())?;
    let page = page(results, overview.map(|pair| pair.0), &parts);
    process::write_file(&folder.join("report.html"), page.as_bytes())
}

fn keep_picture(
    folder: &Path,
    name: &str,
    svg: &str,
    names: &mut Vec<String>,
) -> Result<(), Failure> {
    names.push(name.to_string());
    process::write_file(&folder.join(name), svg.as_bytes())
}

/// A name without what file systems and addresses dislike.
fn file_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
}

/// One line: how many messages a second, at which p99.9, against Apache Kafka.
pub fn headline(results: &Results) -> Option<String> {
    let at_work = |workload: &&Workload| {
        !workload.is_open_loop() && results.spread(&workload.name, OURS, "p999_us").is_some()
    };
    let workload = results.workloads().find(at_work)?;
    let of = |broker: &str| {
        let figure = |name| Some(results.spread(&workload.name, broker, name)?.median);
        let (rate, p999) = (figure("messages_per_second")?, figure("p999_us")?);
        let text = format!(
            "{} messages/s at p99.9 {} ms",
            plot::short(round(rate)),
            significant(p999 / 1e3)
        );
        Some((rate, text))
    };
    let (ours, our_text) = of(OURS)?;
    let end = match of(THEIRS) {
        Some((theirs, text)) if theirs > 0.0 => format!(
            ", against {}'s {text}: {} times as many",
            results.title_of(THEIRS),
            significant(ours / theirs)
        ),
        _ => " (without Apache Kafka to compare it with)".to_string(),
    };
    Some(format!("Ringlog: {our_text}{end} ({}).", workload.title))
}

/// To three digits.
fn round(value: f64) -> f64 {
    let unit = 10f64.powf((value.max(1.0).log10()).floor() - 2.0);
    (value / unit).round() * unit
}

/// The table of a workload: figures down, brokers across, then what the first one makes of the
/// others.
fn table(results: &Results, workload: &Workload) -> Table {
    let brokers: Vec<&String> = workload.brokers.iter().collect();
    let mut names = vec![String::new()];
    names.extend(brokers.iter().map(|broker| results.title_of(broker)));
    names.extend(brokers.iter().skip(1).map(|broker| format!("÷ {}", results.title_of(broker))));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut table = Table::new(&names);
    for figure in &FIGURES {
        let spread = |broker: &str| results.spread(&workload.name, broker, figure.name);
        if brokers.iter().all(|broker| spread(broker).is_none()) {
            continue;
        }
        let mut cells = vec![figure.title.to_string()];
        for broker in &brokers {
            let cell = spread(broker).map(|spread| spread.scaled(figure.scale).text());
            cells.push(cell.unwrap_or_default());
        }
        for other in 1..brokers.len() {
            let at = |broker: usize| (workload.name.as_str(), brokers[broker].as_str());
            let ratio = results.ratio(figure.name, at(0), at(other));
            cells.push(ratio.map(significant).unwrap_or_default());
        }
        table.push(cells);
    }
    table
}

fn goal_table(judged: &[Judged<'_>]) -> Option<Table> {
    let mut table = Table::new(&["goal", "on", "wanted", "measured (range of pairs)", ""]);
    for one in judged {
        table.push(vec![
            one.goal.text.clone(),
            one.workload.to_string(),
            one.wanted(),
            one.measured(),
            one.standing.text().to_string(),
        ]);
    }
    (!judged.is_empty()).then_some(table)
}

/// How runs were made, in one paragraph.
fn manner(results: &Results) -> String {
    let mut rounds: Vec<u32> = results.workloads().map(|workload| workload.rounds).collect();
    rounds.sort_unstable();
    rounds.dedup();
    let rounds: Vec<String> = rounds.iter().map(ToString::to_string).collect();
    let kafka = results.head.kafka.as_ref().map_or(String::new(), |version| {
        format!(
            " Apache Kafka {version}: G1, its guide's heap as far as the machine goes, defaults \
             (it acknowledges from the page cache), one process warmed up until its rate stopped \
             rising."
        )
    });
    format!(
        "Medians of {} alternating runs (smallest to largest). The broker and the load are pinned \
         to cores of their own unless its name says otherwise; loopback, one disk.{kafka} System \
         calls are counted in a run of their own, because counting slows them.",
        rounds.join(" or ")
    )
}

/// The tables, for a terminal.
pub fn summary(results: &Results) -> String {
    let mut text = String::new();
    for workload in results.workloads() {
        let _ = write!(text, "{}\n{}\n", workload.title, table(results, workload).text());
    }
    let judged = goals::judge(results);
    if let Some(table) = goal_table(&judged) {
        let _ = write!(text, "{}\n{}\n", table.text(), goals::tally(&judged));
    }
    text
}

/// The report in Markdown.
pub fn markdown(results: &Results, pictures: &[String]) -> String {
    let head = &results.head;
    let mut text = format!("# {}\n\n", head.experiment.name);
    if let Some(line) = headline(results) {
        let _ = write!(text, "{line}\n\n");
    }
    let _ = write!(
        text,
        "{}\n\n{}\n\n{}\n\n`{}` · rows in `rows.jsonl` · all of it with curves in `report.html`\n",
        head.experiment.about,
        head.machine.line(),
        manner(results),
        head.command
    );
    if pictures.iter().any(|name| name == "overview.svg") {
        text.push_str("\n![overview](overview.svg)\n");
    }
    let judged = goals::judge(results);
    if let Some(table) = goal_table(&judged) {
        let _ = write!(text, "\n## Goals\n\n{}\n\n{}", goals::tally(&judged), table.text());
    }
    let mut section = "";
    for workload in results.workloads() {
        if workload.section != section {
            section = &workload.section;
            let _ = write!(text, "\n## {section}\n");
        }
        let table = table(results, workload).text();
        let _ = write!(text, "\n### {}\n\n{table}", workload.title);
        for kind in FILES {
            let picture = format!("{}-{kind}.svg", file_name(&workload.name));
            if pictures.contains(&picture) {
                let _ = write!(text, "\n![{} {kind}]({picture})\n", workload.title);
            }
        }
    }
    text.push_str("\n## Commands\n\n");
    for (name, command) in &head.commands {
        let _ = writeln!(text, "- {name}: `{command}`");
    }
    text
}

fn page(results: &Results, overview: Option<String>, parts: &[(&Workload, Vec<Chart>)]) -> String {
    let head = &results.head;
    let title = escaped(&head.experiment.name);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
         <style>{}{PAGE_STYLE}</style></head><body>\n<h1>{title}</h1>\n",
        plot::STYLE
    );
    let mut paragraph = |text: &str| {
        let _ = writeln!(html, "<p>{}</p>", escaped(text));
    };
    if let Some(line) = headline(results) {
        paragraph(&line);
    }
    paragraph(&head.experiment.about);
    paragraph(&head.machine.line());
    paragraph(&manner(results));
    if let Some(overview) = overview {
        let _ = writeln!(html, "<div class=\"pictures\">{overview}</div>");
    }
    let judged = goals::judge(results);
    if let Some(table) = goal_table(&judged) {
        let tally = goals::tally(&judged);
        let _ = writeln!(html, "<h2>Goals</h2><p>{tally}</p>{}", html_table(&table));
    }
    let mut section = "";
    for (workload, charts) in parts {
        if workload.section != section {
            section = &workload.section;
            let _ = writeln!(html, "<h2>{}</h2>", escaped(section));
        }
        let (name, title) = (file_name(&workload.name), escaped(&workload.title));
        let pictures: Vec<&str> = charts.iter().map(|chart| chart.inline.as_str()).collect();
        let _ = writeln!(
            html,
            "<h3 id=\"{name}\">{title}</h3>{}<div class=\"pictures\">{}</div>",
            html_table(&table(results, workload)),
            pictures.concat()
        );
    }
    let _ = writeln!(html, "<h2>Commands</h2><pre>{}</pre>", escaped(&commands(results)));
    html.push_str("</body></html>\n");
    html
}

fn commands(results: &Results) -> String {
    let mut text = format!("{}\n\n", results.head.command);
    for (name, command) in &results.head.commands {
        let _ = writeln!(text, "{name}: {command}");
    }
    text
}

fn html_table(table: &Table) -> String {
    let mut html = String::from("<div class=\"wide\"><table>");
    for (index, row) in table.rows().iter().enumerate() {
        html.push_str("<tr>");
        for cell in row {
            let tag = if index == 0 { "th" } else { "td" };
            let class = match cell.as_str() {
                "met" | "met, rounds differ" => " class=\"met\"",
                text if text.starts_with("MISSED") => " class=\"missed\"",
                _ => "",
            };
            let _ = write!(html, "<{tag}{class}>{}</{tag}>", escaped(cell));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
    html
}

#[cfg(test)]
#[path = "report_test.rs"]
mod report_test;
