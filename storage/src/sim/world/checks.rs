//! What is compared with the model, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::model::{Kept, rebuilt};
use super::{DIR, Outcome, World};
use crate::epochs::EpochCache;
use crate::index::{OffsetIndex, TimeIndex};
use crate::producer::{ProducerEntry, ProducerTable};
use crate::sim::{SimDisk, SimMemory};
use crate::transaction::{AbortedTxn, decode_index, encode_index};
use crate::{AbortedSearch, DiskPlan, IndexPlan, Log, ReadError, ReadPlan, TimePlan, TimeStep};

/// Steps of one read.
const READ_STEPS_MAX: usize = 100;

impl World {
    /// The log has been opened: it holds what was promised, and nothing that was never appended.
    pub(super) fn check_opened(&mut self) -> Outcome<()> {
        let log = self.log.as_ref().expect("the log is open");
        let end = log.end_offset();
        let promised = if self.clean { self.model.end() } else { self.model.written };
        if end < promised {
            return Err(format!("lost_ack: ends at {end}, {promised} was promised"));
        }
        let first = self.bases().first().copied().unwrap_or(0);
        if first > self.model.retired.max(self.model.base) {
            return Err(format!("retired: begins at {first}, not at {}", self.model.retired));
        }
        // A checkpoint that is behind the segments that are gone gives way to them.
        self.log_start = self.log_start.max(first);
        let anew = self.bases().iter().all(|&base| base >= self.log_start);
        if end == self.log_start && anew && self.model.written < end {
            self.model.begin_anew(end);
        }
        if end > self.model.end() || !self.model.is_boundary(end) {
            return Err(format!("invented: ends at {end}, appended up to {}", self.model.end()));
        }
        if log.log_start_offset() != self.log_start {
            return Err(format!("starts at {}, not {}", log.log_start_offset(), self.log_start));
        }
        self.model.cut(end);
        self.model.log_start = self.log_start;
        self.model.reopened();
        self.check_files()?;
        self.check_producers()?;
        self.check_epochs()?;
        let start = self.model.log_start;
        self.read_range(start, end, usize::MAX, true)?;
        self.check_aborted(start, end)?;
        self.check_aborted(start, self.model.last_stable(end))?;
        self.look()
    }

    /// The files hold the model's batches.
    fn check_files(&self) -> Outcome<()> {
        let bases = self.bases();
        for (at, &base) in bases.iter().enumerate() {
            let next = bases.get(at + 1).copied().unwrap_or(i64::MAX);
            let expected: Vec<&[u8]> =
                self.model.between(base, next).iter().map(|kept| kept.bytes.as_slice()).collect();
            let expected = expected.concat();
            let found = self.disk.content(&path(base, "log")).unwrap_or_default();
            if found.get(..expected.len()) != Some(&expected) {
                let same = found.iter().zip(&expected).take_while(|(a, b)| a == b).count();
                let sizes = format!("{} of {}", found.len(), expected.len());
                return Err(format!("content: segment {base} differs at {same} ({sizes} bytes)"));
            }
        }
        let first = bases.first().copied().unwrap_or(0);
        let needed = |kept: &&Kept| kept.header.last_offset() >= self.model.retired;
        match self.model.batches.iter().find(needed) {
            Some(kept) if kept.header.base_offset < first => Err(format!("begins at {first}")),
            Some(_) if bases.is_empty() => Err("no segment is left".into()),
            _ => Ok(()),
        }
    }

    /// The base offsets of the segments on disk.
    fn bases(&self) -> Vec<i64> {
        let base = |(path, _): (PathBuf, u64)| {
            let stem = path.file_name()?.to_str()?.strip_suffix(".log")?;
            stem.parse().ok()
        };
        self.disk.files().into_iter().filter_map(base).collect()
    }

