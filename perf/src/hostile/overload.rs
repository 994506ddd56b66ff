//! Ten times the load that the broker can take, in 512 MiB of memory.
//!
//! The broker is told nothing of the limit: it must find it by itself. A probe (one small request
//! every ten milliseconds) sees what a patient client sees before, while and after; what producers
//! had acknowledged is read back and compared at the end.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringlog_loadgen::raw;

use super::{Ground, MIB, NOISE_US, settled_resident, socket};
use crate::Failure;
use crate::broker::Setup;
use crate::load::Running;
use crate::process::Server;

mod group;

use group::Group;

const LIMIT_BYTES: u64 = 512 << 20;
const TIMES: f64 = 10.0;
const PROBE_EVERY: Duration = Duration::from_millis(10);
const CALM: Duration = Duration::from_secs(2);
/// What the issue promises.
const RECOVERY_MAX: Duration = Duration::from_secs(1);
/// What the broker must still do of what it can.
const THROUGHPUT_MIN: f64 = 0.5;
const SMALL: [&str; 4] = ["--message-bytes", "100", "--batch-messages", "10"];
const LARGE: [&str; 4] = ["--message-bytes", "1000", "--batch-messages", "500"];

/// One question of the probe.
#[derive(Clone, Copy)]
struct Sample {
    sent: Instant,
    /// `None`: an error or no answer.
    latency: Option<Duration>,
}

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let setup = ground.setup(&folder, &[], &[])?;
    let group = Group::create(LIMIT_BYTES);
    if let Err(why) = &group {
        ground.promises.note("the limit is not enforced", why.to_string());
    }
    let group = group.ok();
    let setup = match &group {
        Some(_) => setup,
        None => Setup { arguments: &["--memory", "128M"], ..setup },
    };
    let start = || ground.brokers.start(&setup);
    let mut server = match &group {
        Some(group) => group.within(start)?,
        None => start()?,
    };
    let capacity = capacity(ground, &setup)?;
    let probe_topic = ["--topic", "probe", "--partitions", "1", "--messages", "1"];
    ground.loadgen.run("produce", setup.address(), &probe_topic)?;
    let is_over = AtomicBool::new(false);
    let (samples, end) = thread::scope(|scope| {
        let probe = scope.spawn(|| probe(setup.address(), &is_over));
        let end = storm(ground, &setup, capacity);
        thread::sleep(2 * CALM);
        is_over.store(true, Ordering::Relaxed);
        let samples = probe.join().map_err(|_| "the probe panicked")?;
        Ok::<_, Failure>((samples, end?))
    })?;
    server.check_alive()?;
    told(ground, &samples, end)?;
    memory(ground, &server, group.as_ref())?;
    for topic in ["small", "large"] {
        check(ground, &setup, topic)?;
    }
    server.check_alive()?;
    setup.stop(server)
}

/// Messages a second of a closed loop of small requests.
fn capacity(ground: &mut Ground<'_>, setup: &Setup<'_>) -> Result<f64, Failure> {
    let common = ["--topic", "capacity", "--connections", "4", "--inflight", "8"];
    let time = ["--duration", "2", "--warmup", "0.5"];
    let arguments = [&common[..], &SMALL, &time].concat();
    let report = ground.loadgen.run("produce", setup.address(), &arguments)?;
    ground.promises.note("closed loop", format!("{:.0} messages/s", report.messages_per_second));
    Ok(report.messages_per_second)
}

/// When the load began and when it ended.
type Span = (Instant, Instant);

/// Runs the load to its end.
fn storm(ground: &mut Ground<'_>, setup: &Setup<'_>, capacity: f64) -> Result<Span, Failure> {
    thread::sleep(CALM);
    let began = Instant::now();
    let (rate, seconds) =
        ((TIMES * capacity).to_string(), ground.pace.overload_seconds.to_string());
    let mut producers = Vec::new();
    for (topic, connections, inflight, sizes) in
        [("small", "256", "64", SMALL), ("large", "32", "8", LARGE)]
    {
        let log = ack_log(setup.folder, topic);
        let common = [
            "--topic",
            topic,
            "--connections",
            connections,
            "--inflight",
            inflight,
            "--rate",
            &rate,
            "--duration",
            &seconds,
            "--verify",
            "--ack-log",
            &log,
            "--acks",
            "all",
        ];
        let mut command =
            ground.loadgen.command("produce", setup.address(), &[&common[..], &sizes].concat());
        producers.push(Running::start(&mut command)?);
    }
    // Readers of what is no longer in memory.
    let mut command = ground.loadgen.command(
        "consume",
        setup.address(),
        &["--topic", "capacity", "--connections", "4", "--repeat", "--duration", &seconds],
    );
    let readers = Running::start(&mut command)?;
    let (mut served, mut lost) = (0.0, 0);
    for producer in producers {
        let report = producer.finish()?.ok_or("a producer failed")?;
        served += report.messages_per_second;
        lost += report.reconnections;
    }
    let end = Instant::now();
    let _ = readers.finish()?;
    ground.promises.exactly("connections lost under it", lost, 0);
    ground.promises.note("asked for", format!("{:.0} messages/s, twice", TIMES * capacity));
    ground.promises.at_least(
        "served under it",
        served / capacity,
        THROUGHPUT_MIN,
        "of the closed loop",
    );
    Ok((began, end))
}

