//! The topics that a member of protocol type "consumer" says it reads: the one thing that the
//! broker looks up in a member's metadata, to spare the offsets of topics that are being read.
//!
//! ```text
//! | i16 version | i32 count | count × (i16 length, topic) | i32 length, user data | ... |
//! ```

use std::collections::BTreeSet;

use ringlog_wire::Reader;

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// The topics, or `None` when the bytes are something else.
pub(crate) fn topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let mut input = Reader::new(metadata);
    if input.i16().ok()? < 0 {
        return None;
    }
    let count = input.count(false).ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        topics.insert(input.string(false).ok()?.to_owned());
    }
    input.bytes_or_null(false).ok()?;
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_subscription_is_read() {
        let two = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff\0\0\0\0";
        let read = topics(two).map(|topics| topics.into_iter().collect::<Vec<_>>());
        assert_eq!(read, Some(vec!["a".to_owned(), "bc".to_owned()]));
        assert_eq!(topics(b"\0\0\0\0\0\0\0\0\0\0"), Some(BTreeSet::new()));
        for bad in [&b""[..], b"\xff\xff\0\0\0\0\0\0\0\0", b"\0\0\0\0\0\x02\0\x01a", b"\0\0\x7f"] {
            assert_eq!(topics(bad), None, "{bad:?}");
        }
        assert_eq!(topics(b"\0\0\x7f\xff\xff\xff"), None, "a count beyond the bytes");
    }
}
