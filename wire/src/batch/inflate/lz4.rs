//! LZ4 frames, as Kafka's own reader takes them: blocks that stand alone, no dictionary.
//!
//! ```text
//! 0x184d2204 u32 | flags u8 | block size u8 | content size u64, if flagged | head checksum u8
//! block:  size u32, top bit: stored | bytes | xxh32, if flagged
//! end:    0 u32 | xxh32 of the content, if flagged
//! all little endian;  flags: 6-7 version 1, 5 independent, 4 block checksums, 3 content size,
//!                            2 content checksum
//! ```
//!
//! What Java's reader refuses is refused here, so that no consumer meets it: linked blocks, other
//! versions, reserved bits. The content's checksum is passed over, as Java does: the batch's CRC
//! covers it.

use super::xxh32::xxh32;
use super::{BatchError, Opened};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const VERSION_MASK: u8 = 0xc0;
const VERSION: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED: u8 = 0x03;
/// A block is stored, not compressed.
const STORED: u32 = 0x8000_0000;

/// A stream over one batch's records.
pub struct Lz4<'a> {
    rest: &'a [u8],
    flags: u8,
    block_bytes_max: usize,
    ended: bool,
    opened: Opened<'a>,
}

const CORRUPT: BatchError = BatchError::Corrupt("lz4");

impl<'a> Lz4<'a> {
    pub fn new(body: &'a [u8], block: &'a mut Vec<u8>) -> Result<Lz4<'a>, BatchError> {
        let (magic, rest) = body.split_first_chunk::<4>().ok_or(CORRUPT)?;
        let &[flags, size, ..] = rest else { return Err(CORRUPT) };
        let head = if flags & CONTENT_SIZE == 0 { 2 } else { 2 + size_of::<u64>() };
        let (head, rest) = rest.split_at_checked(head).ok_or(CORRUPT)?;
        let (&checksum, rest) = rest.split_first().ok_or(CORRUPT)?;
        let is_ours = *magic == MAGIC
            && flags & VERSION_MASK == VERSION
            && flags & INDEPENDENT != 0
            && flags & RESERVED == 0
            && checksum == (xxh32(head) >> 8) as u8;
        let block_bytes_max = match size {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(CORRUPT),
        };
        if !is_ours {
            return Err(CORRUPT);
        }
        Ok(Lz4 { rest, flags, block_bytes_max, ended: false, opened: Opened::nothing(block) })
    }

    /// The next bytes; 0 at the end.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, BatchError> {
        while self.opened.is_read() && !self.ended {
            self.next_block()?;
        }
        Ok(self.opened.read(out))
    }

    fn next_block(&mut self) -> Result<(), BatchError> {
        let size = self.word()?;
        if size == 0 {
            if self.flags & CONTENT_CHECKSUM != 0 {
                self.word()?;
            }
            self.ended = true;
            // Java's reader would not see what follows.
            return if self.rest.is_empty() { Ok(()) } else { Err(CORRUPT) };
        }
        let bytes = (size & !STORED) as usize;
        if bytes > self.block_bytes_max {
            return Err(CORRUPT);
        }
        let (block, rest) = self.rest.split_at_checked(bytes).ok_or(CORRUPT)?;
        self.rest = rest;
        if self.flags & BLOCK_CHECKSUM != 0 && self.word()? != xxh32(block) {
            return Err(CORRUPT);
        }
        let room = self.opened.room(self.block_bytes_max);
        let end = if size & STORED != 0 {
            room[..bytes].copy_from_slice(block);
            Ok(bytes)
        } else {
            lz4_flex::block::decompress_into(block, room).map_err(|_| CORRUPT)
        };
        self.opened.filled(self.block_bytes_max, end)
    }

    /// Bytes of all blocks so far.
    pub fn opened(&self) -> u64 {
        self.opened.total
    }

    fn word(&mut self) -> Result<u32, BatchError> {
        let (word, rest) = self.rest.split_first_chunk::<4>().ok_or(CORRUPT)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*word))
    }
}
