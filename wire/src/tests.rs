//! What is tested across the crate: every message against Kafka's other Rust codec ([`oracle`]),
//! every decoder against bytes that mean harm ([`hostile`]), the borrowed forms against the owned
//! ones ([`views`]), record batches ([`batches`]), and golden bytes where the oracle is silent:
//! by hand ([`golden`]) and from Kafka's own classes ([`kafka`]).

pub mod arbitrary;
mod batches;
mod codecs;
mod golden;
mod hostile;
mod kafka;
mod oracle;
mod tree;
mod views;
