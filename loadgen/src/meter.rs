//! Counts and latencies of one engine, with the warm-up kept apart.
//!
//! Invariant: `total` counts everything; the measured figures count what was answered after
//! `begin` was called.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::hdr_log::HdrLog;
use crate::report::Latency;

/// Latencies above this are recorded as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(3600);
/// How many seconds of a run the series keeps: a day. The log has those that follow.
pub const SECONDS_MAX: usize = 86_400;

const SECOND: Duration = Duration::from_secs(1);

/// A histogram of nanoseconds up to `LATENCY_MAX`, exact to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
        .expect("the bounds are constants that fit")
}

/// What was counted during one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages answered.
    pub messages: u64,
    /// Requests answered.
    pub requests: u64,
    /// Bytes of record batches in them.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.requests += 1;
        self.bytes += bytes;
    }
}

/// What was counted during about one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Second {
    /// Its end, in seconds since the measured part began; during the warm-up since the start.
    pub t: f64,
    /// How long it was: the last one of a run is shorter.
    pub seconds: f64,
    /// Messages answered.
    pub messages: u64,
    /// Bytes of record batches in them.
    pub bytes: u64,
    /// Half of the latencies were at most this.
    pub p50_us: f64,
    /// 99 % were at most this.
    pub p99_us: f64,
    /// 99.9 % were at most this.
    pub p999_us: f64,
    /// All were at most this.
    pub max_us: f64,
    /// Errors of any kind.
    pub errors: u64,
}

/// When what an answer is about was meant to be sent: one moment, or evenly spaced ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intended {
    /// The first moment.
    pub first: Instant,
    /// From one to the next.
    pub step: Duration,
    /// How many there are; each is one latency.
    pub count: u32,
}

impl Intended {
    /// A request that counts as one, however many messages it holds.
    pub fn at(first: Instant) -> Intended {
        Intended { first, step: Duration::ZERO, count: 1 }
    }

    /// Of `count` messages from `index` on, out of these.
    pub fn part(&self, index: u32, count: u32) -> Intended {
        if self.count == 1 {
            return *self;
        }
        Intended { first: self.of(index), count, ..*self }
    }

    /// The moment of message `index`.
    pub fn of(&self, index: u32) -> Instant {
        self.first + self.step * index.min(self.count - 1)
    }
}

/// Where a meter's seconds are logged.
#[derive(Clone, Debug)]
pub struct Track {
    /// The kind of latency.
    pub tag: &'static str,
    /// The log, which the meters of a run share.
    pub log: Rc<RefCell<HdrLog>>,
}

/// Counts and latencies. Latencies are recorded into the second that is open, and added to those
/// of the run when it is over.
#[derive(Debug)]
pub struct Meter {
    /// Everything, from the first request on.
    pub total: Count,
    /// What was answered since `begin`.
    pub measured: Count,
    /// The log, if there is one.
    pub track: Option<Track>,
    begun: Option<(Instant, f64)>,
    last: Option<Instant>,
    latencies: Histogram<u64>,
    open: Histogram<u64>,
    open_count: Count,
    opened: Instant,
    started: Instant,
    errors: u64,
    series: Vec<Second>,
    closed: Option<Second>,
}

impl Default for Meter {
    fn default() -> Meter {
        let now = Instant::now();
        Meter {
            total: Count::default(),
            measured: Count::default(),
            track: None,
            begun: None,
            last: None,
            latencies: histogram(),
            open: histogram(),
            open_count: Count::default(),
            opened: now,
            started: now,
            errors: 0,
            series: Vec::new(),
            closed: None,
        }
    }
}

impl Meter {
    /// The warm-up is over: what is answered from now on is measured.
    pub fn begin(&mut self, now: Instant) {
        self.begun = Some((now, cpu_seconds()));
        self.measured = Count::default();
        self.open.reset();
        self.open_count = Count::default();
        self.opened = now;
    }

    /// Whether the warm-up is over.
    pub fn is_measuring(&self) -> bool {
        self.begun.is_some()
    }

    /// One request was answered.
    pub fn answered(&mut self, now: Instant, intended: &Intended, messages: u64, bytes: u64) {
        self.count(now, messages, bytes);
        for index in 0..intended.count {
            self.open.saturating_record(nanos(now, intended.of(index)));
        }
    }

    /// The messages of one batch have arrived; each of them is one latency.
    pub fn arrived(&mut self, now: Instant, intended: &Intended, messages: u64, bytes: u64) {
        self.count(now, messages, bytes);
        if intended.count == 1 {
            self.open.saturating_record_n(nanos(now, intended.first), messages);
            return;
        }
        for index in 0..intended.count {
            self.open.saturating_record(nanos(now, intended.of(index)));
        }
    }

    fn count(&mut self, now: Instant, messages: u64, bytes: u64) {
        self.total.add(messages, bytes);
        self.open_count.add(messages, bytes);
        if self.begun.is_some() {
            self.measured.add(messages, bytes);
            self.last = Some(now);
        }
    }

    /// Time has passed; `errors` were counted so far.
    pub fn tick(&mut self, now: Instant, errors: u64) {
        if now.saturating_duration_since(self.opened) >= SECOND {
            self.close(now, errors);
        }
    }

    /// Ends the second that is open, if anything was counted in it.
    pub fn end(&mut self, now: Instant, errors: u64) {
        if self.open_count != Count::default() || errors > self.errors {
            self.close(now, errors);
        }
    }

