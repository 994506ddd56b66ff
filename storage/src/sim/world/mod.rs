//! One seed's world: a disk, a log on it, a model of the log, and what happens to them.
//!
//! Invariants checked, beside the log's own assertions:
//! - offsets that the log reports as written or flushed only grow between truncations;
//! - after a crash the log opens, ends at a batch's end, at or after what was promised for that
//!   kind of crash (written for a dead process, flushed for a lost power), and holds exactly the
//!   batches that were appended up to there;
//! - the producers are what a fold over those batches gives; so are epochs, indexes and snapshots;
//! - so are the open transactions, how far everything is decided, and the aborted transactions that
//!   the reader of any range is told of: nothing of a transaction that is open or aborted is below
//!   the last stable offset without being named;
//! - reads give exactly the batches asked for; after a clean close no stray file is left and sizes
//!   are exact;
//! - no op breaks a rule of `ops.rs`.

mod actions;
mod checks;
pub mod model;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ringlog_wire::Uuid;

use super::{Crash, Fault, FaultPoint, Random, SimDisk, SimMemory};
use crate::ops::DiskErrorKind;
use crate::{Durability, Log, LogConfig, Planted, RecoveryHint};
use model::Model;

/// The partition's directory.
const DIR: &str = "topic-0";
/// Turns without an end mean that the log is stuck.
const DRAIN_STEPS_MAX: usize = 100_000;

pub type Outcome<T> = Result<T, String>;

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Actions before the end.
    pub actions: u64,
    /// Crashes, faults, truncations and closes among them.
    pub chaos: bool,
    /// A fault decided beforehand.
    pub fault: Option<(FaultPoint, Fault)>,
    pub planted: Option<Planted>,
    /// The kind of crash, when the fault stops the machine.
    pub crash: Crash,
    /// Changes what the disk draws, and nothing else.
    pub disk_seed: u64,
    /// Prints what happens.
    pub trace: bool,
}

impl Plan {
    /// Everything from the seed.
    pub fn random(seed: u64) -> Self {
        let actions = 80 + seed % 240;
        let crash = Crash::Process;
        let trace = std::env::var_os("RINGLOG_TRACE").is_some();
        let (chaos, fault, planted) = (true, None, None);
        Self { seed, actions, chaos, fault, planted, crash, disk_seed: seed, trace }
    }
}

/// What happened, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub batches: u64,
    pub duplicates: u64,
    pub markers: u64,
    pub reads: u64,
    pub opens: u64,
    pub crashes: u64,
    pub faults: u64,
    pub ops: u64,
    pub calls: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.batches += other.batches;
        self.duplicates += other.duplicates;
        self.markers += other.markers;
        self.reads += other.reads;
        self.opens += other.opens;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.ops += other.ops;
        self.calls += other.calls;
    }
}

/// See the module.
pub struct World {
    plan: Plan,
    random: Random,
    config: LogConfig,
    disk: SimDisk,
    memory: SimMemory,
    model: Model,
    log: Option<Log<SimMemory>>,
    /// What the broker has in its checkpoint files.
    recovery_point: i64,
    log_start: i64,
    clean: bool,
    now_ms: i64,
    /// Producers whose next batches are drawn.
    senders: Vec<actions::Sender>,
    /// Files that were damaged on purpose; a clean opening need not notice those it does not use.
    damaged: BTreeSet<PathBuf>,
    figures: Figures,
}

impl World {
    /// Runs a plan to its end.
    pub fn run(plan: Plan) -> Outcome<Figures> {
        let mut world = World::new(plan);
        world.open()?;
        for _ in 0..world.plan.actions {
            world.act()?;
            world.look()?;
        }
        if world.plan.chaos {
            world.disk.heal();
        }
        if world.log.as_ref().is_some_and(|log| log.is_failed()) || world.disk.is_stopped() {
            world.crash(world.plan.crash)?;
        }
        world.close()?;
        world.open()?;
        world.close()?;
        let figures = Figures {
            ops: world.disk.ops_count(),
            calls: world.disk.calls_count(),
            faults: world.disk.faults_count(),
            ..world.figures
        };
        Ok(figures)
    }

