//! Requests that wait for the controller.
//!
//! Invariant: there are at most [`REQUESTS_MAX`] of them, and all but one hold at most
//! [`BYTES_MAX`]: a large request is taken when nothing else waits.

use std::collections::VecDeque;

use super::ControlAsk;
use crate::slab::Key;

/// Most requests that wait; more are turned away.
pub const REQUESTS_MAX: usize = 4096;
/// Most memory that they hold, bytes.
pub const BYTES_MAX: usize = 32 << 20;

/// A request.
#[derive(Debug)]
pub struct Asked {
    /// The shard that asks.
    pub from: usize,
    /// Under which key it waits for the answer.
    pub request: Key,
    /// What it asks.
    pub ask: ControlAsk,
    /// About how many bytes the ask holds.
    pub bytes: usize,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Queue {
    asks: VecDeque<Asked>,
    bytes: usize,
}

impl Queue {
    /// Adds a request at the end; false if there is no room for it.
    pub fn push(&mut self, asked: Asked) -> bool {
        let is_full = self.asks.len() >= REQUESTS_MAX || self.bytes + asked.bytes > BYTES_MAX;
        if is_full && !self.asks.is_empty() {
            return false;
        }
        self.bytes += asked.bytes;
        self.asks.push_back(asked);
        true
    }

    /// Takes the request that waits longest.
    pub fn pop(&mut self) -> Option<Asked> {
        let asked = self.asks.pop_front()?;
        self.bytes -= asked.bytes;
        Some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(bytes: usize) -> Asked {
        Asked { from: 0, request: Key::from_u64(0), ask: ControlAsk::ProducerIds, bytes }
    }

    #[test]
    fn requests_are_bounded_in_number_and_bytes() {
        let mut queue = Queue::default();
        assert!((0..REQUESTS_MAX).all(|_| queue.push(asked(0))));
        assert!(!queue.push(asked(0)));
        assert!(queue.pop().is_some() && queue.push(asked(0)));

        let mut queue = Queue::default();
        assert!(queue.push(asked(BYTES_MAX - 1)) && queue.push(asked(1)) && !queue.push(asked(1)));
        assert!(queue.pop().is_some() && queue.push(asked(BYTES_MAX - 1)));
        while queue.pop().is_some() {}
        // However large it is, it need not wait for ever.
        assert!(queue.push(asked(BYTES_MAX + 1)) && !queue.push(asked(0)));
    }
}
