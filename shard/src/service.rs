//! What a shard runs, and the names by which it speaks of connections and other shards.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::buf::ReadBuf;
use crate::core::Core;

/// Names a shard of this process: `0..shards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's place in a table of shards.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Names one connection of one shard. A slot that is used again gets another generation, so an id
/// kept too long names nothing: every call that takes a dead id does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The id as one number, for logs and tables.
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed its side.
    Peer,
    /// [`Core::close`] or [`Core::abort`] of this shard.
    Local,
    /// The socket failed; the operating system's error code.
    Error(i32),
    /// [`Core::connect`] did not succeed; the operating system's error code.
    ConnectFailed(i32),
}

impl CloseReason {
    /// The error, where there is one.
    pub fn error(self) -> Option<io::Error> {
        match self {
            CloseReason::Peer | CloseReason::Local => None,
            CloseReason::Error(code) | CloseReason::ConnectFailed(code) => {
                Some(io::Error::from_raw_os_error(code))
            }
        }
    }
}

/// What a shard runs. Every function is called on the shard's own thread, within a turn of its
/// loop, and must not block.
pub trait Service: Sized + 'static {
    /// What shards of this service say to each other.
    type Message: Send + 'static;

    /// Called once, before the first turn.
    fn start(&mut self, core: &mut Core<Self::Message>);

    /// A peer connected to the listener of this index in the configuration. `false` refuses: the
    /// connection is closed and never heard of again.
    fn accepted(
        &mut self,
        core: &mut Core<Self::Message>,
        conn: ConnId,
        listener: usize,
        peer: SocketAddr,
    ) -> bool;

    /// A connection made by [`Core::connect`] is established.
    fn connected(&mut self, _core: &mut Core<Self::Message>, _conn: ConnId) {}

    /// Bytes of a connection, in order. Borrowed for the call: what is kept must be copied.
    fn received(&mut self, core: &mut Core<Self::Message>, conn: ConnId, bytes: &[u8]);

    /// All output queued so far has been handed to the kernel.
    fn drained(&mut self, core: &mut Core<Self::Message>, conn: ConnId);

    /// The connection is gone, and its id dead. Called exactly once for each connection that was
    /// accepted with `true` or made by [`Core::connect`], also when this side closed it.
    fn closed(&mut self, core: &mut Core<Self::Message>, conn: ConnId, why: CloseReason);

    /// A write, read, sync or allocation has ended. For a read, `result` is the number of bytes
    /// now in `read`, less than asked for only at the end of the file.
    fn disk_done(
        &mut self,
        core: &mut Core<Self::Message>,
        token: u64,
        result: io::Result<u32>,
        read: Option<ReadBuf>,
    );

    /// A message of another shard; or, with `from` this shard itself, one that came from outside
    /// the shards ([`crate::Handle::post`]) or from a blocking job of this shard.
    fn message(&mut self, core: &mut Core<Self::Message>, from: ShardId, message: Self::Message);

    /// The deadline set by [`Core::wake_at`] has passed (and is cleared).
    fn timer(&mut self, core: &mut Core<Self::Message>);

    /// Once per turn, after all that happened and before anything is submitted to the kernel.
    fn turn_end(&mut self, core: &mut Core<Self::Message>);
}
