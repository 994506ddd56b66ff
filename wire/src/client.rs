//! What a client adds: whole request frames.

use crate::api::Api;
use crate::frame;
use crate::header::RequestHeader;

/// A request frame, size prefix included; `body` writes the body.
pub fn encode_request(
    api: &Api,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::new();
    encode_request_into(api, version, correlation_id, client_id, &mut out, body);
    out
}

/// As [`encode_request`], at the end of `out`.
pub fn encode_request_into(
    api: &Api,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    assert!(api.serves(version), "{} v{version} is not spoken here", api.name);
    let start = frame::begin(out);
    RequestHeader { key: api.key, version, correlation_id, client_id }
        .encode(api.is_flexible(version), out);
    body(out);
    frame::end(out, start, 0);
}
