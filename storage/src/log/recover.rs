//! One attempt to make sense of a directory, without changing it.
//!
//! What is believed unread ends at `trusted`: everything after a clean stop, the recovery point
//! after a crash. Producers are folded from the newest snapshot at or below it, so the scan begins
//! at the lower of the two. An attempt that meets something that contradicts its trust is followed
//! by one that trusts less.

use std::collections::VecDeque;
use std::path::Path;

use super::EPOCHS_NAME;
use super::append::note_producer;
use super::open::{
    Cut, CutReason, Listing, OpenError, RecoveryHint, RecoveryReport, SegmentFiles, at, flushed,
    next_file, remove_if_there,
};
use super::scan::{ScanEnd, ScanFrom, Scanner};
use crate::config::LogConfig;
use crate::epochs::EpochCache;
use crate::index::{OffsetIndex, SegmentIndexes, TIME_ENTRY_BYTES, TimeIndex};
use crate::ops::{Chunk, Disk, DiskError, DiskErrorKind};
use crate::producer::ProducerTable;
use crate::segment::{AbortedIndex, Indexes, SEGMENT_SUFFIXES, Segment, file_name};
use crate::tail::Tail;
use crate::transaction::{AbortedTxn, Marker, TXN_ENTRY_BYTES, check_index_size, decode_index};
use ringlog_wire::batch::{BatchHeader, HEADER_BYTES};

/// Bytes of the producer snapshots that an attempt makes for the bases of segments.
const BASE_SNAPSHOTS_BYTES_MAX: usize = 32 << 20;

/// Everything an attempt has found out.
pub(super) struct Outcome<C: Chunk> {
    pub segments: VecDeque<Segment<C>>,
    pub end: i64,
    pub epochs: EpochCache,
    pub epochs_changed: bool,
    pub producers: ProducerTable,
    pub report: RecoveryReport,
    /// Something is to be written so that the next opening may believe it.
    pub dirty: bool,
    /// Files to flush before that.
    pub scanned: Vec<i64>,
    pub snapshots: Vec<i64>,
    pub kept_snapshots: VecDeque<i64>,
    /// The producers at the bases of segments where no snapshot says it yet.
    pub base_snapshots: VecDeque<(i64, Vec<u8>)>,
    /// Segments whose index of aborted transactions on disk is another one.
    pub aborted_changed: Vec<i64>,
    /// The segment whose index of aborted transactions is none: nothing from there on is believed.
    distrusted: Option<i64>,
    pub files: u32,
}

/// See the module.
pub(super) struct Attempt<'a> {
    pub(super) scanner: Scanner<'a>,
    pub(super) dir: &'a Path,
    pub(super) config: &'a LogConfig,
    pub(super) listing: &'a Listing,
    clean: bool,
    trusted: i64,
    anchor: Option<i64>,
    base_snapshots: VecDeque<(i64, Vec<u8>)>,
    epochs: EpochCache,
    pub(super) producers: ProducerTable,
    /// Batches below it are in the snapshot.
    pub(super) producers_from: i64,
    pub(super) report: RecoveryReport,
    scanned: Vec<i64>,
    aborted_changed: Vec<i64>,
    distrusted: Option<i64>,
    files: u32,
}

/// What became of a segment.
enum Step<C: Chunk> {
    /// It is whole, or the last.
    Kept(Box<Segment<C>>, i64),
    /// It and all after it are not to be had.
    Gone(CutReason),
}

