//! A member of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringlog_wire::api::join_group::JoinGroupRequestProtocol;

use crate::coordinator::Ticket;

/// What a member takes in memory beside its strings and bytes.
const MEMBER_OVERHEAD: usize = 512;
/// What a protocol takes in memory beside its name and metadata.
const PROTOCOL_OVERHEAD: usize = 64;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// Its id; also its key in the group.
    pub id: Arc<str>,
    /// The static member's name.
    pub instance_id: Option<String>,
    /// What its connection called itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it can, the preferred first; each name once.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Its part in the last generation that was assigned.
    pub assignment: Vec<u8>,
    /// It has not been through a rebalance: it cannot heartbeat, so waiting is no sign of life.
    pub is_new: bool,
    /// Its JoinGroup waits.
    pub join: Option<Ticket>,
    /// Its SyncGroup waits.
    pub sync: Option<Ticket>,
}

impl Member {
    /// What it says in a protocol; nothing if it cannot that one.
    pub fn metadata(&self, protocol: &str) -> &[u8] {
        let found = self.protocols.iter().find(|known| known.name == protocol);
        found.map_or(&[], |known| &known.metadata)
    }

    /// The first of its protocols that everybody can.
    pub fn vote(&self, candidates: &BTreeSet<&str>) -> Option<&str> {
        self.protocols
            .iter()
            .map(|known| known.name.as_str())
            .find(|name| candidates.contains(name))
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        MEMBER_OVERHEAD
            + 2 * self.id.len()
            + 2 * self.instance_id.as_ref().map_or(0, String::len)
            + self.client_id.len()
            + self.client_host.len()
            + self.assignment.len()
            + protocols_bytes(&self.protocols)
    }
}

/// About how many bytes protocols take in memory.
pub(crate) fn protocols_bytes(protocols: &[JoinGroupRequestProtocol]) -> usize {
    let each = |known: &JoinGroupRequestProtocol| {
        PROTOCOL_OVERHEAD + 2 * known.name.len() + known.metadata.len()
    };
    protocols.iter().map(each).sum()
}
