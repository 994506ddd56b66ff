//! The open-loop schedule: when each request of a run is meant to be sent.
//!
//! Invariant: the intended time of request `n` depends on the start and on `n` alone, never on
//! how the earlier ones fared. Latency counted from it has no coordinated omission. Connection `c`
//! of `C` sends the requests `c`, `c + C`, `c + 2C` and so on.

use std::time::{Duration, Instant};

/// A constant rate.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    interval_ns: f64,
}

impl Schedule {
    /// Requests of so many messages that all together make `rate` messages a second.
    pub fn new(start: Instant, rate: f64, messages_per_request: f64) -> Schedule {
        assert!(rate > 0.0, "the rate is checked with the options");
        assert!(messages_per_request > 0.0, "a request holds messages");
        Schedule { start, interval_ns: messages_per_request / rate * 1e9 }
    }

    /// When request `n` is meant to be sent.
    pub fn at(&self, n: u64) -> Instant {
        self.start + Duration::from_nanos((n as f64 * self.interval_ns) as u64)
    }

    /// How many requests are due at `now`.
    pub fn due(&self, now: Instant) -> u64 {
        if now < self.start {
            return 0;
        }
        let passed = (now - self.start).as_nanos() as f64;
        let guess = (passed / self.interval_ns) as u64;
        // Rounding may be off by one in either direction; `at` decides.
        let first = guess.saturating_sub(1);
        first + (first..first + 3).take_while(|&n| self.at(n) <= now).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_spaced_and_do_not_drift() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 10_000.0, 10.0);
        for n in [0, 1, 2, 999, 1_000_000] {
            assert_eq!(schedule.at(n), start + Duration::from_millis(n));
        }
    }

    #[test]
    fn due_agrees_with_at() {
        let start = Instant::now();
        for rate in [3.0, 7_777.7, 1e6, 1e9] {
            let schedule = Schedule::new(start, rate, 1.0);
            assert_eq!(schedule.due(start), 1);
            for n in [1, 10, 12_345] {
                let at = schedule.at(n);
                assert_eq!(schedule.due(at), n + 1, "rate {rate}");
                assert_eq!(schedule.due(at - Duration::from_nanos(1)), n, "rate {rate}");
            }
        }
    }

    #[test]
    fn a_late_caller_finds_all_that_it_missed() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 1_000.0, 1.0);
        assert_eq!(schedule.due(start + Duration::from_micros(3_500)), 4);
    }
}
