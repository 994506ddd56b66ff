//! Producers and consumers in one run and one thread: consumers at the tail, each of which reads
//! everything, and readers of older data beside them.
//!
//! The run ends when the producers have ended and the consumers have read all that was
//! acknowledged. Readers of older data read it again and again until then.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::{Poll, Registry};

use crate::arrivals::Arrivals;
use crate::checker::Checker;
use crate::client::Readiness;
use crate::cluster::Cluster;
use crate::consume::reader::{Checks, Watch};
use crate::consume::{Consumer, Plan};
use crate::drive::{self, Engine};
use crate::error::Error;
use crate::hdr_log;
use crate::lane;
use crate::live::Row;
use crate::meter::WallClock;
use crate::options::{Common, Consuming, From, MixOptions, Producing};
use crate::produce::{Producer, Run};
use crate::report::{Report, Side};

/// Runs `ringlog-loadgen mix`. An `Err` is a run that could not start; one that failed later says
/// so in its report.
pub fn run(options: &MixOptions) -> Result<Report<MixOptions>, Error> {
    options.check()?;
    let mut common = options.common.clone();
    common.connections = options.producers.unwrap_or(common.connections);
    let reading = |consumers| Reading {
        consumers,
        connections: options.consumer_connections,
        options: &options.consuming,
    };
    let catch_up = CatchUp {
        reading: reading(options.readers()),
        from: options.readers_from.unwrap_or(From::Earliest),
        topic: options.readers_topic.as_ref().unwrap_or(&common.topic).clone(),
    };
    let tail = reading(options.consumers);
    measure("mix", &common, &options.producing, &tail, Some(&catch_up), options.clone())
}

/// How many read, and how.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Each reads everything.
    pub consumers: usize,
    /// Of each; one for each leader when it is not given.
    pub connections: Option<usize>,
    /// What fetches ask for.
    pub options: &'a Consuming,
}

/// How older data is read.
#[derive(Clone, Debug)]
pub struct CatchUp<'a> {
    /// Who reads.
    pub reading: Reading<'a>,
    /// Where they begin, each time.
    pub from: From,
    /// What they read.
    pub topic: String,
}

/// Runs producers and readers to their end.
pub fn measure<O: serde::Serialize>(
    workload: &'static str,
    common: &Common,
    producing: &Producing,
    tail: &Reading<'_>,
    catch_up: Option<&CatchUp<'_>>,
    options: O,
) -> Result<Report<O>, Error> {
    let mut poll = Poll::new().map_err(|error| Error::io("poll", error))?;
    let run = Run { id: lane::run_id(), clock: WallClock::start() };
    let log = hdr_log::open(common, &run.clock)?;
    let arrivals = Rc::new(RefCell::new(Arrivals::new(tail.consumers)));
    arrivals.borrow_mut().meter.track = hdr_log::track(&log, "end-to-end");
    let mut crew = Crew::open(common, producing, tail, catch_up, poll.registry(), run, &arrivals)?;
    crew.producer.log(&log);
    for (consumer, tag) in [(&mut crew.tail, "fetch"), (&mut crew.catch_up, "catch-up")] {
        if let Some(consumer) = consumer {
            consumer.tally.meter.track = hdr_log::track(&log, tag);
        }
    }
    let result = drive::drive(&mut poll, &mut crew, common);
    let mut report = crew.report(workload, options, result.err());
    report.finish(&log);
    Ok(report)
}

/// Everybody.
struct Crew {
    producer: Producer,
    tail: Option<Consumer>,
    catch_up: Option<Consumer>,
    arrivals: Rc<RefCell<Arrivals>>,
    /// The poll tokens below are the producer's.
    tail_from: usize,
    /// The poll tokens below, and not the producer's, are the tail's.
    catch_up_from: usize,
    /// Set when all was acknowledged: until then the rest must have been read.
    deadline: Option<Instant>,
    timeout: Duration,
}

impl Crew {
    fn open(
        common: &Common,
        producing: &Producing,
        tail: &Reading<'_>,
        catch_up: Option<&CatchUp<'_>>,
        registry: &Registry,
        run: Run,
        arrivals: &Rc<RefCell<Arrivals>>,
    ) -> Result<Crew, Error> {
        let registry = || registry.try_clone().map_err(|error| Error::io("poll", error));
        let tail_from = Producer::tokens(common, producing);
        // Reading ends where producing did, and begins before it: the positions are taken first.
        let mut reading = common.clone();
        (reading.duration, reading.messages) = (None, None);
        let mut tail_consumer = None;
        let mut catch_up_from = tail_from;
        if tail.consumers > 0 {
            let checked = if common.verify { tail.consumers } else { 0 };
            let checks = |_| Checks { checker: Checker::new(true), acks: None };
            let watch = Watch::new((0..checked).map(checks).collect(), Some(Rc::clone(arrivals)));
            let plan = plan("fetch", tail, From::Latest, tail_from);
            let consumer = open(&reading, tail, plan, registry()?, watch)?;
            catch_up_from += consumer.connections();
            tail_consumer = Some(consumer);
        }
        let mut catch_up_consumer = None;
        if let Some(CatchUp { reading: readers, from, topic }) = catch_up
            && readers.consumers > 0
        {
            reading.topic.clone_from(topic);
            let plan = Plan { repeat: true, ..plan("catch-up", readers, *from, catch_up_from) };
            catch_up_consumer = Some(open(&reading, readers, plan, registry()?, Watch::default())?);
        }
        let cluster = Cluster::open(common)?;
        let mut producer = Producer::open(common, producing, Some(cluster), registry()?, run)?;
        producer.tally.arrivals = Some(Rc::clone(arrivals));
        Ok(Crew {
            producer,
            tail: tail_consumer,
            catch_up: catch_up_consumer,
            arrivals: Rc::clone(arrivals),
            tail_from,
            catch_up_from,
            deadline: None,
            timeout: common.timeout(),
        })
    }

