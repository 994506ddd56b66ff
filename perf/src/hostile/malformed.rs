//! Malformed frames of every API and version, with a good client beside them.
//!
//! Each attacker has one connection. It sends a bad frame and, behind it, a question that any
//! broker answers: the answer says that the connection lives on, its end that it was refused.
//! Both are fine; a broker that dies, grows, or leaves the good client waiting is not.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ringlog_loadgen::raw;

use super::mutate::{Bad, Random, Seeds, mutate, seeds};
use super::{Ground, MIB, settled_resident, socket};
use crate::Failure;

const ATTACKERS: u64 = 16;
/// A Fetch may wait that long by right; whoever waits longer is taken for answered.
const PATIENCE: Duration = Duration::from_millis(50);
/// Answers to what is still a good request come before the probe's.
const PROBE: i32 = 0x7ead_beef;
/// What the broker's tables may take.
const GROWTH_BYTES_MAX: f64 = 16.0 * MIB;

/// What became of the bad frames.
#[derive(Default)]
struct Fates {
    answered: AtomicU64,
    refused: AtomicU64,
    silent: AtomicU64,
    unreachable: AtomicU64,
}

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let seeds = seeds(ground.place.root())?;
    let folder = ground.folder()?;
    let settings = ["auto.create.topics.enable=false"];
    let setup = ground.setup(&folder, &["--memory", "64M", "--durability", "memory"], &settings)?;
    let mut server = ground.brokers.start(&setup)?;
    let fates = Fates::default();
    // Once through everything, so that what is made once is made, and records enough to have the
    // broker touch the memory that it may keep records in.
    ground.loadgen.run("produce", setup.address(), &["--topic", "warm", "--duration", "5"])?;
    attack(&seeds, setup.address(), 200, &fates, ground.seed, || Ok(()))?;
    let alone = ground.good_client(&setup)?;
    let before = settled_resident(&server)?;
    let mut beside = None;
    attack(&seeds, setup.address(), ground.pace.frames, &fates, !ground.seed, || {
        beside = Some(ground.good_client(&setup)?);
        Ok(())
    })?;
    let after = settled_resident(&server)?;
    server.check_alive()?;
    let log = std::fs::read_to_string(&server.log)?;
    setup.stop(server)?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let sent = count(&fates.answered) + count(&fates.refused) + count(&fates.silent);
    ground.promises.note("APIs", seeds.len().to_string());
    let wanted = (ground.pace.frames * seeds.len() as u64) as f64;
    ground.promises.at_least("malformed frames", sent as f64, wanted, "");
    ground.promises.note("answered with an error", count(&fates.answered).to_string());
    ground.promises.note("connection closed", count(&fates.refused).to_string());
    ground.promises.note("no answer due", count(&fates.silent).to_string());
    ground.promises.at_most("connections not accepted", count(&fates.unreachable) as f64, 0.0, "");
    ground.promises.at_most("panics in the log", log.matches("panicked").count() as f64, 0.0, "");
    ground.promises.at_most(
        "memory grown by",
        (after - before) / MIB,
        GROWTH_BYTES_MAX / MIB,
        "MiB",
    );
    ground.promises.note("memory", format!("{:.1} MiB", after / MIB));
    ground.compare_p99("good client's p99", &alone, &beside.ok_or("it never ran")?);
    Ok(())
}

/// Sends `frames` bad frames of each API, and more until `meanwhile` is over.
fn attack(
    seeds: &Seeds,
    address: SocketAddr,
    frames: u64,
    fates: &Fates,
    seed: u64,
    meanwhile: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|index| {
                let (is_over, random) = (&is_over, Random(seed.wrapping_add(index)));
                scope.spawn(move || {
                    socket::yield_to_others().map_err(|failure| failure.to_string())?;
                    let mut attacker = Attacker { address, stream: None, fates, random };
                    let mut round = 0;
                    while round * ATTACKERS < frames || !is_over.load(Ordering::Relaxed) {
                        attacker.round(seeds);
                        round += 1;
                    }
                    Ok::<(), String>(())
                })
            })
            .collect();
        let outcome = meanwhile();
        is_over.store(true, Ordering::Relaxed);
        for attacker in attackers {
            attacker.join().map_err(|_| "an attacker panicked")??;
        }
        outcome
    })
}

struct Attacker<'a> {
    address: SocketAddr,
    stream: Option<TcpStream>,
    fates: &'a Fates,
    random: Random,
}

impl Attacker<'_> {
    /// One frame of each API.
    fn round(&mut self, seeds: &BTreeMap<i16, Vec<Vec<u8>>>) {
        for seeds in seeds.values() {
            let seed = &seeds[self.random.below(seeds.len())];
            let bad = mutate(seed, &mut self.random);
            let Some(stream) = self.connected() else {
                self.fates.unreachable.fetch_add(1, Ordering::Relaxed);
                thread::sleep(PATIENCE);
                continue;
            };
            let fate = match send(&stream, &bad) {
                Fate::Answered => {
                    self.stream = Some(stream);
                    &self.fates.answered
                }
                Fate::Refused => &self.fates.refused,
                Fate::Silent => &self.fates.silent,
            };
            fate.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn connected(&mut self) -> Option<TcpStream> {
        self.stream.take().or_else(|| {
            let stream = socket::connect(self.address).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            Some(stream)
        })
    }
}

enum Fate {
    Answered,
    Refused,
    Silent,
}

fn send(mut stream: &TcpStream, bad: &Bad) -> Fate {
    let probe = if bad.whole { raw::api_versions(PROBE) } else { Vec::new() };
    if stream.write_all(&[&bad.bytes[..], &probe].concat()).is_err() {
        return Fate::Refused;
    }
    // Nothing follows what announces more: the broker must not wait for it for ever.
    if !bad.whole && stream.shutdown(Shutdown::Write).is_err() {
        return Fate::Refused;
    }
    let mut answer = [0; 4];
    loop {
        let mut size = [0; 4];
        if let Err(error) =
            stream.read_exact(&mut size).and_then(|()| stream.read_exact(&mut answer))
        {
            let is_late = matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            );
            return if is_late { Fate::Silent } else { Fate::Refused };
        }
        let left = u64::from(u32::from_be_bytes(size)).saturating_sub(4);
        if std::io::copy(&mut stream.take(left), &mut std::io::sink()).is_err() {
            return Fate::Refused;
        }
        if i32::from_be_bytes(answer) == PROBE {
            return Fate::Answered;
        }
    }
}
