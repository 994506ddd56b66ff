//! From a coordinator's log back to its state.
//!
//! Invariant: no record stops the reading. A client that calls itself `__admin_client` may write to
//! these topics, here as in Kafka, so what cannot be read may stand in a log whose batches are
//! sound. It is passed over, and told: what stood there before under its key holds. (Kafka gives a
//! partition of groups up at such a record, and of transactions all that follows it: one record of
//! nobody's would cost every group or transactional id of the partition, for good. The coordinator
//! never writes one, so nobody was ever told what it says.) Records of types that this build does
//! not know are passed over as well, as in Kafka: those of share and streams groups, or of a later
//! Kafka.

use ringlog_storage::transaction::Marker;
use ringlog_wire::batch::{Batch, BatchError, Codecs, Compression, INFLATED_BYTES_MAX};

/// So many of the records that cannot be read are told of one by one, per stretch of a log.
const TOLD_MAX: usize = 8;

/// What a record is that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Of a type that this build knows.
    Known,
    /// Of another one: nothing came of it.
    OfUnknownType,
}

/// What a coordinator's log is read into.
pub trait Replayed {
    /// The next record; `producer` is the id and epoch of one in a transaction.
    ///
    /// # Errors
    /// It cannot be read, and nothing came of it.
    fn record(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        producer: Option<(i64, i16)>,
        offset: i64,
        timestamp_ms: i64,
    ) -> Result<Read, String>;

    /// The next marker.
    fn marker(&mut self, producer_id: i64, committed: bool, offset: i64);
}

/// A stretch of a log that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The offset at which its whole batches end.
    pub next: i64,
    /// How many records were of types that this build does not know.
    pub unknown: u64,
    /// How many records, or batches as a whole, could not be read and were passed over.
    pub unreadable: u64,
    /// Of the first of those: where, and why.
    pub why: Vec<String>,
}

impl Replay {
    fn unreadable(&mut self, why: String) {
        self.unreadable += 1;
        if self.why.len() < TOLD_MAX {
            self.why.push(why);
        }
    }
}

/// Gives `into` all records of whole batches from offset `from` on.
///
/// # Errors
/// A batch's frame is broken, so that nobody knows where the next one begins: the disk has lost
/// something, and the coordinator cannot serve.
pub fn replay(
    into: &mut dyn Replayed,
    codecs: &mut Codecs,
    mut bytes: &[u8],
    from: i64,
) -> Result<Replay, String> {
    let mut done = Replay { next: from, ..Replay::default() };
    while !bytes.is_empty() {
        let parsed = Batch::parse(bytes);
        let (batch, rest) = parsed.map_err(|error| format!("a batch cannot be read: {error}"))?;
        bytes = rest;
        let base_offset = batch.header().base_offset;
        if let Err(error) = replay_batch(into, codecs, &batch, &mut done) {
            done.unreadable(format!("the batch at offset {base_offset}: {error}"));
        }
        done.next = done.next.max(batch.header().next_offset());
    }
    Ok(done)
}

fn replay_batch(
    into: &mut dyn Replayed,
    codecs: &mut Codecs,
    batch: &Batch<'_>,
    done: &mut Replay,
) -> Result<(), BatchError> {
    match batch.header().compression()? {
        Compression::None => replay_records(into, batch, done),
        _ => {
            let opened = batch.open(codecs, INFLATED_BYTES_MAX as usize);
            let replayed = opened.and_then(|header| {
                replay_records(into, &Batch::from_parts(header, codecs.body()), done)
            });
            codecs.trim();
            replayed
        }
    }
}

