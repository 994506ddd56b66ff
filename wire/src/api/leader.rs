//! What Produce (from v10) and Fetch (from v16) add when they say "not leader": who leads, and
//! where that broker is reached (KIP-951). Both are tagged fields, alike in the two APIs.

use crate::codec::Writer;
use crate::message::{Form, Wire, messages};

messages! {
    /// A partition's leader.
    LeaderIdAndEpoch, flexible 0 {
        /// The broker, or -1.
        leader_id: i32 => 0+, default -1;
        /// Its epoch, or -1.
        leader_epoch: i32 => 0+, default -1;
    }

    /// Where a broker is reached.
    NodeEndpoint, flexible 0 {
        /// The broker.
        node_id: i32 => 0+;
        /// Its host.
        host: String => 0+;
        /// Its port.
        port: i32 => 0+;
        /// Where it stands.
        rack: Option<String> => 0+, null 0+;
    }
}

/// A struct of an i32 and an integer of `T`, with its empty tagged fields, as a tagged field's
/// size.
pub(super) const fn pair_bytes<T>() -> u32 {
    (size_of::<i32>() + size_of::<T>() + 1) as u32
}

/// A leader as a tagged field.
pub(super) fn put_leader(out: &mut Vec<u8>, tag: u32, leader_id: i32, leader_epoch: i32) {
    out.put_uvarint(tag);
    out.put_uvarint(pair_bytes::<i32>());
    out.put_i32(leader_id);
    out.put_i32(leader_epoch);
    out.put_uvarint(0);
}

/// The tagged fields at the body's end: endpoints as tag 0, or none.
pub(super) fn put_endpoints(out: &mut Vec<u8>, version: i16, endpoints: &[NodeEndpoint]) {
    out.put_uvarint(u32::from(!endpoints.is_empty()));
    if !endpoints.is_empty() {
        let form = Form { version, flexible: true, nullable: false };
        let mut content = Vec::new();
        content.put_count(true, Some(endpoints.len()));
        for endpoint in endpoints {
            Wire::encode(endpoint, form, &mut content);
        }
        out.put_uvarint(0);
        out.put_bytes_sized(&content);
    }
}
