//! Compressing records, as Kafka's clients and broker do: gzip, snappy in xerial's frames with
//! blocks of 32 KiB, LZ4 frames with blocks of 64 KiB that stand alone, zstd.
//!
//! Invariant: no more than the stated bytes are ever made; what would be larger is
//! [`BatchError::Deflated`]. LZ4 has one level: the others of `compression.lz4.level` spend more
//! time for smaller blocks in the C library, and every reader reads both.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use super::inflate::{Deflate, XERIAL_HEAD};
use super::{BatchError, Compression};

const SNAPPY_BLOCK_BYTES: usize = 32 << 10;
const LZ4_BLOCK_BYTES: usize = 64 << 10;
/// Magic, version 1 with independent blocks, blocks of at most 64 KiB, and the checksum of these.
const LZ4_HEAD: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const LZ4_STORED: u32 = 0x8000_0000;
/// zstd's levels from this one on would take hundreds of MiB for windows that a batch does not
/// fill; the window of level 3 bounds them to a few tens.
const ZSTD_LARGE_LEVEL: i32 = 16;
const ZSTD_WINDOW_LOG: u32 = 21;
/// Output is made in pieces of this size, bytes.
const PIECE_BYTES: usize = 32 << 10;

/// The bytes made so far, and their limit.
struct Capped<'a> {
    bytes: &'a mut Vec<u8>,
    bytes_max: usize,
}

impl Capped<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(BatchError::Deflated { bytes_max: self.bytes_max });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map(|()| bytes.len()).map_err(|_| io::ErrorKind::WriteZero.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Kind<'a> {
    None(Capped<'a>),
    Gzip(Box<GzEncoder<Capped<'a>>>),
    Snappy(Blocks<'a>, Box<snap::raw::Encoder>),
    Lz4(Blocks<'a>),
    Zstd(&'a mut CCtx<'static>, &'a mut Vec<u8>, Capped<'a>),
}

/// Bytes gathered into blocks.
struct Blocks<'a> {
    gathered: &'a mut Vec<u8>,
    scratch: &'a mut Vec<u8>,
    out: Capped<'a>,
}

/// Takes records in pieces, and makes the compressed body of a batch.
pub(super) struct Encoder<'a> {
    kind: Kind<'a>,
    bytes_max: usize,
}

const BROKEN: BatchError = BatchError::Corrupt("zstd");

impl<'a> Encoder<'a> {
    /// At most `bytes_max` bytes are made, into `deflate.body`.
    pub fn new(
        deflate: &'a mut Deflate,
        to: Compression,
        level: i32,
        bytes_max: usize,
    ) -> Result<Encoder<'a>, BatchError> {
        let Deflate { block, scratch, zstd, body } = deflate;
        body.clear();
        block.clear();
        let mut out = Capped { bytes: body, bytes_max };
        let kind = match to {
            Compression::None => Kind::None(out),
            Compression::Gzip => {
                let level = u32::try_from(level).map_or(6, |level| level.clamp(1, 9));
                let level = flate2::Compression::new(level);
                Kind::Gzip(Box::new(GzEncoder::new(out, level)))
            }
            Compression::Snappy => {
                out.put(&XERIAL_HEAD)?;
                let blocks = Blocks { gathered: block, scratch, out };
                Kind::Snappy(blocks, Box::new(snap::raw::Encoder::new()))
            }
            Compression::Lz4 => {
                out.put(&LZ4_HEAD)?;
                Kind::Lz4(Blocks { gathered: block, scratch, out })
            }
            Compression::Zstd => {
                let context = match zstd {
                    Some(context) => context,
                    None => zstd.insert(CCtx::try_create().ok_or(BROKEN)?),
                };
                begin_zstd(context, level)?;
                scratch.resize(scratch.len().max(PIECE_BYTES), 0);
                Kind::Zstd(context, scratch, out)
            }
        };
        Ok(Encoder { kind, bytes_max })
    }

    /// The next records.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        let deflated = BatchError::Deflated { bytes_max: self.bytes_max };
        match &mut self.kind {
            Kind::None(out) => out.put(bytes),
            Kind::Gzip(gzip) => gzip.write_all(bytes).map_err(|_| deflated),
            Kind::Snappy(blocks, encoder) => {
                blocks.put(bytes, SNAPPY_BLOCK_BYTES, |blocks| blocks.end_snappy(encoder))
            }
            Kind::Lz4(blocks) => blocks.put(bytes, LZ4_BLOCK_BYTES, Blocks::end_lz4),
            Kind::Zstd(context, scratch, out) => {
                put_zstd(context, scratch, out, bytes, ZSTD_EndDirective::ZSTD_e_continue)
            }
        }
    }

    /// No more records: the body is whole.
    pub fn finish(self) -> Result<(), BatchError> {
        let deflated = BatchError::Deflated { bytes_max: self.bytes_max };
        match self.kind {
            Kind::None(_) => Ok(()),
            Kind::Gzip(gzip) => gzip.finish().map(|_| ()).map_err(|_| deflated),
            Kind::Snappy(mut blocks, mut encoder) => blocks.end_snappy(&mut encoder),
            Kind::Lz4(mut blocks) => {
                blocks.end_lz4()?;
                blocks.out.put(&0u32.to_le_bytes())
            }
            Kind::Zstd(context, scratch, mut out) => {
                put_zstd(context, scratch, &mut out, &[], ZSTD_EndDirective::ZSTD_e_end)
            }
        }
    }
}

