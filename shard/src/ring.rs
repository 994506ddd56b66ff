//! A lane: a bounded queue with one producer and one consumer (Lamport's), each of which keeps a
//! copy of the other's index and looks again only when that copy says full or empty.
//!
//! Invariants: `head <= tail <= head + capacity` (indices run on and wrap at 2^64); slots in
//! `head..tail` hold messages and belong to the consumer, all others belong to the producer.

use std::mem::MaybeUninit;

#[cfg(ringlog_loom)]
use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};
#[cfg(not(ringlog_loom))]
use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

/// `std`'s cell with the face of loom's.
#[cfg(not(ringlog_loom))]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(ringlog_loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    fn with_mut<R>(&self, act: impl FnOnce(*mut T) -> R) -> R {
        act(self.0.get())
    }
}

/// An index on a cache line of its own, so that one side's writes do not slow the other.
#[repr(align(128))]
struct Padded(AtomicUsize);

struct Lane<T> {
    /// The next slot to take; written by the consumer.
    head: Padded,
    /// The next slot to fill; written by the producer.
    tail: Padded,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is touched by the producer until `tail` passes it (Release) and by the consumer
// after it has seen that (Acquire), and the other way round for `head`: never by both. Messages
// move between threads, hence `T: Send`.
unsafe impl<T: Send> Send for Lane<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Lane<T> {}

impl<T> Lane<T> {
    fn mask(&self) -> usize {
        self.slots.len() - 1
    }
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        // Both ends are gone, so plain reads would do; the last drop of the Arc synchronises.
        let mut at = self.head.0.load(Ordering::Acquire);
        let tail = self.tail.0.load(Ordering::Acquire);
        while at != tail {
            // SAFETY: slots in `head..tail` hold messages, and nobody else is left to take them.
            self.slots[at & self.mask()].with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            at = at.wrapping_add(1);
        }
    }
}

/// The end that fills a lane.
pub struct Sender<T> {
    lane: Arc<Lane<T>>,
    tail: usize,
    head_seen: usize,
}

/// The end that empties a lane.
pub struct Receiver<T> {
    lane: Arc<Lane<T>>,
    head: usize,
    tail_seen: usize,
}

/// A lane for `capacity` messages, a power of two.
pub fn lane<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity.is_power_of_two(), "a lane's capacity is a power of two");
    let slots = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let head = Padded(AtomicUsize::new(0));
    let lane = Arc::new(Lane { head, tail: Padded(AtomicUsize::new(0)), slots });
    let sender = Sender { lane: lane.clone(), tail: 0, head_seen: 0 };
    (sender, Receiver { lane, head: 0, tail_seen: 0 })
}

impl<T: Send> Sender<T> {
    /// Sends, or gives the message back when the lane is full.
    pub fn push(&mut self, message: T) -> Result<(), T> {
        let capacity = self.lane.slots.len();
        if self.tail.wrapping_sub(self.head_seen) == capacity {
            self.head_seen = self.lane.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == capacity {
                return Err(message);
            }
        }
        // SAFETY: head <= head_seen and tail - head_seen < capacity, so the consumer has done
        // with this slot (Acquire above) and looks at it again only after `tail` has passed it.
        self.lane.slots[self.tail & self.lane.mask()].with_mut(|slot| unsafe {
            (*slot).write(message);
        });
        self.tail = self.tail.wrapping_add(1);
        self.lane.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T: Send> Receiver<T> {
    /// The oldest message, if there is one.
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: head < tail_seen <= tail, seen with Acquire: the slot holds a message and the
        // producer does not touch it until `head` has passed it. It is read once, as `head`
        // moves on.
        let message = self.lane.slots[self.head & self.lane.mask()]
            .with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.lane.head.0.store(self.head, Ordering::Release);
        Some(message)
    }

    /// Messages that wait, as far as this end can see.
    pub fn waiting(&self) -> usize {
        self.lane.tail.0.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Nothing to take now.
    pub fn is_empty(&mut self) -> bool {
        if self.head == self.tail_seen {
            self.tail_seen = self.lane.tail.0.load(Ordering::Acquire);
        }
        self.head == self.tail_seen
    }
}

#[cfg(all(test, not(ringlog_loom)))]
mod tests {
    use super::lane;
    use std::sync::Arc;

    #[test]
    fn a_full_lane_gives_the_message_back() {
        let (mut sender, mut receiver) = lane(2);
        assert_eq!(sender.push(1), Ok(()));
        assert_eq!(sender.push(2), Ok(()));
        assert_eq!(sender.push(3), Err(3));
        assert_eq!(receiver.pop(), Some(1));
        assert_eq!(sender.push(3), Ok(()));
        assert_eq!((receiver.pop(), receiver.pop(), receiver.pop()), (Some(2), Some(3), None));
    }

    #[test]
    fn order_is_kept_between_threads() {
        let count = if cfg!(miri) { 300 } else { 200_000 };
        let (mut sender, mut receiver) = lane(16);
        let thread = std::thread::spawn(move || {
            for number in 0..count {
                while sender.push(Box::new(number)).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        for number in 0..count {
            let message = loop {
                match receiver.pop() {
                    Some(message) => break message,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(*message, number);
        }
        thread.join().unwrap();
    }

    #[test]
    fn messages_left_in_a_lane_are_dropped_with_it() {
        let counted = Arc::new(());
        let (mut sender, mut receiver) = lane(4);
        for _ in 0..3 {
            sender.push(counted.clone()).unwrap();
        }
        drop(receiver.pop());
        drop((sender, receiver));
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}

#[cfg(all(test, ringlog_loom))]
mod loom_tests {
    use super::lane;

    #[test]
    fn messages_arrive_in_order_and_whole() {
        loom::model(|| {
            let (mut sender, mut receiver) = lane(2);
            let thread = loom::thread::spawn(move || {
                let mut sent = 0_u32;
                for number in 0..3 {
                    match sender.push(Box::new(number)) {
                        Ok(()) => sent += 1,
                        Err(back) => assert_eq!(*back, number),
                    }
                }
                sent
            });
            let mut last = None;
            let mut taken = 0;
            for _ in 0..2 {
                if let Some(message) = receiver.pop() {
                    assert!(last.is_none_or(|last| last < *message));
                    last = Some(*message);
                    taken += 1;
                }
            }
            let sent = thread.join().unwrap();
            while let Some(message) = receiver.pop() {
                assert!(last.is_none_or(|last| last < *message));
                last = Some(*message);
                taken += 1;
            }
            assert_eq!(taken, sent);
        });
    }
}
