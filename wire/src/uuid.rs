//! Kafka's UUIDs: sixteen bytes on the wire, 22 characters of URL-safe base64 without padding in
//! text.

use std::fmt;
use std::str::FromStr;

const TEXT_BYTES: usize = 22;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const _: () = assert!(TEXT_BYTES == (16usize * 8).div_ceil(6));

/// A topic's, directory's, incarnation's or cluster's identity.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// "No id": what a version without ids, or a request by name, leaves behind.
    pub const ZERO: Uuid = Uuid([0; 16]);
    /// The id of the topic `__cluster_metadata`.
    pub const METADATA_TOPIC: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// True for [`Uuid::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Uuid::ZERO
    }

    /// The bytes in wire order.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Uuid {
        Uuid(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = [0u8; TEXT_BYTES];
        for (place, letter) in text.iter_mut().enumerate() {
            // 21 groups of six bits from the top, then the last two bits padded with four zeros.
            let six = if place < 21 { bits >> (122 - 6 * place) } else { bits << 4 };
            *letter = ALPHABET[(six & 63) as usize];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 22 characters of URL-safe base64 that mean sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseUuidError;

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected a UUID as 22 characters of URL-safe base64, such as AAAAAAAAAAAAAAAAAAAAAQ",
        )
    }
}

impl std::error::Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Uuid, ParseUuidError> {
        if text.len() != TEXT_BYTES {
            return Err(ParseUuidError);
        }
        let mut bits = 0u128;
        for (place, letter) in text.bytes().enumerate() {
            let six = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return Err(ParseUuidError),
            };
            if place < 21 {
                bits = bits << 6 | u128::from(six);
            } else if six & 15 == 0 {
                bits = bits << 2 | u128::from(six >> 4);
            } else {
                return Err(ParseUuidError);
            }
        }
        Ok(Uuid(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas() {
        let check = |text: &str, bytes: u128| {
            let uuid = Uuid(bytes.to_be_bytes());
            assert_eq!(uuid.to_string(), text);
            assert_eq!(text.parse(), Ok(uuid));
        };
        check("AAAAAAAAAAAAAAAAAAAAAA", 0);
        check("AAAAAAAAAAAAAAAAAAAAAQ", 1);
        check("_____________________w", u128::MAX);
        check("EjRWeJq83v8BI0VniavN7w", 0x1234_5678_9abc_deff_0123_4567_89ab_cdef);
    }

    #[test]
    fn other_text_is_refused() {
        for text in
            ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB"]
        {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
        assert_eq!("AAAAAAAAAA+AAAAAAAAAAA".parse::<Uuid>(), Err(ParseUuidError));
        assert_eq!("ééééééééééé".parse::<Uuid>(), Err(ParseUuidError));
    }
}