fn replay_records(
    into: &mut dyn Replayed,
    batch: &Batch<'_>,
    done: &mut Replay,
) -> Result<(), BatchError> {
    let header = batch.header();
    if header.is_control() {
        // Control records of kinds that are not known end no transaction.
        if let Some(marker) = Marker::decode(batch) {
            into.marker(marker.producer_id, marker.committed, header.base_offset);
        }
        return Ok(());
    }
    let producer = header.is_transactional().then_some((header.producer_id, header.producer_epoch));
    // Where the next record may stand: offsets grow, and end where the batch says.
    let mut least = done.next;
    for record in batch.records() {
        let record = record?;
        let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
        if offset < done.next {
            // It was read before, or deleted.
            continue;
        }
        if offset < least || offset >= header.next_offset() {
            done.unreadable(format!("the record at offset {offset}: it is out of order"));
            continue;
        }
        least = offset + 1;
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        let key = record.key.unwrap_or_default();
        match into.record(key, record.value, producer, offset, timestamp) {
            Ok(Read::Known) => {}
            Ok(Read::OfUnknownType) => done.unknown += 1,
            Err(why) => done.unreadable(format!("the record at offset {offset}: {why}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ringlog_wire::batch::{BatchBuilder, BatchHeader, BatchOptions};
    use ringlog_wire::records::group::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
    use ringlog_wire::records::txn::{TransactionLogKey, TransactionLogValue, TransactionRecord};

    use super::super::{Kind, Live, machine};
    use super::*;

    /// The offsets of the records that a coordinator takes.
    struct Taken {
        kind: Kind,
        offsets: Vec<i64>,
    }

    impl Replayed for Taken {
        fn record(
            &mut self,
            key: &[u8],
            value: Option<&[u8]>,
            _producer: Option<(i64, i16)>,
            offset: i64,
            _timestamp_ms: i64,
        ) -> Result<Read, String> {
            let read = machine::check(self.kind, key, value)?;
            if read == Read::Known {
                self.offsets.push(offset);
            }
            Ok(read)
        }

        fn marker(&mut self, _producer_id: i64, _committed: bool, _offset: i64) {}
    }

    type KeyAndValue = (Option<Vec<u8>>, Option<Vec<u8>>);

    fn batch(base_offset: i64, records: &[KeyAndValue]) -> Vec<u8> {
        let options = BatchOptions { base_offset, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        for (key, value) in records {
            builder.push(0, key.as_deref(), value.as_deref(), &[]);
        }
        builder.finish()
    }

    fn rebodied(of: &[u8], change: impl FnOnce(&mut BatchHeader), body: &[u8]) -> Vec<u8> {
        let (batch, _) = Batch::parse(of).expect("a good batch");
        let mut header = *batch.header();
        change(&mut header);
        [&header.sealed(body).encode()[..], body].concat()
    }

    /// An offset that group "g" has committed of "t".
    fn commit(offset: i64) -> KeyAndValue {
        let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 0 };
        let value = Some(OffsetCommitValue { offset, ..OffsetCommitValue::default() });
        let (mut written, mut told) = (Vec::new(), Vec::new());
        GroupRecord::OffsetCommit { key, value }.encode(&mut written, &mut told);
        (Some(written), Some(told))
    }

    fn transaction(transaction_status: i8) -> KeyAndValue {
        let key = TransactionLogKey { transactional_id: "t".into() };
        let value = TransactionLogValue { transaction_status, ..TransactionLogValue::default() };
        let (mut written, mut told) = (Vec::new(), Vec::new());
        let record = TransactionRecord::TransactionLog { key, value: Some(value) };
        record.encode(&mut written, &mut told);
        (Some(written), Some(told))
    }

    fn share_group() -> KeyAndValue {
        (Some(b"\x00\x0b\x00\x01s".to_vec()), Some(b"\x00\x00whatever".to_vec()))
    }

    /// What is taken of a log, and what is told of the rest.
    fn read(kind: Kind, bytes: &[u8]) -> (Vec<i64>, Replay) {
        let mut taken = Taken { kind, offsets: Vec::new() };
        let done = replay(&mut taken, &mut Codecs::new(), bytes, 0).expect("frames are sound");
        (taken.offsets, done)
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let (key, good) = commit(7);
        let (id, begun) = transaction(1);
        let bad = |key: &Option<Vec<u8>>, good: &Option<Vec<u8>>| {
            let mut later = good.clone().expect("a value");
            later[1] = 99;
            let mut short = good.clone().expect("a value");
            short.truncate(9);
            [
                (key.clone(), Some(b"?".to_vec())),
                (key.clone(), Some(later)),
                (key.clone(), Some(short)),
                (Some(b"\0".to_vec()), good.clone()),
                (Some(Vec::new()), good.clone()),
                (None, good.clone()),
                (Some(key.clone().expect("a key")[..4].to_vec()), good.clone()),
            ]
        };
        let of_groups = bad(&key, &good).to_vec();
        let of_transactions = [&bad(&id, &begun)[..], &[transaction(99)]].concat();
        for (kind, good, bad) in [
            (Kind::Groups, commit(7), of_groups),
            (Kind::Transactions, transaction(1), of_transactions),
        ] {
            let all = [&[good.clone(), share_group()][..], &bad, &[good]].concat();
            let end = all.len() as i64;
            let (taken, done) = read(kind, &batch(0, &all));
            assert_eq!(taken, [0, end - 1], "{kind:?}: {done:?}");
            assert_eq!((done.next, done.unknown), (end, 1));
            assert_eq!(done.unreadable, bad.len() as u64);
            assert_eq!(done.why.len(), bad.len().min(TOLD_MAX));
            assert!(done.why[0].starts_with("the record at offset 2: "), "{:?}", done.why);
        }
    }

    #[test]
    fn a_batch_that_cannot_be_opened_is_passed_over() {
        let good = batch(0, &[commit(1), commit(2)]);
        let (parsed, _) = Batch::parse(&good).expect("a good batch");
        let at = |base_offset| move |header: &mut BatchHeader| header.base_offset = base_offset;
        let codec = |number| {
            move |header: &mut BatchHeader| {
                header.base_offset = 2;
                header.attributes |= number;
            }
        };
        let body = parsed.body();
        for bad in [
            rebodied(&good, codec(4), body),
            rebodied(&good, codec(7), body),
            rebodied(&good, at(2), b"?"),
        ] {
            let log = [&good[..], &bad, &rebodied(&good, at(4), body)].concat();
            let (taken, done) = read(Kind::Groups, &log);
            assert_eq!(taken, [0, 1, 4, 5], "{done:?}");
            assert_eq!((done.next, done.unreadable), (6, 1));
            assert!(done.why[0].starts_with("the batch at offset 2: "), "{:?}", done.why);
        }
        // Offsets beyond what the batch says of itself.
        let short = |header: &mut BatchHeader| header.last_offset_delta = 0;
        let log = [rebodied(&good, short, body), rebodied(&good, at(1), body)].concat();
        let (taken, done) = read(Kind::Groups, &log);
        assert_eq!((taken, done.unreadable), (vec![0, 1, 2], 1), "{done:?}");
        // Where the next batch begins, nobody knows.
        let mut taken = Taken { kind: Kind::Groups, offsets: Vec::new() };
        let torn = &good[..good.len() - 1];
        assert!(replay(&mut taken, &mut Codecs::new(), torn, 0).is_err());
    }

    /// Kafka compacts, and may compress what it writes.
    #[test]
    fn a_compressed_batch_may_have_gaps() {
        let tombstone = |offset| (commit(offset).0, None);
        let good = batch(0, &[tombstone(1), tombstone(2)]);
        let (parsed, _) = Batch::parse(&good).expect("a good batch");
        let mut body = parsed.body().to_vec();
        // The second record's offset delta, zigzag: 1 becomes 5.
        let delta_at = body.len() / 2 + 3;
        assert_eq!(body[delta_at], 2);
        body[delta_at] = 10;
        assert!(body.len() <= 60, "one literal of snappy");
        let snappy = [&[body.len() as u8, (body.len() as u8 - 1) << 2][..], &body].concat();
        let compressed = rebodied(
            &good,
            |header| (header.attributes, header.last_offset_delta) = (2, 5),
            &snappy,
        );
        let (taken, done) = read(Kind::Groups, &compressed);
        assert_eq!((taken, done.next), (vec![0, 5], 6), "{done:?}");
    }

    /// What is written again is what the coordinator believes, and what it does not know.
    #[test]
    fn a_log_that_is_written_again_says_what_was_taken() {
        let (key, value) = commit(7);
        let unreadable = (key.clone(), Some(b"?".to_vec()));
        let log = batch(0, &[(key.clone(), value.clone()), share_group(), unreadable]);
        let mut live = Live::new(Kind::Groups);
        let done = replay(&mut live, &mut Codecs::new(), &log, 0).expect("frames are sound");
        assert_eq!((done.unknown, done.unreadable), (1, 1));
        let expected = [(key, value), share_group()];
        let expected = expected.map(|(key, value)| (key.expect("a key"), value));
        assert_eq!(live.into_records(), expected);
    }
}
