//! What the coordinators of groups and transactions have in common.

/// Stands for a request whose answer comes later. Opaque to the state machines: they hand it back.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);