    fn close(&mut self, now: Instant, errors: u64) {
        let length = now.saturating_duration_since(self.opened);
        let at = |quantile: f64| self.open.value_at_quantile(quantile) as f64 / 1e3;
        let since = self.begun.map_or(self.started, |(begun, _)| begun);
        let second = Second {
            t: now.saturating_duration_since(since).as_secs_f64(),
            seconds: length.as_secs_f64(),
            messages: self.open_count.messages,
            bytes: self.open_count.bytes,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.open.max() as f64 / 1e3,
            errors: errors.saturating_sub(self.errors),
        };
        if self.begun.is_some() {
            self.latencies.add(&self.open).expect("both have the same bounds");
            if let Some(Track { tag, log }) = &self.track {
                log.borrow_mut().write(tag, &self.open, self.opened, length);
            }
            if self.series.len() < SECONDS_MAX {
                self.series.push(second.clone());
            }
        }
        self.closed = Some(second);
        self.open.reset();
        self.open_count = Count::default();
        (self.opened, self.errors) = (now, errors);
    }

    /// Seconds from `begin` to the last answer.
    pub fn seconds(&self) -> f64 {
        match (self.begun, self.last) {
            (Some((begun, _)), Some(last)) => (last - begun).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// CPU seconds that this thread has used since `begin`.
    pub fn cpu_seconds(&self) -> f64 {
        self.begun.map_or(0.0, |(_, then)| cpu_seconds() - then)
    }

    /// The measured latencies of the seconds that have ended.
    pub fn latency(&self) -> Option<Latency> {
        (!self.latencies.is_empty()).then(|| Latency::of(&self.latencies))
    }

    /// The measured seconds that have ended.
    pub fn series(&self) -> &[Second] {
        &self.series
    }

    /// The second that has ended since the last call.
    pub fn take_closed(&mut self) -> Option<Second> {
        self.closed.take()
    }
}

fn nanos(now: Instant, since: Instant) -> u64 {
    now.saturating_duration_since(since).as_nanos() as u64
}

/// A clock that never goes back and whose readings other processes can compare with theirs.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    at: Instant,
    unix: Duration,
}

impl WallClock {
    /// A clock that is right now and then follows the monotonic one.
    pub fn start() -> WallClock {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        WallClock { at: Instant::now(), unix }
    }

    /// Nanoseconds since the Unix epoch at `now`.
    pub fn nanos(&self, now: Instant) -> u64 {
        (self.unix + now.saturating_duration_since(self.at)).as_nanos() as u64
    }

    /// The instant of a reading of this clock; readings from before its start give its start.
    pub fn instant(&self, nanos: u64) -> Instant {
        self.at + Duration::from_nanos(nanos).saturating_sub(self.unix)
    }
}

/// CPU seconds of this thread, as precisely as Linux tells without a system call wrapper.
fn cpu_seconds() -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0.0, |nanos| nanos as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_not_measured() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut meter = Meter::default();
        let at = |millis| Intended::at(after(millis));
        meter.answered(after(1_000), &at(0), 10, 1_000);
        meter.begin(after(1_000));
        meter.answered(after(1_010), &at(1_008), 10, 1_000);
        meter.answered(after(1_500), &at(1_498), 10, 1_000);
        meter.end(after(1_500), 0);
        assert_eq!(meter.total, Count { messages: 30, requests: 3, bytes: 3_000 });
        assert_eq!(meter.measured, Count { messages: 20, requests: 2, bytes: 2_000 });
        assert_eq!(meter.seconds(), 0.5);
        let latency = meter.latency().unwrap();
        assert_eq!(latency.count, 2);
        assert!((latency.max_us - 2_000.0).abs() < 20.0, "{latency:?}");
    }

    #[test]
    fn seconds_add_up_to_the_run() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut meter = Meter::default();
        meter.answered(after(500), &Intended::at(start), 7, 70);
        meter.begin(after(1_000));
        meter.answered(after(1_100), &Intended::at(after(1_090)), 1, 10);
        meter.tick(after(1_999), 0);
        assert!(meter.take_closed().is_none());
        meter.tick(after(2_000), 2);
        meter.answered(after(2_500), &Intended::at(after(2_400)), 2, 20);
        meter.end(after(2_500), 3);
        let seconds: Vec<_> = meter.series().iter().collect();
        let of = |second: &Second| (second.t, second.seconds, second.messages, second.errors);
        assert_eq!(of(seconds[0]), (1.0, 1.0, 1, 2));
        assert_eq!(of(seconds[1]), (1.5, 0.5, 2, 1));
        assert!((seconds[1].max_us - 100_000.0).abs() < 100.0, "{:?}", seconds[1]);
        assert_eq!(seconds.len(), 2);
        assert_eq!(meter.latency().unwrap().count, 2);
        // Nothing has happened since: nothing more to end.
        meter.end(after(2_600), 3);
        assert_eq!(meter.series().len(), 2);
    }

    #[test]
    fn each_message_of_a_spread_counts_from_its_own_time() {
        let start = Instant::now();
        let mut meter = Meter::default();
        meter.begin(start);
        let spread = Intended { first: start, step: Duration::from_millis(10), count: 10 };
        assert_eq!(spread.of(9), start + Duration::from_millis(90));
        assert_eq!(spread.of(99), start + Duration::from_millis(90));
        meter.answered(start + Duration::from_millis(100), &spread, 10, 100);
        meter.end(start + Duration::from_millis(100), 0);
        let latency = meter.latency().unwrap();
        assert_eq!((latency.count, meter.measured.requests), (10, 1));
        assert!((latency.max_us - 100_000.0).abs() < 100.0, "{latency:?}");
        assert!((latency.p50_us - 50_000.0).abs() < 100.0, "{latency:?}");
    }

    #[test]
    fn the_wall_clock_goes_both_ways() {
        let clock = WallClock::start();
        let now = Instant::now();
        assert_eq!(clock.instant(clock.nanos(now)), now);
    }
}
