//! Groups: who reads what together.

pub mod assignor;
pub mod consumer;
