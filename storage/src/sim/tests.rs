//! The simulator's runs: seeds, every step, every fault, and the bugs planted on purpose.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::world::{Figures, Outcome, Plan, World};
use super::{Crash, Fault, FaultPoint};
use crate::Planted;
use crate::ops::DiskErrorKind;

/// Seeds of a plain `cargo test`.
const SEEDS_DEFAULT: u64 = 300;
/// A planted bug must be found within these.
const SEEDS_PLANTED_MAX: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a plan; a panic in the log is an outcome as well.
fn run(plan: &Plan) -> Outcome<Figures> {
    let plan = plan.clone();
    catch_unwind(AssertUnwindSafe(|| World::run(plan))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn report(what: &str, figures: &Figures, runs: u64, started: std::time::Duration) {
    let Figures { batches, duplicates, markers, reads, opens, crashes, faults, ops, calls } =
        figures;
    println!(
        "{what}: {runs} runs in {:.1} s: {batches} batches, {duplicates} duplicates, \
         {markers} markers, {reads} reads, {opens} opens, {crashes} crashes, {faults} faults, \
         {ops} ops, {calls} calls",
        started.as_secs_f64()
    );
}

/// Processor time is the clock of a report: tests may not ask for another one.
fn cpu_time() -> std::time::Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    std::time::Duration::from_millis(ticks * 10)
}

#[test]
fn seeds() {
    let started = cpu_time();
    let seeds = match number("RINGLOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGLOG_SEEDS").unwrap_or(SEEDS_DEFAULT),
    };
    let runs = seeds.end - seeds.start;
    let mut total = Figures::default();
    let mut failed = Vec::new();
    for seed in seeds {
        match run(&Plan::random(seed)) {
            Ok(figures) => total.add(&figures),
            Err(error) => {
                println!(
                    "FAILED {error}   replay: RINGLOG_SEED={seed} \
                     cargo test -p ringlog-storage sim::tests::seeds"
                );
                failed.push(seed);
                if failed.len() >= 20 {
                    break;
                }
            }
        }
    }
    report("seeds", &total, runs, cpu_time() - started);
    assert!(failed.is_empty(), "failed seeds: {failed:?}");
}

/// The same seed gives the same run, to the last op.
#[test]
fn runs_replay() {
    for seed in 0..10 {
        let plan = Plan::random(seed);
        assert_eq!(format!("{:?}", run(&plan)), format!("{:?}", run(&plan)), "seed {seed}");
    }
}

/// A workload without chaos, for the exhaustive runs.
fn calm(seed: u64) -> Plan {
    Plan { actions: 60, chaos: false, ..Plan::random(seed) }
}

fn exhaust(what: &str, points: impl Fn(&Figures) -> Vec<(FaultPoint, Fault, Crash)>) {
    let started = cpu_time();
    let mut total = Figures::default();
    let mut runs = 0;
    for seed in 0..number("RINGLOG_EXHAUST_SEEDS").unwrap_or(4) {
        let whole = run(&calm(seed)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for (point, fault, crash) in points(&whole) {
            let plan = Plan { fault: Some((point, fault)), crash, ..calm(seed) };
            runs += 1;
            match run(&plan) {
                Ok(figures) => total.add(&figures),
                Err(error) => panic!("{what}: {error}   replay: {plan:?}"),
            }
        }
    }
    report(what, &total, runs, cpu_time() - started);
}

fn all_points(whole: &Figures) -> Vec<FaultPoint> {
    let ops = (0..whole.ops).map(FaultPoint::Op);
    ops.chain((0..whole.calls).map(FaultPoint::Call)).collect()
}

#[test]
fn a_crash_at_every_step() {
    exhaust("a crash at every step", |whole| {
        let both = [Crash::Process, Crash::Power];
        let points = all_points(whole).into_iter();
        points.flat_map(|at| both.map(|crash| (at, Fault::Stop, crash))).collect()
    });
}

#[test]
fn a_fault_at_every_step() {
    exhaust("a fault at every step", |whole| {
        let both = [Crash::Process, Crash::Power];
        let kinds = [DiskErrorKind::Io, DiskErrorKind::NoSpace];
        let points = all_points(whole).into_iter();
        points
            .flat_map(|at| kinds.map(|kind| (at, Fault::Fail(kind))))
            .flat_map(|(at, fault)| both.map(|crash| (at, fault, crash)))
            .collect()
    });
}

/// The seed that finds the bug, and what it says.
fn find(bug: Planted) -> Option<(u64, String)> {
    (0..SEEDS_PLANTED_MAX).find_map(|seed| {
        let plan = Plan { planted: Some(bug), ..Plan::random(seed) };
        run(&plan).err().map(|error| (seed, error))
    })
}

macro_rules! planted {
    ($($test:ident $bug:ident)*) => {$(
        #[test]
        fn $test() {
            let (seed, error) = find(Planted::$bug).expect("the simulator does not find it");
            println!("{:?} found after {} seeds: {error}", Planted::$bug, seed + 1);
        }
    )*};
}

planted! {
    finds_ack_before_write AckBeforeWrite
    finds_overlap_tail_block OverlapTailBlock
    finds_skip_crc_on_recovery SkipCrcOnRecovery
    finds_forget_sync_before_recovery_point ForgetSyncBeforeRecoveryPoint
    finds_ack_before_sync AckBeforeSync
    finds_drop_producer_snapshot DropProducerSnapshot
    finds_ignore_write_error IgnoreWriteError
    finds_recover_past_gap RecoverPastGap
    finds_forget_tail_on_open ForgetTailOnOpen
    finds_write_past_allocation WritePastAllocation
    finds_forget_tail_on_roll ForgetTailOnRoll
    finds_retry_failed_sync RetryFailedSync
    finds_retire_at_start RetireAtStart
    finds_forget_aborted ForgetAborted
    finds_forget_aborts ForgetAborts
    finds_stable_before_replicated StableBeforeReplicated
}
