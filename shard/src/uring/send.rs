//! What leaves a connection in one system operation.

use std::os::fd::RawFd;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};

use crate::buf::Slice;

/// Most pieces of one send.
pub const PIECES_MAX: usize = 128;

/// A send as a whole: the kernel goes on by itself when the socket takes only part.
const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

/// Bytes on their way out.
#[derive(Debug)]
pub enum OutPiece {
    /// Copied bytes.
    Bytes(Vec<u8>),
    /// Referenced bytes.
    Slice(Slice),
}

impl OutPiece {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            OutPiece::Bytes(bytes) => bytes,
            OutPiece::Slice(slice) => slice,
        }
    }
}

/// Pieces of one send, with what the kernel needs to find them.
///
/// Invariant: while a ring holds the batch nothing in it changes: `vectors` points into `pieces`,
/// and `header` to `vectors`.
pub struct SendBatch {
    pieces: Vec<OutPiece>,
    vectors: Vec<libc::iovec>,
    header: libc::msghdr,
    first: usize,
    bytes: usize,
    /// Bytes of a zero-copy send that went out and wait for the notification.
    pub(super) reported: usize,
}

impl Default for SendBatch {
    fn default() -> Self {
        SendBatch {
            pieces: Vec::new(),
            vectors: Vec::new(),
            // SAFETY: a msghdr is integers and pointers, for which zero is a value.
            header: unsafe { std::mem::zeroed() },
            first: 0,
            bytes: 0,
            reported: 0,
        }
    }
}

impl SendBatch {
    /// Fills an empty batch with the first pieces of `from`, as many as one send takes.
    pub fn fill(&mut self, from: &mut Vec<OutPiece>) {
        assert!(self.pieces.is_empty(), "a batch is filled when empty");
        if from.len() <= PIECES_MAX {
            std::mem::swap(&mut self.pieces, from);
        } else {
            self.pieces.extend(from.drain(..PIECES_MAX));
        }
        self.vectors.clear();
        self.first = 0;
        self.bytes = 0;
        for piece in &self.pieces {
            let bytes = piece.bytes();
            self.bytes += bytes.len();
            let iov_base = bytes.as_ptr().cast_mut().cast();
            self.vectors.push(libc::iovec { iov_base, iov_len: bytes.len() });
        }
        self.point();
    }

    /// Bytes not sent yet.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Passes over what was sent.
    pub fn advance(&mut self, mut sent: usize) {
        assert!(sent <= self.bytes, "no more is sent than there is");
        self.bytes -= sent;
        while sent > 0 {
            let vector = &mut self.vectors[self.first];
            let step = sent.min(vector.iov_len);
            // SAFETY: `step` stays within (or one past) the piece this vector points into.
            vector.iov_base = unsafe { vector.iov_base.cast::<u8>().add(step) }.cast();
            vector.iov_len -= step;
            sent -= step;
            if vector.iov_len == 0 {
                self.first += 1;
            }
        }
        self.point();
    }

    /// Empties the batch; `keep` is given the pieces, to use their memory again.
    pub fn clear(&mut self, mut keep: impl FnMut(OutPiece)) {
        self.vectors.clear();
        self.first = 0;
        self.bytes = 0;
        self.pieces.drain(..).for_each(&mut keep);
    }

    fn point(&mut self) {
        self.header.msg_iovlen = self.vectors.len() - self.first;
        self.header.msg_iov = self.vectors[self.first..].as_mut_ptr();
    }

    pub(super) fn entry(&self, fd: RawFd, zero_copy: bool) -> squeue::Entry {
        if zero_copy {
            return opcode::SendMsgZc::new(Fd(fd), &self.header).flags(FLAGS as u32).build();
        }
        if let [only] = &self.vectors[self.first..] {
            let address = only.iov_base.cast_const().cast();
            return opcode::Send::new(Fd(fd), address, only.iov_len as u32).flags(FLAGS).build();
        }
        opcode::SendMsg::new(Fd(fd), &self.header).flags(FLAGS as u32).build()
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SendBatch({} bytes in {} pieces)", self.bytes, self.pieces.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(batch: &SendBatch) -> Vec<u8> {
        let mut bytes = Vec::new();
        for vector in &batch.vectors[batch.first..] {
            // SAFETY: the vector points into a piece of the batch, which is not changed.
            bytes.extend(unsafe {
                std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len)
            });
        }
        bytes
    }

    #[test]
    fn a_partial_send_goes_on_where_it_stopped() {
        let pieces = [&b"one"[..], b"", b"three"];
        for sent in 0..=8 {
            let mut from = pieces.map(|bytes| OutPiece::Bytes(bytes.to_vec())).into();
            let mut batch = SendBatch::default();
            batch.fill(&mut from);
            batch.advance(sent);
            assert_eq!(left(&batch), b"onethree"[sent..]);
            assert_eq!(batch.bytes(), 8 - sent);
        }
    }

    #[test]
    fn more_pieces_than_fit_stay_behind() {
        let mut from: Vec<_> = (0..200).map(|n| OutPiece::Bytes(vec![n])).collect();
        let mut batch = SendBatch::default();
        batch.fill(&mut from);
        assert_eq!((batch.bytes(), from.len()), (PIECES_MAX, 200 - PIECES_MAX));
        assert_eq!(from[0].bytes(), [PIECES_MAX as u8]);
    }
}
