//! Random histories of producers and their coordinator; one seed decides everything.
//!
//! ```text
//! producers   instances of a few transactional ids: they crash, stall, retry, lose replies
//! world       the coordinator over a log that loses its unflushed tail, requests in any order
//! partitions  what leaders do: verify, append, write markers by Kafka's epoch rules
//! checks      crashes, and the invariants
//! ```
//!
//! Invariants: the partitions of a transaction all get the same decision, once. An answered commit
//! is committed. Once a new instance has its answer, no older one gets anything done. The log
//! replayed, whole or compacted, is the live state. Every ticket is answered exactly once.
//!
//! `RINGLOG_SEED=n cargo test -p ringlog --lib txn::sim` replays one, `RINGLOG_SEEDS=n` sets how
//! many run.

mod checks;
mod partitions;
mod producers;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Figures, World};

/// Seeds of a plain `cargo test`.
const SEEDS_DEFAULT: u64 = 300;

/// A small random source (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64) -> Result<Figures, String> {
    catch_unwind(AssertUnwindSafe(|| World::new(seed).run())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

#[test]
fn seeds() {
    let seeds = match number("RINGLOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGLOG_SEEDS").unwrap_or(SEEDS_DEFAULT),
    };
    let runs = seeds.end - seeds.start;
    let mut total = Figures::default();
    let mut failed = Vec::new();
    for seed in seeds {
        match run(seed) {
            Ok(figures) => total.add(&figures),
            Err(error) => {
                println!(
                    "FAILED {error}   replay: RINGLOG_SEED={seed} \
                     cargo test -p ringlog --lib txn::sim"
                );
                failed.push(seed);
                if failed.len() >= 10 {
                    break;
                }
            }
        }
    }
    println!("{runs} runs: {total:?}");
    assert!(failed.is_empty(), "failed seeds: {failed:?}");
    if runs >= SEEDS_DEFAULT {
        total.assert_everything_happened();
    }
}

/// The same seed gives the same run.
#[test]
fn runs_replay() {
    for seed in 0..5 {
        assert_eq!(format!("{:?}", run(seed)), format!("{:?}", run(seed)), "seed {seed}");
    }
}
