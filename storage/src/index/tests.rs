use super::*;

const BASE: i64 = 1000;

fn indexes() -> SegmentIndexes {
    SegmentIndexes::new(BASE, INDEX_BYTES_MAX)
}

/// Ten batches of 1,000 bytes and ten records, timestamps 10, 20, ...
fn filled() -> SegmentIndexes {
    let mut indexes = indexes();
    for n in 0..10u32 {
        let last_offset = BASE + i64::from(n) * 10 + 9;
        indexes.batch(n * 1000, last_offset, i64::from(n + 1) * 10, 2500).unwrap();
    }
    indexes
}

#[test]
fn an_entry_names_the_batch_that_follows_more_than_the_interval() {
    let indexes = filled();
    let entries: Vec<_> = indexes.offset.iter().map(|e| (e.offset, e.position)).collect();
    assert_eq!(entries, [(1039, 3000), (1069, 6000), (1099, 9000)]);
    let times: Vec<_> = indexes.time.iter().map(|e| (e.timestamp, e.offset)).collect();
    assert_eq!(times, [(40, 1039), (70, 1069), (100, 1099)]);
}

#[test]
fn exactly_the_interval_is_not_more_than_it() {
    let mut indexes = indexes();
    indexes.batch(0, 1000, 1, 4096).unwrap();
    indexes.batch(4096, 1001, 1, 4096).unwrap();
    assert_eq!(indexes.offset.entries_count(), 0);
    indexes.batch(4097, 1002, 1, 4096).unwrap();
    assert_eq!(indexes.offset.entries_count(), 1);
}

#[test]
fn lookups_take_the_largest_entry_not_after_the_target() {
    let indexes = filled();
    for (target, position) in
        [(1000, 0), (1038, 0), (1039, 3000), (1068, 3000), (1069, 6000), (9999, 9000)]
    {
        assert_eq!(indexes.offset.lookup(target).position, position, "offset {target}");
    }
    for (position, offset) in [(0, 1000), (2999, 1000), (3000, 1039), (10_000, 1099)] {
        assert_eq!(indexes.offset.lookup_position(position).offset, offset, "position {position}");
    }
    for (target, offset) in [(-1, 1000), (39, 1000), (40, 1039), (99, 1069), (5000, 1099)] {
        assert_eq!(indexes.time.lookup(target).offset, offset, "timestamp {target}");
    }
}

#[test]
fn time_goes_only_up_and_closing_adds_the_largest() {
    let mut indexes = indexes();
    for (n, timestamp) in [50, 40, 30, 20, 10, 60, 5].into_iter().enumerate() {
        indexes.batch(n as u32 * 1000, BASE + n as i64, timestamp, 1500).unwrap();
    }
    // Entries at 2000 (max 50 by 1000), 4000 (still 50: skipped), 6000 (60 by 1005).
    let times: Vec<_> = indexes.time.iter().map(|e| (e.timestamp, e.offset)).collect();
    assert_eq!(times, [(50, 1000), (60, 1005)]);
    assert_eq!(indexes.offset.entries_count(), 3);
    indexes.observe(1007, 70);
    indexes.close();
    indexes.close();
    assert_eq!(indexes.time.last(), TimeEntry { timestamp: 70, offset: 1007 });
    assert_eq!(indexes.time.entries_count(), 3);
}

#[test]
fn truncation_drops_entries_at_or_above() {
    for (offset, left) in [(2000, 3), (1100, 3), (1099, 2), (1069, 1), (1040, 1), (1000, 0)] {
        let mut indexes = filled();
        indexes.truncate_to(offset);
        assert_eq!(indexes.offset.entries_count(), left, "offset {offset}");
        assert_eq!(indexes.time.entries_count(), left, "offset {offset}");
        assert_eq!(indexes.max_timestamp(), indexes.time.last());
    }
}

#[test]
fn the_size_is_bound_and_time_holds_a_slot_back() {
    let mut offset = OffsetIndex::new(0, 17);
    assert_eq!(offset.append(1, 1), Ok(()));
    assert!(!offset.is_full());
    assert_eq!(offset.append(2, 2), Ok(()));
    assert_eq!(offset.append(3, 3), Err(IndexFull));
    let mut time = TimeIndex::new(0, 24);
    assert_eq!(time.append(1, 1), Ok(true));
    assert_eq!(time.append(2, 2), Err(IndexFull));
    assert!(time.append_last(2, 2));
    assert!(!time.append_last(3, 3));
    assert_eq!(INDEX_BYTES_MAX / OFFSET_ENTRY_BYTES, 1_310_720);
    assert_eq!(INDEX_BYTES_MAX / TIME_ENTRY_BYTES * TIME_ENTRY_BYTES, 10_485_756);
}

#[test]
fn files_are_kafkas() {
    let indexes = filled();
    let bytes = indexes.offset.encode();
    assert_eq!(bytes[..16], [0, 0, 0, 39, 0, 0, 11, 184, 0, 0, 0, 69, 0, 0, 23, 112]);
    let index = OffsetIndex::decode(BASE, &bytes, INDEX_BYTES_MAX, 1100, 10_000).unwrap();
    assert_eq!(index, indexes.offset);
    let bytes = indexes.time.encode();
    assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 39]);
    assert_eq!(TimeIndex::decode(BASE, &bytes, INDEX_BYTES_MAX, 1100).unwrap(), indexes.time);
}

#[test]
fn doubtful_files_are_refused_with_the_reason() {
    let good = filled().offset.encode();
    let decode = |bytes: &[u8]| OffsetIndex::decode(BASE, bytes, 40, 1100, 10_000).unwrap_err();
    assert_eq!(decode(&good[..9]), IndexError::Size { bytes: 9, entry_bytes: 8 });
    assert_eq!(decode(&[0; 48]), IndexError::TooMany { entries: 6, entries_max: 5 });
    assert_eq!(decode(&[0; 8]), IndexError::Position { at: 0, position: 0 });
    let padded = [&good[..], &[0; 8]].concat();
    assert_eq!(decode(&padded), IndexError::NotIncreasing { at: 3 });
    let far = [0, 0, 0, 1, 0, 0, 0x27, 0x10];
    assert_eq!(decode(&far), IndexError::Position { at: 0, position: 10_000 });
    let late = [0, 0, 0, 100, 0, 0, 0, 1];
    assert_eq!(decode(&late), IndexError::Offset { at: 0, offset: 1100 });
    assert!(matches!(decode(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]), IndexError::Offset { .. }));

    let decode = |bytes: &[u8]| TimeIndex::decode(BASE, bytes, 60, 1100).unwrap_err();
    assert_eq!(decode(&[0; 13]), IndexError::Size { bytes: 13, entry_bytes: 12 });
    assert_eq!(decode(&[0; 72]), IndexError::TooMany { entries: 6, entries_max: 5 });
    assert_eq!(decode(&[0; 24]), IndexError::NotIncreasing { at: 1 });
    assert_eq!(decode(&[0xff; 12]), IndexError::Timestamp { at: 0, timestamp: -1 });
    let late = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 100];
    assert_eq!(decode(&late), IndexError::Offset { at: 0, offset: 1100 });
    assert!(decode(&late).to_string().contains("offset 1100"));
}
