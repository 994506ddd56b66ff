//! What happens in a world, drawn one after the other.

use std::path::PathBuf;

use ringlog_wire::batch::{Batch, BatchBuilder, BatchOptions};

use super::model::Expected;
use super::{Outcome, TROUBLES, World};
use crate::producer::{Origin, ProducerError, sequence_after};
use crate::sim::{Crash, Fault, FaultPoint, Random};
use crate::transaction::Marker;
use crate::{AppendError, Appended, Disk, LogConfig};

/// What a sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Idempotent,
    /// In transactions, that a coordinator ends.
    Transactional,
    /// A coordinator's own records, in its clients' transactions.
    Coordinator,
}

/// Somebody who sends idempotent batches.
#[derive(Clone, Debug)]
pub struct Sender {
    id: i64,
    kind: Kind,
    epoch: i16,
    next: i32,
    /// What it sent lately: (epoch, first sequence, bytes), accepted or not.
    sent: Vec<(i16, i32, Vec<u8>)>,
}

/// Batches a sender may send again.
const RESENT_MAX: usize = 8;

impl Sender {
    pub fn new(id: i64) -> Self {
        // Odd ones start close to where sequences wrap.
        let next = if id % 2 == 1 { i32::MAX - 20 } else { 0 };
        let kind = match id % 4 {
            0 => Kind::Idempotent,
            1 | 2 => Kind::Transactional,
            _ => Kind::Coordinator,
        };
        Self { id, kind, epoch: 0, next, sent: Vec::new() }
    }
}

impl World {
    /// One thing happens.
    pub(super) fn act(&mut self) -> Outcome<()> {
        self.now_ms += self.random.pick(&[0, 1, 20, 200]);
        match self.random.below(100) {
            0..8 => {
                self.end_transaction()?;
                if self.random.chance(2, 3) {
                    self.take_ops();
                }
            }
            8..38 => {
                for _ in 0..self.random.pick(&[1, 1, 1, 2, 5]) {
                    self.append()?;
                }
                if self.random.chance(2, 3) {
                    self.take_ops();
                }
            }
            38..74 => {
                for _ in 0..self.random.pick(&[1, 1, 2, 4]) {
                    self.step_disk()?;
                    if self.random.chance(3, 4) {
                        self.take_ops();
                    }
                }
            }
            74..80 => self.read()?,
            80 => self.look_up_time()?,
            81 => self.look_up_aborted()?,
            82..85 => drop(self.evict()),
            85..87 => self.begin_epoch(),
            87..89 => self.log().checkpoint(),
            89..92 => self.keep_recovery_point(),
            92 => self.drain()?,
            94 => self.reconfigure(),
            93 => self.advance_start(),
            _ if self.plan.chaos => self.trouble()?,
            _ => {}
        }
        self.recover()
    }

    /// Somebody changes the settings of the open log; recovery works by the new ones too.
    fn reconfigure(&mut self) {
        let drawn = super::draw_config(&mut self.random, self.plan.planted);
        // The checks rebuild indexes by one interval.
        let index_interval_bytes = self.config.index_interval_bytes;
        self.config = self.config.taking(LogConfig { index_interval_bytes, ..drawn });
        let config = self.config.clone();
        self.log().reconfigure(config);
    }

    fn trouble(&mut self) -> Outcome<()> {
        let crash = self.random.pick(&[Crash::Process, Crash::Power]);
        match self.random.below(10) {
            0..3 => self.crash(crash),
            3 => {
                self.close()?;
                if self.random.chance(1, 2) {
                    self.disk.crash(crash);
                }
                self.clean &= self.random.chance(9, 10);
                if self.random.chance(1, 4) {
                    self.damage();
                }
                self.open()
            }
            4 => self.truncate(),
            5 => Ok(()),
            6 | 7 => {
                let kind = self.random.pick(&TROUBLES);
                let at = self.disk.ops_count() + self.random.below(6);
                self.disk.inject(FaultPoint::Op(at), Fault::Fail(kind));
                Ok(())
            }
            8 => {
                self.plan.crash = crash;
                let at = self.disk.ops_count() + self.random.below(6);
                self.disk.inject(FaultPoint::Op(at), Fault::Stop);
                Ok(())
            }
            _ => {
                self.plan.crash = crash;
                let kind = self.random.pick(&TROUBLES);
                let fault = self.random.pick(&[Fault::Stop, Fault::Fail(kind)]);
                let at = self.disk.calls_count() + self.random.below(40);
                self.disk.inject(FaultPoint::Call(at), fault);
                self.crash(crash)
            }
        }
    }

