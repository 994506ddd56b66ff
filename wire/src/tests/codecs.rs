//! Compressed batches: what is compressed opens to the same records, by every codec; what is cut,
//! changed, or opens to too much is an error.

use std::io::Write;

use super::arbitrary::Rng;
use super::batches::sample;
use crate::batch::*;

const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// This batch with another body and compression; the CRC is right.
pub fn rebuilt(batch: &[u8], compression: Compression, body: &[u8]) -> Vec<u8> {
    let (batch, _) = Batch::parse(batch).expect("a good batch");
    let attributes = batch.header().attributes & !7 | compression as i16;
    let header = BatchHeader { attributes, ..*batch.header() }.sealed(body);
    [&header.encode()[..], body].concat()
}

fn compressed(plain: &[u8], to: Compression, level: i32) -> Vec<u8> {
    let (batch, _) = Batch::parse(plain).expect("a good batch");
    let mut codecs = Codecs::new();
    let (summary, header) =
        batch.recompress(&mut codecs, to, level, usize::MAX).expect("it can be compressed");
    assert_eq!(Ok(summary), batch.walk_opened(&mut Codecs::new()));
    [&header.encode()[..], codecs.body()].concat()
}

fn walk(bytes: &[u8], codecs: &mut Codecs) -> Result<WalkSummary, BatchError> {
    let (batch, rest) = Batch::parse(bytes).expect("its length is right");
    assert!(rest.is_empty());
    batch.verify_crc().expect("its CRC is right");
    batch.walk_opened(codecs)
}

#[test]
fn what_is_compressed_opens_to_the_same_bytes() {
    let mut codecs = Codecs::new();
    // Records smaller than, about as large as, and larger than the window of 64 KiB.
    for (count, bytes) in [(1, 0), (1000, 10), (50, 5000), (7, 65_520), (3, 65_536), (2, 300_000)] {
        let plain = sample(count, bytes);
        let expected = walk(&plain, &mut codecs).expect("good");
        for codec in CODECS {
            for level in [1, 3, 9, 22] {
                let small = compressed(&plain, codec, level);
                assert_eq!(walk(&small, &mut codecs), Ok(expected), "{codec:?} {count} x {bytes}");
                let back = compressed(&small, Compression::None, 0);
                assert_eq!(back, plain, "{codec:?} {level}: {count} x {bytes}");
                if bytes > 10_000 {
                    break;
                }
            }
        }
    }
    codecs.trim();
    assert!(codecs.kept_bytes() < 20 << 20, "{}", codecs.kept_bytes());
}

#[test]
fn records_are_found_in_compressed_batches() {
    let plain = sample(100, 20);
    let (batch, _) = Batch::parse(&plain).expect("good");
    let target = batch.header().base_timestamp + 5;
    for codec in CODECS {
        let small = compressed(&plain, codec, 3);
        let (batch, _) = Batch::parse(&small).expect("good");
        let mut codecs = Codecs::new();
        let found = batch.find(&mut codecs, |seen| seen.timestamp >= target);
        let found = found.expect("good").expect("it is there");
        assert_eq!((found.index, found.timestamp, found.has_key), (5, target, false));
        assert_eq!(batch.find(&mut codecs, |_| false), Ok(None));
    }
}

#[test]
fn what_is_cut_or_changed_is_refused_or_the_same_and_never_a_panic() {
    let plain = sample(200, 30);
    let mut codecs = Codecs::new();
    let mut rng = Rng(7);
    for codec in CODECS {
        let small = compressed(&plain, codec, 3);
        let body = &small[HEADER_BYTES..];
        for cut in 0..body.len() {
            let bytes = rebuilt(&plain, codec, &body[..cut]);
            assert!(walk(&bytes, &mut codecs).is_err(), "{codec:?} cut at {cut}");
        }
        let more = rebuilt(&plain, codec, &[body, b"garbage behind it"].concat());
        assert!(walk(&more, &mut codecs).is_err(), "{codec:?} with more behind it");
        for _ in 0..2000 {
            let mut body = body.to_vec();
            for _ in 0..1 + rng.next() % 3 {
                let at = rng.next() as usize % body.len();
                body[at] = rng.next() as u8;
            }
            let bytes = rebuilt(&plain, codec, &body);
            // A value may have changed unnoticed: framing is all that is promised.
            let _ = walk(&bytes, &mut codecs);
        }
        for _ in 0..500 {
            let body: Vec<u8> = (0..rng.next() % 100).map(|_| rng.next() as u8).collect();
            assert!(walk(&rebuilt(&plain, codec, &body), &mut codecs).is_err());
        }
    }
}

