//! Counts and latencies of one engine, with the warm-up kept apart.
//!
//! Invariant: `total` counts everything; the measured figures count what was answered after
//! `begin` was called.

use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;

use crate::report::Latency;

/// Latencies above this are recorded as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(3600);

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

/// Counts and latencies.
#[derive(Debug)]
pub struct Meter {
    /// Everything, from the first request on.
    pub total: Count,
    /// What was answered since `begin`.
    pub measured: Count,
    begun: Option<(Instant, f64)>,
    last: Option<(Instant, f64)>,
    latencies: Histogram<u64>,
    interval: Histogram<u64>,
    interval_count: Count,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            total: Count::default(),
            measured: Count::default(),
            begun: None,
            last: None,
            latencies: histogram(),
            interval: histogram(),
            interval_count: Count::default(),
        }
    }
}

impl Meter {
    /// The warm-up is over: what is answered from now on is measured.
    pub fn begin(&mut self, now: Instant) {
        self.begun = Some((now, cpu_seconds()));
        self.measured = Count::default();
        self.latencies.reset();
    }

    /// Whether the warm-up is over.
    pub fn is_measuring(&self) -> bool {
        self.begun.is_some()
    }

    /// One request was answered; `since` is when it was (meant to be) sent.
    pub fn answered(&mut self, now: Instant, since: Instant, messages: u64, bytes: u64) {
        self.total.add(messages, bytes);
        self.interval_count.add(messages, bytes);
        let nanos = now.saturating_duration_since(since).as_nanos() as u64;
        self.interval.saturating_record(nanos);
        if self.begun.is_some() {
            self.measured.add(messages, bytes);
            self.latencies.saturating_record(nanos);
            self.last = Some((now, 0.0));
        }
    }

    /// Seconds from `begin` to the last answer.
    pub fn seconds(&self) -> f64 {
        match (self.begun, self.last) {
            (Some((begun, _)), Some((last, _))) => (last - begun).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// CPU seconds that this thread has used since `begin`.
    pub fn cpu_seconds(&self) -> f64 {
        self.begun.map_or(0.0, |(_, then)| cpu_seconds() - then)
    }

    /// The measured latencies.
    pub fn latency(&self) -> Option<Latency> {
        (!self.latencies.is_empty()).then(|| Latency::of(&self.latencies))
    }

    /// What was counted since the last call, with the 99th percentile in microseconds.
    pub fn take_interval(&mut self) -> (Count, f64) {
        let p99_us = self.interval.value_at_quantile(0.99) as f64 / 1e3;
        self.interval.reset();
        (std::mem::take(&mut self.interval_count), p99_us)
    }
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
        meter.answered(after(1_000), start, 10, 1_000);
        meter.begin(after(1_000));
        meter.answered(after(1_010), after(1_008), 10, 1_000);
        meter.answered(after(1_500), after(1_498), 10, 1_000);
        assert_eq!(meter.total, Count { messages: 30, requests: 3, bytes: 3_000 });
        assert_eq!(meter.measured, Count { messages: 20, requests: 2, bytes: 2_000 });
        assert_eq!(meter.seconds(), 0.5);
        let latency = meter.latency().unwrap();
        assert_eq!(latency.count, 2);
        assert!((latency.max_us - 2_000.0).abs() < 20.0, "{latency:?}");
        assert_eq!(meter.take_interval().0.requests, 3);
        assert_eq!(meter.take_interval().0.requests, 0);
    }

    #[test]
    fn the_wall_clock_goes_both_ways() {
        let clock = WallClock::start();
        let now = Instant::now();
        assert_eq!(clock.instant(clock.nanos(now)), now);
    }
}
