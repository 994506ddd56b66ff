//! Compressed records, opened as a stream: a batch is never in memory as a whole.
//!
//! Invariants: what is opened passes through buffers of a fixed size ([`Codecs`], one per shard,
//! used again for every batch): a window of 64 KiB, a block of LZ4 (at most 4 MiB) or of snappy
//! (whose format has no smaller unit than the block: at most 22 times the batch's bytes), and
//! zstd's window (at most 128 MiB, touched only as far as it is written to). Buffers over
//! [`KEPT_BYTES_MAX`] are given back after the batch that wanted them. Whatever the bytes are,
//! opening them ends in [`BatchError`], after at most [`INFLATED_BYTES_MAX`] bytes, or what is left
//! of [`Codecs::allow`].

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use zstd_safe::{CCtx, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::{BatchError, Compression};

mod lz4;
mod snappy;
mod xxh32;

pub(super) use lz4::Lz4;
pub(super) use snappy::{Snappy, XERIAL_HEAD};

/// Most bytes that the records of one batch may open to: what the largest request could have
/// carried uncompressed (Kafka's default of `socket.request.max.bytes`). A batch that opens to
/// more is a bomb, or so large that no client with default settings could have meant it.
pub const INFLATED_BYTES_MAX: u64 = 100 << 20;

/// The part of the opened records that is looked at, bytes. Larger records are passed over in
/// pieces.
const WINDOW_BYTES: usize = 64 << 10;
/// Buffers and contexts larger than this are not kept from batch to batch, bytes each.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// What opening and compressing batches needs: buffers and contexts, made when they are first
/// needed and used again for each batch.
pub struct Codecs {
    window: Vec<u8>,
    block: Vec<u8>,
    inflate_zstd: Option<DCtx<'static>>,
    deflate: Deflate,
    /// Bytes that batches may still open to, all together.
    left: u64,
}

impl Default for Codecs {
    fn default() -> Codecs {
        Codecs {
            window: Vec::new(),
            block: Vec::new(),
            inflate_zstd: None,
            deflate: Deflate::default(),
            left: u64::MAX,
        }
    }
}

/// What compressing needs.
#[derive(Default)]
pub(super) struct Deflate {
    /// Bytes that wait for their block to be full.
    pub block: Vec<u8>,
    /// A compressed block.
    pub scratch: Vec<u8>,
    pub zstd: Option<CCtx<'static>>,
    /// The compressed records.
    pub body: Vec<u8>,
}

impl Codecs {
    /// Nothing is allocated yet, and batches may open to any bytes together.
    pub fn new() -> Codecs {
        Codecs::default()
    }

    /// From now on batches may open to `bytes` all together; what was opened of a batch that was
    /// refused counts. Beyond, each is [`BatchError::Inflated`].
    pub fn allow(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// What is left of [`Codecs::allow`], bytes.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What the last [`super::Batch::recompress`] made.
    pub fn body(&self) -> &[u8] {
        &self.deflate.body
    }

    /// Gives back what one unusual batch made large, [`Codecs::body`] too. Call it between batches.
    pub fn trim(&mut self) {
        for buffer in [&mut self.block, &mut self.deflate.body] {
            if buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
        self.inflate_zstd.take_if(|context| context.sizeof() > KEPT_BYTES_MAX);
        self.deflate.zstd.take_if(|context| context.sizeof() > KEPT_BYTES_MAX);
    }

    /// Bytes held between batches.
    pub fn kept_bytes(&self) -> usize {
        self.window.capacity()
            + self.block.capacity()
            + self.deflate.block.capacity()
            + self.deflate.scratch.capacity()
            + self.deflate.body.capacity()
            + self.inflate_zstd.as_ref().map_or(0, DCtx::sizeof)
            + self.deflate.zstd.as_ref().map_or(0, CCtx::sizeof)
    }

    /// A stream over `body`, the window it is looked at through, and what compressing needs.
    pub(super) fn open<'a>(
        &'a mut self,
        compression: Compression,
        body: &'a [u8],
    ) -> Result<(Stream<'a>, &'a mut Deflate), BatchError> {
        if self.left == 0 {
            return Err(INFLATED);
        }
        self.window.resize(WINDOW_BYTES, 0);
        let source = match compression {
            Compression::None => Source::Plain(body),
            Compression::Gzip => Source::Gzip(Box::new(MultiGzDecoder::new(body))),
            Compression::Snappy => Source::Snappy(Snappy::new(body, &mut self.block)),
            Compression::Lz4 => Source::Lz4(Lz4::new(body, &mut self.block)?),
            Compression::Zstd => Source::Zstd(Zstd::new(body, &mut self.inflate_zstd)?),
        };
        let left = INFLATED_BYTES_MAX.min(self.left);
        let (window, budget) = (&mut self.window, &mut self.left);
        let stream =
            Stream { source, window, start: 0, end: 0, left, given: 0, counted: 0, budget };
        Ok((stream, &mut self.deflate))
    }
}

/// Opened records, seen through a window.
pub(super) struct Stream<'a> {
    source: Source<'a>,
    window: &'a mut [u8],
    start: usize,
    end: usize,
    /// Bytes that the source may still give.
    left: u64,
    /// Bytes that it has given.
    given: u64,
    /// Bytes that it has opened, given or not, as far as they are taken from the budget.
    counted: u64,
    budget: &'a mut u64,
}

const INFLATED: BatchError = BatchError::Inflated { bytes_max: INFLATED_BYTES_MAX };

impl Stream<'_> {
    /// What is in the window and not passed over yet.
    #[inline(always)]
    pub fn rest(&self) -> &[u8] {
        &self.window[self.start..self.end]
    }

    /// Passes over bytes of the window.
    #[inline(always)]
    pub fn pass(&mut self, bytes: usize) {
        assert!(bytes <= self.end - self.start, "only what is in the window is passed over");
        self.start += bytes;
    }

    /// The largest piece that [`Stream::wants`] can bring into the window.
    pub fn window_bytes(&self) -> usize {
        self.window.len()
    }

    /// Brings at least `bytes` into the window; false when the stream ends before.
    #[inline(always)]
    pub fn wants(&mut self, bytes: usize, tee: &mut Tee<'_>) -> Result<bool, BatchError> {
        if self.end - self.start >= bytes {
            return Ok(true);
        }
        self.refill(bytes, tee)
    }

    #[cold]
    fn refill(&mut self, bytes: usize, tee: &mut Tee<'_>) -> Result<bool, BatchError> {
        assert!(bytes <= self.window.len(), "the window holds it");
        self.window.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < bytes {
            let got = self.source.read(&mut self.window[self.end..], self.left);
            self.given += got.as_ref().map_or(0, |got| *got as u64);
            let opened = self.source.opened().unwrap_or(self.given);
            *self.budget = self.budget.saturating_sub(opened - self.counted);
            self.counted = opened;
            let got = got?;
            if got == 0 {
                return Ok(false);
            }
            self.left = self.left.checked_sub(got as u64).ok_or(INFLATED)?;
            tee(&self.window[self.end..self.end + got])?;
            self.end += got;
        }
        Ok(true)
    }
}