#[test]
fn counts_that_lie_are_refused() {
    let plain = sample(10, 10);
    let mut codecs = Codecs::new();
    for codec in CODECS {
        let small = compressed(&plain, codec, 3);
        let (batch, _) = Batch::parse(&small).expect("good");
        for (count, error) in
            [(9, "more"), (11, "less"), (i32::MAX, "far less"), (0, "none"), (-1, "negative")]
        {
            let header = BatchHeader { records_count: count, ..*batch.header() };
            let bytes = [&header.sealed(batch.body()).encode()[..], batch.body()].concat();
            let found = walk(&bytes, &mut codecs).unwrap_err();
            let right = match count {
                9 | 0 => matches!(found, BatchError::Trailing(_)),
                -1 => found == BatchError::RecordsCount(-1),
                _ => found == BatchError::Record(10),
            };
            assert!(right, "{codec:?}, {error}: {found:?}");
        }
    }
}

/// A batch of one record whose value is so many zeros, compressed piece by piece.
fn bomb(codec: Compression, zeros: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.push(0, None, Some(&vec![0; zeros]), &[]);
    compressed(&builder.finish(), codec, 3)
}

#[test]
fn a_bomb_costs_what_the_limit_says() {
    let mut codecs = Codecs::new();
    for codec in CODECS {
        // The limit is on the stream, so a batch just below it passes.
        let below = bomb(codec, INFLATED_BYTES_MAX as usize - 100);
        assert!(walk(&below, &mut codecs).is_ok(), "{codec:?}");
        assert!(below.len() < 6 << 20, "{codec:?}: {} bytes", below.len());
    }
    // 1 GiB of zeros, as gzip members of 1 MiB each.
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    member.write_all(&vec![0; 1 << 20]).expect("memory");
    let member = member.finish().expect("memory");
    let mut body = member.repeat(1 << 10);
    assert!(matches!(
        walk(&rebuilt(&large_record(), Compression::Gzip, &body), &mut codecs),
        Err(BatchError::Record(0) | BatchError::Inflated { .. })
    ));
    // The same as one long record.
    let head = large_record_head();
    let mut first = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    first.write_all(&head).expect("memory");
    body.splice(0..0, first.finish().expect("memory"));
    let inflated = Err(BatchError::Inflated { bytes_max: INFLATED_BYTES_MAX });
    assert_eq!(walk(&rebuilt(&large_record(), Compression::Gzip, &body), &mut codecs), inflated);
    // A snappy block that says it opens to 4 GiB.
    let body = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let bytes = rebuilt(&large_record(), Compression::Snappy, &body);
    assert_eq!(walk(&bytes, &mut codecs), inflated);
    // And one that says 64 MiB with nothing behind it.
    let body = [0x80, 0x80, 0x80, 0x20, 0, 0];
    let bytes = rebuilt(&large_record(), Compression::Snappy, &body);
    assert_eq!(walk(&bytes, &mut codecs), Err(BatchError::Corrupt("snappy")));
    assert!(codecs.kept_bytes() < 64 << 20, "what a block claims is not believed");
}

fn large_record() -> Vec<u8> {
    sample(1, 1)
}

/// The first bytes of a record of nearly 2 GiB.
fn large_record_head() -> Vec<u8> {
    use crate::codec::Writer;
    let mut head = Vec::new();
    head.put_varint(i32::MAX - 100);
    head.put_i8(0);
    head.put_varlong(0);
    head.put_varint(0);
    head.put_varint(-1);
    head.put_varint(i32::MAX - 200);
    head
}

