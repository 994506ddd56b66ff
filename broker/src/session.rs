//! One connection as a state machine: bytes in, whole frames out; replies in any order in, request
//! order out.
//!
//! Invariants: replies leave in the order of their requests (rule 11); memory grows only with bytes
//! that really arrived, never with a length that a client claims; at most
//! [`INFLIGHT_PER_CONNECTION_MAX`] requests wait for their replies, more stay unread; replies that
//! wait for an earlier one are counted.

use std::collections::VecDeque;
use std::ops::Deref;
use std::time::Instant;

use crate::fair::Share;
use crate::slab::Key;

use ringlog_wire::error::ErrorCode;
use ringlog_wire::frame::{FrameError, SIZE_BYTES, frame_size};

/// Requests of one connection that may wait for their replies at once.
pub const INFLIGHT_PER_CONNECTION_MAX: usize = 64;
/// Bytes of replies that may be queued on one connection, or wait there for an earlier one, before
/// its next request is looked at.
pub const OUTPUT_PER_CONNECTION_MAX: usize = 4 << 20;
/// Spare capacity of an emptied input buffer that a connection may keep, bytes: thousands of
/// connections that fell idle keep it.
const INPUT_KEPT_MAX: usize = 4 << 10;

/// A reply: header bytes with slices of a log between them.
#[derive(Debug)]
pub struct Reply<S> {
    /// The bytes that are not records, size prefix included.
    pub bytes: Vec<u8>,
    /// Records: each goes out before `bytes[at]`, ascending.
    pub splices: Vec<(usize, S)>,
    /// The error codes that it says, for the counters; Produce and Fetch count their own.
    pub errors: Vec<ErrorCode>,
}

impl<S> From<Vec<u8>> for Reply<S> {
    fn from(bytes: Vec<u8>) -> Reply<S> {
        Reply { bytes, splices: Vec::new(), errors: Vec::new() }
    }
}

impl<S: Deref<Target = [u8]>> Reply<S> {
    /// All its bytes, records included.
    fn size(&self) -> usize {
        self.bytes.len() + self.splices.iter().map(|(_, slice)| slice.len()).sum::<usize>()
    }
}

/// A request that was read: which API, and when, on the turn's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The API's key.
    pub key: i16,
    /// When it was read.
    pub at: Instant,
}

#[derive(Debug)]
enum Slot<S> {
    Waiting(Started),
    /// `None`: answered by silence (Produce with acks = 0). With the bytes that count as waiting.
    Ready(Option<Reply<S>>, usize),
}

/// Why a connection's next request is not looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// [`INFLIGHT_PER_CONNECTION_MAX`] or [`OUTPUT_PER_CONNECTION_MAX`] is reached, or a fetch
    /// waits: what comes behind it could not be answered before it.
    Replies,
    /// The shard's memory for log chunks or for messages is used up.
    Memory,
    /// The shard's memory for unfinished requests is used up.
    Input,
    /// It has had its share of this turn; see [`crate::fair`].
    Turn,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session<S> {
    /// The beginning of an unfinished frame; while stalled, all that arrived since. The first
    /// `handled` bytes are over.
    input: Vec<u8>,
    handled: usize,
    slots: VecDeque<Slot<S>>,
    /// Sequence of the request in `slots[0]`.
    first: u64,
    ready_bytes: usize,
    /// What it has had of the current turn.
    pub share: Share,
    /// Set while requests are not looked at.
    pub stalled: Option<Stall>,
    /// No request is read any more; the connection closes when its replies are out.
    pub closing: bool,
    /// Its fetches in progress.
    pub fetches: Vec<Key>,
    /// Its searches for offsets in progress.
    pub searches: Vec<Key>,
    /// Bytes of output that were held at the last tick, and for how many ticks that did not
    /// change.
    pub output_seen: (usize, u32),
    /// Bytes of an unfinished request that were held at the last tick, and for how many ticks they
    /// grew little.
    pub input_seen: (usize, u32),
    /// Bytes set aside for the rest of a request that had to wait for memory.
    pub reserved: usize,
    /// The client's address, for log lines.
    pub peer: std::net::SocketAddr,
    /// The shard's clock when bytes last arrived, milliseconds.
    pub active_ms: i64,
}

