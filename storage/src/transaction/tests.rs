use ringlog_wire::batch::{BatchBuilder, BatchOptions};

use super::*;

fn marker(committed: bool) -> Marker {
    Marker { producer_id: 7, producer_epoch: 3, committed, coordinator_epoch: 9 }
}

fn decoded(bytes: &[u8]) -> Option<Marker> {
    let (batch, rest) = Batch::parse(bytes).expect("a batch");
    assert!(rest.is_empty());
    Marker::decode(&batch)
}

/// A control batch with this record.
fn control(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: 7,
        producer_epoch: 3,
        transactional: true,
        control: true,
        ..BatchOptions::default()
    });
    builder.push(1, Some(key), Some(value), &[]);
    builder.finish()
}

#[test]
fn markers_are_kafkas() {
    for committed in [true, false] {
        let bytes = marker(committed).encode(1000);
        let (batch, _) = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        let header = batch.header();
        assert_eq!((header.size(), header.base_sequence, header.records_count), (78, -1, 1));
        assert!(header.is_control() && header.is_transactional());
        let record = batch.records().next().unwrap().unwrap();
        assert_eq!(record.key, Some(&[0, 0, 0, u8::from(committed)][..]));
        assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 9][..]));
        assert_eq!(decoded(&bytes), Some(marker(committed)));
    }
}

#[test]
fn what_is_no_marker_is_none() {
    let (abort, epoch) = ([0, 0, 0, 0], [0, 0, 0, 0, 0, 9]);
    let cases: [(&str, Vec<u8>, Option<Marker>); 9] = [
        ("an abort", control(&abort, &epoch), Some(marker(false))),
        ("a later version", control(&[0, 1, 0, 0, 5], &[0, 1, 0, 0, 0, 9, 7]), Some(marker(false))),
        ("a leader change", control(&[0, 0, 0, 2], &epoch), None),
        ("a negative version", control(&[255, 255, 0, 0], &epoch), None),
        ("a negative value version", control(&abort, &[255, 255, 0, 0, 0, 9]), None),
        ("a short key", control(&[0, 0, 0], &epoch), None),
        ("a short value", control(&abort, &[0, 0, 0]), None),
        (
            "nothing left of it",
            {
                let options = BatchOptions {
                    producer_id: 7,
                    producer_epoch: 3,
                    control: true,
                    ..BatchOptions::default()
                };
                BatchBuilder::new(options).finish()
            },
            None,
        ),
        (
            "no producer's",
            {
                let mut builder =
                    BatchBuilder::new(BatchOptions { control: true, ..BatchOptions::default() });
                builder.push(1, Some(&abort), Some(&epoch), &[]);
                builder.finish()
            },
            None,
        ),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(decoded(&bytes), expected, "{what}");
    }
}

fn txn(producer_id: i64, first_offset: i64, last_offset: i64, lso: i64) -> AbortedTxn {
    AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset: lso }
}

#[test]
fn an_index_is_drawn_as_kafka_has_it() {
    let bytes = encode_index(&[txn(1, 2, 5, 6), txn(9, 1, 8, 3)]);
    assert_eq!(bytes.len(), 68);
    let first = [[0, 0].as_slice(), &1i64.to_be_bytes(), &2i64.to_be_bytes()].concat();
    assert_eq!(bytes[..18], first);
    assert_eq!(bytes[18..34], [5i64.to_be_bytes(), 6i64.to_be_bytes()].concat());
    assert_eq!(decode_index(5, &bytes), Ok(vec![txn(1, 2, 5, 6), txn(9, 1, 8, 3)]));
    assert_eq!(decode_index(5, &[]), Ok(Vec::new()));
}

#[test]
fn broken_indexes_are_refused() {
    let good = encode_index(&[txn(1, 2, 5, 6), txn(9, 1, 8, 3)]);
    for cut in (1..68).filter(|cut| cut % 34 != 0) {
        assert_eq!(decode_index(5, &good[..cut]), Err(TxnIndexError::Size { bytes: cut as u64 }));
    }
    let entry = |at, txns: &[AbortedTxn]| {
        assert_eq!(decode_index(5, &encode_index(txns)), Err(TxnIndexError::Entry { at }));
    };
    entry(0, &[txn(1, 2, 4, 5)]);
    entry(1, &[txn(1, 2, 8, 6), txn(9, 1, 8, 3)]);
    entry(0, &[txn(-1, 2, 5, 6)]);
    entry(0, &[txn(1, -1, 5, 6)]);
    entry(0, &[txn(1, 6, 5, 6)]);
    entry(0, &[txn(1, 2, 5, 7)]);
    entry(0, &[txn(0, 0, 0, 0)]);
    let mut newer = good;
    newer[1] = 1;
    assert_eq!(decode_index(5, &newer), Err(TxnIndexError::Entry { at: 0 }));
}
