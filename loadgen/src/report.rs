//! What a run found, for people and as one JSON object.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::checker::Verdict;
use crate::hdr_log::HdrLog;
use crate::machine::{Build, Host};
use crate::meter::{Count, Meter, Second};

/// Points of the curve for each factor of ten of what lies beyond.
const POINTS_PER_DECADE: i32 = 12;
/// Up to 99.999 %.
const DECADES: i32 = 5;

/// Percentiles of one kind of latency, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half were at most this.
    pub p50_us: f64,
    /// 90 % were at most this.
    pub p90_us: f64,
    /// 99 % were at most this.
    pub p99_us: f64,
    /// 99.9 % were at most this.
    pub p999_us: f64,
    /// 99.99 % were at most this.
    pub p9999_us: f64,
    /// All were at most this.
    pub max_us: f64,
    /// The curve: percentile and latency. The points are even on a scale of what lies beyond, from
    /// 0 to 99.999.
    pub percentiles: Vec<(f64, f64)>,
}

impl Latency {
    /// The percentiles of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            count: histogram.len(),
            mean_us: (histogram.mean() / 10.0).round() / 100.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: histogram.max() as f64 / 1e3,
            percentiles: (0..=DECADES * POINTS_PER_DECADE)
                .map(|place| 1.0 - 10_f64.powf(-f64::from(place) / f64::from(POINTS_PER_DECADE)))
                .map(|quantile| ((quantile * 1e7).round() / 1e5, at(quantile)))
                .collect(),
        }
    }

    /// The percentiles in one line.
    pub fn line(&self, name: &str) -> String {
        let Latency { p50_us, p90_us, p99_us, p999_us, p9999_us, max_us, .. } = self;
        format!(
            "{name}: p50 {}  p90 {}  p99 {}  p99.9 {}  p99.99 {}  max {}",
            time(*p50_us),
            time(*p90_us),
            time(*p99_us),
            time(*p999_us),
            time(*p9999_us),
            time(*max_us)
        )
    }
}

/// What one kind of work of a mixed run found.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Messages answered while measuring.
    pub messages: u64,
    /// Requests answered while measuring; end to end: batches that arrived.
    pub requests: u64,
    /// Bytes of their record batches.
    pub bytes: u64,
    /// Seconds measured.
    pub seconds: f64,
    /// Messages a second.
    pub messages_per_second: f64,
    /// Millions of bytes of record batches a second.
    pub megabytes_per_second: f64,
    /// `None` when nothing was answered.
    pub latency: Option<Latency>,
    /// What happened in each second that was measured.
    pub series: Vec<Second>,
}

impl Side {
    /// What a meter has counted in the seconds that have ended.
    pub fn of(meter: &Meter) -> Side {
        let seconds = meter.seconds();
        let Count { messages, requests, bytes } = meter.measured;
        let rate = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        Side {
            messages,
            requests,
            bytes,
            seconds,
            messages_per_second: rate(messages as f64),
            megabytes_per_second: rate(bytes as f64 / 1e6),
            latency: meter.latency(),
            series: meter.series().to_vec(),
        }
    }

    fn lines(&self, name: &str) -> String {
        let mut text = format!(
            "{name}: {} messages in {:.2} s: {} msg/s, {:.1} MB/s",
            grouped(self.messages),
            self.seconds,
            grouped(self.messages_per_second as u64),
            self.megabytes_per_second
        );
        if let Some(latency) = &self.latency {
            let _ = write!(text, "\n{}", latency.line(&format!("{name} latency")));
        }
        text
    }
}

