//! Cold reads: what is not in a log's memory is read from its files, on the ring, in as many steps
//! as the log's plans say, and ends in a fetch or in a search by time.
//!
//! Invariant: a read that was begun ends exactly once, with slices or with Kafka's code.

use std::collections::VecDeque;
use std::io;

use ringlog_shard::buf::{ReadBuf, Slice};
use ringlog_shard::fs::{File, OpenMode};
use ringlog_storage::{
    AbortedPlan, AbortedSearch, DiskPlan, FileId, IndexPlan, OpenBatch, ReadError, ReadPlan,
    TimeAnswer,
};
use ringlog_wire::batch::{BatchError, Codecs};
use ringlog_wire::error::ErrorCode;

use super::segment_file::open_segment;
use super::{DiskWork, ShardCore, Shell};
use crate::message::Message;
use crate::metrics::DiskKindOf;
use crate::partition::read_error;
use crate::slab::Key;

/// The part of the pool that read buffers may have: clients that ask for much and read nothing must
/// not hold up those who write.
pub(super) const READING_SHARE: usize = 2;
/// Most bytes of one read: a read buffer holds no more.
const READ_BYTES_MAX: usize = 1 << 20;
/// Handles of sealed segments that one partition keeps open for readers.
const READ_FILES_MAX: usize = 8;

/// Compressed batches that one shard opens at the same time for searches by time.
const SEARCHES_MAX: usize = 2;

/// Searches by time that open compressed batches.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    running: usize,
    /// Those whose turn comes later. Bounded by the partitions of the requests in flight.
    waiting: VecDeque<ColdRead>,
}

/// Who a read is for.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of the request they belong to")]
pub enum ReadFor {
    /// The fetch's entry `at`, in that pass.
    Fetch { request: Key, pass: u32, at: usize, from: i64, upto: i64, bytes_max: usize },
    /// A coordinator's log, read from its beginning.
    Load { slot: Key, from: i64, upto: i64, bytes_max: usize },
    /// A search by time.
    Offsets { request: Key, at: usize, target: i64, from: i64, upto: i64 },
}

impl ReadFor {
    /// What batches it wants: from, up to, most bytes. `None` for a search.
    fn range(&self) -> Option<(i64, i64, usize)> {
        match *self {
            ReadFor::Fetch { from, upto, bytes_max, .. }
            | ReadFor::Load { from, upto, bytes_max, .. } => Some((from, upto, bytes_max)),
            ReadFor::Offsets { .. } => None,
        }
    }
}

/// A read in progress.
#[derive(Clone, Debug)]
pub struct ColdRead {
    /// The log.
    pub slot: Key,
    /// Who wants it.
    pub purpose: ReadFor,
    /// The next step.
    pub plan: ReadPlan<Slice>,
}

/// What a read on the helper thread brought.
#[derive(Debug)]
pub enum BlockingRead {
    /// A handle to a segment.
    File(FileId, io::Result<File>),
    /// The two index files of a segment.
    Index(FileId, Vec<u8>, Vec<u8>),
    /// More bytes than a read buffer holds.
    Large(DiskPlan, io::Result<Vec<u8>>),
    /// What a compressed batch says to a search by time: an answer, or where to go on.
    Searched(Result<Result<TimeAnswer, i64>, BatchError>),
    /// A segment's index of aborted transactions.
    Aborted(AbortedSearch, AbortedPlan, io::Result<Vec<u8>>),
}

/// Cuts a first attempt to what one read buffer holds: whole batches of it are an answer. A batch
/// that does not fit makes the log ask for more, and that is read on the helper thread.
pub(crate) fn within_a_read(mut plan: ReadPlan<Slice>) -> ReadPlan<Slice> {
    if let ReadPlan::Disk(plan) = &mut plan {
        plan.bytes = plan.bytes.min(READ_BYTES_MAX);
    }
    plan
}