impl Blocks<'_> {
    fn put(
        &mut self,
        mut bytes: &[u8],
        block_bytes: usize,
        mut end: impl FnMut(&mut Self) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        while !bytes.is_empty() {
            let room = block_bytes - self.gathered.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.gathered.extend_from_slice(now);
            bytes = later;
            if self.gathered.len() == block_bytes {
                end(self)?;
            }
        }
        Ok(())
    }

    fn end_snappy(&mut self, encoder: &mut snap::raw::Encoder) -> Result<(), BatchError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let room = snap::raw::max_compress_len(self.gathered.len());
        self.scratch.resize(self.scratch.len().max(room), 0);
        let made = encoder.compress(self.gathered, self.scratch).expect("the block has room");
        self.gathered.clear();
        self.out.put(&(made as u32).to_be_bytes())?;
        self.out.put(&self.scratch[..made])
    }

    fn end_lz4(&mut self) -> Result<(), BatchError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let plain = self.gathered.len();
        let room = lz4_flex::block::get_maximum_output_size(plain);
        self.scratch.resize(self.scratch.len().max(room), 0);
        let made = lz4_flex::block::compress_into(self.gathered, self.scratch);
        let made = made.expect("the block has room");
        if made < plain {
            self.out.put(&(made as u32).to_le_bytes())?;
            self.out.put(&self.scratch[..made])?;
        } else {
            self.out.put(&(plain as u32 | LZ4_STORED).to_le_bytes())?;
            self.out.put(self.gathered)?;
        }
        self.gathered.clear();
        Ok(())
    }
}

fn begin_zstd(context: &mut CCtx<'static>, level: i32) -> Result<(), BatchError> {
    context.reset(ResetDirective::SessionAndParameters).map_err(|_| BROKEN)?;
    let level = level.min(zstd_safe::max_c_level());
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(|_| BROKEN)?;
    if level >= ZSTD_LARGE_LEVEL {
        context.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG)).map_err(|_| BROKEN)?;
    }
    Ok(())
}

fn put_zstd(
    context: &mut CCtx<'static>,
    scratch: &mut [u8],
    out: &mut Capped<'_>,
    bytes: &[u8],
    end: ZSTD_EndDirective,
) -> Result<(), BatchError> {
    let ends = end == ZSTD_EndDirective::ZSTD_e_end;
    let mut input = InBuffer::around(bytes);
    loop {
        let mut piece = OutBuffer::around(&mut *scratch);
        let left = context.compress_stream2(&mut piece, &mut input, end).map_err(|_| BROKEN)?;
        let made = piece.pos();
        out.put(&scratch[..made])?;
        let is_done = if ends { left == 0 } else { input.pos() == bytes.len() };
        if is_done {
            return Ok(());
        }
    }
}
