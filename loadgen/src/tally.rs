//! What a run counts, whatever its workload, and how that becomes its report.

use std::collections::BTreeMap;
use std::time::Instant;

use ringlog_wire::ErrorCode;
use serde::Serialize;

use crate::ack_log::{AckLog, Acknowledged};
use crate::error::Error;
use crate::meter::Meter;
use crate::produce::flow::Outcome;
use crate::report::{Report, grouped, time};

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

    /// The live line.
    pub fn progress(&mut self, name: &str, seconds: f64) -> String {
        let (count, p99_us) = self.meter.take_interval();
        let warming = if self.meter.is_measuring() { "" } else { " (warm-up)" };
        let errors: u64 = self.errors.values().sum();
        let errors = if errors > 0 { format!("  errors {errors}") } else { String::new() };
        format!(
            "{name}{warming}: {} msg/s  {:.1} MB/s  p99 {}{errors}",
            grouped((count.messages as f64 / seconds) as u64),
            count.bytes as f64 / 1e6 / seconds,
            time(p99_us)
        )
    }

    /// The report of what was counted.
    pub fn report<Options: Serialize>(
        &self,
        workload: &'static str,
        run: u64,
        retries: u64,
        options: Options,
    ) -> Report<Options> {
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
            messages_total: self.meter.total.messages,
            cpu_seconds: self.meter.cpu_seconds(),
            reconnections: self.reconnections,
            retries,
            served_least: None,
            served_most: None,
            unsent: 0,
            errors: self.errors.clone(),
            verification: None,
            versions: self.versions.clone(),
            failure: None,
            options,
        }
    }
}

impl Outcome for Tally {
    fn acknowledged(&mut self, batch: &Acknowledged) {
        let end = batch.base_offset + (batch.last - batch.first) as i64 + 1;
        let place = batch.partition as usize;
        if self.ends.len() <= place {
            self.ends.resize(place + 1, 0);
        }
        self.ends[place] = self.ends[place].max(end);
        if let Some(log) = &mut self.ack_log {
            log.push(batch);
        }
    }

    fn refused(&mut self, code: ErrorCode) {
        self.error(code.name(), || code.name().to_owned());
    }

    fn answered(&mut self, intended: Instant, messages: u64, bytes: u64) {
        self.meter.answered(self.now, intended, messages, bytes);
    }
}