    /// A file that only helps is lost, cut, or padded with zeros: the log is the truth.
    fn damage(&mut self) {
        const HELPERS: [&str; 5] =
            [".index", ".timeindex", ".txnindex", ".snapshot", "-checkpoint"];
        // Producers of segments that are gone are nowhere but in snapshots.
        let retired = self.model.retired > 0;
        let spared = |path: &PathBuf| {
            let name = path.to_string_lossy();
            retired && (name.ends_with(".snapshot") || name.ends_with(".txnindex"))
        };
        let helps = |path: &PathBuf| {
            !spared(path) && HELPERS.iter().any(|suffix| path.to_string_lossy().ends_with(suffix))
        };
        let files = self.disk.files().into_iter().map(|(path, _)| path).filter(helps);
        let files: Vec<PathBuf> = files.collect();
        if files.is_empty() {
            return;
        }
        self.disk.heal();
        for _ in 0..self.random.pick(&[1, 2, 10]) {
            let path = &files[self.random.index(files.len())];
            let mut bytes = self.disk.content(path).unwrap_or_default().to_vec();
            self.trace(|| format!("damage {}", path.display()));
            self.damaged.insert(path.clone());
            // Without an index there were no aborted transactions: that it is lost does not show.
            let is_loss = !path.to_string_lossy().ends_with(".txnindex");
            let damaged = match self.random.below(4) {
                0 | 1 if is_loss => self.disk.remove(path).or(Ok(())), // it may be gone already
                0..=2 => {
                    bytes.truncate(bytes.len().saturating_sub(3));
                    self.disk.replace(path, &bytes)
                }
                _ => {
                    bytes.resize(bytes.len() + 4800, 0);
                    self.disk.replace(path, &bytes)
                }
            };
            damaged.expect("no fault is waiting");
        }
    }

    /// A failed log is reopened, sooner or later.
    fn recover(&mut self) -> Outcome<()> {
        let failed = self.log.as_ref().is_some_and(|log| log.is_failed());
        if failed && self.random.chance(1, 4) {
            while self.disk.in_flight() > 0 && self.random.chance(3, 4) {
                if !self.step_disk()? {
                    return Ok(());
                }
            }
            let crash = self.random.pick(&[Crash::Process, Crash::Power]);
            return self.crash(crash);
        }
        Ok(())
    }

    fn append(&mut self) -> Outcome<()> {
        let Some((sender, epoch, first, bytes)) = self.draw_batch() else {
            let bytes = self.batch(BatchOptions::default());
            return self.offer(&bytes, Origin::Client).map(drop);
        };
        let origin = match self.senders[sender].kind {
            Kind::Coordinator => Origin::Coordinator,
            _ => Origin::Client,
        };
        let answer = self.offer(&bytes, origin)?;
        let sender = &mut self.senders[sender];
        if answer == Some(true) {
            let (batch, _) = Batch::parse(&bytes).expect("built here");
            sender.epoch = epoch;
            sender.next = sequence_after(first, batch.header().last_offset_delta + 1);
            sender.sent.push((epoch, first, bytes));
            if sender.sent.len() > RESENT_MAX {
                sender.sent.remove(0);
            }
        }
        Ok(())
    }

    /// A batch of an idempotent sender: new, sent before, or wrong. `None`: a plain one.
    fn draw_batch(&mut self) -> Option<(usize, i16, i32, Vec<u8>)> {
        if self.random.chance(1, 4) {
            return None;
        }
        let at = self.random.index(self.senders.len());
        let Sender { id, kind, epoch, next, sent } = self.senders[at].clone();
        let known = self.model.producers.known.get(&id);
        let (epoch, first) = match self.random.below(20) {
            _ if kind == Kind::Coordinator => {
                let epoch = known.map_or(epoch, |known| known.epoch);
                (epoch + self.random.pick(&[0, 0, 0, 0, 1, -1]).max(-epoch), 0)
            }
            0..4 if !sent.is_empty() => {
                let (epoch, first, bytes) = sent[self.random.index(sent.len())].clone();
                return Some((at, epoch, first, bytes));
            }
            4 => (epoch, sequence_after(next, 1 + self.random.below(3) as i32)),
            5 => (epoch + 1, 0),
            6 => (epoch + 1, 1),
            7 if epoch > 0 => (epoch - 1, next),
            // After a crash a client goes on from what was acknowledged to it.
            _ => match known.map(|known| (known.epoch, known.window.last())) {
                Some((epoch, Some(newest))) => (epoch, sequence_after(newest.last, 1)),
                Some((epoch, None)) => (epoch, 0),
                None => (epoch, next),
            },
        };
        let transactional = kind != Kind::Idempotent && self.random.chance(14, 15);
        let bytes = self.batch(BatchOptions {
            producer_id: id,
            producer_epoch: epoch,
            base_sequence: first,
            transactional,
            ..BatchOptions::default()
        });
        Some((at, epoch, first, bytes))
    }