impl<'a> Attempt<'a> {
    /// Attempts, trusting less each time, until one fits.
    pub fn settle<C: Chunk>(
        disk: &mut dyn Disk,
        dir: &Path,
        config: &LogConfig,
        hint: RecoveryHint,
        listing: &Listing,
    ) -> Result<Outcome<C>, OpenError> {
        let last_base = listing.segments.last().map_or(0, |last| last.base_offset);
        let (mut clean, mut trusted) = (hint.clean, hint.recovery_point.max(0));
        if clean {
            trusted = i64::MAX;
        }
        let mut anchor = anchor(listing);
        loop {
            let trust = (clean, trusted, anchor);
            let outcome = Attempt::run(disk, dir, config, trust, listing)?;
            if let Some(base) = outcome.distrusted {
                // What the batches say of it follows from the producers before them.
                (clean, trusted, anchor) = (false, trusted.min(base), None);
                continue;
            }
            let snapshot_is_ahead = outcome.report.snapshot > Some(outcome.end);
            if clean && (outcome.report.cut.is_some() || snapshot_is_ahead) {
                // The marker lied. What was flushed before is still believed, but not the tail.
                clean = false;
                trusted = hint.recovery_point.clamp(0, last_base);
                continue;
            }
            if snapshot_is_ahead {
                (trusted, anchor) = (outcome.end, None);
                continue;
            }
            let mut outcome = outcome;
            let lost = outcome.end < hint.recovery_point && !listing.segments.is_empty();
            outcome.report.lost_below_recovery_point = lost;
            return Ok(outcome);
        }
    }

    fn run<C: Chunk>(
        disk: &mut dyn Disk,
        dir: &Path,
        config: &LogConfig,
        (clean, trusted, anchor): (bool, i64, Option<i64>),
        listing: &Listing,
    ) -> Result<Outcome<C>, OpenError> {
        let mut attempt = Attempt {
            scanner: Scanner::new(disk),
            dir,
            config,
            listing,
            clean,
            trusted,
            anchor,
            base_snapshots: VecDeque::new(),
            epochs: EpochCache::new(),
            producers: ProducerTable::new(config.producers_max),
            producers_from: 0,
            report: RecoveryReport { clean, ..RecoveryReport::default() },
            scanned: Vec::new(),
            aborted_changed: Vec::new(),
            distrusted: None,
            files: 0,
        };
        let first_base = listing.segments.first().map_or(0, |first| first.base_offset);
        attempt.load_snapshot(first_base)?;
        let epochs_found = attempt.load_epochs()?;
        let mut scan_from = attempt.producers_from.min(trusted);
        if attempt.report.epochs_rebuilt {
            scan_from = first_base;
        }
        if !clean {
            attempt.epochs.truncate_from_end(scan_from);
        }
        let (segments, end) = attempt.segments(scan_from)?;
        attempt.epochs.truncate_from_end(end);
        attempt.look_back()?;
        let Attempt { epochs, producers, mut report, scanned, files, scanner, .. } = attempt;
        let Attempt { base_snapshots, aborted_changed, distrusted, .. } = attempt;
        (report.scanned_bytes, report.scanned_batches) =
            (scanner.scanned_bytes, scanner.scanned_batches);
        let epochs_changed = epochs_found.as_ref() != Some(&epochs);
        let unsnapped = report.snapshot != Some(end) && end > first_base;
        let rebuilt = !report.rebuilt_indexes.is_empty();
        Ok(Outcome {
            dirty: !clean || unsnapped || rebuilt || epochs_changed || !aborted_changed.is_empty(),
            kept_snapshots: report.snapshot.into_iter().collect(),
            snapshots: listing.snapshots.clone(),
            base_snapshots,
            aborted_changed,
            distrusted,
            segments,
            end,
            epochs,
            epochs_changed,
            producers,
            report,
            scanned,
            files,
        })
    }

    /// The newest snapshot at or below what is trusted that decodes.
    fn load_snapshot(&mut self, first_base: i64) -> Result<(), OpenError> {
        self.producers_from = first_base;
        let listing = self.listing;
        let usable = listing.snapshots.iter().rev().filter(|&&offset| offset >= first_base);
        let anchor = self.anchor;
        let believed = |&&offset: &&i64| offset <= self.trusted || anchor == Some(offset);
        for &offset in usable.filter(believed) {
            let path = self.dir.join(file_name(offset, "snapshot"));
            let bytes = at(&path, self.scanner.disk().read_file(&path))?;
            if let Ok(table) = ProducerTable::decode_snapshot(&bytes, self.config.producers_max) {
                self.producers = table;
                self.producers_from = offset;
                self.report.snapshot = Some(offset);
                break;
            }
        }
        #[cfg(test)]
        if self.config.planted(crate::Planted::DropProducerSnapshot) {
            self.producers.clear();
        }
        Ok(())
    }

