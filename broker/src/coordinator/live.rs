//! What a coordinator's log comes down to: the last value of each key.
//!
//! Written again at the log's end, it stands for all that came before, which can then be deleted:
//! so a coordinator's log stays as small as what is true. (Kafka compacts the topic instead; for
//! whoever reads the log, both are the same.)
//!
//! Invariants: of two values of a key the one that stands later in the log holds, whenever the
//! transaction of either ends. What a coordinator passes over because it cannot be read
//! ([`super::replay`]) is not written again: it would hide the value before it, which holds.
//! Records of types that this build does not know are kept as they are, for who knows them.

use std::collections::HashMap;

use super::Kind;
use super::machine;
use super::replay::{Read, Replayed};

/// What a key and its value take beside their bytes.
const ENTRY_BYTES: usize = 64;

/// A record in a transaction: where it is, its key, its value.
type Pending = (i64, Vec<u8>, Option<Vec<u8>>);

/// See the module's head.
#[derive(Debug)]
pub struct Live {
    kind: Kind,
    /// By key: where its last record is, and its value, null too.
    values: HashMap<Vec<u8>, (i64, Option<Vec<u8>>)>,
    /// By producer: what waits for the end of its transaction.
    pending: HashMap<i64, Vec<Pending>>,
    bytes: usize,
}

impl Live {
    /// Of a log of a coordinator of that kind, nothing of which is read yet.
    pub fn new(kind: Kind) -> Live {
        Live { kind, values: HashMap::new(), pending: HashMap::new(), bytes: 0 }
    }

    /// About how many bytes there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no transaction is open.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The keys that have a value, in the order of the log.
    pub fn into_records(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut records: Vec<_> = self.values.into_iter().collect();
        records.retain(|(_, (_, value))| value.is_some());
        records.sort_unstable_by_key(|(_, (offset, _))| *offset);
        records.into_iter().map(|(key, (_, value))| (key, value)).collect()
    }

    fn put(&mut self, offset: i64, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.values.get(&key).is_some_and(|(at, _)| *at > offset) {
            return;
        }
        let of_value = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.bytes += ENTRY_BYTES + key.len() + of_value(&value);
        let key_bytes = key.len();
        if let Some((_, replaced)) = self.values.insert(key, (offset, value)) {
            self.bytes -= ENTRY_BYTES + key_bytes + of_value(&replaced);
        }
    }
}

impl Replayed for Live {
    fn record(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        producer: Option<(i64, i16)>,
        offset: i64,
        _timestamp_ms: i64,
    ) -> Result<Read, String> {
        let read = machine::check(self.kind, key, value)?;
        let (key, value) = (key.to_vec(), value.map(<[u8]>::to_vec));
        match producer {
            None => self.put(offset, key, value),
            Some((id, _)) => self.pending.entry(id).or_default().push((offset, key, value)),
        }
        Ok(read)
    }

    fn marker(&mut self, producer_id: i64, committed: bool, _offset: i64) {
        let ended = self.pending.remove(&producer_id).unwrap_or_default();
        for (offset, key, value) in ended.into_iter().filter(|_| committed) {
            self.put(offset, key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_key_is_left() {
        let mut live = Live::new(Kind::Groups);
        // Keys of types that nobody knows.
        let record = |live: &mut Live, offset, producer, key: &str, value: Option<&str>| {
            let producer = (producer >= 0).then_some((producer, 0));
            let told = live.record(key.as_bytes(), value.map(str::as_bytes), producer, offset, 0);
            assert_eq!(told, Ok(Read::OfUnknownType));
        };
        record(&mut live, 0, -1, "ka", Some("1"));
        record(&mut live, 1, -1, "kb", Some("1"));
        record(&mut live, 2, -1, "ka", Some("2"));
        record(&mut live, 3, -1, "kb", None);
        record(&mut live, 4, 7, "kc", Some("committed"));
        record(&mut live, 5, 8, "kd", Some("aborted"));
        record(&mut live, 6, 7, "ke", Some("overtaken"));
        record(&mut live, 7, -1, "ke", Some("outside"));
        assert!(!live.is_settled());
        live.marker(7, true, 8);
        live.marker(8, false, 9);
        live.marker(9, true, 10);
        assert!(live.is_settled());
        let records = live.into_records();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let told: Vec<_> = records
            .iter()
            .map(|(key, value)| (text(key), text(value.as_deref().expect("a value"))))
            .collect();
        let expected = [("ka", "2"), ("kc", "committed"), ("ke", "outside")];
        assert_eq!(told, expected.map(|(key, value)| (key.to_string(), value.to_string())));
    }

    #[test]
    fn bytes_are_those_of_what_is_there() {
        let mut live = Live::new(Kind::Transactions);
        for offset in 0..100 {
            live.record(b"key", Some(b"value"), None, offset, 0).expect("it is taken");
        }
        assert_eq!(live.bytes(), ENTRY_BYTES + 8);
        live.record(b"key", None, None, 100, 0).expect("it is taken");
        assert_eq!(live.bytes(), ENTRY_BYTES + 3);
    }
}
