//! XXH32 with seed 0, the checksum inside LZ4 frames.

const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn round(lane: u32, word: u32) -> u32 {
    lane.wrapping_add(word.wrapping_mul(PRIMES[1])).rotate_left(13).wrapping_mul(PRIMES[0])
}

/// The checksum of `bytes`.
pub fn xxh32(bytes: &[u8]) -> u32 {
    let mut stripes = bytes.chunks_exact(16);
    let mut hash = PRIMES[4];
    if bytes.len() >= 16 {
        let first = PRIMES[0].wrapping_add(PRIMES[1]);
        let mut lanes = [first, PRIMES[1], 0, 0u32.wrapping_sub(PRIMES[0])];
        for stripe in stripes.by_ref() {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
                *lane = round(*lane, word(bytes));
            }
        }
        let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
        hash = turned.fold(0u32, u32::wrapping_add);
    }
    hash = hash.wrapping_add(bytes.len() as u32);
    let mut words = stripes.remainder().chunks_exact(4);
    for bytes in words.by_ref() {
        let mixed = hash.wrapping_add(word(bytes).wrapping_mul(PRIMES[2]));
        hash = mixed.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in words.remainder() {
        let mixed = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4]));
        hash = mixed.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::xxh32;

    #[test]
    fn known_values() {
        let cases: [(&[u8], u32); 4] = [
            (b"", 0x02cc_5d05),
            (b"a", 0x550d_7456),
            (b"abc", 0x32d1_53ff),
            (b"Nobody inspects the spammish repetition", 0xe229_3b2f),
        ];
        for (bytes, hash) in cases {
            assert_eq!(xxh32(bytes), hash, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