/// Whether readers may have so many bytes more. One that is alone may have any number: the largest
/// batch must get through.
fn may_read(core: &mut ShardCore, bytes: usize) -> bool {
    let pool = core.pool();
    let reading = pool.reading_bytes();
    reading == 0 || reading + bytes <= pool.budget_bytes() / READING_SHARE
}

impl Shell {
    /// Takes the next step of a read.
    pub(crate) fn start_read(&mut self, core: &mut ShardCore, read: ColdRead) {
        match &read.plan {
            ReadPlan::Disk(plan) if plan.bytes > READ_BYTES_MAX => {
                let plan = plan.clone();
                self.read_large(core, read, plan);
            }
            ReadPlan::Disk(plan) => {
                let plan = plan.clone();
                self.read_on_ring(core, read, &plan);
            }
            ReadPlan::Index(plan) => {
                let plan = plan.clone();
                self.read_index(core, read, plan);
            }
            ReadPlan::Memory { slices, .. } => {
                let slices = slices.clone();
                self.end_read(core, read.purpose, Ok(slices));
            }
            ReadPlan::Empty => self.end_read(core, read.purpose, Ok(Vec::new())),
        }
    }

    fn read_on_ring(&mut self, core: &mut ShardCore, read: ColdRead, plan: &DiskPlan) {
        let Some(hosted) = self.logs.get(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        let Some(file) = hosted.read_file(plan.file) else {
            let path = hosted.partition.log.dir().join(&plan.path);
            let (data, io, id) = (self.shared.data.clone(), self.shared.config.io, plan.file);
            let job =
                move || BlockingRead::File(id, open_segment(&data, &path, io, OpenMode::Read));
            return Self::read_blocking(core, read, job);
        };
        self.make_room(core, plan.bytes);
        let may_read = may_read(core, plan.bytes);
        let Some(buffer) = may_read.then(|| core.pool().read_buf(plan.bytes)).flatten() else {
            // All that readers may have is waiting to be sent: the client asks again, a reader as
            // it does anyway, a search because it is told so.
            return self.end_read(core, read.purpose, Ok(Vec::new()));
        };
        let at = plan.at;
        let begun = self.counters.disk_begun(DiskKindOf::Read, core.now());
        let token = self.disk_works.insert(DiskWork::Read(read, begun)).to_u64();
        core.read(&file, at, buffer, token);
    }

    fn read_index(&mut self, core: &mut ShardCore, read: ColdRead, plan: IndexPlan) {
        let Some(hosted) = self.logs.get(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        let dir = hosted.partition.log.dir().to_path_buf();
        let data = self.shared.data.clone();
        let job = move || {
            // A file that is missing or unreadable counts as empty: the log then scans instead.
            let index = data.read_file(dir.join(&plan.index)).unwrap_or_default();
            let timeindex = data.read_file(dir.join(&plan.timeindex)).unwrap_or_default();
            BlockingRead::Index(plan.file, index, timeindex)
        };
        Self::read_blocking(core, read, job);
    }

    /// Reads a segment's index of aborted transactions.
    pub(crate) fn read_aborted_index(
        &mut self,
        core: &mut ShardCore,
        read: ColdRead,
        search: AbortedSearch,
        plan: AbortedPlan,
    ) {
        let path = self.logs.get(read.slot).map(|it| it.partition.log.dir().join(&plan.path));
        let data = self.shared.data.clone();
        let job = move || {
            let bytes = match path {
                Some(path) => data.read_file(path),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            BlockingRead::Aborted(search, plan, bytes)
        };
        Self::read_blocking(core, read, job);
    }

    /// A batch larger than a read buffer: rare enough for the helper thread.
    fn read_large(&mut self, core: &mut ShardCore, read: ColdRead, plan: DiskPlan) {
        if !may_read(core, plan.bytes) {
            return self.end_read(core, read.purpose, Ok(Vec::new()));
        }
        let Some(hosted) = self.logs.get(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        let path = hosted.partition.log.dir().join(&plan.path);
        let data = self.shared.data.clone();
        let job = move || {
            let mut bytes = vec![0; plan.bytes];
            let result = data.read_at(&path, plan.at, &mut bytes).map(|count| {
                bytes.truncate(count);
                bytes
            });
            BlockingRead::Large(plan, result)
        };
        Self::read_blocking(core, read, job);
    }

    /// Opens a compressed batch for a search by time: on the helper thread, so that it delays
    /// nobody's records, and few at a time, so that they delay no new segment for long.
    pub(crate) fn search_batch(&mut self, core: &mut ShardCore, read: ColdRead, batch: OpenBatch) {
        if self.searches.running == SEARCHES_MAX {
            // The bytes are found again when it has its turn.
            self.searches.waiting.push_back(read);
            return;
        }
        self.searches.running += 1;
        let job = move || BlockingRead::Searched(batch.search(&mut Codecs::new()));
        Self::read_blocking(core, read, job);
    }

    /// A search has ended: the next one begins.
    fn search_ended(&mut self, core: &mut ShardCore) {
        self.searches.running -= 1;
        while self.searches.running < SEARCHES_MAX
            && let Some(read) = self.searches.waiting.pop_front()
        {
            self.time_read_again(core, read);
        }
    }

    fn read_blocking(
        core: &mut ShardCore,
        read: ColdRead,
        job: impl FnOnce() -> BlockingRead + Send + 'static,
    ) {
        core.blocking(Box::new(move || Message::BlockingRead {
            read: Box::new(read),
            result: job(),
        }));
    }

    /// A step on the helper thread has ended.
    pub(super) fn blocking_read_done(
        &mut self,
        core: &mut ShardCore,
        read: ColdRead,
        result: BlockingRead,
    ) {
        if let BlockingRead::Searched(found) = result {
            self.batch_searched(core, read, found);
            return self.search_ended(core);
        }
        if let BlockingRead::Aborted(search, plan, bytes) = result {
            return self.aborted_came(core, &read, (search, plan), bytes);
        }
        let Some(hosted) = self.logs.get_mut(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        match result {
            BlockingRead::Searched(_) | BlockingRead::Aborted(..) => {
                unreachable!("it was just handled")
            }
            // Its space would not be free before this handle goes.
            BlockingRead::File(id, Ok(_)) if hosted.partition.log.is_retired(id) => {
                self.read_again(core, read);
            }
            BlockingRead::File(id, Ok(file)) => {
                hosted.keep_read_file(id, file, READ_FILES_MAX);
                self.start_read(core, read);
            }
            BlockingRead::Index(id, index, timeindex) => {
                hosted.partition.log.load_index(id, &index, &timeindex);
                self.read_again(core, read);
            }
            BlockingRead::Large(plan, Ok(bytes)) => self.read_came(core, read, &plan, &bytes, None),
            BlockingRead::File(_, Err(error)) | BlockingRead::Large(_, Err(error)) => {
                self.read_failed(core, &read, &error);
            }
        }
    }

    /// A read on the ring has ended.
    pub(super) fn read_done(
        &mut self,
        core: &mut ShardCore,
        read: ColdRead,
        result: io::Result<u32>,
        buffer: Option<ReadBuf>,
    ) {
        match (result, buffer, &read.plan) {
            (Ok(_), Some(buffer), ReadPlan::Disk(plan)) => {
                let (plan, whole) = (plan.clone(), buffer.freeze());
                self.read_came(core, read, &plan, &whole, Some(&whole));
            }
            (Err(error), ..) => self.read_failed(core, &read, &error),
            _ => panic!("a read on the ring has a plan and a buffer"),
        }
    }

    fn read_failed(&mut self, core: &mut ShardCore, read: &ColdRead, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound && self.is_retired(read) {
            // Deleted between the plan and the read: the log says so itself.
            return self.read_again(core, read.clone());
        }
        if self.lines.allow() {
            let dir = self.logs.get(read.slot).map(|h| h.partition.log.dir().to_path_buf());
            tracing::error!(partition = ?dir, %error, "a read failed");
        }
        self.end_read(core, read.purpose, Err(ErrorCode::KafkaStorageError));
    }

    /// Whether the log has moved on behind the segment that was to be read.
    fn is_retired(&self, read: &ColdRead) -> bool {
        let Some(hosted) = self.logs.get(read.slot) else { return false };
        let file = match &read.plan {
            ReadPlan::Disk(plan) => plan.file,
            ReadPlan::Index(plan) => plan.file,
            ReadPlan::Memory { .. } | ReadPlan::Empty => return false,
        };
        hosted.partition.log.is_retired(file)
    }

    /// Bytes of a plan came: what they hold is found, or more is read.
    fn read_came(
        &mut self,
        core: &mut ShardCore,
        mut read: ColdRead,
        plan: &DiskPlan,
        raw: &[u8],
        whole: Option<&Slice>,
    ) {
        let Some(hosted) = self.logs.get(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        let log = &hosted.partition.log;
        let Some((from, upto, bytes_max)) = read.purpose.range() else {
            return self.time_read_came(core, read, plan, raw);
        };
        match log.finish_read(plan, from, upto, bytes_max, true, raw) {
            Ok(range) => {
                let slices = match whole {
                    Some(whole) => Ok(vec![whole.slice(range)]),
                    None => self.copied(core, &raw[range]),
                };
                self.end_read(core, read.purpose, slices);
            }
            Err(ReadError::NeedMore(plan)) => {
                read.plan = ReadPlan::Disk(plan);
                self.start_read(core, read);
            }
            Err(ReadError::Continue { from: next }) => {
                if let ReadFor::Fetch { from, .. } | ReadFor::Load { from, .. } = &mut read.purpose
                {
                    *from = next;
                }
                self.read_again(core, read);
            }
            Err(ReadError::Stale) => self.read_again(core, read),
            Err(error) => {
                if matches!(error, ReadError::Corrupt { .. }) {
                    tracing::error!(partition = %log.dir().display(), ?error, "unreadable records");
                }
                self.end_read(core, read.purpose, Err(read_error(error)));
            }
        }
    }

    /// Slices with a copy of `bytes`, for what did not fit a read buffer.
    fn copied(&mut self, core: &mut ShardCore, bytes: &[u8]) -> Result<Vec<Slice>, ErrorCode> {
        self.make_room(core, bytes.len() + READ_BYTES_MAX);
        let mut slices = Vec::new();
        if !may_read(core, bytes.len()) {
            return Ok(slices);
        }
        for piece in bytes.chunks(READ_BYTES_MAX) {
            let Some(mut chunk) = core.pool().take_for_reading(READ_BYTES_MAX) else {
                return Ok(Vec::new());
            };
            chunk.append(piece);
            slices.push(chunk.slice(0..piece.len()));
        }
        Ok(slices)
    }

    /// Asks the log for a new plan.
    pub(crate) fn read_again(&mut self, core: &mut ShardCore, mut read: ColdRead) {
        let Some((from, upto, bytes_max)) = read.purpose.range() else {
            return self.time_read_again(core, read);
        };
        let Some(hosted) = self.logs.get(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        match hosted.partition.log.read(from, upto, bytes_max, true) {
            Ok(plan) => {
                read.plan = within_a_read(plan);
                self.start_read(core, read);
            }
            Err(error) => self.end_read(core, read.purpose, Err(read_error(error))),
        }
    }

    /// The read is over.
    pub(crate) fn end_read(
        &mut self,
        core: &mut ShardCore,
        purpose: ReadFor,
        slices: Result<Vec<Slice>, ErrorCode>,
    ) {
        match purpose {
            ReadFor::Fetch { request, pass, at, .. } => {
                self.fetch_read_done(core, (request, pass, at), slices);
            }
            ReadFor::Load { slot, from, .. } => self.load_read_done(core, slot, from, slices),
            ReadFor::Offsets { request, at, .. } => {
                // What it looks for is not told in slices: none means that there was no memory.
                // Clients of every version ask again for this code.
                let found = slices.and(Err(ErrorCode::LeaderNotAvailable));
                self.offset_search_done(core, request, at, found);
            }
        }
    }
}
