//! See `ringlog_wire_fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringlog_wire_fuzz::frame(bytes));
