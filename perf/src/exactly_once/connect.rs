//! Kafka Connect in distributed mode, two workers: a file's lines go into a topic, exactly once,
//! and from there into another file. The worker that reads the file is killed while it grows, and
//! so is the broker.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::Ground;
use super::broker::Broker;
use super::connectors::{self, BATCH_LINES, Worker};
use super::follower::{Follower, values};
use crate::Failure;
use crate::process;

const TOPIC: &str = "lines";
const WORKERS: u16 = 2;
const LINES_PER_PORTION: u64 = 20;
/// Less than a batch of the source connector.
const LINES_BEHIND_MAX: u64 = BATCH_LINES / 2;
const PORTION_INTERVAL: Duration = Duration::from_millis(100);
/// Between the first sign of life after a kill and the next kill.
const UPTIME_MS_MAX: u64 = 3000;
const KILLS_PER_BROKER_KILL: u32 = 3;
/// Until the sink has written what the topic holds.
const SINK_WAIT_MAX: Duration = Duration::from_secs(120);
const SINK_INTERVAL: Duration = Duration::from_millis(500);

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let folder = folder.path();
    let (source, sink) = (folder.join("source.txt"), folder.join("sink.txt"));
    process::write_file(&source, b"")?;
    let mut broker = Broker::start(ground, ground.kind.clone(), folder)?;
    let address = broker.setup.address();
    ground.programs.create(address, folder, &["lines:3"])?;
    let mut follower = ground.programs.follow(address, folder, TOPIC)?;
    let mut workers = Vec::new();
    for index in 0..WORKERS {
        workers.push(Worker::start(ground, &broker, index)?);
    }
    connectors::create(&mut workers[0], TOPIC, &source, &sink)?;
    let file = GrowingFile { path: &source, lines: AtomicU64::new(0), is_over: false.into() };
    let source_kills = thread::scope(|scope| {
        let growing = scope.spawn(|| file.grow());
        let outcome = kill_workers(ground, &mut broker, &mut follower, &mut workers, &file);
        file.is_over.store(true, Ordering::Relaxed);
        growing.join().map_err(|_| "the writer of lines failed")??;
        outcome
    })?;
    let written = file.lines.into_inner();
    follower.await_lines(written, || {
        broker.check_alive()?;
        workers.iter_mut().try_for_each(|worker| worker.server.check_alive())
    })?;
    let followed = follower.finish()?;
    let sunk = await_sink(&sink, written)?;
    for worker in workers {
        worker.server.kill()?;
    }
    let programs = &ground.programs;
    let read = programs.read_again(address, folder, TOPIC, &followed, &mut ground.promises)?;
    let copied = tally(values(&read)?.into_iter().map(|(_, value)| value), written);
    let promises = &mut ground.promises;
    let kills = ground.pace.connect_kills;
    promises.note("kills of workers", (kills - kills / KILLS_PER_BROKER_KILL).to_string());
    promises.at_least("of workers that read the file", source_kills as f64, 1.0, "");
    promises.note("lines in the file", written.to_string());
    promises.exactly("lines missing in the topic", copied.missing, 0);
    promises.exactly("lines repeated in the topic", copied.repeated, 0);
    promises.exactly("other lines in the topic", copied.strange, 0);
    promises.exactly("lines missing in the sink", sunk.missing, 0);
    promises.note("lines repeated in the sink", sunk.repeated.to_string());
    broker.finish(promises)
}

