//! Money moves between accounts: a processor consumes transfers and produces a debit and a credit
//! of each, in one transaction with its place in the input.
//!
//! Two processors are Java's, which speaks the second version of transactions, one is librdkafka's,
//! which speaks the first; they are one group. The broker, and so both coordinators, is killed all
//! the time, and now and then a processor.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::Ground;
use super::broker::Broker;
use super::client::Client;
use super::follower::values;
use super::ledger::{self, ACCOUNTS};
use crate::Failure;
use crate::process;

/// Java's, then librdkafka's.
const PROCESSORS: [(&str, bool); 3] =
    [("transfer-java-0", true), ("transfer-java-1", true), ("transfer-rdkafka", false)];
const TRANSFERS_PER_SECOND: u64 = 200;
/// More than the longest run sends.
const TRANSFERS: u64 = TRANSFERS_PER_SECOND * 3600;
const HEAP_MIB: u32 = 256;
/// Between the first sign of life after a kill and the next kill.
const UPTIME_MS_MIN: u64 = 50;
const UPTIME_MS_MAX: u64 = 1000;
const KILLS_PER_PROCESSOR_KILL: u32 = 10;

struct Processors<'g, 'a> {
    ground: &'g Ground<'a>,
    address: std::net::SocketAddr,
    folder: &'g Path,
    running: Vec<Client>,
    /// How many gave up by themselves.
    deserters: u64,
    kills: u64,
}

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let folder = folder.path();
    let transfers = ledger::transfers(&mut ground.random, TRANSFERS);
    let file = folder.join("transfers.txt");
    process::write_file(&file, transfers.as_bytes())?;
    let mut broker = Broker::start(ground, ground.kind.clone(), folder)?;
    let address = broker.setup.address();
    ground.programs.create(address, folder, &["transfers:6", "movements:4"])?;
    let programs = &ground.programs;
    let mut producer =
        programs.produce(address, folder, "transfers", &file, TRANSFERS_PER_SECOND)?;
    let mut follower = programs.follow(address, folder, "movements")?;
    let moments: Vec<Duration> = (0..ground.pace.transfer_kills)
        .map(|_| Duration::from_millis(UPTIME_MS_MIN) + ground.chance(UPTIME_MS_MAX))
        .collect();
    let mut processors = Processors::start(ground, address, folder)?;
    for (kill, moment) in (1u32..).zip(moments) {
        let seen = follower.lines()?;
        follower.await_lines(seen + 1, || {
            broker.check_alive()?;
            producer.check_alive()?;
            processors.revive()
        })?;
        sleep(moment);
        if kill.is_multiple_of(KILLS_PER_PROCESSOR_KILL) {
            processors.kill(kill / KILLS_PER_PROCESSOR_KILL)?;
        }
        broker.kill()?;
        println!("  kill {kill}: {} movements by then", follower.lines()?);
    }
    let sent = ground.programs.stop_producing(producer)?;
    follower.await_lines(2 * sent, || {
        broker.check_alive()?;
        processors.revive()
    })?;
    let followed = follower.finish()?;
    let (kills, deserters) = processors.stop()?;
    let Ground { programs, promises, .. } = ground;
    let read = programs.read_again(address, folder, "movements", &followed, promises)?;
    let end = transfers.match_indices('\n').nth(sent as usize - 1).map_or(0, |(at, _)| at + 1);
    let movements: Vec<&str> = values(&read)?.into_iter().map(|(_, value)| value).collect();
    let verdict = ledger::check(&transfers[..end], &movements);
    promises.note("input", format!("{sent} transfers between {ACCOUNTS} accounts"));
    promises.note("kills of processors", kills.to_string());
    promises.exactly("processors that ended by themselves", deserters, 0);
    let sum = verdict.sum;
    promises.row("sum of all movements", sum.to_string(), "= 0".into(), sum == 0);
    promises.exactly("movements missing", verdict.missing, 0);
    promises.exactly("movements repeated", verdict.repeated, 0);
    promises.exactly("movements of no transfer", verdict.strange, 0);
    // Of two Java processors one may never have had its turn between the kills.
    for (title, is_asked) in [("Java", true), ("librdkafka", false)] {
        let names = PROCESSORS.iter().filter(|(_, is_java)| *is_java == is_asked);
        let moved: u64 = names.filter_map(|(name, _)| verdict.by.get(*name)).sum();
        promises.at_least(&format!("movements by {title}"), moved as f64, 1.0, "");
    }
    promises.exactly("accounts with a wrong balance", verdict.wrong, 0);
    broker.finish(promises)
}

impl<'g, 'a> Processors<'g, 'a> {
    fn start(
        ground: &'g Ground<'a>,
        address: std::net::SocketAddr,
        folder: &'g Path,
    ) -> Result<Self, Failure> {
        let running = Vec::new();
        let mut all = Self { ground, address, folder, running, deserters: 0, kills: 0 };
        for index in 0..PROCESSORS.len() {
            let processor = all.processor(index)?;
            all.running.push(processor);
        }
        Ok(all)
    }

    /// A processor keeps its transactional id when it is started again: that fences the old one.
    fn processor(&self, index: usize) -> Result<Client, Failure> {
        let (name, is_java) = PROCESSORS[index];
        let arguments = [
            "--source",
            "transfers",
            "--target",
            "movements",
            "--group",
            "transfers",
            "--transactional-id",
            name,
        ];
        let programs = &self.ground.programs;
        let command = if is_java {
            programs.ours(HEAP_MIB, self.folder, "transfer", self.address, &arguments)
        } else {
            programs.python("transfer", self.address, &arguments)
        };
        Client::start(name, &command, self.folder)
    }

    /// Starts those again that ended by themselves.
    fn revive(&mut self) -> Result<(), Failure> {
        for index in 0..self.running.len() {
            if !self.running[index].is_alive()? {
                self.deserters += 1;
                self.running[index] = self.processor(index)?;
            }
        }
        Ok(())
    }

    /// Kills one of them, in turn, and starts it again.
    fn kill(&mut self, turn: u32) -> Result<(), Failure> {
        let index = turn as usize % PROCESSORS.len();
        self.running.remove(index).kill()?;
        let processor = self.processor(index)?;
        self.running.insert(index, processor);
        self.kills += 1;
        Ok(())
    }

    /// Ends all; returns how many were killed before, and how many gave up.
    fn stop(self) -> Result<(u64, u64), Failure> {
        for processor in self.running {
            processor.kill()?;
        }
        Ok((self.kills, self.deserters))
    }
}
