//! `ringlog topic …`: looks after topics over the wire, for those who have no Kafka tools at hand.
//! Its flags are named as `kafka-topics` and `kafka-configs` name theirs, and it works against any
//! Kafka broker.
//!
//! Invariant: what a command prints on standard output is its result alone; whatever is wrong is
//! one sentence that says what to do, and an exit code that is not 0.

pub mod client;
pub mod settings;
pub mod table;
pub mod topic;
