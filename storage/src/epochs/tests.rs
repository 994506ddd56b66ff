use super::*;

type Pairs = &'static [(i32, i64)];

fn cache(entries: &[(i32, i64)]) -> EpochCache {
    let mut cache = EpochCache::new();
    for &(epoch, start) in entries {
        assert!(cache.assign(epoch, start));
    }
    cache
}

fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
    cache.entries().iter().map(|e| (e.epoch, e.start_offset)).collect()
}

#[test]
fn assigning_keeps_both_columns_increasing() {
    #[rustfmt::skip]
    let cases: [(i32, i64, bool, Pairs); 7] = [
        (5, 40, false, &[(1, 0), (3, 10), (5, 20)]),          // same epoch, later batch
        (6, 40, true,  &[(1, 0), (3, 10), (5, 20), (6, 40)]), // a new leader
        (6, 20, true,  &[(1, 0), (3, 10), (6, 20)]),          // epoch 5 got no data
        (6, 5,  true,  &[(1, 0), (6, 5)]),
        (5, 15, true,  &[(1, 0), (3, 10), (5, 15)]),
        (4, 30, true,  &[(1, 0), (3, 10), (4, 30)]),          // the later history was overwritten
        (0, 0,  true,  &[(0, 0)]),
    ];
    for (epoch, start, changed, expected) in cases {
        let mut cache = cache(&[(1, 0), (3, 10), (5, 20)]);
        assert_eq!(cache.assign(epoch, start), changed, "{epoch} at {start}");
        assert_eq!(pairs(&cache), expected, "{epoch} at {start}");
    }
}

#[test]
fn an_epoch_ends_where_the_next_begins() {
    let cache = cache(&[(1, 5), (3, 10), (5, 20)]);
    let cases = [
        (-1, None),
        (0, Some((0, 5))),
        (1, Some((1, 10))),
        (2, Some((1, 10))),
        (3, Some((3, 20))),
        (4, Some((3, 20))),
        (5, Some((5, 99))),
        (6, None),
    ];
    for (requested, expected) in cases {
        let found = cache.end_offset_for_epoch(requested, 99).map(|e| (e.epoch, e.end_offset));
        assert_eq!(found, expected, "epoch {requested}");
    }
    assert_eq!(EpochCache::new().end_offset_for_epoch(0, 99), None);
}

#[test]
fn an_offset_has_an_epoch() {
    let cache = cache(&[(1, 5), (3, 10)]);
    for (offset, epoch) in [(4, None), (5, Some(1)), (9, Some(1)), (10, Some(3)), (99, Some(3))] {
        assert_eq!(cache.epoch_for_offset(offset), epoch, "offset {offset}");
    }
}

#[test]
fn truncation_follows_the_log() {
    let full: Pairs = &[(1, 5), (3, 10), (5, 20)];
    for (end, left) in [(21, 3), (20, 2), (11, 2), (10, 1), (5, 0), (0, 0)] {
        let mut cache = cache(full);
        assert_eq!(cache.truncate_from_end(end), left < 3, "end {end}");
        assert_eq!(pairs(&cache), full[..left], "end {end}");
    }
    #[rustfmt::skip]
    let cases: [(i64, bool, Pairs); 6] = [
        (0, false, full), (5, false, full),
        (6, true, &[(1, 6), (3, 10), (5, 20)]),
        (10, true, &[(3, 10), (5, 20)]),
        (15, true, &[(3, 15), (5, 20)]),
        (30, true, &[(5, 30)]),
    ];
    for (start, changed, expected) in cases {
        let mut cache = cache(full);
        assert_eq!(cache.truncate_from_start(start), changed, "start {start}");
        assert_eq!(pairs(&cache), expected, "start {start}");
    }
}

#[test]
fn the_file_is_kafkas() {
    let cache = cache(&[(0, 0), (4, 1234)]);
    assert_eq!(cache.render(), "0\n2\n0 0\n4 1234\n");
    assert_eq!(EpochCache::parse(cache.render().as_bytes()).unwrap(), cache);
    assert_eq!(EpochCache::new().render(), "0\n0\n");
    assert_eq!(EpochCache::parse(b"").unwrap(), EpochCache::new());
    for (text, at) in [
        ("1\n0\n", 1),
        ("0\n2\n0 0\n", 2),
        ("0\n1\n0 0 0\n", 3),
        ("0\n1\n0\n", 3),
        ("0\n2\n1 5\n0 9\n", 4),
        ("0\n2\n1 5\n2 5\n", 4),
        ("0\n1\n-1 5\n", 3),
        ("0\n1\n1 9223372036854775808\n", 3),
        ("0\n1\n1  5\n", 3),
    ] {
        assert_eq!(EpochCache::parse(text.as_bytes()).unwrap_err().at, at, "{text:?}");
    }
}