    /// Gives back what the file held: nothing when it is absent, `None` when it is garbage, which
    /// must not stay (Kafka stops serving the whole directory for it).
    fn load_epochs(&mut self) -> Result<Option<EpochCache>, OpenError> {
        let path = self.dir.join(EPOCHS_NAME);
        let found = match self.scanner.disk().read_file(&path) {
            Ok(bytes) => EpochCache::parse(&bytes).ok(),
            Err(DiskError { kind: DiskErrorKind::NotFound, .. }) => Some(EpochCache::new()),
            Err(error) => return Err(OpenError::Disk { path, error }),
        };
        let has_data = self.listing.segments.iter().any(|segment| segment.size > 0);
        // An empty table beside batches is not believed: without it divergence goes unnoticed.
        let is_doubtful = found.as_ref().is_none_or(|epochs| epochs.entries().is_empty());
        self.report.epochs_rebuilt = is_doubtful && has_data;
        self.epochs = found.clone().unwrap_or_default();
        Ok(found)
    }

    /// Goes through the segments, oldest first, until one ends the log.
    fn segments<C: Chunk>(
        &mut self,
        scan_from: i64,
    ) -> Result<(VecDeque<Segment<C>>, i64), OpenError> {
        let listing = self.listing;
        let mut kept: VecDeque<Segment<C>> = VecDeque::new();
        let mut end = listing.segments.first().map_or(0, |first| first.base_offset);
        let mut whole = true;
        for (index, files) in listing.segments.iter().enumerate() {
            let next_base = listing.segments.get(index + 1).map(|next| next.base_offset);
            self.note_base(index, files.base_offset);
            match self.segment(*files, next_base, (end, whole), scan_from)? {
                Step::Kept(segment, next) => {
                    end = next;
                    whole = segment.size == files.size;
                    kept.push_back(*segment);
                }
                Step::Gone(reason) => {
                    self.base_snapshots.retain(|(base, _)| *base != files.base_offset);
                    let from = &listing.segments[index..];
                    self.report.removed_segments = from.iter().map(|s| s.base_offset).collect();
                    if let (None, Some(last)) = (self.report.cut, kept.back()) {
                        let (base_offset, position) = (last.base_offset, last.size);
                        let cut = Cut { offset: end, base_offset, position, bytes: 0, reason };
                        self.report.cut = Some(cut);
                    }
                    break;
                }
            }
        }
        Ok((kept, end))
    }

    /// A segment comes next. The producers at its base, where they are known, let those before it
    /// be retired.
    fn note_base(&mut self, index: usize, base: i64) {
        let first = self.listing.segments.first().map_or(0, |first| first.base_offset);
        let is_known = first == 0 || self.report.snapshot.is_some();
        let is_wanted = index > 0 && !self.listing.snapshots.contains(&base);
        if self.clean || !is_wanted || !is_known || self.producers_from > base {
            return;
        }
        self.base_snapshots.push_back((base, self.producers.encode_snapshot()));
        let bytes: usize = self.base_snapshots.iter().map(|(_, bytes)| bytes.len()).sum();
        if bytes > BASE_SNAPSHOTS_BYTES_MAX {
            self.base_snapshots.pop_front();
        }
    }

