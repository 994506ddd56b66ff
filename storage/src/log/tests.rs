//! The log's own tests: a state, one event, the exact ops. The simulator does the rest.

mod append;
mod open;
mod read;
mod transactions;
mod write;

use std::path::{Path, PathBuf};

use ringlog_wire::Uuid;
use ringlog_wire::batch::{Batch, BatchBuilder, BatchOptions};

use super::{AppendError, Appended, Log, ReadError, ReadPlan, RecoveryHint, RecoveryReport};
use crate::ops::{Disk, DiskDone, DiskError, DiskErrorKind, DiskKind, DiskOp};
use crate::sim::{SimDisk, SimMemory, SimWrite};
use crate::{LogConfig, OpenError};

const DIR: &str = "topic-0";
const TOPIC_ID: Uuid = Uuid([7; 16]);
const CLEAN: RecoveryHint = RecoveryHint { clean: true, recovery_point: 0, log_start: 0 };
const CRASHED: RecoveryHint = RecoveryHint { clean: false, recovery_point: 0, log_start: 0 };

/// A log moves between threads whole.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Log<SimMemory>>();
};

/// A log, its disk and its memory.
struct Bench {
    disk: SimDisk,
    memory: SimMemory,
    log: Option<Log<SimMemory>>,
    report: RecoveryReport,
    now_ms: i64,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 20,
        allocate_bytes: 256 << 10,
        allocate_first_bytes: 256 << 10,
        gather_bytes: 16 << 10,
        write_bytes_max: 64 << 10,
        ..LogConfig::default()
    }
}

fn batch(options: BatchOptions, records: i64, value_bytes: usize, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for record in 0..records {
        let value = vec![b'a' + (record % 26) as u8; value_bytes];
        builder.push(timestamp + record, None, Some(&value), &[]);
    }
    builder.finish()
}

fn producer(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> BatchOptions {
    BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() }
}

impl Bench {
    fn new(config: LogConfig) -> Bench {
        let (disk, memory) = (SimDisk::new(1), SimMemory::new(64 << 20));
        let report = RecoveryReport::default();
        let mut bench = Bench { disk, memory, log: None, report, now_ms: 1000 };
        bench.open(config, CRASHED).expect("a new log opens");
        bench
    }

    fn open(&mut self, config: LogConfig, hint: RecoveryHint) -> Result<(), OpenError> {
        self.disk.attach(Path::new(DIR));
        let (log, report) = Log::open(&mut self.disk, DIR, config, hint, TOPIC_ID)?;
        (self.log, self.report) = (Some(log), report);
        Ok(())
    }

    fn log(&mut self) -> &mut Log<SimMemory> {
        self.log.as_mut().expect("the log is open")
    }

    fn append_bytes(&mut self, bytes: &[u8], epoch: i32) -> Result<Appended, AppendError> {
        let (batch, rest) = Batch::parse(bytes).expect("a good batch");
        assert!(rest.is_empty());
        let log = self.log.as_mut().expect("the log is open");
        log.append(self.now_ms, &mut self.memory, &batch, epoch)
    }

    /// Appends `count` batches of one record with a value of `value_bytes`.
    fn append(&mut self, count: i64, value_bytes: usize) -> Appended {
        let mut last = None;
        for _ in 0..count {
            let timestamp = self.log().end_offset();
            let bytes = batch(BatchOptions::default(), 1, value_bytes, timestamp);
            last = Some(self.append_bytes(&bytes, 0).expect("appended"));
        }
        last.expect("at least one")
    }

    fn take(&mut self) -> Vec<DiskOp<SimWrite>> {
        let mut ops = Vec::new();
        self.log().take_ops(&mut ops);
        ops
    }

    /// What is asked for, in words.
    fn ops(&mut self) -> Vec<String> {
        self.take().iter().map(|op| format!("{} {}", op.id, describe(&op.kind))).collect()
    }

    fn done(&mut self, id: u64) {
        self.log().done(DiskDone { id, result: Ok(()) });
    }

    fn failed(&mut self, id: u64) {
        let error = DiskError::new(DiskErrorKind::Io);
        self.log().done(DiskDone { id, result: Err(error) });
    }

