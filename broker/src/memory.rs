//! The log's memory is the shard's: storage's seams, put on shard's aligned, pooled, counted
//! buffers.

use std::ops::Range;

use ringlog_shard::buf::{AppendChunk, Pool, Slice, WriteRange};
use ringlog_storage::{Chunk, Memory};

/// Names the memory of our logs as a type; each append is lent the pool itself ([`PoolMemory`]).
#[derive(Debug)]
pub enum LogMemory {}

/// One chunk of it.
#[derive(Debug)]
pub struct LogChunk(AppendChunk);

/// A range of it on its way to the disk.
#[derive(Debug)]
pub struct LogWrite(pub WriteRange);

impl Memory for LogMemory {
    type Chunk = LogChunk;

    fn take(&mut self, _bytes: usize) -> Option<LogChunk> {
        match *self {}
    }
}

impl Chunk for LogChunk {
    type Slice = Slice;
    type Write = LogWrite;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn append(&mut self, bytes: &[u8]) {
        self.0.append(bytes);
    }

    fn slice(&self, range: Range<usize>) -> Slice {
        self.0.slice(range)
    }

    fn write(&mut self, range: Range<usize>) -> LogWrite {
        LogWrite(self.0.write(range))
    }
}

/// The pool, lent to a log for one append.
pub struct PoolMemory<'a>(pub &'a mut Pool);

impl Memory for PoolMemory<'_> {
    type Chunk = LogChunk;

    fn take(&mut self, bytes: usize) -> Option<LogChunk> {
        self.0.take(bytes).map(LogChunk)
    }
}