    fn segment<C: Chunk>(
        &mut self,
        files: SegmentFiles,
        next_base: Option<i64>,
        (end, whole): (i64, bool),
        scan_from: i64,
    ) -> Result<Step<C>, OpenError> {
        let base_offset = files.base_offset;
        // Compaction leaves gaps, but never behind a segment that had to be cut.
        let gap_is_allowed = whole && (self.config.compacted || base_offset < self.trusted);
        if base_offset < end || (base_offset > end && !gap_is_allowed && !self.gaps_planted()) {
            return Ok(Step::Gone(CutReason::Gap { expected: end, found: base_offset }));
        }
        let file = next_file(&mut self.files);
        let mut segment = Segment::empty(file, base_offset, self.config.segment_index_bytes);
        segment.writer = None;
        segment.has_snapshot = self.listing.snapshots.contains(&base_offset);
        // A recovery point behind the next base was made after this segment was sealed. One right
        // at it may have been made before, and the file may still have its unwritten space.
        let is_below = next_base.is_some_and(|next| next < scan_from);
        if let (true, Some(next), true) = (is_below, next_base, indexes_are_there(&files))
            && self.adopt(&mut segment, &files)?
        {
            return Ok(Step::Kept(Box::new(segment), next));
        }
        let on_disk = self.believed_aborted(&mut segment, &files)?;
        let ended = self.scan_segment(&mut segment, &files, scan_from)?;
        if segment.aborted() != on_disk.as_deref() {
            self.aborted_changed.push(base_offset);
        }
        let next = ended.next.unwrap_or(base_offset);
        segment.tail = Tail::closed(segment.size);
        if let Some(reason) = ended.cut {
            let (position, bytes) = (segment.size, files.size - segment.size);
            let cut = Cut { offset: next, base_offset, position, bytes, reason };
            self.report.cut = Some(cut);
        }
        Ok(Step::Kept(Box::new(segment), next))
    }

    /// The aborted transactions below the snapshot of the producers: those whose markers are not
    /// read again. Gives back all that the file holds, `None` when it holds nothing good.
    fn believed_aborted<C: Chunk>(
        &mut self,
        segment: &mut Segment<C>,
        files: &SegmentFiles,
    ) -> Result<Option<Vec<AbortedTxn>>, OpenError> {
        let base = files.base_offset;
        if files.txnindex_size.is_none() {
            return Ok(Some(Vec::new()));
        }
        let path = self.dir.join(file_name(base, "txnindex"));
        let size = files.txnindex_size.unwrap_or(0);
        let found = match check_index_size(size) {
            Ok(()) => decode_index(base, &at(&path, self.scanner.disk().read_file(&path))?),
            Err(error) => Err(error),
        };
        let Ok(found) = found else {
            if base < self.producers_from {
                self.distrusted = self.distrusted.or(Some(base));
            }
            return Ok(None);
        };
        let believed = found.partition_point(|txn| txn.last_offset < self.producers_from);
        segment.aborted = AbortedIndex::Loaded(found[..believed].to_vec());
        Ok(Some(found))
    }

    /// Believes a closed segment: its indexes stay on disk, all but the largest timestamp. The
    /// first and the last entry of the time index have to fit each other: zeros or a cut show.
    fn adopt<C: Chunk>(
        &mut self,
        segment: &mut Segment<C>,
        files: &SegmentFiles,
    ) -> Result<bool, OpenError> {
        const ENTRY: u64 = TIME_ENTRY_BYTES as u64;
        let base = files.base_offset;
        let size = files.timeindex_size.unwrap_or(0);
        if size == 0 || !size.is_multiple_of(ENTRY) {
            return Ok(false);
        }
        let path = self.dir.join(file_name(base, "timeindex"));
        let mut ends = [0; 2 * TIME_ENTRY_BYTES];
        let (first, last) = ends.split_at_mut(TIME_ENTRY_BYTES);
        let mut read = at(&path, self.scanner.disk().read_at(&path, 0, first))?;
        if size > ENTRY {
            read += at(&path, self.scanner.disk().read_at(&path, size - ENTRY, last))?;
        }
        let decoded = TimeIndex::decode(base, &ends[..read], ends.len(), i64::MAX);
        let Ok(decoded) = decoded else { return Ok(false) };
        match self.adopt_aborted(files)? {
            Some(aborted) => segment.aborted = aborted,
            None => return Ok(false),
        }
        segment.max_timestamp = decoded.last();
        segment.size = files.size;
        segment.tail = Tail::closed(files.size);
        segment.indexes = Indexes::OnDisk;
        Ok(true)
    }