/// What transactions cost.
#[derive(Clone, Debug, Serialize)]
pub struct Commits {
    /// Transactions committed while measuring.
    pub committed: u64,
    /// From asking the coordinator to its answer.
    pub latency: Option<Latency>,
}

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report<Options> {
    /// `produce`, `consume`, `end-to-end` or `mix`.
    pub workload: &'static str,
    /// The run's id, as stamps and the log of acknowledgements carry it.
    pub run: String,
    /// Messages acknowledged (or read) while measuring.
    pub messages: u64,
    /// Requests answered while measuring.
    pub requests: u64,
    /// Bytes of their record batches.
    pub bytes: u64,
    /// Seconds measured.
    pub seconds: f64,
    /// Messages a second.
    pub messages_per_second: f64,
    /// Millions of bytes of record batches a second.
    pub megabytes_per_second: f64,
    /// From the send (with a rate: the intended send) to the answer; `None` when nothing was.
    pub latency: Option<Latency>,
    /// From the send to the arrival at the consumer.
    pub end_to_end_latency: Option<Latency>,
    /// What happened in each second that was measured.
    pub series: Vec<Second>,
    /// Messages acknowledged (or read) in all, the warm-up included.
    pub messages_total: u64,
    /// CPU seconds of this thread while measuring.
    pub cpu_seconds: f64,
    /// Connections made again after one was lost.
    pub reconnections: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Requests of the connection that was served least while measuring; of producers only.
    pub served_least: Option<u64>,
    /// Requests of the connection that was served most.
    pub served_most: Option<u64>,
    /// Requests that the rate asked for and that were never begun: the broker did not keep up.
    pub unsent: u64,
    /// Errors in answers, by Kafka's name, and lost connections.
    pub errors: BTreeMap<String, u64>,
    /// What checking found.
    pub verification: Option<Verdict>,
    /// Of transactional producers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Commits>,
    /// Of a mixed run: what producing found. The figures above are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produce: Option<Side>,
    /// Of a mixed run: what reading at the tail found, all consumers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Side>,
    /// Of a mixed run: from the producer to each consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<Side>,
    /// Of a mixed run: what reading older data found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<Side>,
    /// Versions of the APIs that were used.
    pub versions: BTreeMap<&'static str, i16>,
    /// Whether Ctrl-C ended the run early.
    pub stopped: bool,
    /// Why the run failed, when it did.
    pub failure: Option<String>,
    /// Where it ran.
    pub host: Host,
    /// What ran.
    pub loadgen: Build,
    /// The options of the run.
    pub options: Options,
}

impl<Options: Serialize> Report<Options> {
    /// Whether the run did what it was asked to, and all that was checked was right.
    pub fn is_success(&self) -> bool {
        self.failure.is_none() && self.verification.as_ref().is_none_or(Verdict::is_clean)
    }

    /// The log's failure is the run's, when that has none of its own.
    pub fn finish(&mut self, log: &Option<Rc<RefCell<HdrLog>>>) {
        let failed = log.as_ref().and_then(|log| log.borrow_mut().finish().err());
        self.failure = self.failure.take().or_else(|| failed.map(|error| error.to_string()));
    }

    /// One JSON object on one line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a report holds nothing that JSON cannot")
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let verb = if self.workload == "consume" { "read" } else { "acknowledged" };
        let mut text = format!(
            "{}: {} messages {verb} in {:.2} s: {} msg/s, {:.1} MB/s, {} requests",
            self.workload,
            grouped(self.messages),
            self.seconds,
            grouped(self.messages_per_second as u64),
            self.megabytes_per_second,
            grouped(self.requests)
        );
        if self.bytes > 0 {
            let per_gb = self.cpu_seconds / (self.bytes as f64 / 1e9);
            let _ = write!(text, "\nown CPU: {:.2} s, {per_gb:.3} s/GB", self.cpu_seconds);
        }
        if let Some(latency) = &self.latency {
            let name = if self.workload == "consume" { "fetch latency" } else { "ack latency" };
            let _ = write!(text, "\n{}", latency.line(name));
        }
        if let Some(latency) = &self.end_to_end_latency {
            let _ = write!(text, "\n{}", latency.line("end-to-end latency"));
        }
        if let Some(Commits { committed, latency }) = &self.transactions {
            let _ = write!(text, "\ntransactions committed: {}", grouped(*committed));
            if let Some(latency) = latency {
                let _ = write!(text, "\n{}", latency.line("commit latency"));
            }
        }
        let sides = [("fetch", &self.fetch), ("catch-up", &self.catch_up)];
        for (name, side) in sides.iter().filter_map(|(name, side)| Some((name, side.as_ref()?))) {
            let _ = write!(text, "\n{}", side.lines(name));
        }
        if self.reconnections + self.retries > 0 || !self.errors.is_empty() {
            let _ = write!(
                text,
                "\nreconnections {}, requests sent again {}",
                self.reconnections, self.retries
            );
            for (name, count) in &self.errors {
                let _ = write!(text, "\n  {name}: {count}");
            }
        }
        if self.unsent > 0 {
            let _ = write!(
                text,
                "\nthe rate was not reached: {} requests were due and never sent",
                grouped(self.unsent)
            );
        }
        if let Some(verdict) = &self.verification {
            let _ = write!(text, "\n{}", verdict.lines());
        }
        if self.stopped {
            text += "\nstopped early";
        }
        if let Some(failure) = &self.failure {
            let _ = write!(text, "\nfailed: {failure}");
        }
        text
    }
}

