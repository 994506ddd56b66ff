//! Kafka's wire format: bytes to meaning and back, and nothing else.
//!
//! * [`frame`] and [`header`]: where a message begins and ends, and whom it is for.
//! * [`api`]: one module per Kafka API, each message declared once; [`records`]: the records of the
//!   metadata log and of the coordinators' topics; [`consumer_protocol`]: what consumers tell each
//!   other through their group.
//! * [`batch`]: the record batch (format v2), the same bytes on the wire and on disk.
//! * [`codec`]: the primitives; [`message`]: the declarations' macro; [`error`]: Kafka's error
//!   codes.
//!
//! Invariants: no I/O, no clock, no random source. Whatever the input, decoding ends in a value or
//! an `Err`: it does not panic, and what it allocates is bounded by the input's length
//! ([`codec::Reader`]). Encoding cannot fail: what cannot be encoded is a bug of the caller.
#![forbid(unsafe_code)]

pub mod message;

pub mod api;
pub mod batch;
pub mod client;
pub mod codec;
pub mod consumer_protocol;
pub mod error;
pub mod frame;
pub mod header;
pub mod records;
#[cfg(test)]
mod tests;
mod uuid;

pub use codec::{DecodeError, Reader, Writer};
pub use error::ErrorCode;
pub use uuid::{ParseUuidError, Uuid};
