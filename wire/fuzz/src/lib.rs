//! What must hold of any bytes: one function for each fuzz target. `tests/corpus.rs` runs the same
//! functions over the whole corpus under `cargo test`.
//!
//! ```text
//! cargo fuzz run --fuzz-dir wire/fuzz TARGET -- -max_total_time=600 -rss_limit_mb=512 -timeout=5
//! cargo fuzz cmin --fuzz-dir wire/fuzz TARGET
//! ```
//!
//! | target     | input |
//! |------------|--------------------------------------------------------------|
//! | `frame`    | a connection's bytes |
//! | `request`  | a request frame's content: key i16, version i16, … |
//! | `response` | key i16, version i16, then a response frame's content |
//! | `batch`    | record batches, one after the other |
//! | `records`  | u8: 0 = a metadata record's value, n = a control record's of type n - 1; |
//! |            | [`GROUP`] or [`TRANSACTION`] = u8 key length, key, value of a coordinator's; |
//! |            | [`SUBSCRIPTION`] or [`ASSIGNMENT`] = a message of the consumer protocol |
//!
//! Invariants: nothing panics; what is taken can be written, and reads as what it was; the borrowed
//! forms take and refuse what the owned ones do, and say the same.
#![forbid(unsafe_code)]

mod batches;
pub mod bodies;
mod views;

pub use batches::batch;
pub use bodies::Side;

use ringlog_wire::api::{self, Api};
use ringlog_wire::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, VERSION_MAX,
};
use ringlog_wire::frame::{FRAME_BYTES_MAX, SIZE_BYTES, frame_size};
use ringlog_wire::header::{self, RequestHeader};
use ringlog_wire::records::{ControlRecord, GroupRecord, MetadataRecord, TransactionRecord};
use ringlog_wire::{DecodeError, Reader};

/// What a connection's bytes begin with: frames, as the broker takes them apart.
pub fn frame(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(size)) = frame_size(rest, FRAME_BYTES_MAX) {
        let Some((whole, after)) = rest.split_at_checked(size) else { return };
        rest = after;
        let content = &whole[SIZE_BYTES..];
        let Ok(prefix) = header::parse_prefix(content) else { continue };
        // Versions that are not served have headers too: ApiVersions answers them.
        let Some(api) = api::find(prefix.key) else { continue };
        if let Ok((head, body)) = RequestHeader::parse(api, content) {
            assert_eq!(head.correlation_id, prefix.correlation_id);
            let mut out = Vec::new();
            head.encode(api.is_flexible(head.version), &mut out);
            assert_eq!(RequestHeader::parse(api, &out), Ok((head, &[][..])));
            assert!(body.len() < content.len());
        }
        for version in api.versions() {
            let _ = header::parse_response(api, version, content);
        }
    }
}

/// A request frame's content, through header and body.
pub fn request(content: &[u8]) {
    let Some((api, version, body)) = request_parts(content) else { return };
    let _ = bodies::recode(Side::Request, api.key, version, body);
    views::request(api, version, body);
}

/// The API, the version and the body of a request frame's content, if it is served.
pub fn request_parts(content: &[u8]) -> Option<(&'static Api, i16, &[u8])> {
    let prefix = header::parse_prefix(content).ok()?;
    let api = api::find(prefix.key).filter(|api| api.serves(prefix.version))?;
    let (_, body) = RequestHeader::parse(api, content).ok()?;
    Some((api, prefix.version, body))
}

/// A response frame's content, with the API and the version that it answers before it.
pub fn response(bytes: &[u8]) {
    let Some((api, version, body)) = response_parts(bytes) else { return };
    let _ = bodies::recode(Side::Response, api.key, version, body);
    views::response(api, version, body);
}

/// The API, the version and the body of a response.
pub fn response_parts(bytes: &[u8]) -> Option<(&'static Api, i16, &[u8])> {
    let mut input = Reader::new(bytes);
    let (key, version) = (input.i16().ok()?, input.i16().ok()?);
    let api = api::find(key).filter(|api| api.serves(version))?;
    let (_, body) = header::parse_response(api, version, input.rest()).ok()?;
    Some((api, version, body))
}

/// As the first byte of `records`: a record of `__consumer_offsets`; without a value, its end.
pub const GROUP: u8 = 0xf0;
/// As the first byte of `records`: a record of `__transaction_state`; without a value, its end.
pub const TRANSACTION: u8 = 0xf1;
/// As the first byte of `records`: what a member of a group wants.
pub const SUBSCRIPTION: u8 = 0xf2;
/// As the first byte of `records`: what a member of a group is to own.
pub const ASSIGNMENT: u8 = 0xf3;

/// A record of the metadata log or of a coordinator's topic, or what a record carries.
pub fn records(bytes: &[u8]) {
    let Some((&kind, value)) = bytes.split_first() else { return };
    match kind {
        GROUP => coordinator_record(value, GroupRecord::decode, GroupRecord::encode),
        TRANSACTION => {
            coordinator_record(value, TransactionRecord::decode, TransactionRecord::encode);
        }
        SUBSCRIPTION => {
            let Ok(message) = ConsumerProtocolSubscription::from_bytes(value) else { return };
            let out = message.to_bytes(VERSION_MAX);
            again(ConsumerProtocolSubscription::from_bytes(&out), message);
        }
        ASSIGNMENT => {
            let Ok(message) = ConsumerProtocolAssignment::from_bytes(value) else { return };
            let out = message.to_bytes(VERSION_MAX);
            again(ConsumerProtocolAssignment::from_bytes(&out), message);
        }
        kind => quorum_record(kind, value),
    }
}

/// What was written reads as what it was, or has become too small for its allowance.
fn again<T: PartialEq + std::fmt::Debug>(read: Result<T, DecodeError>, wrote: T) {
    match read {
        Ok(read) => assert_eq!(read, wrote),
        Err(error) => assert_eq!(error, DecodeError::Allowance),
    }
}

fn coordinator_record<R: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8], Option<&[u8]>) -> Result<R, DecodeError>,
    encode: impl Fn(&R, &mut Vec<u8>, &mut Vec<u8>) -> bool,
) {
    let Some((&length, rest)) = bytes.split_first() else { return };
    let Some((key, value)) = rest.split_at_checked(length.into()) else { return };
    let Ok(record) = decode(key, Some(value).filter(|value| !value.is_empty())) else { return };
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let there = encode(&record, &mut key, &mut value);
    again(decode(&key, there.then_some(&value[..])), record);
}

fn quorum_record(kind: u8, value: &[u8]) {
    let mut out = Vec::new();
    if kind == 0 {
        let Ok((record, version)) = MetadataRecord::decode_value(value) else { return };
        record.encode_value(version, &mut out);
        match MetadataRecord::decode_value(&out) {
            // A quota may be "not a number", which equals nothing.
            Ok(again) => assert_eq!(format!("{again:?}"), format!("{:?}", (record, version))),
            Err(error) => assert_eq!(error, DecodeError::Allowance),
        }
    } else {
        let key = [0, 0, 0, kind - 1];
        let Ok(record) = ControlRecord::decode(&key, value) else { return };
        record.encode_value(&mut out);
        match ControlRecord::decode(&key, &out) {
            Ok(again) => assert_eq!(again, record),
            Err(error) => assert_eq!(error, DecodeError::Allowance),
        }
    }
}
