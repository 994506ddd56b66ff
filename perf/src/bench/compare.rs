//! `cargo perf compare A B`: what changed between two results, and whether it is more than noise.

use std::path::PathBuf;

use super::figures::{self, Better, FIGURES};
use super::results::Results;
use super::stats::{self, Verdict};
use crate::Failure;
use crate::table::{Spread, Table, significant};

/// Which folders.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of results, or its name in perf/results
    before: PathBuf,
    /// The one to compare to it
    after: PathBuf,
    /// Also what did not change
    #[arg(long)]
    all: bool,
}

/// One figure of one workload on one broker.
struct Line {
    workload: String,
    broker: String,
    figure: &'static figures::Figure,
    before: Spread,
    after: Spread,
    verdict: Verdict,
    ranges_overlap: bool,
}

/// Prints the table.
pub fn run(place: &crate::place::Place, arguments: &Arguments) -> Result<(), Failure> {
    let find = |given: &PathBuf| {
        let known = place.root().join("perf/results").join(given);
        Results::read(if given.is_dir() { given } else { &known })
    };
    let (before, after) = (find(&arguments.before)?, find(&arguments.after)?);
    println!("before: {}\nafter:  {}\n", before.head.machine.line(), after.head.machine.line());
    print!("{}", text(&before, &after, arguments.all)?);
    Ok(())
}

fn text(before: &Results, after: &Results, is_whole: bool) -> Result<String, Failure> {
    let lines = lines(before, after);
    if lines.is_empty() {
        return Err("the two results have no workload on the same broker in common".into());
    }
    let names = ["workload", "broker", "figure", "before", "after", "ratio", "", "ranges"];
    let mut table = Table::new(&names);
    let mut shown = 0;
    for line in &lines {
        if !is_whole && line.verdict == Verdict::Same {
            continue;
        }
        shown += 1;
        table.push(cells(line));
    }
    let count = |verdict: Verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let better = lines.iter().filter(|line| says(line) == "better").count();
    let worse = lines.iter().filter(|line| says(line) == "WORSE").count();
    let summary = format!(
        "{} figures: {better} better, {worse} worse, {} within noise, {} with too few runs to \
         tell (fewer than 4 on a side).\nMore than noise: the exact Mann–Whitney test gives chance \
         less than {} %, and the medians differ by more than {} %.\n",
        lines.len(),
        count(Verdict::Same),
        count(Verdict::TooFew),
        stats::CHANCE_MAX * 100.0,
        stats::CHANGE_MIN * 100.0
    );
    let table = if shown > 0 { format!("{}\n", table.text()) } else { String::new() };
    Ok(format!("{table}{summary}"))
}

fn lines(before: &Results, after: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    for workload in after.workloads() {
        for broker in &workload.brokers {
            for figure in &FIGURES {
                let old = before.values(&workload.name, broker, figure.name);
                let new = after.values(&workload.name, broker, figure.name);
                let spreads = (Spread::of(old.iter().copied()), Spread::of(new.iter().copied()));
                let (Some(was), Some(is)) = spreads else { continue };
                lines.push(Line {
                    workload: workload.name.clone(),
                    broker: broker.clone(),
                    figure,
                    before: was,
                    after: is,
                    verdict: stats::verdict(&old, &new),
                    ranges_overlap: was.low <= is.high && is.low <= was.high,
                });
            }
        }
    }
    lines
}

/// What a person wants to know of a line.
fn says(line: &Line) -> &'static str {
    match (line.verdict, line.figure.better) {
        (Verdict::Same, _) => "the same",
        (Verdict::TooFew, _) => "too few runs",
        (Verdict::Higher, Better::Higher) | (Verdict::Lower, Better::Lower) => "better",
        (Verdict::Higher, Better::Lower) | (Verdict::Lower, Better::Higher) => "WORSE",
        (_, Better::Neither) => "changed",
    }
}

fn cells(line: &Line) -> Vec<String> {
    let scale = line.figure.scale;
    let ratio = match line.before.median {
        0.0 => String::new(),
        median => significant(line.after.median / median),
    };
    vec![
        line.workload.clone(),
        line.broker.clone(),
        line.figure.title.to_string(),
        line.before.scaled(scale).text(),
        line.after.scaled(scale).text(),
        ratio,
        says(line).to_string(),
        if line.ranges_overlap { "overlap" } else { "apart" }.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::tests::{TWO, results};

    fn compared(figure: &str, before: &[f64], after: &[f64], is_whole: bool) -> String {
        let before = results(TWO, figure, &[("ringlog", before)]);
        let after = results(TWO, figure, &[("ringlog", after)]);
        text(&before, &after, is_whole).unwrap()
    }

    #[test]
    fn a_change_is_named_by_its_direction() {
        let low = [10.0, 11.0, 12.0, 10.5, 11.5];
        let high = low.map(|value| value * 2.0);
        let rate = compared("messages_per_second", &low, &high, false);
        assert!(rate.contains("| better | apart "), "{rate}");
        assert!(rate.contains("1 figures: 1 better, 0 worse"), "{rate}");
        let latency = compared("p99_us", &low, &high, false);
        assert!(latency.contains("| WORSE | apart "), "{latency}");
        let client = compared("client_cpu_percent", &low, &high, false);
        assert!(client.contains("| changed | apart "), "{client}");
    }

    #[test]
    fn noise_is_left_out_unless_asked_for() {
        let values = [10.0, 11.0, 12.0, 10.5, 11.5];
        let short = compared("p99_us", &values, &values, false);
        assert!(!short.contains('|') && short.contains("1 within noise"), "{short}");
        let whole = compared("p99_us", &values, &values, true);
        assert!(whole.contains("the same"), "{whole}");
        let few = compared("p99_us", &values[..2], &values[..2], false);
        assert!(few.contains("too few runs"), "{few}");
    }

    #[test]
    fn strangers_have_nothing_in_common() {
        let one = results(TWO, "p99_us", &[("ringlog", &[1.0])]);
        let other = results(TWO, "p99_us", &[("kafka", &[1.0])]);
        assert!(text(&one, &other, true).is_err());
    }
}