    /// Believes a closed segment's index of aborted transactions, if there is one whose last entry
    /// is good: zeros or a cut show there. `None`: it is none.
    fn adopt_aborted(&mut self, files: &SegmentFiles) -> Result<Option<AbortedIndex>, OpenError> {
        let size = match files.txnindex_size {
            None | Some(0) => return Ok(Some(AbortedIndex::Loaded(Vec::new()))),
            Some(size) if check_index_size(size).is_err() => return Ok(None),
            Some(size) => size,
        };
        let base = files.base_offset;
        let path = self.dir.join(file_name(base, "txnindex"));
        let mut last = [0; TXN_ENTRY_BYTES];
        let from = size - last.len() as u64;
        let read = at(&path, self.scanner.disk().read_at(&path, from, &mut last))?;
        let is_good = read == last.len() && decode_index(base, &last).is_ok();
        Ok(is_good.then_some(AbortedIndex::OnDisk))
    }

    /// Reads a segment from the last place that is believed to its end.
    fn scan_segment<C: Chunk>(
        &mut self,
        segment: &mut Segment<C>,
        files: &SegmentFiles,
        scan_from: i64,
    ) -> Result<ScanEnd, OpenError> {
        self.scanned.push(files.base_offset);
        let base = files.base_offset;
        if let Some((indexes, start)) = self.restore(files, scan_from)? {
            segment.first_timestamp = self.first_timestamp(files)?;
            segment.max_timestamp = indexes.max_timestamp();
            segment.indexes = Indexes::Loaded(Box::new(indexes));
            segment.size = start;
            let ended = self.scan_from(segment, files, start)?;
            if ended.position > start || start == 0 {
                if !self.clean {
                    self.report.rebuilt_indexes.push(base);
                }
                return Ok(ended);
            }
            // The very batch that the index names is bad: so much for the index.
            let fresh = SegmentIndexes::new(base, self.config.segment_index_bytes as usize);
            segment.max_timestamp = fresh.max_timestamp();
            segment.indexes = Indexes::Loaded(Box::new(fresh));
            segment.size = 0;
        }
        if files.size > 0 {
            self.report.rebuilt_indexes.push(base);
        }
        self.scan_from(segment, files, 0)
    }

    fn scan_from<C: Chunk>(
        &mut self,
        segment: &mut Segment<C>,
        files: &SegmentFiles,
        position: u64,
    ) -> Result<ScanEnd, OpenError> {
        let base_offset = files.base_offset;
        let gaps_below = if self.config.compacted || self.gaps_planted() || self.clean {
            i64::MAX
        } else {
            self.trusted
        };
        let from = ScanFrom {
            base_offset,
            position,
            size: files.size,
            expected: (position == 0).then_some(base_offset),
            gaps_below,
            epoch: self.epoch_before(segment, position),
            #[cfg(test)]
            skip_crc: self.config.planted(crate::Planted::SkipCrcOnRecovery),
        };
        let path = self.dir.join(file_name(base_offset, "log"));
        let interval = self.config.index_interval_bytes;
        let aborts_are_forgotten = self.aborts_are_forgotten();
        let Attempt { scanner, producers, producers_from, epochs, .. } = self;
        let found = |header: &BatchHeader, found_at: u64, marker: Option<&Marker>| {
            assert!(segment.size == found_at, "batches follow one another");
            if position > 0 && found_at == position {
                segment.size += header.size() as u64; // the index knows this one
            } else {
                segment.note(header, interval);
            }
            if header.base_offset >= *producers_from
                && let Some(ended) = note_producer(producers, header, marker)
                && !ended.committed
                && !aborts_are_forgotten
            {
                segment.aborted_mut().push(ended.txn);
            }
            let epoch = header.partition_leader_epoch;
            if epoch >= 0 && epochs.latest().is_none_or(|latest| latest.epoch < epoch) {
                epochs.assign(epoch, header.base_offset);
            }
        };
        at(&path, scanner.scan(&path, from, found))
    }

    fn epoch_before<C: Chunk>(&self, segment: &Segment<C>, position: u64) -> i32 {
        let start = match segment.loaded() {
            Some(indexes) if position > 0 => indexes.offset.last().offset,
            _ => segment.base_offset - 1,
        };
        self.epochs.epoch_for_offset(start).unwrap_or(-1)
    }