    fn check_producers(&self) -> Outcome<()> {
        let table = self.log.as_ref().expect("the log is open").producers();
        let known = &self.model.producers.known;
        if table.count() != known.len() {
            let (found, wanted) = (table.count(), known.len());
            return Err(format!("producer_state: {found} producers, not {wanted}"));
        }
        for (id, known) in known {
            let entry = table.get(*id).ok_or(format!("producer_state: {id} is forgotten"))?;
            let found = entry.batches();
            let same = found.len() <= known.window.len()
                && found.is_empty() == known.window.is_empty()
                && found.iter().rev().zip(known.window.iter().rev()).all(|(found, sent)| {
                    (found.first_sequence(), found.last_sequence) == (sent.first, sent.last)
                        && (found.base_offset(), found.last_offset)
                            == (sent.base_offset, sent.last_offset)
                });
            if !same || state_of(entry) != (known.epoch, known.coordinator_epoch, known.open) {
                return Err(format!("producer_state: {id} has {entry:?}, not {known:?}"));
            }
        }
        let open: Vec<_> = table.open_transactions().map(|(first, _)| first).collect();
        let mut wanted: Vec<_> = known.values().filter_map(|known| known.open).collect();
        wanted.sort_unstable();
        match open == wanted {
            true => Ok(()),
            false => Err(format!("transactions: {open:?} are open, not {wanted:?}")),
        }
    }

    /// How far everything is decided, were everything below either offset replicated.
    pub(super) fn check_stable(&mut self) -> Outcome<()> {
        let Some(log) = self.log.as_mut() else { return Ok(()) };
        let (written, end) = (log.written_offset(), log.end_offset());
        for high_watermark in [written, end] {
            let found = log.last_stable_offset(high_watermark);
            let wanted = self.model.last_stable(high_watermark);
            if found != wanted {
                return Err(format!("stable: {found}, not {wanted}, below {high_watermark}"));
            }
        }
        log.replicated(written);
        self.model.producers.decided.retain(|(_, marker)| *marker >= written);
        Ok(())
    }

    /// Asks which aborted transactions the reader of a random range meets.
    pub(super) fn look_up_aborted(&mut self) -> Outcome<()> {
        let (start, end) = (self.model.log_start, self.model.end());
        let from = start + self.random.below((end - start + 1) as u64) as i64;
        let upto = from + self.random.below((end - from + 1) as u64) as i64;
        self.check_aborted(from, upto)
    }

