//! The value of a record that can be checked when it is read back.
//!
//! ```text
//! | 0 magic u32 | 4 crc32c u32 of all that follows | 8 producer u64 | 16 sequence u64 |
//! | 24 timestamp_ns u64 | 32 partition u32 | 36 fill ... |
//! ```
//! Little endian. The fill is whatever stood there; the checksum covers it. A producer is one
//! connection of one run; its sequence counts the messages it made for one partition, from 0,
//! without a gap. So a reader can tell loss, repetition, disorder and damage apart.

use std::fmt;

const MAGIC: u32 = 0x314c_4752; // "RGL1"
const MAGIC_AT: usize = 0;
const CRC_AT: usize = MAGIC_AT + size_of::<u32>();
const PRODUCER_AT: usize = CRC_AT + size_of::<u32>();
const SEQUENCE_AT: usize = PRODUCER_AT + size_of::<u64>();
const TIMESTAMP_AT: usize = SEQUENCE_AT + size_of::<u64>();
const PARTITION_AT: usize = TIMESTAMP_AT + size_of::<u64>();

/// The smallest message that can carry a stamp.
pub const STAMP_BYTES: usize = PARTITION_AT + size_of::<u32>();

const _: () = assert!(STAMP_BYTES == 36);

/// What a checked message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The connection of the run that made it.
    pub producer: u64,
    /// Its place among that producer's messages for this partition, from 0.
    pub sequence: u64,
    /// When it was meant to be sent, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// The partition it was sent to.
    pub partition: u32,
}

/// Why a message is not one that `produce --verify` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// It is shorter than a stamp.
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// It does not begin with the magic number.
    NotOurs {
        /// What it begins with.
        magic: u32,
    },
    /// Its checksum does not fit its bytes.
    Corrupt {
        /// The checksum it carries.
        expected: u32,
        /// The checksum of its bytes.
        found: u32,
    },
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayloadError::TooShort { bytes } => {
                write!(f, "{bytes} bytes, a checked message has at least {STAMP_BYTES}")
            }
            PayloadError::NotOurs { magic } => {
                write!(f, "begins with {magic:#010x}: not written by produce --verify")
            }
            PayloadError::Corrupt { expected, found } => {
                write!(f, "checksum {found:#010x}, its stamp says {expected:#010x}")
            }
        }
    }
}

/// Writes the stamp over the first bytes of `value`, with the checksum of the whole.
pub fn write(value: &mut [u8], stamp: &Stamp) {
    assert!(value.len() >= STAMP_BYTES, "the options bound the message size from below");
    value[PRODUCER_AT..SEQUENCE_AT].copy_from_slice(&stamp.producer.to_le_bytes());
    value[SEQUENCE_AT..TIMESTAMP_AT].copy_from_slice(&stamp.sequence.to_le_bytes());
    value[TIMESTAMP_AT..PARTITION_AT].copy_from_slice(&stamp.timestamp_ns.to_le_bytes());
    value[PARTITION_AT..STAMP_BYTES].copy_from_slice(&stamp.partition.to_le_bytes());
    let crc = crc32c::crc32c(&value[PRODUCER_AT..]);
    value[MAGIC_AT..CRC_AT].copy_from_slice(&MAGIC.to_le_bytes());
    value[CRC_AT..PRODUCER_AT].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the stamp of a message and checks its checksum.
pub fn read(value: &[u8]) -> Result<Stamp, PayloadError> {
    if value.len() < STAMP_BYTES {
        return Err(PayloadError::TooShort { bytes: value.len() });
    }
    let magic = u32_at(value, MAGIC_AT);
    if magic != MAGIC {
        return Err(PayloadError::NotOurs { magic });
    }
    let expected = u32_at(value, CRC_AT);
    let found = crc32c::crc32c(&value[PRODUCER_AT..]);
    if expected != found {
        return Err(PayloadError::Corrupt { expected, found });
    }
    Ok(Stamp {
        producer: u64_at(value, PRODUCER_AT),
        sequence: u64_at(value, SEQUENCE_AT),
        timestamp_ns: u64_at(value, TIMESTAMP_AT),
        partition: u32_at(value, PARTITION_AT),
    })
}

/// Bytes to fill messages with: they differ, so that nothing on the way can fold them.
pub fn fill(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Text to fill messages with: words of a small vocabulary, which codecs make smaller.
pub fn words(bytes: usize) -> Vec<u8> {
    const SYLLABLES: [&str; 16] = [
        "ka", "lo", "mi", "ten", "ra", "sil", "vo", "der", "um", "pra", "eth", "nor", "is", "ga",
        "quin", "be",
    ];
    let random = fill(bytes);
    let mut text = Vec::with_capacity(bytes + 16);
    for pair in random.chunks(2) {
        let [first, rest @ ..] = pair else { continue };
        text.extend_from_slice(SYLLABLES[usize::from(first & 15)].as_bytes());
        text.extend_from_slice(SYLLABLES[usize::from(first >> 4)].as_bytes());
        // Half of the words have a third syllable, one of four.
        if let [second] = rest
            && second & 4 == 0
        {
            text.extend_from_slice(SYLLABLES[usize::from(second & 3)].as_bytes());
        }
        text.push(b' ');
        if text.len() >= bytes {
            break;
        }
    }
    text.truncate(bytes);
    text
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp =
        Stamp { producer: 0xfeed_0001, sequence: 77, timestamp_ns: 1 << 60, partition: 3 };

    #[test]
    fn round_trip() {
        for bytes in [STAMP_BYTES, 100, 1000] {
            let mut value = fill(bytes);
            write(&mut value, &STAMP);
            assert_eq!(read(&value), Ok(STAMP));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut value = fill(64);
        write(&mut value, &STAMP);
        for bit in 0..value.len() * 8 {
            value[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&value).is_err(), "bit {bit}");
            value[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(read(&value), Ok(STAMP));
    }

    #[test]
    fn a_short_or_foreign_message_is_named() {
        assert_eq!(read(&[0; 35]), Err(PayloadError::TooShort { bytes: 35 }));
        assert_eq!(read(&[0; 36]), Err(PayloadError::NotOurs { magic: 0 }));
    }
}