#[test]
fn what_recompression_makes_is_bounded() {
    let plain = sample(1000, 100);
    let (batch, _) = Batch::parse(&plain).expect("good");
    for codec in [Compression::None].into_iter().chain(CODECS) {
        let size = compressed(&plain, codec, 3).len() - HEADER_BYTES;
        let mut codecs = Codecs::new();
        assert!(batch.recompress(&mut codecs, codec, 3, size).is_ok(), "{codec:?}");
        let refused = batch.recompress(&mut codecs, codec, 3, size - 1).map(|_| ());
        assert_eq!(refused, Err(BatchError::Deflated { bytes_max: size - 1 }), "{codec:?}");
    }
}

#[test]
fn snappy_comes_raw_too() {
    let plain = sample(100, 100);
    let (batch, _) = Batch::parse(&plain).expect("good");
    let raw = snap::raw::Encoder::new().compress_vec(batch.body()).expect("memory");
    let mut codecs = Codecs::new();
    let found = walk(&rebuilt(&plain, Compression::Snappy, &raw), &mut codecs);
    assert_eq!(found, batch.walk());
}

#[test]
fn lz4_frames_that_java_does_not_read_are_refused() {
    let plain = sample(100, 100);
    let small = compressed(&plain, Compression::Lz4, 0);
    let mut codecs = Codecs::new();
    // Flags, and how many of all checksums of the head make a frame that is read.
    let cases = [(0x60, 1), (0x40, 0), (0x62, 0), (0x61, 0), (0x20, 0), (0xa0, 0), (0x70, 0)];
    for (flags, good) in cases {
        let read = (0..=255).filter(|checksum| {
            let mut body = small[HEADER_BYTES..].to_vec();
            (body[4], body[6]) = (flags, *checksum);
            walk(&rebuilt(&plain, Compression::Lz4, &body), &mut codecs).is_ok()
        });
        assert_eq!(read.count(), good, "flags {flags:#x}");
    }
}

/// `cargo test -p ringlog-wire --profile fast --lib codecs_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
#[allow(clippy::disallowed_methods, reason = "a measurement has a clock")]
fn codecs_speed() {
    use std::time::Instant;
    let text: Vec<u8> = (0..1000u32)
        .flat_map(|n| format!("{{\"id\":{},\"name\":\"n{}\"}},", n * 7919 % 1000, n).into_bytes())
        .collect();
    for (count, bytes) in [(10_000, 100), (1000, 1000), (100, 10_000)] {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for n in 0..count {
            let from = n * 37 % (text.len() - bytes);
            builder.push(1000 + n as i64, None, Some(&text[from..from + bytes]), &[]);
        }
        let plain = builder.finish();
        let mut codecs = Codecs::new();
        for codec in [Compression::None].into_iter().chain(CODECS) {
            let small = compressed(&plain, codec, 3);
            let begun = Instant::now();
            let rounds = 100;
            for _ in 0..rounds {
                walk(&small, &mut codecs).expect("good");
            }
            let rate = |begun: Instant, rounds: usize| {
                (plain.len() * rounds) as f64 / begun.elapsed().as_secs_f64() / 1e6
            };
            let walked = rate(begun, rounds);
            let begun = Instant::now();
            let (batch, _) = Batch::parse(&plain).expect("good");
            for _ in 0..10 {
                batch.recompress(&mut codecs, codec, 3, usize::MAX).expect("good");
            }
            let made = rate(begun, 10);
            println!(
                "{count} x {bytes} {codec:?}: ratio {:.1}, opened {walked:.0} MB/s, made {made:.0}",
                plain.len() as f64 / small.len() as f64,
            );
        }
    }
    for codec in CODECS {
        let bytes = bomb(codec, INFLATED_BYTES_MAX as usize - 100);
        let mut codecs = Codecs::new();
        let begun = Instant::now();
        walk(&bytes, &mut codecs).expect("good");
        println!("{codec:?} bomb of {} bytes: {:?}", bytes.len(), begun.elapsed());
    }
}