    /// Runs ops on the disk until there are none.
    fn settle(&mut self) {
        loop {
            for op in self.take() {
                self.disk.submit(op);
            }
            assert_eq!(self.disk.broken_rule(), None);
            match self.disk.step() {
                Some(done) => self.log().done(done),
                None => break,
            }
        }
        assert_eq!(self.log().ops_in_flight(), 0);
    }

    fn close(&mut self) {
        self.settle();
        let log = self.log.take().expect("the log is open");
        log.close(&mut self.disk).expect("closed");
    }

    /// All bytes from `from` on, in as many reads as it takes.
    fn read_all(&mut self, from: i64, bytes_max: usize) -> Vec<u8> {
        let upto = self.log().end_offset();
        let (mut from, mut out) = (from, Vec::new());
        while from < upto {
            let bytes = self.read(from, upto, bytes_max, true).expect("readable");
            assert!(!bytes.is_empty(), "a read brings something at {from}");
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (batch, after) = Batch::parse(rest).expect("whole batches");
                batch.verify_crc().expect("a good batch");
                assert_eq!(batch.header().base_offset, from);
                from = batch.header().next_offset();
                rest = after;
            }
            out.extend_from_slice(&bytes);
        }
        out
    }

    fn read(
        &mut self,
        from: i64,
        upto: i64,
        bytes_max: usize,
        min_one: bool,
    ) -> Result<Vec<u8>, ReadError> {
        let mut plan = self.log().read(from, upto, bytes_max, min_one)?;
        loop {
            match plan {
                ReadPlan::Empty => return Ok(Vec::new()),
                ReadPlan::Memory { slices, bytes } => {
                    let out = slices.iter().flat_map(|s| s.iter().copied()).collect::<Vec<_>>();
                    assert_eq!(out.len(), bytes);
                    return Ok(out);
                }
                ReadPlan::Index(files) => {
                    let index = self.file(&files.index);
                    let timeindex = self.file(&files.timeindex);
                    self.log().load_index(files.file, &index, &timeindex);
                    plan = self.log().read(from, upto, bytes_max, min_one)?;
                }
                ReadPlan::Disk(disk) => {
                    assert!(disk.at.is_multiple_of(4096) && disk.bytes.is_multiple_of(4096));
                    let mut raw = vec![0; disk.bytes];
                    let path = Path::new(DIR).join(&disk.path);
                    let read = self.disk.read_at(&path, disk.at, &mut raw).expect("read");
                    raw.truncate(read);
                    let log = self.log.as_ref().expect("the log is open");
                    match log.finish_read(&disk, from, upto, bytes_max, min_one, &raw) {
                        Ok(range) => return Ok(raw[range].to_vec()),
                        Err(ReadError::NeedMore(more)) => plan = ReadPlan::Disk(more),
                        Err(other) => return Err(other),
                    }
                }
            }
        }
    }

    fn file(&mut self, name: &Path) -> Vec<u8> {
        self.disk.read_file(&Path::new(DIR).join(name)).unwrap_or_default()
    }

    /// Names and sizes of the partition's files.
    fn files(&self) -> Vec<String> {
        let shown = |(path, size): (PathBuf, u64)| {
            let name = path.file_name()?.to_str()?.trim_start_matches('0').to_owned();
            Some(format!("{name} {size}"))
        };
        self.disk.files().into_iter().filter_map(shown).collect()
    }
}

fn describe(kind: &DiskKind<SimWrite>) -> String {
    let name = |path: &Path| path.to_str().expect("text").trim_start_matches('0').to_owned();
    match kind {
        DiskKind::Create { path, size } => format!("create {} {size}", name(path)),
        DiskKind::Allocate { from, to } => format!("allocate {from}..{to}"),
        DiskKind::Write { at, data } => format!("write {at}+{}", data.len()),
        DiskKind::Sync => "sync".to_owned(),
        DiskKind::Truncate { size } => format!("truncate {size}"),
        DiskKind::Close => "close".to_owned(),
        DiskKind::Replace { path, bytes } => format!("replace {} {}", name(path), bytes.len()),
        DiskKind::Remove { path } => format!("remove {}", name(path)),
        DiskKind::Retire { paths } => {
            format!("retire {}", paths.iter().map(|path| name(path)).collect::<Vec<_>>().join(" "))
        }
    }
}
