//! What a connection has still to send: copied bytes and referenced slices, in order.
//!
//! Invariant: `bytes` is the sum of the pieces; small pieces of copied bytes are put together.

use crate::buf::Slice;
use crate::uring::{OutPiece, SendBatch};

/// A copied piece grows up to this size before another is begun.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Spare vectors kept for copied bytes, and how large one may be to be kept.
const SPARES_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = PIECE_BYTES_MAX;

/// Spare batches kept.
const BATCHES_MAX: usize = 64;

/// Memory for output that is used again, so that sending a small answer allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    bytes: Vec<Vec<u8>>,
    #[allow(clippy::vec_box)] // A batch keeps its address from connection to connection.
    batches: Vec<Box<SendBatch>>,
}

impl Spares {
    fn keep(&mut self, piece: OutPiece) {
        if let OutPiece::Bytes(mut bytes) = piece
            && self.bytes.len() < SPARES_MAX
            && bytes.capacity() <= SPARE_BYTES_MAX
        {
            bytes.clear();
            self.bytes.push(bytes);
        }
    }

    /// An empty batch.
    pub(crate) fn batch(&mut self) -> Box<SendBatch> {
        self.batches.pop().unwrap_or_default()
    }

    /// Takes a batch back that was sent or given up.
    pub(crate) fn put_back(&mut self, mut batch: Box<SendBatch>) {
        batch.clear(|piece| self.keep(piece));
        if self.batches.len() < BATCHES_MAX {
            self.batches.push(batch);
        }
    }
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pieces: Vec<OutPiece>,
    bytes: usize,
}

impl Output {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, bytes: &[u8], spares: &mut Spares) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        if let Some(OutPiece::Bytes(last)) = self.pieces.last_mut()
            && last.len() + bytes.len() <= PIECE_BYTES_MAX
        {
            last.extend_from_slice(bytes);
            return;
        }
        let mut piece = spares.bytes.pop().unwrap_or_default();
        piece.extend_from_slice(bytes);
        self.pieces.push(OutPiece::Bytes(piece));
    }

    pub(crate) fn push_slice(&mut self, slice: Slice) {
        if !slice.is_empty() {
            self.bytes += slice.len();
            self.pieces.push(OutPiece::Slice(slice));
        }
    }

    /// Moves the front of the queue into a batch. `None`: there is nothing to send.
    pub(crate) fn take(&mut self, spares: &mut Spares) -> Option<Box<SendBatch>> {
        if self.pieces.is_empty() {
            return None;
        }
        let mut batch = spares.batch();
        batch.fill(&mut self.pieces);
        self.bytes -= batch.bytes();
        Some(batch)
    }

    pub(crate) fn clear(&mut self, spares: &mut Spares) {
        self.bytes = 0;
        self.pieces.drain(..).for_each(|piece| spares.keep(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Pool;

    #[test]
    fn order_is_kept_and_small_pieces_are_put_together() {
        let mut pool = Pool::new("test", 1 << 20).unwrap();
        let mut chunk = pool.take(16 << 10).unwrap();
        chunk.append(b"slice");
        let (mut output, mut spares) = (Output::default(), Spares::default());
        output.push(b"a", &mut spares);
        output.push(b"b", &mut spares);
        output.push_slice(chunk.slice(0..5));
        output.push(b"c", &mut spares);
        assert_eq!((output.bytes(), output.pieces.len()), (8, 3));
        let batch = output.take(&mut spares).unwrap();
        assert_eq!((batch.bytes(), output.bytes()), (8, 0));
        assert!(output.take(&mut spares).is_none());
        spares.put_back(batch);
        assert_eq!((spares.bytes.len(), spares.batches.len()), (2, 1));
    }
}