fn ack_log(folder: &Path, topic: &str) -> String {
    folder.join(format!("acknowledged-{topic}.txt")).display().to_string()
}

/// Asks until it is told to stop.
fn probe(address: SocketAddr, is_over: &AtomicBool) -> Vec<Sample> {
    let frame = raw::produce("probe", 0, 1, 100);
    let mut stream: Option<TcpStream> = None;
    let mut samples = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let answer = stream
            .take()
            .map_or_else(|| socket::connect(address), Ok)
            .and_then(|mut it| Ok((socket::ask(&mut it, &frame)?, it)));
        let mut latency = None;
        if let Ok((content, kept)) = answer {
            stream = Some(kept);
            latency = (raw::produce_error(&content) == Some(0)).then(|| sent.elapsed());
        }
        samples.push(Sample { sent, latency });
        thread::sleep(PROBE_EVERY.saturating_sub(sent.elapsed()));
    }
    samples
}

fn p99_us(samples: &[Sample]) -> f64 {
    let mut latencies: Vec<f64> = samples
        .iter()
        .map(|sample| sample.latency.map_or(f64::INFINITY, |it| it.as_secs_f64() * 1e6))
        .collect();
    latencies.sort_by(f64::total_cmp);
    let place = (latencies.len() * 99).div_ceil(100).saturating_sub(1);
    latencies.get(place).copied().unwrap_or(f64::INFINITY)
}

fn told(ground: &mut Ground<'_>, samples: &[Sample], (began, end): Span) -> Result<(), Failure> {
    let between = |from: Instant, to: Instant| -> Vec<Sample> {
        samples.iter().filter(|it| from <= it.sent && it.sent < to).copied().collect()
    };
    // The first questions are slower.
    let before = between(began - CALM / 2, began);
    let during = between(began, end);
    if !p99_us(&before).is_finite() {
        return Err("the probe is not answered before the load begins".into());
    }
    let failed = during.iter().filter(|it| it.latency.is_none()).count();
    ground.promises.note("the probe's p99 before", format!("{:.0} µs", p99_us(&before)));
    ground.promises.note("its p99 under load", format!("{:.0} µs", p99_us(&during)));
    ground.promises.at_most("its requests refused under load", failed as f64, 0.0, "");
    let answered = (during.len() - failed) as f64 / (end - began).as_secs_f64();
    ground.promises.at_least("its answers under load", answered, 1.0, "a second");
    let noise = if ground.pace.is_quick { 20.0 * NOISE_US } else { NOISE_US };
    let good = (2.0 * p99_us(&before)).max(noise);
    let recovered = (0..40).map(|step| end + CALM * step / 40).find(|&from| {
        let window = between(from, from + CALM / 2);
        !window.is_empty() && p99_us(&window) <= good
    });
    let after = recovered.map_or(f64::INFINITY, |at| (at - end).as_secs_f64());
    ground.promises.note("its p99 in the second after", {
        format!("{:.0} µs", p99_us(&between(end, end + CALM / 2)))
    });
    ground.promises.at_most("recovered after", after, RECOVERY_MAX.as_secs_f64(), "s");
    Ok(())
}

fn memory(ground: &mut Ground<'_>, server: &Server, group: Option<&Group>) -> Result<(), Failure> {
    ground.promises.at_most(
        "memory after it",
        settled_resident(server)? / MIB,
        LIMIT_BYTES as f64 / MIB,
        "MiB",
    );
    if let Some(peak) = group.and_then(Group::peak_bytes) {
        ground.promises.note("most memory of the group", format!("{:.0} MiB", peak as f64 / MIB));
    }
    Ok(())
}

/// Nothing acknowledged is missing.
fn check(ground: &mut Ground<'_>, setup: &Setup<'_>, topic: &str) -> Result<(), Failure> {
    let log = ack_log(setup.folder, topic);
    let arguments = ["--topic", topic, "--verify", "--check-acks", &log];
    let (_, report) = ground.loadgen.run_checked("consume", setup.address(), &arguments)?;
    let verdict = report.verification.unwrap_or_default();
    let count = |name: &str| verdict[name].as_f64().unwrap_or(f64::INFINITY);
    ground.promises.at_least(
        &format!("{topic}: acknowledged"),
        count("acknowledged"),
        1.0,
        "messages",
    );
    for name in ["acknowledged_missing", "lost", "corrupt", "reordered"] {
        let what = format!("{topic}: {}", name.replace('_', " "));
        ground.promises.at_most(&what, count(name), 0.0, "");
    }
    Ok(())
}
