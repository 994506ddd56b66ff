//! Request and response headers.
//!
//! ```text
//! request v1:  | 0 api key i16 | 2 api version i16 | 4 correlation id i32 | 8 client id string? |
//! request v2:  the same, then tagged fields; the client id stays a classic string
//! response v0: | 0 correlation id i32 |          v1: the same, then tagged fields
//! ```
//!
//! Invariants: the flexible versions of an API use request v2 and response v1, all others v1 and
//! v0; ApiVersions always answers with v0, so that a client can read it before it knows the broker.
//! The first eight bytes can be read without knowing the API.

use crate::api::{self, Api};
use crate::codec::{Reader, Result, Writer};
use crate::frame;

/// What every request starts with, whatever its API and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPrefix {
    /// The API.
    pub key: i16,
    /// Its version.
    pub version: i16,
    /// Repeated in the response.
    pub correlation_id: i32,
}

/// The bytes of a [`RequestPrefix`].
pub const PREFIX_BYTES: usize = size_of::<i16>() * 2 + size_of::<i32>();
const _: () = assert!(PREFIX_BYTES == 8);

/// A request's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The API.
    pub key: i16,
    /// Its version.
    pub version: i16,
    /// Repeated in the response.
    pub correlation_id: i32,
    /// Who asks, as it calls itself.
    pub client_id: Option<&'a str>,
}

/// Reads the first eight bytes of a frame's content; fails only when there are fewer.
#[inline]
pub fn parse_prefix(bytes: &[u8]) -> Result<RequestPrefix> {
    let mut input = Reader::new(bytes);
    Ok(RequestPrefix { key: input.i16()?, version: input.i16()?, correlation_id: input.i32()? })
}

impl<'a> RequestHeader<'a> {
    /// Reads the header of a request to `api` from a frame's content (without the size), and gives
    /// the body. The prefix has told the API and a version that it serves.
    #[inline]
    pub fn parse(api: &Api, bytes: &'a [u8]) -> Result<(RequestHeader<'a>, &'a [u8])> {
        let mut input = Reader::new(bytes);
        let (key, version) = (input.i16()?, input.i16()?);
        let header = RequestHeader {
            key,
            version,
            correlation_id: input.i32()?,
            client_id: input.string_or_null(false)?,
        };
        assert!(key == api.key, "the header is read with the API that its prefix names");
        if api.is_flexible(version) {
            input.skip_tags()?;
        }
        Ok((header, input.rest()))
    }

    /// Writes the header.
    pub fn encode(&self, flexible: bool, out: &mut Vec<u8>) {
        out.put_i16(self.key);
        out.put_i16(self.version);
        out.put_i32(self.correlation_id);
        out.put_string(false, self.client_id);
        if flexible {
            out.put_uvarint(0);
        }
    }
}

/// True when responses of this API and version carry header v1.
#[inline]
pub fn response_is_flexible(api: &Api, version: i16) -> bool {
    api.is_flexible(version) && api.key != api::api_versions::API.key
}

/// A response header: five bytes at most, for those who keep bytes rather than write into a vector.
#[inline]
pub fn response_header_bytes(api: &Api, version: i16, correlation_id: i32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    bytes[..4].copy_from_slice(&correlation_id.to_be_bytes());
    (bytes, if response_is_flexible(api, version) { 5 } else { 4 })
}

/// Begins a response in `out`: room for the size, then the header. Give what it returns to
/// [`frame::end`].
pub fn begin_response(api: &Api, version: i16, correlation_id: i32, out: &mut Vec<u8>) -> usize {
    let start = frame::begin(out);
    let (bytes, length) = response_header_bytes(api, version, correlation_id);
    out.put(&bytes[..length]);
    start
}

/// Reads a response's header from a frame's content, and gives the correlation id and the body.
#[inline]
pub fn parse_response<'a>(api: &Api, version: i16, bytes: &'a [u8]) -> Result<(i32, &'a [u8])> {
    let mut input = Reader::new(bytes);
    let correlation_id = input.i32()?;
    if response_is_flexible(api, version) {
        input.skip_tags()?;
    }
    Ok((correlation_id, input.rest()))
}
