//! Thousands of busy connections, and one that wants everything.

use super::Ground;
use crate::Failure;
use crate::broker::Setup;
use crate::load::{Report, Running};

/// Between the connection served best and the one served worst.
const RATIO_MAX: f64 = 2.0;
/// What the others must keep of their throughput beside a connection that pipelines: it is one
/// more of them, but its requests are larger and many.
const SHARE_MIN: f64 = 0.5;

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    // One way of writing throughout: turns are what is promised here. With `io = auto` the many
    // alone are half as fast again (small writes through the page cache of a quiet shard).
    let setup = ground.setup(&folder, &["--memory", "512M", "--io", "direct"], &[])?;
    let mut server = ground.brokers.start(&setup)?;
    let alone = busy(ground, &setup)?;
    told(ground, "alone", &alone)?;
    for (name, arguments) in [
        ("beside 64 small requests in flight", ["--message-bytes", "100", "--batch-messages", "1"]),
        (
            "beside 64 large requests in flight",
            ["--message-bytes", "1000", "--batch-messages", "900"],
        ),
    ] {
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
        let arguments = [&common[..], &arguments].concat();
        let mut command = ground.loadgen.command("produce", setup.address(), &arguments);
        let greedy = Running::start(&mut command)?;
        let beside = busy(ground, &setup)?;
        let greedy = greedy.finish()?.ok_or("the greedy client failed")?;
        told(ground, name, &beside)?;
        let kept = beside.messages_per_second / alone.messages_per_second;
        ground.promises.at_least(&format!("{name}: throughput kept"), kept, SHARE_MIN, "of it");
        let each = beside.messages_per_second / ground.pace.active_connections as f64;
        let rates = format!("{:.0} messages/s, {each:.1} each", greedy.messages_per_second);
        ground.promises.note(&format!("{name}: the greedy one and the others"), rates);
    }
    server.check_alive()?;
    setup.stop(server)
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
    ground.promises.note(&format!("{name}: {} connections", ground.pace.active_connections), rate);
    ground.promises.note(&format!("{name}: least and most served"), format!("{least} and {most}"));
    let ratio = most as f64 / (least as f64).max(0.5);
    ground.promises.at_most(&format!("{name}: best to worst served"), ratio, RATIO_MAX, "");
    Ok(())
}
