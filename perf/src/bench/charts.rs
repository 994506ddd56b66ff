//! Which pictures a workload's rows make.

use serde_json::Value;

use super::figures::{self, Better};
use super::plot::{self, Bar, Plot, Scale, Series};
use super::results::{Results, Row};
use super::spec::{Kind, Workload};
use crate::table::{Spread, significant};

/// Percentiles of a report without a curve.
const FEW: [(f64, &str); 5] =
    [(50.0, "p50_us"), (90.0, "p90_us"), (99.0, "p99_us"), (99.9, "p999_us"), (99.99, "p9999_us")];
/// Percentiles are the same when they are this close.
const SAME: f64 = 1e-9;

/// A picture and the end of its file's name.
pub struct Chart {
    /// `latency`, `rate` …
    pub kind: String,
    /// For a page.
    pub inline: String,
    /// For a file.
    pub alone: String,
}

/// All pictures of a workload.
pub fn charts(results: &Results, workload: &Workload) -> Vec<Chart> {
    let mut charts = Vec::new();
    let figure = if workload.is_open_loop() { "p99_us" } else { main_figure(results, workload) };
    let bars = bars_of(results, workload, figure);
    let title = format!("{} · {}", workload.title, title_of(figure));
    let draw = |is_alone| plot::bars(&title, &bars, is_alone);
    if let (Some(inline), Some(alone)) = (draw(false), draw(true)) {
        charts.push(Chart { kind: "bars".into(), inline, alone });
    }
    for (part, name) in
        [("", "latency"), ("/fetch", "fetch latency"), ("/end_to_end", "end-to-end latency")]
    {
        push(&mut charts, name, &percentiles(results, workload, part, name));
    }
    push(&mut charts, "end-to-end latency", &end_to_end(results, workload));
    push(&mut charts, "throughput", &sweep(results, workload));
    for (field, name) in [("messages", "messages a second"), ("p99_us", "p99 each second")] {
        push(&mut charts, name, &series(results, workload, field, name));
    }
    charts
}

/// What a closed loop is about.
pub fn main_figure(results: &Results, workload: &Workload) -> &'static str {
    let has = |figure: &&&str| {
        workload.brokers.iter().any(|b| results.spread(&workload.name, b, figure).is_some())
    };
    let figures = ["knee_messages_per_second", "messages_per_second", "megabytes_per_second"];
    if workload.command == super::spec::Command::Consume || workload.disk.is_some() {
        return "megabytes_per_second";
    }
    let all = [&figures[..], &["mean_us", "start_ms"]].concat();
    let found = all.iter().find(has).copied();
    found.unwrap_or("messages_per_second")
}

fn title_of(figure: &str) -> &str {
    figures::find(figure).map_or(figure, |figure| figure.title)
}

/// One broker keeps its colour all through: Kafka the second, what has no broker the third, and
/// the others those that are left, in the order of the experiment.
fn colour_of(results: &Results, broker: &str) -> usize {
    let kind_of = |name: &str| results.head.experiment.broker(name).ok().map(|b| b.kind);
    let is_ringlog = |kind: Kind| matches!(kind, Kind::Ringlog | Kind::Address);
    match kind_of(broker) {
        Some(Kind::Kafka) => 1,
        Some(Kind::Ceiling | Kind::Disk) => 2,
        _ => {
            let brokers = results.head.experiment.brokers.iter();
            let mut ours = brokers.filter(|known| is_ringlog(known.kind));
            let place = ours.position(|known| known.name == broker).unwrap_or_default();
            if place == 0 { 0 } else { place + 2 }
        }
    }
}

fn push(charts: &mut Vec<Chart>, kind: &str, plot: &Plot) {
    if let (Some(inline), Some(alone)) = (plot.svg(false), plot.svg(true)) {
        charts.push(Chart { kind: kind.replace(' ', "-"), inline, alone });
    }
}

fn bars_of(results: &Results, workload: &Workload, figure: &str) -> Vec<Bar> {
    let scale = figures::find(figure).map_or(1.0, |figure| figure.scale);
    let mut bars = Vec::new();
    for broker in &workload.brokers {
        let Some(spread) = results.spread(&workload.name, broker, figure) else { continue };
        let spread = spread.scaled(scale);
        let (name, colour) = (results.title_of(broker), colour_of(results, broker));
        bars.push(Bar { name, colour, spread, text: spread.text() });
    }
    bars
}

