//! The frame: a 4-byte size, then that many bytes of header and body.
//!
//! ```text
//! | 0 size i32 | 4 header | .. body |          size counts what follows it
//! ```
//!
//! Invariant: a size is compared with the receiver's maximum before anything waits, or is kept, for
//! it.

use std::fmt;

use crate::codec::Writer;

/// The bytes of the size itself.
pub const SIZE_BYTES: usize = size_of::<i32>();
/// Kafka's `socket.request.max.bytes`: no frame is larger unless the configuration says so.
pub const FRAME_BYTES_MAX: u32 = 100 * 1024 * 1024;

/// The largest frame that has a size, its own bytes left out.
pub const SIZE_MAX: usize = i32::MAX as usize;

/// The peer does not speak Kafka, or sends more than it may: the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A negative size.
    Negative(i32),
    /// More than the receiver takes.
    TooLarge {
        /// The announced size.
        size: u32,
        /// The receiver's maximum.
        max: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Negative(size) => write!(f, "frame size {size} is negative"),
            FrameError::TooLarge { size, max } => {
                write!(f, "a frame of {size} bytes exceeds socket.request.max.bytes = {max}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// The whole frame's bytes, size included, once `head` holds the size; `None` until then.
#[inline]
pub fn frame_size(head: &[u8], max: u32) -> Result<Option<usize>, FrameError> {
    let Some(size) = head.first_chunk::<SIZE_BYTES>() else { return Ok(None) };
    let size = i32::from_be_bytes(*size);
    match u32::try_from(size) {
        Err(_) => Err(FrameError::Negative(size)),
        Ok(size) if size > max => Err(FrameError::TooLarge { size, max }),
        Ok(size) => Ok(Some(SIZE_BYTES + size as usize)),
    }
}

/// Leaves room for the size at the end of `out`; give what it returns to [`end`].
pub fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.put_i32(0);
    start
}

/// Fills in the size of the frame begun at `start`, which ends where `out` ends. `outside_bytes` of
/// it are record slices that are sent between the bytes of `out` and lie elsewhere. Whoever cannot
/// rule out that they are more than [`SIZE_MAX`] asks before.
pub fn end(out: &mut [u8], start: usize, outside_bytes: usize) {
    let size = out.len() - start - SIZE_BYTES + outside_bytes;
    let size = i32::try_from(size).expect("an answer is limited below 2 GiB");
    out[start..start + SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_known_after_four_bytes_and_bounded() {
        assert_eq!(frame_size(&[], 10), Ok(None));
        assert_eq!(frame_size(&[0, 0, 0], 10), Ok(None));
        assert_eq!(frame_size(&[0, 0, 0, 10, 1], 10), Ok(Some(14)));
        assert_eq!(frame_size(&[0, 0, 0, 11], 10), Err(FrameError::TooLarge { size: 11, max: 10 }));
        assert_eq!(frame_size(&[0xff; 4], 10), Err(FrameError::Negative(-1)));
    }

    #[test]
    fn the_size_counts_slices_too() {
        let mut out = vec![9];
        let start = begin(&mut out);
        out.extend_from_slice(b"abc");
        end(&mut out, start, 7);
        assert_eq!(out, [9, 0, 0, 0, 10, b'a', b'b', b'c']);
    }
}