impl<S: Deref<Target = [u8]>> Session<S> {
    /// A connection that has just been accepted.
    pub fn new(peer: std::net::SocketAddr, now_ms: i64) -> Session<S> {
        Session {
            input: Vec::new(),
            handled: 0,
            share: Share::default(),
            slots: VecDeque::new(),
            first: 0,
            ready_bytes: 0,
            stalled: None,
            closing: false,
            fetches: Vec::new(),
            searches: Vec::new(),
            output_seen: (0, 0),
            input_seen: (0, 0),
            reserved: 0,
            peer,
            active_ms: now_ms,
        }
    }

    /// Bytes of input held.
    pub fn input_bytes(&self) -> usize {
        self.input.len() - self.handled
    }

    /// Bytes that the first frame held lacks; 0 if it is whole, or its size is no size.
    pub fn missing_bytes(&self) -> usize {
        match frame_size(&self.input[self.handled..], u32::MAX) {
            Ok(size) => size.unwrap_or(SIZE_BYTES).saturating_sub(self.input_bytes()),
            Err(_) => 0,
        }
    }

    /// Takes the held input out, to be given back with [`Session::restore`]. What is to be looked
    /// at begins at the second value.
    pub fn take_input(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.input), std::mem::take(&mut self.handled))
    }

    /// Holds `bytes` back until more arrive or the stall ends.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Gives a taken buffer back, of which the first `handled` bytes are over.
    pub fn restore(&mut self, mut buffer: Vec<u8>, mut handled: usize) {
        assert!(self.input.is_empty(), "input is taken and restored within one call");
        if handled == buffer.len() {
            buffer.clear();
            handled = 0;
            if buffer.capacity() > INPUT_KEPT_MAX {
                return;
            }
        } else if handled > buffer.len() / 2 {
            // Not at once: of thousands of small frames, each would move all that follow it.
            buffer.drain(..handled);
            handled = 0;
        }
        (self.input, self.handled) = (buffer, handled);
    }

    /// Moves from `bytes` into the held input what its unfinished frame still lacks.
    /// Returns the bytes moved and whether the frame is whole now.
    ///
    /// # Errors
    /// The frame's size is negative, too small or above `frame_max`.
    pub fn complete(&mut self, bytes: &[u8], frame_max: u32) -> Result<(usize, bool), FrameError> {
        let mut moved = 0;
        loop {
            let size = frame_size(&self.input[self.handled..], frame_max)?;
            if size.is_some_and(|size| self.input_bytes() >= size) {
                return Ok((moved, true));
            }
            let want = size.unwrap_or(SIZE_BYTES);
            let take = (want - self.input_bytes()).min(bytes.len() - moved);
            if take == 0 {
                return Ok((moved, false));
            }
            self.input.extend_from_slice(&bytes[moved..moved + take]);
            moved += take;
        }
    }

    /// Requests that wait for their replies.
    pub fn inflight(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of replies that wait for an earlier one.
    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// A new request was read: its sequence, under which its reply is given.
    pub fn begin(&mut self, started: Started) -> u64 {
        assert!(self.slots.len() < INFLIGHT_PER_CONNECTION_MAX, "the caller stalls before");
        self.slots.push_back(Slot::Waiting(started));
        self.first + self.slots.len() as u64 - 1
    }

    /// The latest request was not handled after all (it will be read again).
    pub fn unbegin(&mut self) {
        let slot = self.slots.pop_back();
        assert!(matches!(slot, Some(Slot::Waiting(_))), "only the latest, unanswered request");
    }

    /// Request `sequence` is answered, with silence if `None`. Says what was given to
    /// [`Session::begin`].
    pub fn answer(&mut self, sequence: u64, reply: Option<Reply<S>>) -> Started {
        let index = sequence.checked_sub(self.first).expect("a request is answered once");
        // One in turn leaves at once.
        let bytes = if index == 0 { 0 } else { reply.as_ref().map_or(0, Reply::size) };
        self.ready_bytes += bytes;
        let slot = &mut self.slots[usize::try_from(index).expect("a small index")];
        let waiting = std::mem::replace(slot, Slot::Ready(reply, bytes));
        let Slot::Waiting(started) = waiting else { panic!("a request is answered once") };
        started
    }

    /// The next reply in request order, if it is ready.
    pub fn next_reply(&mut self) -> Option<Reply<S>> {
        while let Some(&Slot::Ready(_, bytes)) = self.slots.front() {
            self.first += 1;
            self.ready_bytes -= bytes;
            if let Some(Slot::Ready(Some(reply), _)) = self.slots.pop_front() {
                return Some(reply);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session<&'static [u8]> {
        Session::new("127.0.0.1:1".parse().unwrap(), 0)
    }

    #[allow(clippy::disallowed_methods, reason = "any time will do")]
    fn started() -> Started {
        Started { key: 0, at: Instant::now() }
    }

    fn reply(n: u8) -> Option<Reply<&'static [u8]>> {
        Some(Reply { splices: vec![(1, &[0; 9])], ..Reply::from(vec![n]) })
    }

    #[test]
    fn replies_leave_in_request_order() {
        let mut s = session();
        let (a, b, c) = (s.begin(started()), s.begin(started()), s.begin(started()));
        s.answer(c, reply(3));
        assert!(s.next_reply().is_none());
        assert_eq!(s.ready_bytes(), 10, "it waits for an earlier one");
        s.answer(a, reply(1));
        assert_eq!(s.next_reply().unwrap().bytes, [1]);
        assert!(s.next_reply().is_none());
        assert_eq!(s.ready_bytes(), 10);
        s.answer(b, None);
        assert_eq!(s.next_reply().unwrap().bytes, [3], "silence takes a turn but no bytes");
        assert_eq!((s.inflight(), s.ready_bytes()), (0, 0));
    }

    #[test]
    fn frames_are_completed_from_any_pieces() {
        let frame = [0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        for cut in 0..frame.len() {
            let mut s = session();
            assert_eq!(s.complete(&frame[..cut], 1000).unwrap(), (cut, false));
            let rest = [&frame[cut..], &[0, 0]].concat();
            assert_eq!(s.complete(&rest, 1000).unwrap(), (frame.len() - cut, true));
            assert_eq!(s.take_input(), (frame.to_vec(), 0));
        }
    }

    #[test]
    fn what_the_first_frame_lacks_is_known() {
        let frame = [0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let mut s = session();
        s.keep(&frame[..3]);
        assert_eq!(s.missing_bytes(), 1, "the rest of its size");
        s.keep(&frame[3..10]);
        assert_eq!(s.missing_bytes(), 3);
        s.keep(&frame[10..]);
        s.keep(&frame[..5]);
        assert_eq!(s.missing_bytes(), 0, "it is whole");
        let (input, from) = s.take_input();
        s.restore(input, from + frame.len());
        assert_eq!(s.missing_bytes(), 8, "the one behind it is the first now");
    }

    #[test]
    fn what_is_handled_is_not_held() {
        let frames = [[0, 0, 0, 4, 1, 2, 3, 4]; 4].concat();
        for used in 0..=frames.len() {
            let mut s = session();
            s.keep(&frames);
            let (input, from) = s.take_input();
            s.restore(input, from + used);
            assert_eq!(s.input_bytes(), frames.len() - used, "{used}");
            s.keep(&[9]);
            let (input, from) = s.take_input();
            assert_eq!(input[from..], [&frames[used..], &[9]].concat(), "{used}");
        }
    }

    #[test]
    fn absurd_sizes_are_errors_before_memory_is_taken() {
        for size in [-1i32, i32::MIN, i32::MAX, 1001] {
            let mut s = session();
            assert!(s.complete(&size.to_be_bytes(), 1000).is_err(), "{size}");
            assert!(s.input_bytes() <= 4);
        }
    }
}
