//! Good frames made bad.
//!
//! Invariant: a [`Bad`] frame that is `whole` has exactly the bytes that it announces, so what is
//! sent after it is looked at by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Failure;

/// Kafka's numbers of APIs that change the cluster, groups or transactions. Their seeds lose every
/// lower-case letter, so that no mutant creates, alters or deletes topics or settings, and few make
/// groups or transactional ids of their own.
const CHANGING: [i16; 21] =
    [8, 11, 13, 14, 19, 20, 21, 24, 25, 26, 27, 28, 33, 37, 42, 44, 45, 46, 47, 57, 68];
const HEADER_BYTES: usize = 8;
const REPEATS_MAX: usize = 64;
const RANDOM_BYTES_MAX: usize = 512;

/// splitmix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Requests of one API, as frame contents.
pub type Seeds = BTreeMap<i16, Vec<Vec<u8>>>;

/// Real requests of every API and version, from the fuzz targets' corpus.
pub fn seeds(root: &Path) -> Result<Seeds, Failure> {
    let folder = root.join("wire/fuzz/corpus/request");
    let mut seeds = Seeds::new();
    let entries = fs::read_dir(&folder).map_err(|error| format!("{folder:?}: {error}"))?;
    let mut paths: Vec<_> =
        entries.map(|entry| entry.map(|it| it.path())).collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        let mut content = fs::read(path)?;
        let Some((key, rest)) = content.split_first_chunk_mut::<2>() else { continue };
        let key = i16::from_be_bytes(*key);
        if rest.len() < HEADER_BYTES || key < 0 {
            continue;
        }
        if CHANGING.contains(&key) {
            rest.iter_mut().filter(|byte| byte.is_ascii_lowercase()).for_each(|it| *it = b'/');
        }
        seeds.entry(key).or_default().push(content);
    }
    Ok(seeds)
}

/// A frame that is meant to do harm.
#[derive(Clone, Debug)]
pub struct Bad {
    /// Size and content.
    pub bytes: Vec<u8>,
    /// The size is that of the content.
    pub whole: bool,
}

/// Makes a bad frame of a good one's content.
pub fn mutate(seed: &[u8], random: &mut Random) -> Bad {
    let mut content = seed.to_vec();
    for _ in 0..=random.below(3) {
        harm(&mut content, random);
    }
    let honest = content.len() as i32;
    let announced = match random.below(16) {
        0 => [-1, i32::MIN, i32::MAX, 100 << 20, honest + 1, 0, 7][random.below(7)],
        _ => honest,
    };
    let bytes = [&announced.to_be_bytes()[..], &content].concat();
    Bad { bytes, whole: announced == honest }
}

fn harm(content: &mut Vec<u8>, random: &mut Random) {
    let length = content.len();
    if length <= HEADER_BYTES {
        return content.extend((0..RANDOM_BYTES_MAX.min(16)).map(|_| random.next() as u8));
    }
    let at = HEADER_BYTES + random.below(length - HEADER_BYTES);
    let mut put = |bytes: &[u8]| {
        let end = (at + bytes.len()).min(length);
        content[at..end].copy_from_slice(&bytes[..end - at]);
    };
    match random.below(9) {
        // Counts and lengths that nobody has.
        0 => put(&[0x7f, 0xff, 0xff, 0xff]),
        1 => put(&[0xff, 0xff, 0xff, 0xff]),
        2 => put(&[0x80, 0, 0, 0]),
        3 => put(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
        4 => content.truncate(random.below(length + 1)),
        5 => {
            for _ in 0..=random.below(8) {
                let bit = random.below(8 * (length - 4)) + 32;
                content[bit / 8] ^= 1 << (bit % 8);
            }
        }
        6 => {
            content.truncate(at);
            content.extend((0..random.below(RANDOM_BYTES_MAX)).map(|_| random.next() as u8));
        }
        7 => {
            let piece = content[at..(at + 16).min(length)].repeat(random.below(REPEATS_MAX));
            content.splice(at..at, piece);
        }
        _ => content[3] = random.next() as u8 % 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_as_long_as_they_say() {
        let mut random = Random(7);
        let (mut whole, mut same) = (0, 0);
        for _ in 0..10_000 {
            let seed = [0, 3, 0, 1, 0, 0, 0, 9, 0, 1, b'c', 0, 0, 0, 1, 0, 2, b't', b'o'];
            let bad = mutate(&seed, &mut random);
            let announced = i32::from_be_bytes(*bad.bytes.first_chunk().unwrap());
            assert_eq!(bad.whole, announced == bad.bytes.len() as i32 - 4);
            whole += u32::from(bad.whole);
            same += u32::from(bad.bytes[4..] == seed);
        }
        assert!((9_000..9_700).contains(&whole), "{whole}");
        assert!(same < 300, "{same}");
    }

    #[test]
    fn the_corpus_has_seeds_that_change_nothing() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let seeds = seeds(root).unwrap();
        assert!(seeds.len() >= 8);
        let changing = &seeds[&19];
        assert!(changing.iter().all(|seed| !seed[4..].iter().any(u8::is_ascii_lowercase)));
    }
}