/// A time with a unit that fits it.
pub fn time(micros: f64) -> String {
    match micros {
        m if m < 1e3 => format!("{m:.0} µs"),
        m if m < 1e4 => format!("{:.2} ms", m / 1e3),
        m if m < 1e6 => format!("{:.1} ms", m / 1e3),
        m => format!("{:.2} s", m / 1e6),
    }
}

/// A count with its thousands apart.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::histogram;

    fn report() -> Report<Vec<u8>> {
        let mut latencies = histogram();
        for micros in 1..=10_000_u64 {
            latencies.record(micros * 1_000).unwrap();
        }
        Report {
            workload: "produce",
            run: "ab".into(),
            messages: 1_234_567,
            requests: 1_000,
            bytes: 250_000_000,
            seconds: 2.0,
            messages_per_second: 617_283.5,
            megabytes_per_second: 125.0,
            latency: Some(Latency::of(&latencies)),
            end_to_end_latency: None,
            series: vec![Second { t: 1.0, messages: 617_283, ..Second::default() }],
            messages_total: 2_000_000,
            cpu_seconds: 0.05,
            reconnections: 1,
            retries: 3,
            served_least: Some(10),
            served_most: Some(12),
            unsent: 0,
            errors: BTreeMap::from([("NOT_LEADER_OR_FOLLOWER".to_owned(), 3)]),
            verification: None,
            transactions: None,
            produce: None,
            fetch: None,
            end_to_end: None,
            catch_up: None,
            versions: BTreeMap::from([("Produce", 13)]),
            stopped: false,
            failure: None,
            host: Host::here(),
            loadgen: crate::machine::BUILD,
            options: Vec::new(),
        }
    }

    #[test]
    fn text_says_it_all() {
        let expected = "\
produce: 1,234,567 messages acknowledged in 2.00 s: 617,283 msg/s, 125.0 MB/s, 1,000 requests
own CPU: 0.05 s, 0.200 s/GB
ack latency: p50 5.00 ms  p90 9.00 ms  p99 9.90 ms  p99.9 9.99 ms  p99.99 10.0 ms  max 10.0 ms
reconnections 1, requests sent again 3
  NOT_LEADER_OR_FOLLOWER: 3";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn json_has_the_figures_and_success_is_the_absence_of_failure() {
        let mut report = report();
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["messages"], 1_234_567);
        assert_eq!(json["errors"]["NOT_LEADER_OR_FOLLOWER"], 3);
        assert!((json["latency"]["p50_us"].as_f64().unwrap() - 5_000.0).abs() < 50.0);
        assert_eq!(json["series"][0]["messages"], 617_283);
        assert_eq!(json["host"]["cores"], Host::here().cores);
        assert_eq!(json["loadgen"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(report.is_success());
        report.verification = Some(Verdict { verified: 5, lost: 1, ..Verdict::default() });
        assert!(!report.is_success());
        report.verification = None;
        report.failure = Some("no answer".into());
        assert!(!report.is_success());
    }

    #[test]
    fn the_curve_rises_from_the_smallest_to_the_last_but_one_in_a_hundred_thousand() {
        let latency = report().latency.unwrap();
        let curve = latency.percentiles;
        assert_eq!(curve.len(), 61);
        assert_eq!((curve[0].0, curve[12].0, curve[24].0, curve[60].0), (0.0, 90.0, 99.0, 99.999));
        assert_eq!((curve[12].1, curve[24].1), (latency.p90_us, latency.p99_us));
        assert!(curve[0].1 < 2.0 && curve[60].1 == latency.max_us, "{curve:?}");
        assert!(curve.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([grouped(0), grouped(999), grouped(1_000)], ["0", "999", "1,000"]);
        assert_eq!(
            [time(12.4), time(1_500.0), time(15_000.0), time(2.5e6)],
            ["12 µs", "1.50 ms", "15.0 ms", "2.50 s"]
        );
    }
}