    fn check_aborted(&mut self, from: i64, upto: i64) -> Outcome<()> {
        let what = format!("aborted in {from}..{upto}");
        let log = self.log.as_mut().expect("the log is open");
        let mut search = AbortedSearch::new(from, upto);
        loop {
            let plan =
                log.find_aborted(&mut search).map_err(|error| format!("{what}: {error:?}"))?;
            let Some(plan) = plan else { break };
            let bytes = self.disk.content(&Path::new(DIR).join(&plan.path)).unwrap_or_default();
            match log.load_aborted(&mut search, &plan, bytes) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return Err(format!("{what}: {error:?}, {plan:?}")),
            }
        }
        // One that ends later may begin in the range: nobody is told records of it.
        let stable = self.model.last_stable(self.model.end());
        let overlaps = |txn: &&AbortedTxn| txn.overlaps(from, upto);
        let wanted: Vec<_> =
            self.model.producers.aborted.iter().filter(overlaps).copied().collect();
        let found = search.found();
        if upto <= stable && found != wanted {
            return Err(format!("{what}: {found:?}, not {wanted:?}"));
        }
        match found.iter().all(|txn| wanted.contains(txn)) {
            true => Ok(()),
            false => Err(format!("{what}: {found:?} instead of {wanted:?}")),
        }
    }

    fn check_epochs(&self) -> Outcome<()> {
        let epochs = self.log.as_ref().expect("the log is open").epochs();
        epochs_match(epochs, &self.model.batches, self.model.log_start)
    }

    /// Reads a random range and compares it.
    pub(super) fn read(&mut self) -> Outcome<()> {
        if self.log().is_failed() {
            return Ok(()); // a flush that failed may have lost what was written
        }
        let (start, end) = (self.model.log_start, self.model.end());
        let from = start + self.random.below((end - start + 1) as u64) as i64;
        let upto = from + self.random.below((end - from + 1) as u64) as i64;
        let bytes_max = self.random.pick(&[1, 100, 4096, 20_000, 1 << 20]);
        let min_one = self.random.chance(2, 3);
        self.read_range(from, upto, bytes_max, min_one)
    }

    /// Reads until nothing more comes, and compares with the model.
    fn read_range(&mut self, from: i64, upto: i64, max: usize, min_one: bool) -> Outcome<()> {
        let mut next = from;
        for _ in 0..self.model.batches.len() + 1 {
            self.figures.reads += 1;
            let found = self.read_once(next, upto, max, min_one)?;
            let first = self.model.batches.partition_point(|b| b.header.next_offset() <= next);
            let whole = |kept: &&Kept| kept.header.next_offset() <= upto;
            let wanted = self.model.batches[first..].iter().take_while(whole);
            let what = format!("read {next}..{upto} max {max} min_one {min_one}");
            let mut at = 0;
            let mut end = next;
            let mut next_size = 0;
            for kept in wanted {
                if at == found.len() {
                    next_size = kept.bytes.len();
                    break;
                }
                if !found[at..].starts_with(&kept.bytes) {
                    return Err(format!("{what}: wrong bytes for {}", kept.header.base_offset));
                }
                at += kept.bytes.len();
                end = kept.header.next_offset();
            }
            if at < found.len() {
                return Err(format!("{what}: {} bytes too many", found.len() - at));
            }
            if at > max && !(min_one && self.model.batches[first].bytes.len() == at) {
                return Err(format!("{what}: {at} bytes"));
            }
            if at == 0 {
                let nothing_fits = next_size == 0 || (next_size > max && !min_one);
                return if nothing_fits { Ok(()) } else { Err(format!("{what}: nothing")) };
            }
            next = end;
        }
        Err("a read never ends".into())
    }

    fn read_once(
        &mut self,
        from: i64,
        upto: i64,
        bytes_max: usize,
        min_one: bool,
    ) -> Outcome<Vec<u8>> {
        let what = format!("read {from}..{upto}");
        let bytes_max = bytes_max.min(1 << 20);
        let log = self.log.as_mut().expect("the log is open");
        let mut again: Option<DiskPlan> = None;
        for _ in 0..READ_STEPS_MAX {
            let plan = match again.take() {
                Some(plan) => ReadPlan::Disk(plan),
                None => log
                    .read(from, upto, bytes_max, min_one)
                    .map_err(|error| format!("{what}: {error:?}"))?,
            };
            match plan {
                ReadPlan::Empty => return Ok(Vec::new()),
                ReadPlan::Memory { slices, bytes } => {
                    let parts: Vec<&[u8]> = slices.iter().map(|slice| slice.as_ref()).collect();
                    let found = parts.concat();
                    let same = found.len() == bytes;
                    return if same { Ok(found) } else { Err(format!("{what}: size")) };
                }
                ReadPlan::Index(plan) => load_index(&self.disk, log, &plan),
                ReadPlan::Disk(plan) => {
                    let raw = raw(&self.disk, &plan);
                    match log.finish_read(&plan, from, upto, bytes_max, min_one, raw) {
                        Ok(range) => return Ok(raw[range].to_vec()),
                        Err(ReadError::NeedMore(plan)) => again = Some(plan),
                        Err(error) => return Err(format!("{what}: {error:?}, {plan:?}")),
                    }
                }
            }
        }
        Err(format!("{what}: no end of plans"))
    }

    /// Asks for the first record at or after a time.
    pub(super) fn look_up_time(&mut self) -> Outcome<()> {
        if self.log().is_failed() {
            return Ok(());
        }
        let youngest = self.now_ms as u64 + 10;
        let oldest = youngest.saturating_sub(self.random.below(20_000));
        let target = self.random.range(oldest..youngest + 1) as i64;
        let (start, upto) = (self.model.log_start, self.model.end());
        let wanted = self.model.first_since(target, start);
        let found = self.find_time(target, start, upto)?;
        if found == wanted {
            return Ok(());
        }
        Err(format!("time {target}: {found:?}, not {wanted:?}"))
    }

    fn find_time(&mut self, target: i64, start: i64, upto: i64) -> Outcome<Option<(i64, i64)>> {
        let what = format!("time {target} from {start}");
        let log = self.log.as_mut().expect("the log is open");
        let mut from = start;
        let mut again: Option<DiskPlan> = None;
        for _ in 0..READ_STEPS_MAX {
            let plan = match again.take() {
                Some(plan) => TimePlan::Disk(plan),
                None => log.offset_for_timestamp(target, from, upto),
            };
            match plan {
                TimePlan::Found(found) => return Ok(Some((found.offset, found.timestamp))),
                TimePlan::NotFound => return Ok(None),
                TimePlan::Open(_) => return Err(format!("{what}: nothing is compressed")),
                TimePlan::Index(plan) => load_index(&self.disk, log, &plan),
                TimePlan::Disk(plan) => {
                    let raw = raw(&self.disk, &plan);
                    match log.finish_offset_for_timestamp(&plan, target, from, upto, raw) {
                        Ok(TimeStep::Found(found)) => {
                            return Ok(Some((found.offset, found.timestamp)));
                        }
                        Ok(TimeStep::NotFound) => return Ok(None),
                        Ok(TimeStep::Open(_)) => {
                            return Err(format!("{what}: nothing is compressed"));
                        }
                        Ok(TimeStep::Continue { from: next }) => from = next,
                        Err(ReadError::NeedMore(plan)) => again = Some(plan),
                        Err(error) => return Err(format!("{what}: {error:?}, {plan:?}")),
                    }
                }
            }
        }
        Err(format!("{what}: no end of plans"))
    }

    /// Cuts the log, and the model with it.
    pub(super) fn truncate_log(&mut self, offset: i64, base: i64) -> Outcome<()> {
        let faults = self.disk.faults_count();
        let log = self.log.as_mut().expect("the log is open");
        let result = log.truncate_to(&mut self.disk, offset);
        if let Err(error) = result {
            if self.disk.faults_count() == faults {
                return Err(format!("truncate to {offset}: {error:?}"));
            }
            // Cut or not: what lies above is promised no more.
            self.model.written = self.model.written.min(base);
            self.model.flushed = self.model.flushed.min(base);
            return self.crash(self.plan.crash);
        }
        self.model.cut(base);
        self.model.reopened();
        self.check_producers()?;
        self.check_epochs()?;
        self.check_aborted(self.model.log_start, self.model.end())?;
        self.look()
    }

    /// A clean stop: what is on disk is exactly what Kafka would leave.
    pub(super) fn check_closed(&self) -> Outcome<()> {
        let mut expected = BTreeSet::new();
        let bases = self.bases();
        for (at, &base) in bases.iter().enumerate() {
            let next = bases.get(at + 1).copied().unwrap_or(i64::MAX);
            self.check_closed_segment(base, self.model.between(base, next))?;
            expected.extend(["log", "index", "timeindex"].map(|suffix| path(base, suffix)));
            expected.extend(self.check_closed_aborted(base, next)?);
        }
        for base in bases.into_iter().chain([self.model.end()]) {
            let path = path(base, "snapshot");
            if let Some(bytes) = self.disk.content(&path) {
                if !self.damaged.contains(&path) {
                    self.check_snapshot(base, bytes)?;
                }
                expected.insert(path);
            } else if base == self.model.end() && !self.model.batches.is_empty() {
                return Err(format!("closed: no producer snapshot at {base}"));
            }
        }
        let dir = Path::new(DIR);
        let epochs = self.disk.content(&dir.join("leader-epoch-checkpoint")).unwrap_or_default();
        let epochs = EpochCache::parse(epochs).map_err(|error| format!("closed: {error}"))?;
        epochs_match(&epochs, &self.model.batches, self.model.log_start)?;
        expected.extend(["leader-epoch-checkpoint", "partition.metadata"].map(|f| dir.join(f)));
        for (path, _) in self.disk.files() {
            if !expected.contains(&path) {
                return Err(format!("closed: stray file {}", path.display()));
            }
        }
        self.check_files()
    }

    /// The index of aborted transactions, where there are any.
    fn check_closed_aborted(&self, base: i64, next: i64) -> Outcome<Option<PathBuf>> {
        let path = path(base, "txnindex");
        let is_here = |txn: &&AbortedTxn| (base..next).contains(&txn.last_offset);
        let here: Vec<_> = self.model.producers.aborted.iter().filter(is_here).copied().collect();
        let found = self.disk.content(&path);
        match found.unwrap_or_default() == encode_index(&here) {
            true => Ok(found.is_some_and(|bytes| !bytes.is_empty()).then_some(path)),
            false => {
                let found = decode_index(base, found.unwrap_or_default());
                Err(format!("closed: {} has {found:?}, not {here:?}", path.display()))
            }
        }
    }

    fn check_closed_segment(&self, base: i64, batches: &[Kept]) -> Outcome<()> {
        let file = |suffix| {
            let content = self.disk.content(&path(base, suffix));
            content.ok_or(format!("closed: {base:020}.{suffix} is missing"))
        };
        let size = file("log")?.len();
        let wanted: usize = batches.iter().map(|kept| kept.bytes.len()).sum();
        if size != wanted {
            return Err(format!("closed: segment {base} has {size} bytes, not {wanted}"));
        }
        if ["index", "timeindex"].iter().any(|suffix| self.damaged.contains(&path(base, suffix))) {
            return Ok(());
        }
        let interval = self.config.index_interval_bytes;
        let max = self.config.segment_index_bytes;
        let mut indexes = rebuilt(base, batches, interval, max);
        let end = batches.last().map_or(base, |kept| kept.header.next_offset());
        let offset = OffsetIndex::decode(base, file("index")?, max as usize, end, size as u64);
        if offset != Ok(indexes.offset.clone()) {
            return Err(format!("indexes: {base} has {offset:?}, not {:?}", indexes.offset));
        }
        let time = TimeIndex::decode(base, file("timeindex")?, max as usize, end);
        let time = time.map_err(|error| format!("indexes: {base:020}.timeindex: {error}"))?;
        indexes.close();
        // Each close adds an entry; a log that goes on afterwards keeps it.
        let mut largest = Vec::new();
        for kept in batches {
            if largest.last().is_none_or(|&(t, _)| t < kept.header.max_timestamp) {
                largest.push((kept.header.max_timestamp, kept.header.last_offset()));
            }
        }
        let found: Vec<_> = time.iter().map(|entry| (entry.timestamp, entry.offset)).collect();
        let all_true = found.iter().all(|entry| largest.contains(entry));
        let all_there = indexes.time.iter().all(|e| found.contains(&(e.timestamp, e.offset)));
        if !all_true || !all_there || found.last() != largest.last() {
            return Err(format!("indexes: {base} has {found:?}, not {:?}", indexes.time));
        }
        Ok(())
    }

    fn check_snapshot(&self, offset: i64, bytes: &[u8]) -> Outcome<()> {
        let table = ProducerTable::decode_snapshot(bytes, 1 << 20)
            .map_err(|error| format!("snapshot {offset}: {error}"))?;
        let wanted = self.model.producers_at(offset);
        let found: BTreeMap<_, _> = table
            .iter()
            .map(|(id, entry)| (id, (state_of(entry), entry.last().map(|last| last.last_offset))))
            .collect();
        let wanted: BTreeMap<_, _> = wanted
            .iter()
            .map(|(id, known)| {
                let state = (known.epoch, known.coordinator_epoch, known.open);
                (*id, (state, known.window.last().map(|last| last.last_offset)))
            })
            .collect();
        if found != wanted {
            return Err(format!("snapshot {offset} has {found:?}, not {wanted:?}"));
        }
        Ok(())
    }
}

