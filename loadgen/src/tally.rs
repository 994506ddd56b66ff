//! What a run counts, whatever its workload, and how that becomes its report.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use ringlog_wire::ErrorCode;
use serde::Serialize;

use crate::ack_log::{AckLog, Acknowledged};
use crate::arrivals::Arrivals;
use crate::error::Error;
use crate::interrupt;
use crate::live::Row;
use crate::machine::{self, Host};
use crate::meter::{Intended, Meter};
use crate::produce::flow::Outcome;
use crate::report::{Report, Side};

/// Counts of one engine.
#[derive(Debug)]
pub struct Tally {
    /// When the event that is being handled was seen.
    pub now: Instant,
    /// Messages, bytes and latencies.
    pub meter: Meter,
    /// Errors by name.
    pub errors: BTreeMap<String, u64>,
    /// Connections made again.
    pub reconnections: u64,
    /// Versions that were negotiated.
    pub versions: BTreeMap<&'static str, i16>,
    /// The last error that was retried.
    pub last_error: Option<String>,
    /// Where acknowledgements are kept.
    pub ack_log: Option<AckLog>,
    /// Where this process's consumers meet its producers.
    pub arrivals: Option<Rc<RefCell<Arrivals>>>,
    /// The offset after the last acknowledged batch of each partition.
    pub ends: Vec<i64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            now: Instant::now(),
            meter: Meter::default(),
            errors: BTreeMap::new(),
            reconnections: 0,
            versions: BTreeMap::new(),
            last_error: None,
            ack_log: None,
            arrivals: None,
            ends: Vec::new(),
        }
    }
}

impl Tally {
    /// Counts an error.
    pub fn error(&mut self, name: &str, detail: impl FnOnce() -> String) {
        match self.errors.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(name.to_owned(), 1);
            }
        }
        self.last_error = Some(detail());
    }

    /// The error of a run whose requests stay unanswered.
    pub fn timed_out(&self, what: &str, seconds: f64) -> Error {
        let last = self.last_error.as_deref().unwrap_or("the broker does not answer");
        Error::Broker(format!("{what} within {seconds} s; last: {last}"))
    }

    /// Errors of any kind.
    pub fn errors_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        self.meter.tick(now, self.errors_count());
    }

    /// The second that has ended since the last call, for the live view.
    pub fn row(&mut self, name: &'static str) -> Option<Row> {
        let second = self.meter.take_closed()?;
        Some(Row { name, is_warm_up: !self.meter.is_measuring(), second })
    }

    /// What was counted, as a part of a report.
    pub fn side(&mut self) -> Side {
        self.meter.end(Instant::now(), self.errors_count());
        Side::of(&self.meter)
    }

    /// The report of what was counted.
    pub fn report<Options: Serialize>(
        &mut self,
        workload: &'static str,
        run: u64,
        retries: u64,
        options: Options,
    ) -> Report<Options> {
        self.meter.end(Instant::now(), self.errors_count());
        let seconds = self.meter.seconds();
        let measured = self.meter.measured;
        let rate = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        Report {
            workload,
            run: format!("{run:x}"),
            messages: measured.messages,
            requests: measured.requests,
            bytes: measured.bytes,
            seconds,
            messages_per_second: rate(measured.messages as f64),
            megabytes_per_second: rate(measured.bytes as f64 / 1e6),
            latency: self.meter.latency(),
            end_to_end_latency: None,
            series: self.meter.series().to_vec(),
            messages_total: self.meter.total.messages,
            cpu_seconds: self.meter.cpu_seconds(),
            reconnections: self.reconnections,
            retries,
            served_least: None,
            served_most: None,
            unsent: 0,
            errors: self.errors.clone(),
            verification: None,
            transactions: None,
            produce: None,
            fetch: None,
            end_to_end: None,
            catch_up: None,
            versions: self.versions.clone(),
            stopped: interrupt::was_asked(),
            failure: None,
            host: Host::here(),
            loadgen: machine::BUILD,
            options,
        }
    }
}

impl Outcome for Tally {
    fn acknowledged(&mut self, batch: &Acknowledged, intended: &Intended) {
        let end = batch.base_offset + (batch.last - batch.first) as i64 + 1;
        let place = batch.partition as usize;
        if self.ends.len() <= place {
            self.ends.resize(place + 1, 0);
        }
        self.ends[place] = self.ends[place].max(end);
        if let Some(log) = &mut self.ack_log {
            log.push(batch);
        }
        if let Some(arrivals) = &self.arrivals {
            arrivals.borrow_mut().acknowledged(batch, intended);
        }
    }

    fn refused(&mut self, code: ErrorCode) {
        self.error(code.name(), || code.name().to_owned());
    }

    fn answered(&mut self, intended: &Intended, messages: u64, bytes: u64) {
        self.meter.answered(self.now, intended, messages, bytes);
    }
}