    fn batch(&mut self, options: BatchOptions) -> Vec<u8> {
        batch(&mut self.random, self.now_ms, self.config.segment_bytes, options)
    }

    /// A coordinator ends the transaction of a sender: as it should, or a zombie's.
    fn end_transaction(&mut self) -> Outcome<()> {
        let at = self.random.index(self.senders.len());
        let Sender { id: producer_id, epoch, .. } = self.senders[at];
        let known = self.model.producers.known.get(&producer_id);
        let (epoch, coordinator) =
            known.map_or((epoch, 0), |known| (known.epoch, known.coordinator_epoch.max(0)));
        let version = self.random.pick(&[1, 2]);
        let bumped = if version == 2 { 1 } else { 0 };
        let change = self.random.pick(&[bumped, bumped, bumped, bumped, 0, 1, -1]);
        let marker = Marker {
            producer_id,
            producer_epoch: (epoch + change).max(0),
            committed: self.random.chance(1, 2),
            coordinator_epoch: coordinator
                + self.random.pick(&[0, 0, 0, 0, 1, -1]).max(-coordinator),
        };
        let expected = self.model.expected_of_marker(&marker, version);
        let leader_epoch = self.model.epoch;
        let log = self.log.as_mut().expect("the log is open");
        let was_failed = log.is_failed();
        let answer =
            log.append_marker(self.now_ms, &mut self.memory, &marker, version, leader_epoch);
        match (answer, expected) {
            (Err(AppendError::Failed), _) if was_failed => Ok(()),
            (Err(AppendError::NoMemory), Expected::Append) => {
                self.evict();
                Ok(())
            }
            (Ok(appended), Expected::Append) if !appended.duplicate => {
                self.figures.markers += 1;
                self.trace(|| format!("{marker:?} at {}", appended.base_offset));
                let bytes = marker.encode(self.now_ms);
                let kept = self.model.append(&bytes, leader_epoch);
                match kept.header.base_offset == appended.base_offset {
                    true => Ok(()),
                    false => Err(format!("marker appended at {}", appended.base_offset)),
                }
            }
            (Err(AppendError::Producer(ProducerError::InvalidEpoch { .. })), Expected::Fenced) => {
                Ok(())
            }
            (
                Err(AppendError::Producer(ProducerError::CoordinatorFenced { .. })),
                Expected::CoordinatorFenced,
            ) => Ok(()),
            (answer, expected) => {
                Err(format!("transactions: {marker:?}: {answer:?} instead of {expected:?}"))
            }
        }
    }

