//! A histogram of durations with fixed, log-linear buckets: two to each doubling, from 64 µs to
//! 67 s. To count is one shift and two additions; histograms of several shards add up.

use std::time::Duration;

/// The first bound, as a power of two, microseconds.
const FIRST_POWER: u32 = 6;
/// Bounds; one more bucket takes what lies beyond the last.
pub const BOUNDS: usize = 41;
const LAST_MICROS: u64 = 1 << (FIRST_POWER + (BOUNDS as u32 - 1) / 2);
const _: () = assert!(LAST_MICROS > 60_000_000, "a minute is still told apart from for ever");

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS + 1],
    sum_micros: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; BOUNDS + 1], sum_micros: 0 }
    }
}

impl Histogram {
    /// The inclusive upper bound of bucket `index`, microseconds.
    pub fn bound_micros(index: usize) -> u64 {
        let power = 1 << (FIRST_POWER + index as u32 / 2);
        if index.is_multiple_of(2) { power } else { power + power / 2 }
    }

    fn index(micros: u64) -> usize {
        if micros <= 1 << FIRST_POWER {
            return 0;
        }
        if micros > LAST_MICROS {
            return BOUNDS;
        }
        // It lies in (2^power, 2^(power + 1)].
        let power = (micros - 1).ilog2();
        let upper_half = micros > (1 << power) + (1 << (power - 1));
        2 * (power - FIRST_POWER) as usize + 1 + usize::from(upper_half)
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[Histogram::index(micros)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Histogram) {
        for (into, from) in self.counts.iter_mut().zip(&other.counts) {
            *into += from;
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All durations together, seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_micros as f64 / 1e6
    }

    /// Each bound in seconds, with the number of durations at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = (0..BOUNDS).map(|index| Histogram::bound_micros(index) as f64 / 1e6);
        bounds.zip(self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_below_its_bound_and_above_the_one_before() {
        let mut checked = 0;
        for power in 0..30 {
            for near in [-1i64, 0, 1] {
                for half in [0, 1u64 << power >> 1] {
                    let micros = ((1u64 << power) + half).saturating_add_signed(near);
                    let index = Histogram::index(micros);
                    let fits = index == BOUNDS || micros <= Histogram::bound_micros(index);
                    let above = index == 0 || micros > Histogram::bound_micros(index - 1);
                    assert!(fits && above, "{micros} µs in bucket {index}");
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 180);
    }

    #[test]
    fn histograms_add_up() {
        let mut one = Histogram::default();
        one.record(Duration::from_millis(1));
        let mut two = Histogram::default();
        two.record(Duration::from_secs(3600));
        two.add(&one);
        assert_eq!(two.count(), 2);
        assert_eq!(two.sum_seconds(), 3600.001);
        let last = two.cumulative().last();
        assert_eq!(last, Some((67.108864, 1)), "an hour lies beyond the last bound");
        assert!(two.cumulative().is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
    }
}