/// Is shown everything that a stream opens, in order.
pub(super) type Tee<'t> = dyn FnMut(&[u8]) -> Result<(), BatchError> + 't;

enum Source<'a> {
    Plain(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(Snappy<'a>),
    Lz4(Lz4<'a>),
    Zstd(Zstd<'a>),
}

impl Source<'_> {
    /// The next bytes; 0 at the end. `left` is what the stream may still open to.
    fn read(&mut self, out: &mut [u8], left: u64) -> Result<usize, BatchError> {
        match self {
            Source::Plain(body) => {
                let count = body.len().min(out.len());
                let (now, later) = body.split_at(count);
                out[..count].copy_from_slice(now);
                *body = later;
                Ok(count)
            }
            Source::Gzip(gzip) => gzip.read(out).map_err(|_| BatchError::Corrupt("gzip")),
            Source::Snappy(snappy) => snappy.read(out, left),
            Source::Lz4(lz4) => lz4.read(out),
            Source::Zstd(zstd) => zstd.read(out),
        }
    }

    /// Bytes that were opened, where that may be more than were read.
    fn opened(&self) -> Option<u64> {
        match self {
            Source::Plain(_) | Source::Gzip(_) | Source::Zstd(_) => None,
            Source::Snappy(snappy) => Some(snappy.opened()),
            Source::Lz4(lz4) => Some(lz4.opened()),
        }
    }
}

/// A block that was opened, and how far it has been read.
struct Opened<'a> {
    block: &'a mut Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes of all blocks.
    total: u64,
}

impl<'a> Opened<'a> {
    fn nothing(block: &'a mut Vec<u8>) -> Opened<'a> {
        Opened { block, at: 0, end: 0, total: 0 }
    }

    /// Room for a block of at most `bytes`.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.block.len() < bytes {
            self.block.resize(bytes, 0);
        }
        &mut self.block[..bytes]
    }

    /// The block in a room of `bytes` was opened, and ends there; or it is broken, and cost as much
    /// as a whole one.
    fn filled(&mut self, bytes: usize, end: Result<usize, BatchError>) -> Result<(), BatchError> {
        self.total += *end.as_ref().unwrap_or(&bytes) as u64;
        (self.at, self.end) = (0, end?);
        Ok(())
    }

    fn is_read(&self) -> bool {
        self.at == self.end
    }

    fn read(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.end - self.at);
        out[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        count
    }
}

/// Zstandard frames, one after the other.
struct Zstd<'a> {
    context: &'a mut DCtx<'static>,
    input: InBuffer<'a>,
    /// Whether a frame has begun that has not ended.
    inside: bool,
}

impl<'a> Zstd<'a> {
    fn new(body: &'a [u8], kept: &'a mut Option<DCtx<'static>>) -> Result<Zstd<'a>, BatchError> {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(DCtx::try_create().ok_or(BatchError::Corrupt("zstd"))?),
        };
        context.reset(ResetDirective::SessionOnly).map_err(|_| BatchError::Corrupt("zstd"))?;
        Ok(Zstd { context, input: InBuffer::around(body), inside: true })
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, BatchError> {
        let mut out = OutBuffer::around(out);
        loop {
            let consumed = self.input.pos();
            if consumed == self.input.src.len() && !self.inside {
                return Ok(out.pos());
            }
            let hint = self
                .context
                .decompress_stream(&mut out, &mut self.input)
                .map_err(|_| BatchError::Corrupt("zstd"))?;
            self.inside = hint > 0;
            if out.pos() > 0 {
                return Ok(out.pos());
            }
            if self.inside && self.input.pos() == consumed {
                return Err(BatchError::Corrupt("zstd"));
            }
        }
    }
}
