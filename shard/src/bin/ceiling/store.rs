//! Four files that are written in turn, each from aligned chunks, several writes in flight.
//!
//! Invariant: a write begins and ends at a block; the next one begins at the next block, so no
//! block is ever written twice in a round.

use std::collections::{HashMap, VecDeque};
use std::io;

use ringlog_shard::buf::{AppendChunk, BLOCK_BYTES, CHUNK_BYTES_MAX, Pool};
use ringlog_shard::fs::{DataDir, File, OpenMode};
use ringlog_shard::uring::Ring;

/// How many files.
const FILES: usize = 4;

/// Bytes of a file, after which it is written from the start again.
const FILE_BYTES: u64 = 1 << 30;

/// Writes in flight per file.
const WRITES_MAX: usize = 2;

/// With a write in flight, the next one waits for as much as this.
const WRITE_BYTES_GOOD: usize = 256 << 10;

/// Who waits for a batch: a connection, and the number of its request.
pub type Waiter = (u64, u64);

struct Log {
    file: File,
    chunk: Option<AppendChunk>,
    /// Where in the file the chunk begins.
    chunk_at: u64,
    /// Bytes of the chunk that were handed to the ring.
    submitted: usize,
    in_flight: usize,
    waiting: Vec<Waiter>,
}

/// The files.
pub struct Store {
    logs: Vec<Log>,
    writes: HashMap<u64, (usize, Vec<Waiter>)>,
    spare: Vec<Vec<Waiter>>,
    next_token: u64,
    next_batch: usize,
    /// Bytes of batches taken in.
    pub bytes: u64,
}

impl Store {
    /// Makes and allocates the files.
    pub fn open(dir: &str) -> io::Result<Store> {
        let dir = DataDir::create(dir)?;
        let logs = (0..FILES).map(|number| {
            let file = dir.open_direct(format!("ceiling-{number}.log"), OpenMode::Create)?;
            file.allocate(0, FILE_BYTES)?;
            Ok(Log {
                file,
                chunk: None,
                chunk_at: 0,
                submitted: 0,
                in_flight: 0,
                waiting: Vec::new(),
            })
        });
        Ok(Store {
            logs: logs.collect::<io::Result<_>>()?,
            writes: HashMap::new(),
            spare: Vec::new(),
            next_token: 0,
            next_batch: 0,
            bytes: 0,
        })
    }

    /// Copies a batch into the next file's chunk. Returns how many writes its waiter waits for.
    pub fn append(
        &mut self,
        ring: &mut Ring,
        pool: &mut Pool,
        batch: &[u8],
        waiter: Waiter,
    ) -> usize {
        self.bytes += batch.len() as u64;
        let at = self.next_batch % FILES;
        self.next_batch += 1;
        let (mut rest, mut writes) = (batch, 0);
        while !rest.is_empty() {
            let log = &mut self.logs[at];
            let chunk = log.chunk.get_or_insert_with(|| {
                pool.take(CHUNK_BYTES_MAX).expect("the pool holds all that may be in flight")
            });
            let (now, later) = rest.split_at(rest.len().min(chunk.room()));
            chunk.append(now);
            rest = later;
            log.waiting.push(waiter);
            writes += 1;
            if chunk.room() == 0 {
                self.submit(ring, at);
            }
        }
        writes
    }

    /// Group commit: a file with nothing in flight is written at once, others when it is worth it.
    pub fn flush(&mut self, ring: &mut Ring) {
        for at in 0..FILES {
            let log = &self.logs[at];
            let dirty = log.chunk.as_ref().map_or(0, |chunk| chunk.len() - log.submitted);
            let worth = log.in_flight == 0 || dirty >= WRITE_BYTES_GOOD;
            if dirty > 0 && worth && log.in_flight < WRITES_MAX {
                self.submit(ring, at);
            }
        }
    }

    fn submit(&mut self, ring: &mut Ring, at: usize) {
        let log = &mut self.logs[at];
        let Some(chunk) = &mut log.chunk else { return };
        let end = chunk.len().next_multiple_of(BLOCK_BYTES);
        let pad = end - chunk.len();
        chunk.append(&[0; BLOCK_BYTES][..pad]);
        let range = chunk.write(log.submitted..end);
        let token = self.next_token;
        self.next_token += 1;
        ring.write(log.file.clone(), log.chunk_at + log.submitted as u64, range, token);
        log.in_flight += 1;
        let spare = self.spare.pop().unwrap_or_default();
        self.writes.insert(token, (at, std::mem::replace(&mut log.waiting, spare)));
        log.submitted = end;
        if end == chunk.capacity() {
            log.chunk = None;
            log.submitted = 0;
            log.chunk_at = (log.chunk_at + CHUNK_BYTES_MAX as u64) % FILE_BYTES;
        }
    }

    /// A write has ended: those who waited for it are moved to `done`.
    pub fn done(&mut self, token: u64, result: io::Result<u32>, done: &mut VecDeque<Waiter>) {
        result.expect("a write of the ceiling succeeds");
        let (at, mut waiters) = self.writes.remove(&token).expect("a write ends once");
        self.logs[at].in_flight -= 1;
        done.extend(waiters.drain(..));
        self.spare.push(waiters);
    }
}
