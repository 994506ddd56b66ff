//! Making a ring.

use std::io;

use io_uring::{IoUring, Probe};

use super::receive::BufferGroup;
use super::{Group, Registered, Ring};

/// Completion-queue entries for each submission-queue entry: multishot operations complete many
/// times.
const COMPLETIONS_PER_ENTRY: u32 = 8;

/// What a ring is made of.
#[derive(Clone, Copy, Debug)]
pub struct RingConfig {
    /// Submission-queue entries, a power of two.
    pub entries: u32,
    /// Receive buffers for busy connections, and the bytes of each.
    pub large: (u16, usize),
    /// Receive buffers for connections that send little, and the bytes of each.
    pub small: (u16, usize),
}

/// The kind of ring that shards use: all it does happens when its one thread enters the kernel.
fn build(entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(entries * COMPLETIONS_PER_ENTRY)
        .setup_clamp()
        .build(entries)
}

/// Whether a ring as shards use it can be made.
pub fn try_out() -> io::Result<()> {
    let config = RingConfig { entries: 8, large: (1, 4096), small: (1, 4096) };
    Ring::new(config).map(drop)
}

/// Which of these operations the kernel does not have.
pub fn unsupported(needed: &[(&'static str, u8)]) -> io::Result<Vec<&'static str>> {
    let ring = build(8)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let missing = needed.iter().filter(|(_, code)| !probe.is_supported(*code));
    Ok(missing.map(|(name, _)| *name).collect())
}

impl Ring {
    /// Makes a ring that belongs to the calling thread.
    pub fn new(config: RingConfig) -> io::Result<Ring> {
        let io = build(config.entries)?;
        let (small, large) = (config.small, config.large);
        let groups = [
            BufferGroup::new(&io, Group::Small, 0, small.0, small.1)?,
            BufferGroup::new(&io, Group::Large, small.0, large.0, large.1)?,
        ];
        Ok(Ring {
            io,
            ops: Vec::new(),
            ops_free: Vec::new(),
            groups,
            registered: Registered::none(),
            outstanding: 0,
            submissions: 0,
            _here: std::marker::PhantomData,
        })
    }
}