    fn new(plan: Plan) -> World {
        let mut random = Random::new(plan.seed);
        let config = draw_config(&mut random, plan.planted);
        let mut disk = SimDisk::new(plan.disk_seed ^ 0xD15C);
        disk.fill_with_stale(random.chance(1, 3));
        if let Some((point, fault)) = plan.fault {
            disk.inject(point, fault);
        }
        let memory = SimMemory::new(random.pick(&[96 << 10, 256 << 10, 4 << 20]));
        let senders = (0..1 + random.below(6)).map(|id| actions::Sender::new(id as i64)).collect();
        World {
            plan,
            random,
            config,
            disk,
            memory,
            model: Model::default(),
            log: None,
            recovery_point: 0,
            log_start: 0,
            clean: false,
            now_ms: 1_000_000,
            senders,
            damaged: BTreeSet::new(),
            figures: Figures::default(),
        }
    }

    fn trace(&self, what: impl FnOnce() -> String) {
        if self.plan.trace {
            let offsets = self.log.as_ref().map(|log| {
                let promised = (log.flushed_offset(), log.written_offset(), log.end_offset());
                (log.recovery_point(), promised)
            });
            println!("{} {offsets:?}", what());
        }
    }

    fn log(&mut self) -> &mut Log<SimMemory> {
        self.log.as_mut().expect("the log is open")
    }

    /// Opens, through faults and crashes of the opening itself, and checks what is there.
    fn open(&mut self) -> Outcome<()> {
        let topic_id = Uuid([7; 16]);
        loop {
            let hint = RecoveryHint {
                clean: self.clean,
                recovery_point: self.recovery_point,
                log_start: self.log_start,
            };
            let config = self.config.clone();
            let faults = self.disk.faults_count();
            match Log::open(&mut self.disk, DIR, config, hint, topic_id) {
                Ok((log, report)) => {
                    self.log = Some(log);
                    self.trace(|| format!("open {hint:?}: {report:?}"));
                    break;
                }
                Err(error) if self.disk.faults_count() == faults => {
                    return Err(format!("the log does not open: {error:?}, hint {hint:?}"));
                }
                Err(error) => {
                    self.trace(|| format!("open failed: {error}"));
                    self.clean = false;
                    let mut crash = Crash::Process;
                    if self.disk.is_stopped() {
                        crash = self.plan.crash;
                        self.disk.crash(crash);
                        self.figures.crashes += 1;
                    }
                    self.forget(crash);
                }
            }
        }
        self.figures.opens += 1;
        self.disk.attach(Path::new(DIR));
        self.check_opened()?;
        self.clean = false;
        Ok(())
    }

    /// Ends the log's life without notice, and opens it again.
    fn crash(&mut self, crash: Crash) -> Outcome<()> {
        self.trace(|| format!("crash {crash:?}"));
        self.log = None;
        self.disk.crash(crash);
        self.figures.crashes += 1;
        self.clean = false;
        self.forget(crash);
        self.open()
    }

    /// What a crash takes back of what was promised.
    fn forget(&mut self, crash: Crash) {
        if crash == Crash::Power || self.disk.take_lost_flush() {
            self.model.written = self.model.flushed;
        }
    }

    /// Closes cleanly and checks what is left; a fault on the way makes it a crash.
    fn close(&mut self) -> Outcome<()> {
        self.drain()?;
        let Some(log) = self.log.take() else { return Ok(()) };
        if log.is_failed() {
            self.log = Some(log);
            return self.crash(self.plan.crash);
        }
        let faults = self.disk.faults_count();
        match log.close(&mut self.disk) {
            Ok(()) => {
                self.model.written = self.model.end();
                self.model.flushed = self.model.end();
                self.recovery_point = self.model.end();
                self.log_start = self.model.log_start;
                self.clean = true;
                self.trace(|| format!("closed: {:?}", self.disk.files()));
                self.check_closed()
            }
            Err(error) if self.disk.faults_count() == faults => {
                Err(format!("the log does not close: {error:?}"))
            }
            Err(_) => {
                self.crash(self.plan.crash)?;
                self.close()
            }
        }
    }