    /// A segment's indexes below what is trusted, and where the scan may begin.
    pub(super) fn restore(
        &mut self,
        files: &SegmentFiles,
        scan_from: i64,
    ) -> Result<Option<(SegmentIndexes, u64)>, OpenError> {
        let base = files.base_offset;
        if !indexes_are_there(files) || base >= scan_from {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for suffix in ["index", "timeindex"] {
            let path = self.dir.join(file_name(base, suffix));
            bytes.push(at(&path, self.scanner.disk().read_file(&path))?);
        }
        let bytes_max = self.config.segment_index_bytes as usize;
        let offset = OffsetIndex::decode(base, &bytes[0], bytes_max, i64::MAX, files.size);
        let time = TimeIndex::decode(base, &bytes[1], bytes_max, i64::MAX);
        let (Ok(mut offset), Ok(mut time)) = (offset, time) else { return Ok(None) };
        offset.truncate_to(scan_from);
        let start = offset.last();
        if start.position == 0 {
            return Ok(Some((SegmentIndexes::new(base, bytes_max), 0)));
        }
        time.truncate_to(start.offset + 1);
        let path = self.dir.join(file_name(base, "log"));
        let header = self.header_at(&path, u64::from(start.position))?;
        if header.is_none_or(|header| header.last_offset() != start.offset) {
            return Ok(None);
        }
        Ok(Some((SegmentIndexes::restored(offset, time), u64::from(start.position))))
    }

    fn header_at(&mut self, path: &Path, from: u64) -> Result<Option<BatchHeader>, OpenError> {
        let mut head = [0; HEADER_BYTES];
        let read = at(path, self.scanner.disk().read_at(path, from, &mut head))?;
        Ok(BatchHeader::parse(&head[..read]).ok())
    }

    fn first_timestamp(&mut self, files: &SegmentFiles) -> Result<i64, OpenError> {
        let path = self.dir.join(file_name(files.base_offset, "log"));
        Ok(self.header_at(&path, 0)?.map_or(-1, |header| header.max_timestamp))
    }

    #[cfg(test)]
    fn aborts_are_forgotten(&self) -> bool {
        self.config.planted(crate::Planted::ForgetAborts)
    }

    #[cfg(not(test))]
    fn aborts_are_forgotten(&self) -> bool {
        false
    }

    #[cfg(test)]
    fn gaps_planted(&self) -> bool {
        self.config.planted(crate::Planted::RecoverPastGap)
    }

    #[cfg(not(test))]
    fn gaps_planted(&self) -> bool {
        false
    }
}

impl<C: Chunk> Outcome<C> {
    /// Cuts what was found bad, the newest first, and flushes what was found good.
    pub fn make_cut(
        &self,
        disk: &mut dyn Disk,
        dir: &Path,
        listing: &Listing,
    ) -> Result<(), OpenError> {
        for base in self.report.removed_segments.iter().rev() {
            for suffix in SEGMENT_SUFFIXES {
                let path = dir.join(file_name(*base, suffix));
                at(&path, remove_if_there(disk, &path))?;
            }
        }
        for segment in &self.segments {
            let path = dir.join(segment.log_name());
            let files = listing.segments.iter().find(|f| f.base_offset == segment.base_offset);
            if files.is_some_and(|files| files.size > segment.size) {
                at(&path, disk.truncate(&path, segment.size))?;
            }
            if self.dirty && self.scanned.contains(&segment.base_offset) {
                flushed(&path, disk.sync(&path))?;
            }
        }
        if self.dirty && !listing.segments.is_empty() {
            at(dir, disk.sync_dir(dir))?;
        }
        Ok(())
    }
}

/// The first segment whose producer snapshot is there, if segments were retired. A snapshot at a
/// segment's base is written when everything before it is flushed: it is true however far behind
/// the checkpoint of the recovery point is, and nothing else knows the producers of what is gone.
fn anchor(listing: &Listing) -> Option<i64> {
    let mut bases = listing.segments.iter().map(|files| files.base_offset);
    let is_cut = listing.segments.first().is_some_and(|first| first.base_offset > 0);
    if is_cut { bases.find(|base| listing.snapshots.contains(base)) } else { None }
}

/// Whether index files are there that may be those of the segment.
fn indexes_are_there(files: &SegmentFiles) -> bool {
    files.index_size.is_some() && files.timeindex_size.is_some_and(|size| size > 0)
}