    fn report<O: serde::Serialize>(
        &mut self,
        workload: &'static str,
        options: O,
        failure: Option<Error>,
    ) -> Report<O> {
        let mut report = self.producer.report(options, failure);
        report.workload = workload;
        report.produce = Some(self.producer.tally.side());
        for consumer in self.tail.iter_mut().chain(&mut self.catch_up) {
            report.retries += consumer.retries;
            report.reconnections += consumer.tally.reconnections;
            report.versions.extend(consumer.tally.versions.iter());
            for (name, count) in &consumer.tally.errors {
                *report.errors.entry(name.clone()).or_default() += count;
            }
        }
        report.catch_up = self.catch_up.as_mut().map(|consumer| consumer.tally.side());
        if let Some(tail) = &mut self.tail {
            report.fetch = Some(tail.tally.side());
            let meter = &mut self.arrivals.borrow_mut().meter;
            meter.end(Instant::now(), 0);
            report.end_to_end_latency = meter.latency();
            report.end_to_end = Some(Side::of(meter));
            tail.conclude(&mut report);
        }
        report
    }

    /// What is still to be read at the tail.
    fn unread(&self) -> i64 {
        self.tail.as_ref().map_or(0, Consumer::unread)
    }
}

impl Engine for Crew {
    fn ready(&mut self, index: usize, ready: Readiness) -> Result<(), Error> {
        if index < self.tail_from {
            return self.producer.ready(index, ready);
        }
        let (consumer, from) = match index < self.catch_up_from {
            true => (&mut self.tail, self.tail_from),
            false => (&mut self.catch_up, self.catch_up_from),
        };
        match consumer {
            Some(consumer) => consumer.ready(index - from, ready),
            None => Ok(()),
        }
    }

    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, Error> {
        let next = self.producer.tick(now)?;
        for consumer in self.tail.iter_mut().chain(&mut self.catch_up) {
            consumer.tick(now)?;
        }
        let meter = &mut self.arrivals.borrow_mut().meter;
        if !meter.is_measuring() && self.producer.tally.meter.is_measuring() {
            meter.begin(now);
        }
        meter.tick(now, 0);
        match self.deadline {
            None if self.producer.is_finished() => {
                self.deadline = Some(now + self.timeout);
                if let Some(tail) = &mut self.tail {
                    tail.end_at(&self.producer.tally.ends);
                }
            }
            Some(deadline) if now > deadline && self.unread() > 0 => {
                return Err(Error::Broker(format!(
                    "{} acknowledged messages were not read within {} s",
                    self.unread(),
                    self.timeout.as_secs_f64()
                )));
            }
            _ => {}
        }
        Ok(next)
    }

    fn is_finished(&self) -> bool {
        self.deadline.is_some() && self.tail.as_ref().is_none_or(Consumer::is_at_end)
    }

    fn stop(&mut self) {
        self.producer.stop();
    }

    fn progress(&mut self) -> Vec<Row> {
        let mut rows = self.producer.progress();
        for consumer in self.tail.iter_mut().chain(&mut self.catch_up) {
            rows.extend(consumer.progress());
        }
        let meter = &mut self.arrivals.borrow_mut().meter;
        let is_warm_up = !meter.is_measuring();
        let arrived = meter.take_closed().filter(|_| self.tail.is_some());
        rows.extend(arrived.map(|second| Row { name: "end-to-end", is_warm_up, second }));
        rows
    }
}

fn plan(name: &'static str, reading: &Reading<'_>, from: From, first_token: usize) -> Plan {
    Plan {
        name,
        consumers: reading.consumers,
        connections: reading.connections.unwrap_or(0),
        from,
        to_end: false,
        repeat: false,
        exclusive: true,
        fresh: true,
        first_token,
    }
}

fn open(
    common: &Common,
    reading: &Reading<'_>,
    mut plan: Plan,
    registry: Registry,
    watch: Watch,
) -> Result<Consumer, Error> {
    let cluster = Cluster::open(common)?;
    if reading.connections.is_none() {
        plan.connections = cluster.by_leader().len();
    }
    Consumer::open(common, reading.options, plan, cluster, registry, watch)
}
