//! Thousands of busy connections, and one that wants everything.

use super::Ground;
use crate::Failure;
use crate::bench::stats::median;
use crate::broker::Setup;
use crate::load::{Report, Running};
use crate::process;

/// Between the connection served best and the one served worst.
const RATIO_MAX: f64 = 2.0;
/// What the others must keep of their throughput beside a connection that pipelines: it is one
/// more of them, but its requests are larger and many.
const SHARE_MIN: f64 = 0.5;
/// Each is a measurement without the greedy client and one with each kind of it; the middle one
/// counts, for this much changes from one second to the next on a machine shared with strangers.
const ROUNDS: usize = 3;
/// What a greedy client sends.
const GREEDY: [(&str, [&str; 4]); 2] = [
    ("beside 64 small requests in flight", ["--message-bytes", "100", "--batch-messages", "1"]),
    ("beside 64 large requests in flight", ["--message-bytes", "1000", "--batch-messages", "900"]),
];

/// What was seen beside one kind of greedy client, a value for each round.
#[derive(Debug, Default)]
struct Seen {
    kept: Vec<f64>,
    /// The greedy one's messages for each of another connection.
    greed: Vec<f64>,
}

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let setup = ground.setup(&folder, &["--memory", "512M"], &[])?;
    let mut server = ground.brokers.start(&setup)?;
    let mut seen: [Seen; GREEDY.len()] = Default::default();
    for _ in 0..ROUNDS {
        let alone = busy(ground, &setup)?;
        told(ground, "alone", &alone)?;
        for ((name, arguments), seen) in GREEDY.iter().zip(&mut seen) {
            let (beside, greedy) = beside(ground, &setup, arguments)?;
            told(ground, name, &beside)?;
            seen.kept.push(beside.messages_per_second / alone.messages_per_second);
            let each = beside.messages_per_second / ground.pace.active_connections as f64;
            seen.greed.push(greedy.messages_per_second / each);
        }
    }
    for ((name, _), seen) in GREEDY.iter().zip(&seen) {
        let [kept, greed] = [&seen.kept, &seen.greed].map(|values| median(values).unwrap_or(0.0));
        ground.promises.at_least(&format!("{name}: throughput kept"), kept, SHARE_MIN, "of it");
        let what = format!("{name}: the greedy one got");
        ground.promises.at_least(&what, greed, 1.0, "times as much as each of them");
    }
    server.check_alive()?;
    setup.stop(server)
}

/// The many, and a greedy one beside them.
fn beside(
    ground: &Ground<'_>,
    setup: &Setup<'_>,
    arguments: &[&str],
) -> Result<(Report, Report), Failure> {
    let seconds = (ground.pace.seconds + 4.0).to_string();
    let common = [
        "--topic",
        "greedy",
        "--partitions",
        "1",
        "--connections",
        "1",
        "--inflight",
        "64",
        "--duration",
        &seconds,
    ];
    let arguments = [&common[..], arguments].concat();
    let command = ground.loadgen.command("produce", setup.address(), &arguments);
    let greedy = Running::start(&mut process::at_idle_priority(&command))?;
    let beside = busy(ground, setup)?;
    let greedy = greedy.finish()?.ok_or("the greedy client failed")?;
    Ok((beside, greedy))
}

/// Many connections with one small request each under way.
fn busy(ground: &Ground<'_>, setup: &Setup<'_>) -> Result<Report, Failure> {
    let (connections, seconds) =
        (ground.pace.active_connections.to_string(), ground.pace.seconds.to_string());
    let arguments = [
        "--topic",
        "busy",
        "--partitions",
        "4",
        "--connections",
        &connections,
        "--inflight",
        "1",
        "--message-bytes",
        "100",
        "--batch-messages",
        "1",
        "--warmup",
        "1",
        "--duration",
        &seconds,
    ];
    ground.loadgen.run("produce", setup.address(), &arguments)
}

fn told(ground: &mut Ground<'_>, name: &str, report: &Report) -> Result<(), Failure> {
    let least = report.served_least.ok_or("an old load generator")?;
    let most = report.served_most.ok_or("an old load generator")?;
    let rate = format!("{:.0} messages/s", report.messages_per_second);
    let found = format!("{rate}, {least} to {most} of each");
    ground.promises.note(&format!("{name}: {} connections", ground.pace.active_connections), found);
    let ratio = most as f64 / (least as f64).max(0.5);
    ground.promises.at_most(&format!("{name}: best to worst served"), ratio, RATIO_MAX, "");
    Ok(())
}
