//! The connections of a shard: a table of slots with generations.
//!
//! Invariant: a slot is freed, and its descriptor closed, only when no operation of the
//! connection is left in the ring; so a completion always finds the connection it was meant for.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::output::Output;
use crate::service::ConnId;
use crate::uring::Group;

/// Bits of a slot's generation that ring keys carry.
const KEY_GENERATION_BITS: u32 = 24;

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being connected.
    Connecting,
    /// In use.
    Open,
    /// The service is done with it; it closes when its output has been sent.
    Flushing,
    /// Closed; operations of it are still in the ring.
    Dead,
}

/// What the ring does about input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// Nothing.
    Off,
    /// It receives.
    On,
    /// It was told to stop, and has not said yet that it did.
    Stopping,
    /// It stopped for want of buffers, and waits for its turn.
    Starved,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) fd: OwnedFd,
    pub(crate) phase: Phase,
    pub(crate) receiving: Receiving,
    pub(crate) group: Group,
    /// Full small buffers in a row, or large ones with little in them.
    pub(crate) misfits: u8,
    pub(crate) paused: bool,
    pub(crate) ended: bool,
    /// Bytes that arrived while paused.
    pub(crate) stash: Vec<u8>,
    pub(crate) output: Output,
    /// Bytes of the send in the ring; none is there at 0.
    pub(crate) sending: usize,
    pub(crate) connecting: bool,
    /// In the list of connections with something new to send.
    pub(crate) dirty: bool,
}

impl Conn {
    pub(crate) fn new(fd: OwnedFd, phase: Phase) -> Conn {
        Conn {
            fd,
            phase,
            receiving: Receiving::Off,
            group: Group::Small,
            misfits: 0,
            paused: false,
            ended: false,
            stash: Vec::new(),
            output: Output::default(),
            sending: 0,
            connecting: phase == Phase::Connecting,
            dirty: false,
        }
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether the ring holds an operation of this connection.
    pub(crate) fn in_ring(&self) -> bool {
        let receives = matches!(self.receiving, Receiving::On | Receiving::Stopping);
        receives || self.sending > 0 || self.connecting
    }

    /// Whether the service may use it.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Connecting)
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    conn: Option<Box<Conn>>,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Conns {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, conn: Conn) -> ConnId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, conn: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        assert!(slot.conn.is_none(), "a free slot has no connection");
        slot.generation = slot.generation.wrapping_add(1);
        slot.conn = Some(Box::new(conn));
        ConnId { index, generation: slot.generation }
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Box<Conn> {
        let slot = &mut self.slots[id.index as usize];
        assert!(slot.generation == id.generation, "a connection is removed once");
        let conn = slot.conn.take().expect("a connection is removed once");
        assert!(!conn.in_ring(), "nothing of a removed connection is in the ring");
        self.free.push(id.index);
        conn
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.conn.as_deref_mut() } else { None }
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.conn.as_deref() } else { None }
    }

    /// The number by which the ring knows a connection.
    pub(crate) fn key(id: ConnId) -> u64 {
        let generation = id.generation & ((1 << KEY_GENERATION_BITS) - 1);
        u64::from(generation) << 32 | u64::from(id.index)
    }

    /// The connection that the ring knows by this number.
    pub(crate) fn by_key(&self, key: u64) -> ConnId {
        let index = key as u32;
        let generation = self.slots[index as usize].generation;
        let id = ConnId { index, generation };
        assert!(Conns::key(id) == key, "a slot is kept until the ring is done with it");
        id
    }

    /// All connections.
    pub(crate) fn ids(&self) -> Vec<ConnId> {
        let taken = self.slots.iter().enumerate().filter(|(_, slot)| slot.conn.is_some());
        taken.map(|(at, slot)| ConnId { index: at as u32, generation: slot.generation }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn() -> Conn {
        Conn::new(std::fs::File::open("/dev/null").unwrap().into(), Phase::Open)
    }

    #[test]
    fn a_dead_id_names_nothing() {
        let mut conns = Conns::default();
        let first = conns.insert(conn());
        conns.remove(first);
        let second = conns.insert(conn());
        assert_eq!(first.index, second.index);
        assert!(conns.get(first).is_none());
        assert!(conns.get_mut(first).is_none());
        assert!(conns.get(second).is_some());
        assert_eq!(conns.by_key(Conns::key(second)), second);
        assert_eq!((conns.len(), conns.ids()), (1, vec![second]));
    }
}
