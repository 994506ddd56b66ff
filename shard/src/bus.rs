//! Between shards: one lane per ordered pair, and a doorbell that is rung only when the receiver
//! sleeps. From outside the shards: a mailbox.
//!
//! Invariants:
//! - A lane has one sending and one receiving thread; a full lane gives the message back.
//! - A shard that says it sleeps looks into its lanes once more before it does; a sender looks at
//!   that word after it has sent. Both put a sequentially consistent fence in between, so one of
//!   them sees the other, and no message waits for a shard that sleeps.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};

use crate::ring::{Receiver, Sender, lane};
use crate::service::ShardId;
use crate::uring::EventFd;

/// Messages taken from one lane in one turn at most, so that no sender starves the sockets.
const LANE_MESSAGES_PER_TURN: usize = 256;

/// What others may know of a shard: whether it sleeps, and how to wake it.
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct Peer {
    sleeping: AtomicBool,
    /// The shard's ring: a duplicate, so that the number stays valid while anybody may ring.
    ring: OnceLock<OwnedFd>,
}

impl Peer {
    pub(crate) fn new() -> Peer {
        Peer { sleeping: AtomicBool::new(false), ring: OnceLock::new() }
    }
}

/// Messages from outside the shards, which take a lock: signals, blocking jobs, tests.
#[derive(Debug)]
pub(crate) struct Mailbox<M> {
    messages: Mutex<VecDeque<M>>,
    waiting: AtomicBool,
    stop: AtomicBool,
    pub(crate) bell: EventFd,
}

impl<M> Mailbox<M> {
    pub(crate) fn new() -> std::io::Result<Mailbox<M>> {
        Ok(Mailbox {
            messages: Mutex::new(VecDeque::new()),
            waiting: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            bell: EventFd::new()?,
        })
    }

    pub(crate) fn post(&self, message: M) {
        self.lock().push_back(message);
        self.ring();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn ring(&self) {
        if !self.waiting.swap(true, Ordering::AcqRel) {
            self.bell.signal();
        }
    }

    /// Whether something came since the last [`Mailbox::take`].
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes all messages.
    pub(crate) fn take(&self) -> VecDeque<M> {
        self.bell.clear();
        // Cleared before the queue is taken: what comes after the take rings again.
        self.waiting.swap(false, Ordering::AcqRel);
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<M>> {
        // A holder does nothing that can panic halfway, so a poisoned queue is whole.
        self.messages.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// One shard's ends of all lanes.
pub(crate) struct Bus<M> {
    me: ShardId,
    out: Vec<Option<Sender<M>>>,
    into: Vec<Option<Receiver<M>>>,
    /// Messages of the shard to itself.
    own: VecDeque<M>,
    own_max: usize,
    peers: Arc<[Peer]>,
    /// Shards that were sent something in this turn.
    posted: Vec<ShardId>,
}

/// Makes the ends of the lanes between `shards` shards.
pub(crate) fn connect<M: Send>(shards: usize, lane_messages: usize) -> Vec<Bus<M>> {
    let peers: Arc<[Peer]> = (0..shards).map(|_| Peer::new()).collect();
    let mut buses: Vec<Bus<M>> = (0..shards)
        .map(|me| Bus {
            me: ShardId(me as u16),
            out: Vec::new(),
            into: Vec::new(),
            own: VecDeque::new(),
            own_max: lane_messages,
            peers: peers.clone(),
            posted: Vec::new(),
        })
        .collect();
    for from in 0..shards {
        for to in 0..shards {
            let ends = (from != to).then(|| lane(lane_messages));
            let (sender, receiver) = ends.map_or((None, None), |(s, r)| (Some(s), Some(r)));
            buses[from].out.push(sender);
            buses[to].into.push(receiver);
        }
    }
    buses
}

impl<M: Send> Bus<M> {
    pub(crate) fn me(&self) -> ShardId {
        self.me
    }

    pub(crate) fn shards(&self) -> usize {
        self.peers.len()
    }

    /// Tells the others how to ring.
    pub(crate) fn publish_ring(&self, ring: OwnedFd) {
        assert!(self.peers[self.me.index()].ring.set(ring).is_ok(), "a shard starts once");
    }

    pub(crate) fn post(&mut self, to: ShardId, message: M) -> Result<(), M> {
        match &mut self.out[to.index()] {
            Some(sender) => {
                sender.push(message)?;
                if !self.posted.contains(&to) {
                    self.posted.push(to);
                }
            }
            None if self.own.len() == self.own_max => return Err(message),
            None => self.own.push_back(message),
        }
        Ok(())
    }

    /// The rings of those that were sent something since the last call, and sleep. Each is
    /// given out once for each time it went to sleep.
    pub(crate) fn bells(&mut self, mut ring: impl FnMut(RawFd)) {
        if self.posted.is_empty() {
            return;
        }
        fence(Ordering::SeqCst);
        for to in self.posted.drain(..) {
            let peer = &self.peers[to.index()];
            let asleep = peer.sleeping.load(Ordering::Relaxed)
                && peer.sleeping.swap(false, Ordering::AcqRel);
            if let (true, Some(descriptor)) = (asleep, peer.ring.get()) {
                ring(descriptor.as_raw_fd());
            }
        }
    }

    /// Says whether this shard sleeps. Having said so, it must look at [`Bus::is_empty`].
    pub(crate) fn set_sleeping(&self, sleeping: bool) {
        self.peers[self.me.index()].sleeping.store(sleeping, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.own.is_empty() && self.into.iter_mut().flatten().all(Receiver::is_empty)
    }

    /// Messages that wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        self.own.len() + self.into.iter().flatten().map(Receiver::waiting).sum::<usize>()
    }

    /// Moves messages out, a bounded number from each lane.
    pub(crate) fn take(&mut self, out: &mut Vec<(ShardId, M)>) {
        let me = self.me;
        out.extend(self.own.drain(..).map(|message| (me, message)));
        for (from, lane) in self.into.iter_mut().enumerate() {
            let Some(lane) = lane else { continue };
            let messages = std::iter::from_fn(|| lane.pop()).take(LANE_MESSAGES_PER_TURN);
            out.extend(messages.map(|message| (ShardId(from as u16), message)));
        }
    }
}