    /// Offers a batch and compares the answer. `Some(true)`: appended, `None`: no memory or failed.
    fn offer(&mut self, bytes: &[u8], origin: Origin) -> Outcome<Option<bool>> {
        let (batch, _) = Batch::parse(bytes).expect("built here");
        let header = *batch.header();
        let epoch = self.model.epoch;
        let log = self.log.as_mut().expect("the log is open");
        let was_failed = log.is_failed();
        let answer = log.append_from(origin, self.now_ms, &mut self.memory, &batch, epoch);
        let (id, first) = (header.producer_id, header.base_sequence);
        let expected = match (id, origin) {
            (-1, _) => Expected::Append,
            (_, Origin::Coordinator) => self.model.expected_of_coordinator(&header),
            _ => self.model.expected(&header),
        };
        let fits = header.size() as u64 <= self.config.segment_bytes;
        match (answer, expected) {
            (Err(AppendError::Failed), _) if was_failed => Ok(None),
            (Err(AppendError::TooLarge { .. }), _) if !fits => Ok(None),
            (Err(AppendError::NoMemory), Expected::Append) => {
                self.evict();
                Ok(None)
            }
            (Ok(appended), Expected::Append) if !appended.duplicate => {
                self.figures.batches += 1;
                self.trace(|| format!("append {} at {}", header.size(), appended.base_offset));
                let kept = self.model.append(bytes, epoch);
                let wanted = (kept.header.base_offset, kept.header.last_offset());
                let found = (appended.base_offset, appended.last_offset);
                if wanted != found {
                    return Err(format!("appended at {found:?}, not at {wanted:?}"));
                }
                Ok(Some(true))
            }
            (
                Ok(Appended { base_offset, last_offset, duplicate: true, .. }),
                Expected::Duplicate(sent) | Expected::DuplicateOrRefused(sent),
            ) if (base_offset, last_offset) == (sent.base_offset, sent.last_offset) => {
                self.figures.duplicates += 1;
                Ok(Some(false))
            }
            (
                Err(AppendError::Producer(ProducerError::OutOfOrderSequence { .. })),
                Expected::OutOfOrder | Expected::DuplicateOrRefused(_),
            ) => Ok(Some(false)),
            (Err(AppendError::Producer(ProducerError::InvalidEpoch { .. })), Expected::Fenced) => {
                Ok(Some(false))
            }
            (
                Err(AppendError::Producer(ProducerError::InvalidTxnState)),
                Expected::OutsideTransaction,
            ) => Ok(Some(false)),
            (answer, expected) => {
                let what = format!("producer {id} epoch {} first {first}", header.producer_epoch);
                Err(format!("producer_state: {what}: {answer:?} instead of {expected:?}"))
            }
        }
    }

    fn evict(&mut self) -> u64 {
        self.trace(|| "evict".into());
        let bytes = self.random.pick(&[1, 16 << 10, u64::MAX]);
        self.log().evict(bytes)
    }

    fn begin_epoch(&mut self) {
        self.model.epoch += 1 + self.random.below(2) as i32;
        let epoch = self.model.epoch;
        self.log().begin_epoch(epoch);
    }

    /// The broker writes its checkpoint files.
    fn keep_recovery_point(&mut self) {
        self.recovery_point = self.log().recovery_point();
        self.log_start = self.model.log_start;
    }

    fn advance_start(&mut self) {
        // A snapshot that is damaged already may be the one that knows what goes now.
        if self.damaged.iter().any(|path| path.to_string_lossy().ends_with(".snapshot")) {
            return;
        }
        let ends: Vec<i64> = self.model.batches.iter().map(|b| b.header.last_offset()).collect();
        let upto = self.log().written_offset();
        let below = ends.partition_point(|&offset| offset <= upto);
        if below > 0 {
            let offset = ends[self.random.index(below)].max(self.model.log_start);
            self.trace(|| format!("log start {offset}"));
            self.model.log_start = offset;
            self.model.retired = self.model.retired.max(offset);
            if self.random.chance(1, 2) {
                self.log_start = offset; // else it comes into the checkpoint later
            }
            self.log().advance_log_start(offset);
            self.take_ops();
        }
    }

    fn truncate(&mut self) -> Outcome<()> {
        self.drain()?;
        if self.log().is_failed() || self.model.batches.is_empty() {
            return Ok(());
        }
        let at = self.random.index(self.model.batches.len());
        let header = self.model.batches[at].header;
        let inside = self.random.below(header.last_offset_delta as u64 + 1) as i64;
        let offset = header.base_offset + inside;
        if header.base_offset < self.model.log_start {
            return Ok(());
        }
        // The checkpoint moves back first, or recovery would trust what is written later.
        self.recovery_point = self.recovery_point.min(header.base_offset);
        self.trace(|| format!("truncate {offset} {}", header.base_offset));
        self.truncate_log(offset, header.base_offset)
    }
}

/// A batch that fits a segment, now and then barely.
fn batch(random: &mut Random, now_ms: i64, bytes_max: u64, options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    let records = random.pick(&[1, 1, 1, 2, 3, 10]);
    let bytes = match random.below(20) {
        0 => random.range(4000..10_000),
        1 => bytes_max - 100 - random.below(64),
        2 => bytes_max / 2,
        3 => 4096 - 80,
        _ => random.range(0..400),
    };
    for at in 0..records {
        let mut value = vec![0; (bytes / records) as usize];
        random.fill(&mut value);
        let late = random.pick(&[0, 0, 5, 300]);
        let key = (at % 2 == 0).then_some(&b"key"[..]);
        builder.push(now_ms - late, key, Some(&value), &[]);
    }
    builder.finish()
}
