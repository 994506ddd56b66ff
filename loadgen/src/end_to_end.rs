//! Producing and consuming at the same time, in one thread: how long a message takes to arrive.
//!
//! Every message carries the time at which it was (meant to be) sent, so the latency needs no
//! coordination and counts what a late send costs. The run ends when all that was acknowledged
//! has been read, and checked.

use std::time::{Duration, Instant};

use mio::Poll;

use crate::checker::Checker;
use crate::cluster::Cluster;
use crate::consume::reader::Checks;
use crate::consume::{Consumer, Plan};
use crate::drive::{self, Engine};
use crate::error::Error;
use crate::lane;
use crate::meter::{WallClock, histogram};
use crate::options::{EndToEndOptions, From};
use crate::produce::{Producer, Run};
use crate::report::Report;

/// Runs `ringlog-loadgen end-to-end`. An `Err` is a run that could not start; one that failed later
/// says so in its report.
pub fn run(options: &EndToEndOptions) -> Result<Report<EndToEndOptions>, Error> {
    options.check()?;
    let mut poll = Poll::new().map_err(|error| Error::io("poll", error))?;
    let registry = || poll.registry().try_clone().map_err(|error| Error::io("poll", error));
    let mut common = options.common.clone();
    common.verify = true;
    let run = Run { id: lane::run_id(), clock: WallClock::start() };
    let latencies = Some((run.clock, histogram()));
    let checks = Checks { checker: Checker::new(true), acks: None, latencies };
    let plan = Plan {
        connections: options.consumer_connections.unwrap_or(common.connections),
        from: From::Latest,
        to_end: false,
        repeat: false,
        exclusive: true,
        fresh: true,
        first_token: common.connections,
    };
    // Reading ends where producing did, and begins before it: the positions are taken first.
    let mut reading = common.clone();
    (reading.duration, reading.messages) = (None, None);
    let consumer = Consumer::open(
        &reading,
        &options.consuming,
        plan,
        Cluster::open(&common)?,
        registry()?,
        Some(checks),
    )?;
    let cluster = Cluster::open(&common)?;
    let producer = Producer::open(&common, &options.producing, Some(cluster), registry()?, run)?;
    let timeout = common.timeout();
    let mut both =
        Both { producer, consumer, producers: common.connections, deadline: None, timeout };
    let result = drive::drive(&mut poll, &mut both, common.progress);
    let mut report = both.producer.report(options.clone(), result.err());
    report.workload = "end-to-end";
    report.retries += both.consumer.retries;
    report.reconnections += both.consumer.tally.reconnections;
    report.versions.extend(both.consumer.tally.versions.iter());
    for (name, count) in &both.consumer.tally.errors {
        *report.errors.entry(name.clone()).or_default() += count;
    }
    both.consumer.conclude(&mut report);
    Ok(report)
}

struct Both {
    producer: Producer,
    consumer: Consumer,
    producers: usize,
    /// Set when all was acknowledged: until then the rest must have been read.
    deadline: Option<Instant>,
    timeout: Duration,
}

impl Engine for Both {
    fn ready(&mut self, index: usize, readable: bool, writable: bool) -> Result<(), Error> {
        match index.checked_sub(self.producers) {
            None => self.producer.ready(index, readable, writable),
            Some(index) => self.consumer.ready(index, readable, writable),
        }
    }

    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, Error> {
        let next = self.producer.tick(now)?;
        if self.deadline.is_none() {
            let was_measuring = self.consumer.tally.meter.is_measuring();
            self.consumer.tick(now)?;
            if !was_measuring
                && self.consumer.tally.meter.is_measuring()
                && let Some(checks) = &mut self.consumer.checks
                && let Some((_, latencies)) = &mut checks.latencies
            {
                latencies.reset();
            }
            if self.producer.is_finished() {
                self.deadline = Some(now + self.timeout);
                self.consumer.end_at(&self.producer.tally.ends);
            }
        } else {
            self.consumer.tick(now)?;
            if self.deadline.is_some_and(|deadline| now > deadline) && !self.is_finished() {
                return Err(Error::Broker(format!(
                    "{} acknowledged messages were not read within {} s",
                    self.consumer.unread(),
                    self.timeout.as_secs_f64()
                )));
            }
        }
        Ok(next)
    }

    fn is_finished(&self) -> bool {
        self.deadline.is_some() && self.consumer.is_at_end()
    }

    fn progress(&mut self, seconds: f64) -> String {
        let produced = self.producer.progress(seconds);
        format!("{produced} | {}", self.consumer.progress(seconds))
    }
}