fn measured<'a>(
    results: &'a Results,
    workload: &'a Workload,
    broker: &'a str,
) -> impl Iterator<Item = &'a Row> {
    results.rows_of(&workload.name, broker).filter(|row| row.round > 0)
}

/// The latency at each percentile, medians of the rounds in a band of their range.
fn percentiles(results: &Results, workload: &Workload, part: &str, name: &str) -> Plot {
    let at = format!("{part}/latency");
    curves(results, workload, name, &|row| curve(row.report.pointer(&at)))
}

/// The same of workloads whose reports have it in its old place.
fn end_to_end(results: &Results, workload: &Workload) -> Plot {
    let at = "/end_to_end_latency";
    curves(results, workload, "end-to-end latency", &|row| curve(row.report.pointer(at)))
}

/// A line for each broker from a curve of each of its rounds.
fn curves(
    results: &Results,
    workload: &Workload,
    name: &str,
    of: &dyn Fn(&Row) -> Vec<(f64, f64)>,
) -> Plot {
    let mut all = Vec::new();
    for broker in &workload.brokers {
        let rounds = measured(results, workload, broker).map(of);
        let rounds: Vec<_> = rounds.filter(|curve| curve.len() > 1).collect();
        all.extend(merged(&rounds, results.title_of(broker), colour_of(results, broker)));
    }
    Plot {
        title: format!("{} · {name}", workload.title),
        x_label: "percentile".into(),
        y_label: "ms".into(),
        x: Scale::Percentile,
        y: Scale::Log,
        series: all,
    }
}

/// Percentiles and milliseconds of a `latency` object.
fn curve(latency: Option<&Value>) -> Vec<(f64, f64)> {
    let Some(latency) = latency else { return Vec::new() };
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let pairs = latency.get("percentiles").and_then(Value::as_array);
    let points = pairs
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((number(pair.get(0))?, number(pair.get(1))? / 1e3)));
    let mut points: Vec<(f64, f64)> = points.collect();
    if points.is_empty() {
        let known = |(x, name): &(f64, &str)| Some((*x, number(latency.get(name))? / 1e3));
        points = FEW.iter().filter_map(known).collect();
    }
    points.retain(|(x, y)| (0.0..100.0).contains(x) && *y > 0.0);
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Rounds with the same places become one line; a place that a round lacks is left out.
fn merged(rounds: &[Vec<(f64, f64)>], name: String, colour: usize) -> Option<Series> {
    let mut points = Vec::new();
    let mut range = Vec::new();
    for &(x, _) in rounds.first()? {
        let at_x = |round: &Vec<(f64, f64)>| {
            round.iter().find(|point| (point.0 - x).abs() < SAME).map(|point| point.1)
        };
        let values: Option<Vec<f64>> = rounds.iter().map(at_x).collect();
        if let Some(spread) = values.and_then(Spread::of) {
            points.push((x, spread.median));
            range.push((spread.low, spread.high));
        }
    }
    let has_dots = points.len() <= FEW.len();
    let dash = colour;
    (points.len() > 1).then_some(Series { name, colour, dash, points, range, has_dots })
}

/// Throughput against latency: the p99 at each step of a sweep, of the round with the median knee.
fn sweep(results: &Results, workload: &Workload) -> Plot {
    let mut all = Vec::new();
    for broker in &workload.brokers {
        let Some(row) = middle(measured(results, workload, broker), "knee_messages_per_second")
        else {
            continue;
        };
        let steps = row.report.get("steps").and_then(Value::as_array);
        let steps: Vec<&Value> = steps.into_iter().flatten().collect();
        for (index, (name, field)) in
            [("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")].into_iter().enumerate()
        {
            let mut points: Vec<(f64, f64)> =
                steps.iter().filter_map(|step| step_point(step, field)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let name = format!("{} {name}", results.title_of(broker));
            let (colour, range) = (colour_of(results, broker), Vec::new());
            all.push(Series { name, colour, dash: index, points, range, has_dots: true });
        }
    }
    all.retain(|series| series.points.len() > 1);
    Plot {
        title: format!("{} · latency against throughput", workload.title),
        x_label: "messages a second".into(),
        y_label: "ms".into(),
        x: Scale::Log,
        y: Scale::Log,
        series: all,
    }
}

/// Achieved rate and latency in milliseconds of a step.
fn step_point(step: &Value, field: &str) -> Option<(f64, f64)> {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64).filter(|v| *v > 0.0);
    let rate = number(step.get("messages_per_second")).or(number(step.get("rate")))?;
    let nested = step.get("latency").and_then(|latency| latency.get(field));
    let latency = number(nested).or(number(step.get(field)))?;
    Some((rate, latency / 1e3))
}

