//! Snappy, as clients send it: in xerial's frames (the Java clients, most others), or as one raw
//! block (librdkafka).
//!
//! ```text
//! xerial:  0x82 "SNAPPY" 0x00 | version i32 | oldest reader's version i32 | blocks ..
//! block:   length i32 | that many bytes, a raw block
//! ```
//!
//! A raw block says first how long it opens to; an element of 3 bytes makes at most 64, so more
//! than 22 times its length is a lie.

use super::{BatchError, Opened};
use crate::batch::INFLATED_BYTES_MAX;

/// What a xerial stream begins with.
pub const XERIAL_HEAD: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_MAGIC_BYTES: usize = 8;
/// No element makes more of its bytes.
const EXPANSION_MAX: usize = 22;

/// A stream over one batch's records.
pub struct Snappy<'a> {
    rest: &'a [u8],
    framed: bool,
    opened: Opened<'a>,
    decoder: snap::raw::Decoder,
}

const CORRUPT: BatchError = BatchError::Corrupt("snappy");

impl<'a> Snappy<'a> {
    pub fn new(body: &'a [u8], block: &'a mut Vec<u8>) -> Snappy<'a> {
        let framed = body.starts_with(&XERIAL_HEAD[..XERIAL_MAGIC_BYTES]);
        let opened = Opened::nothing(block);
        Snappy { rest: body, framed, opened, decoder: snap::raw::Decoder::new() }
    }

    /// The next bytes; 0 at the end. No block may open to more than `left`.
    pub fn read(&mut self, out: &mut [u8], left: u64) -> Result<usize, BatchError> {
        while self.opened.is_read() {
            let Some(block) = self.next_block()? else { return Ok(0) };
            let bytes = snap::raw::decompress_len(block).map_err(|_| CORRUPT)?;
            if bytes as u64 > left {
                return Err(BatchError::Inflated { bytes_max: INFLATED_BYTES_MAX });
            }
            if bytes / EXPANSION_MAX > block.len() {
                return Err(CORRUPT);
            }
            let room = self.opened.room(bytes);
            let end = self.decoder.decompress(block, room).map_err(|_| CORRUPT);
            self.opened.filled(bytes, end)?;
        }
        Ok(self.opened.read(out))
    }

    /// Bytes of all blocks so far.
    pub fn opened(&self) -> u64 {
        self.opened.total
    }

    fn next_block(&mut self) -> Result<Option<&'a [u8]>, BatchError> {
        // Streams may be joined: a head stands wherever a block may begin.
        while self.framed && self.rest.starts_with(&XERIAL_HEAD[..XERIAL_MAGIC_BYTES]) {
            self.rest = self.rest.get(XERIAL_HEAD.len()..).ok_or(CORRUPT)?;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        if !self.framed {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or(CORRUPT)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| CORRUPT)?;
        let (block, rest) = rest.split_at_checked(length).ok_or(CORRUPT)?;
        self.rest = rest;
        Ok(Some(block))
    }
}