/// (epoch, coordinator epoch, first offset of the open transaction)
fn state_of(entry: &ProducerEntry) -> (i16, i32, Option<i64>) {
    (entry.epoch, entry.coordinator_epoch, entry.transaction_first_offset)
}

/// What a plan's range holds.
fn raw<'a>(disk: &'a SimDisk, plan: &DiskPlan) -> &'a [u8] {
    let file = disk.content(&Path::new(DIR).join(&plan.path)).unwrap_or_default();
    let from = (plan.at as usize).min(file.len());
    &file[from..file.len().min(from + plan.bytes)]
}

fn load_index(disk: &SimDisk, log: &mut Log<SimMemory>, plan: &IndexPlan) {
    let content = |name: &Path| disk.content(&Path::new(DIR).join(name)).unwrap_or_default();
    log.load_index(plan.file, content(&plan.index), content(&plan.timeindex));
}

fn path(base: i64, suffix: &str) -> PathBuf {
    Path::new(DIR).join(format!("{base:020}.{suffix}"))
}

/// Every batch's epoch is what the table says of its offset; both columns increase by construction.
fn epochs_match(epochs: &EpochCache, batches: &[Kept], log_start: i64) -> Outcome<()> {
    let kept = batches.iter().filter(|kept| kept.header.last_offset() >= log_start);
    for Kept { header, .. } in kept {
        let found = epochs.epoch_for_offset(header.base_offset.max(log_start));
        if found != Some(header.partition_leader_epoch) {
            let (base, wanted) = (header.base_offset, header.partition_leader_epoch);
            return Err(format!("epochs: {base} is of {wanted}, not {found:?}: {epochs:?}"));
        }
    }
    Ok(())
}
