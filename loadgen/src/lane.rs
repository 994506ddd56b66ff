//! What the connections of both engines have in common: when to try again, and their count.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::meter::WallClock;

/// The pause before the first new attempt.
pub const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause between attempts.
pub const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Pauses between attempts: each twice as long as the one before.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    until: Option<Instant>,
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { until: None, pause: PAUSE_MIN }
    }
}

impl Backoff {
    /// The next attempt comes after a pause.
    pub fn wait(&mut self, now: Instant) {
        self.until = Some(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Whether an attempt is to come.
    pub fn is_waiting(&self) -> bool {
        self.until.is_some()
    }

    /// Whether it is time for the attempt.
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// The attempt succeeded; the pauses stay long until something is answered.
    pub fn stop(&mut self) {
        self.until = None;
    }
}

/// Every leader needs a connection.
pub fn check_connections(connections: usize, leaders: usize) -> Result<(), Error> {
    if connections >= leaders {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "the topic has {leaders} leaders: expected at least as many --connections, \
         found {connections}"
    )))
}

/// A number that differs from that of every other run: the clock and the process, mixed.
pub fn run_id() -> u64 {
    let nanos = WallClock::start().nanos(Instant::now());
    let mixed = (nanos ^ u64::from(std::process::id()) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert!(!backoff.is_over(now));
        for millis in [20, 40, 80, 160, 320, 500, 500] {
            backoff.wait(now);
            assert!(!backoff.is_over(now + Duration::from_millis(millis - 1)));
            assert!(backoff.is_over(now + Duration::from_millis(millis)));
        }
        backoff.stop();
        assert!(!backoff.is_waiting());
    }

    #[test]
    fn run_ids_differ_and_leave_room_for_a_connection() {
        let id = run_id();
        assert!(id < 1 << 48);
        assert_ne!(id, run_id());
    }
}
