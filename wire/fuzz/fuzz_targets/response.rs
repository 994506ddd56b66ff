//! See `ringlog_wire_fuzz::response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringlog_wire_fuzz::response(bytes));