/// Kills and waits for signs of life in turn, then until the topic has caught up with the file.
/// Returns how many of the killed workers read the file.
fn kill_workers(
    ground: &mut Ground<'_>,
    broker: &mut Broker<'_>,
    follower: &mut Follower,
    workers: &mut Vec<Worker>,
    file: &GrowingFile<'_>,
) -> Result<u64, Failure> {
    let mut source_kills = 0;
    for kill in 1..=ground.pace.connect_kills {
        let seen = follower.lines()?;
        follower.await_lines(seen + 1, || broker.check_alive())?;
        sleep(ground.chance(UPTIME_MS_MAX));
        if kill % KILLS_PER_BROKER_KILL == 0 {
            broker.kill()?;
        } else {
            let index = workers.iter().position(Worker::has_source);
            source_kills += u64::from(index.is_some());
            // In doubt the first: between two owners, each does something for the source.
            let index = index.unwrap_or(0);
            let worker = workers.remove(index);
            workers.insert(index, worker.kill(ground, broker)?);
        }
        println!("  kill {kill}: {} lines by then", follower.lines()?);
    }
    // The file connector keeps what it has read beyond a full batch until the file grows again: so
    // the file must not end while batches are full.
    loop {
        let written = file.lines.load(Ordering::Relaxed);
        follower.await_lines(written, || broker.check_alive())?;
        if file.lines.load(Ordering::Relaxed) - written < LINES_BEHIND_MAX {
            return Ok(source_kills);
        }
    }
}

/// The file that the source connector reads.
struct GrowingFile<'a> {
    path: &'a Path,
    lines: AtomicU64,
    is_over: AtomicBool,
}

impl GrowingFile<'_> {
    /// Appends numbered lines at a steady pace until told to end.
    fn grow(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.path)?;
        while !self.is_over.load(Ordering::Relaxed) {
            let first = self.lines.load(Ordering::Relaxed);
            let portion: String = (first..first + LINES_PER_PORTION).map(line).collect();
            file.write_all(portion.as_bytes())?;
            self.lines.fetch_add(LINES_PER_PORTION, Ordering::Relaxed);
            sleep(PORTION_INTERVAL);
        }
        Ok(())
    }
}

/// Marked at both ends: a worker that is killed leaves a part of a line in the sink, and the next
/// one goes on behind it.
fn line(number: u64) -> String {
    format!("<line {number} of the file>\n")
}

/// What is wrong with lines that were read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    missing: u64,
    repeated: u64,
    strange: u64,
}

fn tally<'t>(found: impl Iterator<Item = &'t str>, written: u64) -> Tally {
    let mut tally = Tally::default();
    let mut seen = BTreeMap::<String, u64>::new();
    for text in found {
        *seen.entry(text.to_string()).or_default() += 1;
    }
    for number in 0..written {
        match seen.remove(line(number).trim_end()) {
            None => tally.missing += 1,
            Some(times) => tally.repeated += times - 1,
        }
    }
    tally.strange = seen.values().sum();
    tally
}

/// The whole lines among what the sink holds, parts before them cut off.
fn whole(sink: &str) -> impl Iterator<Item = &str> {
    sink.lines().filter_map(|text| text.rfind('<').map(|at| &text[at..]))
}

fn await_sink(sink: &Path, written: u64) -> Result<Tally, Failure> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(sink).unwrap_or_default();
        let tally = tally(whole(&text), written);
        if tally.missing == 0 || started.elapsed() > SINK_WAIT_MAX {
            return Ok(tally);
        }
        sleep(SINK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_seen() {
        let (first, second) = ("<line 0 of the file>", "<line 1 of the file>");
        for (found, missing, repeated, strange) in [
            (vec![first, second], 0, 0, 0),
            (vec![second], 1, 0, 0),
            (vec![first, second, first, first], 0, 2, 0),
            (vec![first, second, "<line 2 of the file>"], 0, 0, 1),
        ] {
            let wanted = Tally { missing, repeated, strange };
            assert_eq!(tally(found.into_iter(), 2), wanted);
        }
    }

    #[test]
    fn a_torn_line_hides_none() {
        let sink = "<line 0 of the file>\n<line 1 o<line 0 of the file>\n<line 1 of the file>\n";
        assert_eq!(tally(whole(sink), 2), Tally { missing: 0, repeated: 1, strange: 0 });
    }
}