    /// Lets the log finish what it has begun.
    fn drain(&mut self) -> Outcome<()> {
        for _ in 0..DRAIN_STEPS_MAX {
            self.take_ops();
            if self.disk.in_flight() == 0 {
                break;
            }
            if !self.step_disk()? {
                return Ok(());
            }
        }
        let failed = self.log.as_ref().is_some_and(|log| log.is_failed());
        let end = self.model.end();
        let log = self.log();
        if log.ops_in_flight() > 0 {
            return Err("the log waits for ops that it never handed out".into());
        }
        if !failed && log.written_offset() != end {
            let written = log.written_offset();
            return Err(format!("idle with {written} written of {end}"));
        }
        let synced = log.config().durability == Durability::Synced;
        if !failed && synced && log.flushed_offset() != end {
            let flushed = log.flushed_offset();
            return Err(format!("idle with {flushed} flushed of {end}"));
        }
        Ok(())
    }

    fn take_ops(&mut self) {
        let mut ops = Vec::new();
        self.log().take_ops(&mut ops);
        for op in ops {
            if self.plan.trace {
                self.trace(|| {
                    format!("  op {} file {} {}", op.id, op.file.0, SimDisk::describe(&op))
                });
            }
            self.disk.submit(op);
        }
    }

    /// One op ends. False when the machine stopped instead, and came back after a crash.
    fn step_disk(&mut self) -> Outcome<bool> {
        match self.disk.step() {
            Some(done) => {
                if self.disk.take_lost_flush() {
                    self.model.written = self.model.flushed;
                }
                self.trace(|| format!("  done {} {:?}", done.id, done.result));
                self.log().done(done);
                self.look()?;
            }
            None if self.disk.is_stopped() => {
                self.crash(self.plan.crash)?;
                return Ok(false);
            }
            None => {}
        }
        Ok(true)
    }

    /// What must hold at any time.
    fn look(&mut self) -> Outcome<()> {
        if let Some(rule) = self.disk.broken_rule() {
            return Err(format!("broken_rule: {rule}"));
        }
        let Some(log) = self.log.as_ref() else { return Ok(()) };
        let (written, flushed) = (log.written_offset(), log.flushed_offset());
        let end = self.model.end();
        let all = format!("start {} flushed {flushed} written {written}", log.log_start_offset());
        if log.end_offset() != end {
            return Err(format!("ends at {}, not at {end}", log.end_offset()));
        }
        if !(flushed <= written && written <= end) {
            return Err(format!("offsets out of order: {all} end {end}"));
        }
        let durable = match self.config.durability {
            Durability::Memory => end,
            Durability::Written => written,
            Durability::Synced => flushed,
        };
        if log.durable_offset() != durable {
            return Err(format!("durable is {}: {all} end {end}", log.durable_offset()));
        }
        if log.recovery_point() > flushed.max(self.recovery_point) {
            return Err(format!("recovery point {}: {all}", log.recovery_point()));
        }
        self.check_stable()?;
        let Some(log) = self.log.as_ref() else { return Ok(()) };
        if !log.is_failed() {
            self.model.written = self.model.written.max(written);
            self.model.flushed = self.model.flushed.max(flushed);
        }
        Ok(())
    }
}

fn draw_config(random: &mut Random, planted: Option<Planted>) -> LogConfig {
    LogConfig {
        segment_bytes: random.pick(&[16 << 10, 20_000, 32 << 10, 64 << 10]),
        segment_ms: random.pick(&[500, 1 << 40, 1 << 40]),
        index_interval_bytes: random.pick(&[0, 256, 1024, 4096]),
        segment_index_bytes: random.pick(&[120, 10 << 20, 10 << 20, 10 << 20]),
        allocate_bytes: random.pick(&[4096, 8192, 16 << 10, 64 << 10]),
        durability: random.pick(&[Durability::Written, Durability::Synced, Durability::Memory]),
        inflight_writes_max: random.pick(&[2, 3, 4, 6]),
        write_bytes_max: random.pick(&[4096, 8192, 16 << 10, 1 << 20]),
        gather_bytes: random.pick(&[4096, 16 << 10]),
        checkpoint_bytes: random.pick(&[4096, 16 << 10, 1 << 20]),
        planted,
        ..LogConfig::default()
    }
}

/// The kinds of trouble that a fault may be.
const TROUBLES: [DiskErrorKind; 2] = [DiskErrorKind::Io, DiskErrorKind::NoSpace];