/// The row whose figure is the median of all.
fn middle<'a>(rows: impl Iterator<Item = &'a Row>, figure: &str) -> Option<&'a Row> {
    let mut rows: Vec<&Row> = rows.collect();
    let value = |row: &Row| row.figures.get(figure).copied().unwrap_or_default();
    rows.sort_by(|a, b| value(a).total_cmp(&value(b)));
    rows.get(rows.len().saturating_sub(1) / 2).copied()
}

/// What each second of the middle round was like.
fn series(results: &Results, workload: &Workload, field: &str, name: &str) -> Plot {
    let mut all = Vec::new();
    for broker in &workload.brokers {
        let figure = if workload.is_open_loop() { "p99_us" } else { "messages_per_second" };
        let Some(row) = middle(measured(results, workload, broker), figure) else { continue };
        let points = seconds_of(&row.report, field);
        if points.len() > 1 {
            let (colour, range) = (colour_of(results, broker), Vec::new());
            let name = results.title_of(broker);
            all.push(Series { name, colour, dash: colour, points, range, has_dots: true });
        }
    }
    let is_latency = field.ends_with("_us");
    Plot {
        title: format!("{} · {name}", workload.title),
        x_label: "seconds".into(),
        y_label: if is_latency { "ms" } else { "messages/s" }.into(),
        x: Scale::Linear,
        y: if is_latency { Scale::Log } else { Scale::Linear },
        series: all,
    }
}

/// Milliseconds of a latency; of a count, how many a second: the last stretch may be shorter.
fn seconds_of(report: &Value, field: &str) -> Vec<(f64, f64)> {
    let seconds = report.get("series").and_then(Value::as_array);
    let mut last = 0.0;
    let points = seconds.into_iter().flatten().filter_map(|second| {
        let number = |name: &str| second.get(name).and_then(Value::as_f64);
        let (at, value) = (number("t")?, number(field)?);
        let stretch = at - std::mem::replace(&mut last, at);
        if field.ends_with("_us") {
            return Some((at, value / 1e3));
        }
        (stretch > 0.0).then_some((at, value / stretch))
    });
    points.collect()
}

/// Each workload's main figure, Ringlog's against Kafka's: one picture for all.
pub fn overview(results: &Results, ours: &str, theirs: &str) -> Option<(String, String)> {
    let mut bars = Vec::new();
    for workload in results.workloads() {
        let figure =
            if workload.is_open_loop() { "p99_us" } else { main_figure(results, workload) };
        let Some(better) = figures::find(figure).map(|figure| figure.better) else { continue };
        let values = |broker| results.values(&workload.name, broker, figure);
        let (mine, base) = (values(ours), values(theirs));
        let turned = |ratio: f64| if better == Better::Lower { 1.0 / ratio } else { ratio };
        let pairs = mine.iter().zip(&base).filter(|(a, b)| **a > 0.0 && **b > 0.0);
        let pairs = Spread::of(pairs.map(|(a, b)| turned(a / b)));
        let (at, base_at) = ((workload.name.as_str(), ours), (workload.name.as_str(), theirs));
        let ratio = results.ratio(figure, at, base_at).map(turned);
        let (Some(pairs), Some(median)) = (pairs, ratio.filter(|ratio| ratio.is_finite())) else {
            continue;
        };
        let (low, high) = (pairs.low.min(median), pairs.high.max(median));
        let spread = Spread { median, low, high };
        let text = format!("{} × better {}", significant(median), title_of(figure));
        let colour = colour_of(results, ours);
        bars.push(Bar { name: workload.name.clone(), colour, spread, text });
    }
    let title =
        format!("{} against {}: times better", results.title_of(ours), results.title_of(theirs));
    Some((plot::bars(&title, &bars, false)?, plot::bars(&title, &bars, true)?))
}

#[cfg(test)]
#[path = "charts_test.rs"]
mod charts_test;
