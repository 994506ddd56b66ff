//! What a shard does when a turn found nothing: look for work for a while, then sleep in its ring.
//!
//! Looking spares the two context switches of a sleep, and costs its whole time where nothing
//! comes. So a shard whose looks are in vain looks less and less often, until one is not.
//!
//! Invariant: an idle shard sleeps in the kernel and costs nothing.

use std::io;
use std::time::{Duration, Instant};

use crate::service::Service;
use crate::turn::Shard;
use crate::uring::Wait;

/// Looks at the clock once in so many spins.
const SPINS_PER_LOOK: u32 = 32;
/// So many rests at most go without a look.
const SKIPS_MAX: u32 = 31;

/// How worthwhile looking was lately.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// Rests without a look after the next one in vain.
    skips: u32,
    /// Those that are left.
    left: u32,
}

impl Looks {
    /// Whether this rest begins with a look.
    fn is_due(&mut self) -> bool {
        let is_due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_due
    }

    fn note(&mut self, found: bool) {
        self.skips = if found { 0 } else { (self.skips * 2 + 1).min(SKIPS_MAX) };
        self.left = self.skips;
    }
}

/// Returns when there is work, or may be.
pub(crate) fn rest<S: Service>(shard: &mut Shard<S>, looks: &mut Looks) -> io::Result<()> {
    let limit = shard.spin();
    if !limit.is_zero() && looks.is_due() {
        let found = look(shard, limit);
        looks.note(found);
        if found {
            return Ok(());
        }
    }
    sleep(shard)
}

/// Looks for work until `limit` has passed. `true`: there is some.
fn look<S: Service>(shard: &mut Shard<S>, mut limit: Duration) -> bool {
    if let Some(patience) = shard.patience() {
        limit = limit.min(patience);
    }
    let begun = Instant::now();
    loop {
        for _ in 0..SPINS_PER_LOOK {
            if shard.has_work() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begun.elapsed() >= limit {
            return false;
        }
    }
}

fn sleep<S: Service>(shard: &mut Shard<S>) -> io::Result<()> {
    if !shard.fall_asleep() {
        return Ok(());
    }
    let wait = shard.patience().map_or(Wait::Forever, Wait::AtMost);
    let slept = shard.core.ring.submit(wait);
    shard.wake_up();
    slept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `rests` begin with a look, when all of them find something or none does.
    fn looks_in(looks: &mut Looks, rests: u32, found: bool) -> u32 {
        let mut count = 0;
        for _ in 0..rests {
            if looks.is_due() {
                looks.note(found);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn looks_in_vain_become_rare() {
        let mut looks = Looks::default();
        assert_eq!(looks_in(&mut looks, 1, false), 1, "nothing is known yet");
        let count = looks_in(&mut looks, 3200, false);
        assert!((100..=110).contains(&count), "{count}");
    }

    #[test]
    fn one_find_brings_them_back() {
        let mut looks = Looks::default();
        looks_in(&mut looks, 1000, false);
        let count = looks_in(&mut looks, 1000, true);
        assert!(count >= 1000 - SKIPS_MAX, "{count}");
    }
}
