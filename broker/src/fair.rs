//! Fair turns: what one connection may do before the others of the shard get theirs.
//!
//! In a turn of the shard's loop each connection has a [`Share`]: some frames and bytes of what has
//! arrived. What is left waits in the [`Rotation`]; at the turn's end those that wait get further
//! shares, one after the other, until the [`Rotation`]'s own budget for the turn is spent. The rest
//! goes on in the next turn, after what has newly arrived.
//!
//! Invariants: a connection that sends less than a share a turn never waits for one that sends
//! more, but for one share of each such connection and one budget of the rotation; nobody waits
//! while the shard is idle; a frame larger than any budget is handled all the same, alone.

use std::collections::VecDeque;

/// Frames of one connection that are handled before others get their turn.
pub const SHARE_FRAMES: u32 = 16;
/// Bytes of them; the last frame may exceed it.
pub const SHARE_BYTES: usize = 1 << 20;
/// Frames that are handled at a turn's end for connections that have had their share.
pub const ROTATION_FRAMES: u32 = 128;
/// Bytes of them.
pub const ROTATION_BYTES: usize = 1 << 20;

const _: () = assert!(ROTATION_FRAMES >= SHARE_FRAMES, "a rotation gives a whole share");

/// What one connection has had of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    turn: u64,
    frames: u32,
    bytes: usize,
}

impl Share {
    /// Takes a frame of `bytes` in `turn`. `false`: the share is used up, nothing is taken. The
    /// first frame of a turn is always taken.
    pub fn take(&mut self, turn: u64, bytes: usize) -> bool {
        if self.turn != turn {
            *self = Share { turn, frames: 0, bytes: 0 };
        }
        if self.frames >= SHARE_FRAMES || self.bytes >= SHARE_BYTES {
            return false;
        }
        self.frames += 1;
        self.bytes += bytes;
        true
    }

    /// What was taken turned out to be `bytes` more: records that were opened.
    pub fn charge(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Begins another share in the same turn, and says what the last one was.
    pub fn renew(&mut self) -> (u32, usize) {
        let had = (self.frames, self.bytes);
        (self.frames, self.bytes) = (0, 0);
        had
    }
}

/// Connections that have more to be handled than their share, in the order of their turns.
#[derive(Debug)]
pub struct Rotation<C> {
    waiting: VecDeque<C>,
    frames: u32,
    bytes: usize,
}

impl<C> Default for Rotation<C> {
    fn default() -> Rotation<C> {
        Rotation { waiting: VecDeque::new(), frames: 0, bytes: 0 }
    }
}

impl<C: Copy> Rotation<C> {
    /// `conn` has more. It must not wait already.
    pub fn push(&mut self, conn: C) {
        self.waiting.push_back(conn);
    }

    /// A new turn's budget.
    pub fn begin(&mut self) {
        (self.frames, self.bytes) = (0, 0);
    }

    /// Who gets the next share, if the turn's budget has room for one.
    pub fn next_turn(&mut self) -> Option<C> {
        let has_room = self.frames < ROTATION_FRAMES && self.bytes < ROTATION_BYTES;
        if has_room { self.waiting.pop_front() } else { None }
    }

    /// What the share that was given last came to.
    pub fn spend(&mut self, (frames, bytes): (u32, usize)) {
        // At least one, so that a share which came to nothing ends as well.
        self.frames += frames.max(1);
        self.bytes += bytes;
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_ends_by_frames_or_by_bytes_and_begins_with_the_turn() {
        let check = |bytes: usize, frames: u32| {
            let mut share = Share::default();
            for turn in 1..4 {
                assert_eq!((0..1000).filter(|_| share.take(turn, bytes)).count(), frames as usize);
            }
            assert_eq!(share.renew(), (frames, frames as usize * bytes), "{bytes}");
            assert!(share.take(3, bytes), "a share of the same turn");
            share.charge(SHARE_BYTES);
            assert!(!share.take(3, 0), "what was opened counts");
        };
        check(0, SHARE_FRAMES);
        check(SHARE_BYTES / 4, 4);
        check(SHARE_BYTES / 4 + 1, 4);
        check(SHARE_BYTES - 1, 2);
        check(100 << 20, 1);
    }

    /// Handles what `conns` have waiting (frames of `bytes`), for some turns: who was served when.
    fn turns(mut frames: Vec<u32>, bytes: usize) -> Vec<Vec<u32>> {
        let mut shares = vec![Share::default(); frames.len()];
        let mut rotation = Rotation::default();
        let mut served = Vec::new();
        for turn in 1..100 {
            let before = frames.clone();
            let mut give = |conn: usize, frames: &mut Vec<u32>| {
                while frames[conn] > 0 && shares[conn].take(turn, bytes) {
                    frames[conn] -= 1;
                }
                (frames[conn] > 0, shares[conn].renew())
            };
            if turn == 1 {
                (0..before.len()).filter(|&conn| give(conn, &mut frames).0).for_each(|conn| {
                    rotation.push(conn);
                });
            }
            rotation.begin();
            while let Some(conn) = rotation.next_turn() {
                let (more, had) = give(conn, &mut frames);
                rotation.spend(had);
                if more {
                    rotation.push(conn);
                }
            }
            served.push(before.iter().zip(&frames).map(|(before, now)| before - now).collect());
            if rotation.is_empty() {
                break;
            }
        }
        assert!(frames.iter().all(|left| *left == 0), "nobody is forgotten");
        served
    }

    #[test]
    fn turns_go_round_and_end() {
        // One that pipelines beside one that does not: 16 at once and 128 in rotation.
        assert_eq!(turns(vec![300, 1], 40), [[144, 1], [128, 0], [28, 0]]);
        // Two that pipeline get the same.
        assert_eq!(turns(vec![80, 80], 40), [[80, 80]]);
        assert_eq!(turns(vec![100, 100], 40), [[80, 80], [20, 20]]);
        // Large frames: a share is 1 MiB, and so is the rotation.
        assert_eq!(turns(vec![4, 1], 1 << 20), [[2, 1], [1, 0], [1, 0]]);
        assert_eq!(turns(vec![2, 2], 60 << 20), [[2, 1], [0, 1]]);
    }
}
