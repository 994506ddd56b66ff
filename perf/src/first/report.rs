//! The table: figures down, systems across, medians with ranges.

use super::{Pace, Sample, System, Work};
use crate::machine::Machine;
use crate::table::{Spread, Table, significant};

struct Row {
    text: &'static str,
    work: Work,
    figure: &'static str,
    scale: f64,
}

const fn row(text: &'static str, work: Work, figure: &'static str, scale: f64) -> Row {
    Row { text, work, figure, scale }
}

const RATE: &str = "messages_per_second";
const BYTES: &str = "megabytes_per_second";
const CPU: &str = "cpu_seconds_per_gb";
const ROWS: [Row; 23] = [
    row("produce 640 × 100 B to 4 partitions, 4 × 8: messages/s", Work::Produce, RATE, 1.0),
    row("· MB/s", Work::Produce, BYTES, 1.0),
    row("· server CPU s/GB", Work::Produce, CPU, 1.0),
    row("· p50 ms", Work::Produce, "p50_us", 1e-3),
    row("· p99 ms", Work::Produce, "p99_us", 1e-3),
    row("· p99.9 ms", Work::Produce, "p999_us", 1e-3),
    row("· resident MiB after it", Work::Produce, "resident_mib", 1.0),
    row("hot fetch of 1 MiB, 4 × 1: MB/s", Work::Fetch, BYTES, 1.0),
    row("· server CPU s/GB", Work::Fetch, CPU, 1.0),
    row("· p50 ms", Work::Fetch, "p50_us", 1e-3),
    row("· p99 ms", Work::Fetch, "p99_us", 1e-3),
    row("produce 1 × 100 B, 1 × 1: requests/s", Work::Single, RATE, 1.0),
    row("· p50 µs", Work::Single, "p50_us", 1.0),
    row("· p99 µs", Work::Single, "p99_us", 1.0),
    row("· p99.9 µs", Work::Single, "p999_us", 1.0),
    row(
        "2 shards and load on 2 cores, wrong shard: messages/s",
        Work::ProduceWrongShard,
        RATE,
        1.0,
    ),
    row("· server CPU s/GB", Work::ProduceWrongShard, CPU, 1.0),
    row("· p99 ms", Work::ProduceWrongShard, "p99_us", 1e-3),
    row("the same, right shard: messages/s", Work::ProduceRightShard, RATE, 1.0),
    row("· server CPU s/GB", Work::ProduceRightShard, CPU, 1.0),
    row("idle: % of a core", Work::Idle, "cpu_percent", 1.0),
    row("· resident MiB", Work::Idle, "resident_mib", 1.0),
    row("listens after ms", Work::Start, "start_ms", 1.0),
];

/// The report in Markdown: what it is a report of, the table, and how the promises stand.
pub fn text(machine: &Machine, pace: Pace, samples: &[Sample]) -> String {
    let names = ["", "Apache Kafka", "Ringlog", "ceiling", "Ringlog ÷ Kafka", "÷ ceiling"];
    let mut table = Table::new(&names);
    for row in &ROWS {
        let spread = |system| spread_of(samples, system, row.work, row.figure);
        let [kafka, ringlog, ceiling] =
            [System::Kafka, System::Ringlog, System::Ceiling].map(spread);
        if kafka.is_none() && ringlog.is_none() && ceiling.is_none() {
            continue;
        }
        let cell = |spread: Option<Spread>| {
            spread.map_or(String::new(), |spread| spread.scaled(row.scale).text())
        };
        let ratio = |to: Option<Spread>| match (ringlog, to) {
            (Some(ours), Some(theirs)) if theirs.median > 0.0 => {
                significant(ours.median / theirs.median)
            }
            _ => String::new(),
        };
        let cells = [cell(kafka), cell(ringlog), cell(ceiling), ratio(kafka), ratio(ceiling)];
        table.push([vec![row.text.to_string()], cells.to_vec()].concat());
    }
    format!(
        "# First figures\n\n{}\n\n\
         Medians of {} alternating runs of {} s (smallest to largest), `cargo perf first`; server \
         on core 0, load on core 1, loopback, one ext4 disk. Apache Kafka {}: G1, defaults, \
         acknowledges from the page cache. Ringlog: 1 shard, `durability = written`, direct I/O. \
         The ceiling receives the same bytes, checks, walks, copies and writes them, and answers.\n\
         Rows of a run are in `rows.jsonl`.\n\n{}\n{}",
        machine.line(),
        pace.rounds,
        pace.seconds,
        crate::kafka::VERSION,
        table.text(),
        promises(samples)
    )
}

fn spread_of(samples: &[Sample], system: System, work: Work, figure: &str) -> Option<Spread> {
    let chosen = samples.iter().filter(|sample| sample.system == system && sample.work == work);
    Spread::of(chosen.filter_map(|sample| sample.figures.get(figure).copied()))
}

/// The promises, each with what was measured.
fn promises(samples: &[Sample]) -> String {
    let median =
        |system, work, figure| spread_of(samples, system, work, figure).map(|spread| spread.median);
    let ratio = |work, figure, to| {
        let (ours, theirs) = (median(System::Ringlog, work, figure)?, median(to, work, figure)?);
        (theirs > 0.0).then_some(ours / theirs)
    };
    let mut table = Table::new(&["promise", "measured", ""]);
    let mut promise = |text: &str, value: Option<f64>, is_kept: fn(f64) -> bool| {
        let Some(value) = value else { return };
        let verdict = if is_kept(value) { "kept" } else { "MISSED" };
        table.push(vec![text.to_string(), significant(value), verdict.to_string()]);
    };
    promise("produce ≥ 6 × Kafka", ratio(Work::Produce, RATE, System::Kafka), |x| x >= 6.0);
    promise("its CPU per GB ≤ 1/6 of Kafka's", ratio(Work::Produce, CPU, System::Kafka), |x| {
        x <= 1.0 / 6.0
    });
    promise("produce ≥ 0.65 of the ceiling", ratio(Work::Produce, RATE, System::Ceiling), |x| {
        x >= 0.65
    });
    promise("hot fetch ≥ 0.9 of Kafka's", ratio(Work::Fetch, BYTES, System::Kafka), |x| x >= 0.9);
    let idle = median(System::Ringlog, Work::Idle, "cpu_percent");
    promise("idle: 0 % of a core", idle, |x| x < 0.1);
    let start = median(System::Ringlog, Work::Start, "start_ms");
    promise("listens within 1,000 ms", start, |x| x <= 1000.0);
    table.text()
}
