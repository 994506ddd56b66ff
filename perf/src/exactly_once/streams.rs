//! A word count with state on Kafka Streams, `processing.guarantee=exactly_once_v2`: two instances,
//! of which one or the other is killed, and the broker too, while the input grows.

use std::fs;
use std::path::Path;
use std::thread::sleep;

use super::Ground;
use super::broker::Broker;
use super::client::Client;
use super::follower::values;
use super::words::{self, WORDS_PER_LINE};
use crate::Failure;
use crate::process;

const INSTANCES: usize = 2;
const LINES_PER_SECOND: u64 = 200;
/// More than the longest run sends.
const LINES: u64 = LINES_PER_SECOND * 3600;
const HEAP_MIB: u32 = 256;
/// Between the first sign of life after a kill and the next kill.
const UPTIME_MS_MAX: u64 = 3000;
const KILLS_PER_BROKER_KILL: u32 = 3;

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let folder = folder.path();
    let lines = words::lines(&mut ground.random, LINES);
    let file = folder.join("lines.txt");
    process::write_file(&file, lines.as_bytes())?;
    let mut broker = Broker::start(ground, ground.kind.clone(), folder)?;
    let address = broker.setup.address();
    ground.programs.create(address, folder, &["lines:4", "counts:4"])?;
    let mut producer =
        ground.programs.produce(address, folder, "lines", &file, LINES_PER_SECOND)?;
    let mut follower = ground.programs.follow(address, folder, "counts")?;
    let mut instances = Vec::new();
    for index in 0..INSTANCES {
        instances.push(instance(ground, &broker, folder, index)?);
    }
    let mut deserters = 0;
    for kill in 1..=ground.pace.streams_kills {
        let seen = follower.lines()?;
        follower.await_lines(seen + 1, || {
            broker.check_alive()?;
            producer.check_alive()?;
            revive(ground, &broker, folder, &mut instances, &mut deserters)
        })?;
        sleep(ground.chance(UPTIME_MS_MAX));
        if kill % KILLS_PER_BROKER_KILL == 0 {
            broker.kill()?;
        } else {
            let index = ground.random.below(INSTANCES as u64) as usize;
            instances.remove(index).kill()?;
            instances.insert(index, instance(ground, &broker, folder, index)?);
        }
        println!("  kill {kill}: {} counts by then", follower.lines()?);
    }
    let sent = ground.programs.stop_producing(producer)?;
    follower.await_lines(sent * WORDS_PER_LINE, || {
        broker.check_alive()?;
        revive(ground, &broker, folder, &mut instances, &mut deserters)
    })?;
    let followed = follower.finish()?;
    for instance in instances {
        instance.kill()?;
    }
    let Ground { programs, promises, .. } = ground;
    let read = programs.read_again(address, folder, "counts", &followed, promises)?;
    let end = lines.match_indices('\n').nth(sent as usize - 1).map_or(0, |(at, _)| at + 1);
    let verdict = words::check(&lines[..end], &values(&read)?);
    let kills = ground.pace.streams_kills;
    let instance_kills = kills - kills / KILLS_PER_BROKER_KILL;
    promises.note("kills of Kafka Streams instances", instance_kills.to_string());
    promises.exactly("instances that ended by themselves", deserters, 0);
    promises.note("input", format!("{sent} lines, {} words", verdict.words));
    promises.exactly("counts read", read.lines().count() as u64, sent * WORDS_PER_LINE);
    promises.exactly("counts missing", verdict.missing, 0);
    promises.exactly("counts repeated or out of order", verdict.unexpected, 0);
    promises.exactly("words with a wrong count at the end", verdict.wrong, 0);
    broker.finish(promises)
}

/// Starts an instance on its own state folder, which a killed one left behind.
fn instance(
    ground: &Ground<'_>,
    broker: &Broker<'_>,
    folder: &Path,
    index: usize,
) -> Result<Client, Failure> {
    let name = format!("streams-{index}");
    let state = folder.join(format!("{name}-state"));
    // Each killed JVM leaves its copy of RocksDB's library there.
    let temporary = folder.join(format!("{name}-temporary"));
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    fs::create_dir_all(&temporary)?;
    let state = state.display().to_string();
    let arguments =
        ["--application", "words", "--source", "lines", "--target", "counts", "--state", &state];
    let address = broker.setup.address();
    let command = ground.programs.ours(HEAP_MIB, &temporary, "count", address, &arguments);
    Client::start(&name, &command, folder)
}

/// Starts instances again that ended by themselves.
fn revive(
    ground: &Ground<'_>,
    broker: &Broker<'_>,
    folder: &Path,
    instances: &mut [Client],
    deserters: &mut u64,
) -> Result<(), Failure> {
    for (index, running) in instances.iter_mut().enumerate() {
        if !running.is_alive()? {
            *deserters += 1;
            *running = instance(ground, broker, folder, index)?;
        }
    }
    Ok(())
}
