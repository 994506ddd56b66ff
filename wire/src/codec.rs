//! The primitives of Kafka's encoding: integers, varints, strings, bytes, arrays, tagged fields.
//!
//! ```text
//! classic:   string i16 length, bytes i32 length, array i32 count; length or count -1 is null
//! flexible:  uvarint(length or count + 1), 0 is null; every struct ends in its tagged fields:
//!            uvarint count, then per field: uvarint tag, uvarint size, the bytes; tags ascend
//! ```
//!
//! Invariants: a [`Reader`] gives out only bytes that are there. A count is compared with the bytes
//! that remain before anything is made of it (an element takes at least one byte), and what a
//! message's owned form may allocate is an allowance, [`ALLOWANCE_MULTIPLE`] times its bytes, spent
//! before each allocation.

use std::fmt;

use crate::uuid::Uuid;

/// What decoding may allocate, in multiples of the input's length. The densest honest message (an
/// array of one-letter names, 24 bytes of memory for two on the wire) needs 13.
pub const ALLOWANCE_MULTIPLE: usize = 16;
/// What decoding may allocate however short the input is.
pub const ALLOWANCE_BYTES_MIN: usize = 16 * 1024;
/// The longest string: what the classic length can say. Kafka's readers allow no more in the
/// compact form.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// The longest varint that fits 32 bits.
pub const VARINT_BYTES_MAX: usize = 5;
/// The longest varint that fits 64 bits.
pub const VARLONG_BYTES_MAX: usize = 10;

/// Why bytes are not the message they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ends inside a field.
    Truncated,
    /// A length or count below -1, or a null length where null is not allowed.
    Length(i64),
    /// A count of elements that the remaining bytes cannot hold.
    Count {
        /// Elements announced.
        count: u64,
        /// Bytes that remain.
        remaining: usize,
    },
    /// The message would take more memory than its length allows.
    Allowance,
    /// A varint longer than its type.
    Varint,
    /// A string that is not UTF-8.
    NotUtf8,
    /// A null where the version has none.
    Null,
    /// Tags out of order, or a tagged field whose size is not its content's.
    Tag(u32),
    /// Bytes left over after the message.
    Trailing(usize),
    /// A record type, or a version of it, that this build does not know.
    Unknown {
        /// The record's type.
        key: u32,
        /// The record's version.
        version: i16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => write!(f, "the bytes end inside a field"),
            DecodeError::Length(length) => write!(f, "length {length} is not possible"),
            DecodeError::Count { count, remaining } => {
                write!(f, "{count} elements do not fit the remaining {remaining} bytes")
            }
            DecodeError::Allowance => write!(f, "too many small elements for one message"),
            DecodeError::Varint => write!(f, "a varint is longer than its type"),
            DecodeError::NotUtf8 => write!(f, "a string is not UTF-8"),
            DecodeError::Null => write!(f, "null where this version has none"),
            DecodeError::Tag(tag) => {
                write!(f, "tagged field {tag} is out of order or of a wrong size")
            }
            DecodeError::Trailing(bytes) => write!(f, "{bytes} bytes follow the message"),
            DecodeError::Unknown { key, version } => {
                write!(f, "record type {key} version {version} is not known to this build")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// The result of decoding.
pub type Result<T> = std::result::Result<T, DecodeError>;

/// Takes a message apart, from the front.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    allowance: usize,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident $kind:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$kind> {
            const BYTES: usize = size_of::<$kind>();
            let split = self.rest.split_first_chunk::<BYTES>();
            let (head, rest) = split.ok_or(DecodeError::Truncated)?;
            self.rest = rest;
            Ok(<$kind>::from_be_bytes(*head))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        let allowance = bytes.len().saturating_mul(ALLOWANCE_MULTIPLE).max(ALLOWANCE_BYTES_MIN);
        Reader { rest: bytes, allowance }
    }

    /// What has not been read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes have not been read yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Ends the reading: the message must be all there was.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }

    fixed! {
        /// One byte.
        u8 u8;
        /// A signed byte.
        i8 i8;
        /// Two bytes.
        i16 i16;
        /// Two bytes, unsigned.
        u16 u16;
        /// Four bytes.
        i32 i32;
        /// Four bytes, unsigned.
        u32 u32;
        /// Eight bytes.
        i64 i64;
        /// Eight bytes, IEEE 754.
        f64 f64;
    }

    /// One byte; anything but zero is true, as in Kafka.
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.u8()? != 0)
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid> {
        let (head, rest) = self.rest.split_first_chunk::<16>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(Uuid(*head))
    }

    /// The next `length` bytes, borrowed from the input.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// An unsigned varint of at most 32 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(byte))
            }
            _ => self.uvarint_long(),
        }
    }

    #[cold]
    fn uvarint_long(&mut self) -> Result<u32> {
        let mut value = 0u64;
        for place in 0..VARINT_BYTES_MAX {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| DecodeError::Varint);
            }
        }
        Err(DecodeError::Varint)
    }

    /// A length as written: `None` is null. Flexible lengths are one more than they mean.
    #[inline]
    fn length(&mut self, flexible: bool, wide: bool) -> Result<Option<usize>> {
        let length = match (flexible, wide) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, true) => i64::from(self.i32()?),
            (false, false) => i64::from(self.i16()?),
        };
        match length {
            0.. => Ok(Some(length as usize)),
            -1 => Ok(None),
            _ => Err(DecodeError::Length(length)),
        }
    }

    /// A string or null, borrowed from the input.
    #[inline]
    pub fn string_or_null(&mut self, flexible: bool) -> Result<Option<&'a str>> {
        let Some(length) = self.length(flexible, false)? else { return Ok(None) };
        if length > STRING_BYTES_MAX {
            return Err(DecodeError::Length(length as i64));
        }
        let bytes = self.take(length)?;
        Ok(Some(std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?))
    }

    /// A string, borrowed from the input.
    #[inline]
    pub fn string(&mut self, flexible: bool) -> Result<&'a str> {
        self.string_or_null(flexible)?.ok_or(DecodeError::Null)
    }

    /// Bytes or records, or null, borrowed from the input.
    #[inline]
    pub fn bytes_or_null(&mut self, flexible: bool) -> Result<Option<&'a [u8]>> {
        let Some(length) = self.length(flexible, true)? else { return Ok(None) };
        self.take(length).map(Some)
    }

    /// Bytes, borrowed from the input.
    #[inline]
    pub fn bytes(&mut self, flexible: bool) -> Result<&'a [u8]> {
        self.bytes_or_null(flexible)?.ok_or(DecodeError::Null)
    }

    /// The count of an array or null. It never exceeds the bytes that remain.
    #[inline]
    pub fn count_or_null(&mut self, flexible: bool) -> Result<Option<usize>> {
        let Some(count) = self.length(flexible, true)? else { return Ok(None) };
        if count > self.rest.len() {
            return Err(DecodeError::Count { count: count as u64, remaining: self.rest.len() });
        }
        Ok(Some(count))
    }

    /// The count of an array. It never exceeds the bytes that remain.
    #[inline]
    pub fn count(&mut self, flexible: bool) -> Result<usize> {
        self.count_or_null(flexible)?.ok_or(DecodeError::Null)
    }

    /// Asks for `count` elements of `size` bytes of memory; to be called before they are allocated.
    #[inline]
    pub fn charge(&mut self, count: usize, size: usize) -> Result<()> {
        let bytes = count.saturating_mul(size);
        self.allowance = self.allowance.checked_sub(bytes).ok_or(DecodeError::Allowance)?;
        Ok(())
    }

    /// Walks a struct's tagged fields; `each` is given a reader over exactly that field and returns
    /// whether it knows the tag. A known field must be read to its end; an unknown one is passed
    /// over.
    #[inline]
    pub fn tags(&mut self, each: impl FnMut(u32, &mut Reader<'a>) -> Result<bool>) -> Result<()> {
        match self.uvarint()? {
            0 => Ok(()),
            count => self.tags_some(count, each),
        }
    }

    fn tags_some(
        &mut self,
        count: u32,
        mut each: impl FnMut(u32, &mut Reader<'a>) -> Result<bool>,
    ) -> Result<()> {
        let mut tag_last = None;
        for _ in 0..count {
            let tag = self.uvarint()?;
            if tag_last.is_some_and(|last| tag <= last) {
                return Err(DecodeError::Tag(tag));
            }
            tag_last = Some(tag);
            let size = self.uvarint()? as usize;
            let mut field = Reader { rest: self.take(size)?, allowance: self.allowance };
            let known = each(tag, &mut field)?;
            if known && field.remaining() != 0 {
                return Err(DecodeError::Tag(tag));
            }
            self.allowance = field.allowance;
        }
        Ok(())
    }

    /// Passes over a struct's tagged fields.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<()> {
        self.tags(|_, _| Ok(false))
    }
}

/// Puts a message together, at the end of a byte vector.
pub trait Writer {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// One byte.
    #[inline]
    fn put_i8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }
    /// One byte, 0 or 1.
    #[inline]
    fn put_bool(&mut self, value: bool) {
        self.put(&[u8::from(value)]);
    }
    /// Two bytes.
    #[inline]
    fn put_i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }
    /// Two bytes, unsigned.
    #[inline]
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }
    /// Four bytes.
    #[inline]
    fn put_i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }
    /// Eight bytes.
    #[inline]
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }
    /// Eight bytes, IEEE 754.
    #[inline]
    fn put_f64(&mut self, value: f64) {
        self.put(&value.to_be_bytes());
    }
    /// Sixteen bytes.
    #[inline]
    fn put_uuid(&mut self, value: Uuid) {
        self.put(&value.0);
    }

    /// An unsigned varint.
    #[inline]
    fn put_uvarint(&mut self, value: u32) {
        self.put_uvarlong(u64::from(value));
    }

    /// An unsigned varint of up to 64 bits.
    #[inline]
    fn put_uvarlong(&mut self, mut value: u64) {
        let mut bytes = [0u8; VARLONG_BYTES_MAX];
        let mut length = 0;
        while value >= 0x80 {
            bytes[length] = value as u8 | 0x80;
            value >>= 7;
            length += 1;
        }
        bytes[length] = value as u8;
        self.put(&bytes[..=length]);
    }

    /// A signed varint (zigzag), as inside records.
    #[inline]
    fn put_varint(&mut self, value: i32) {
        self.put_uvarint((value << 1 ^ value >> 31) as u32);
    }

    /// A signed varint of up to 64 bits (zigzag), as inside records.
    #[inline]
    fn put_varlong(&mut self, value: i64) {
        self.put_uvarlong((value << 1 ^ value >> 63) as u64);
    }

    /// A length or count, or null. `wide` tells a classic i32 from a classic i16.
    #[inline]
    fn put_length(&mut self, flexible: bool, wide: bool, length: Option<usize>) {
        const FITS: &str = "the caller keeps lengths within the protocol's";
        match (flexible, wide, length) {
            (true, _, None) => self.put_uvarint(0),
            (true, _, Some(length)) => {
                let length = i32::try_from(length).expect(FITS);
                self.put_uvarint(length as u32 + 1);
            }
            (false, true, None) => self.put_i32(-1),
            (false, true, Some(length)) => self.put_i32(i32::try_from(length).expect(FITS)),
            (false, false, None) => self.put_i16(-1),
            (false, false, Some(length)) => self.put_i16(i16::try_from(length).expect(FITS)),
        }
    }

    /// The count of an array, or null.
    #[inline]
    fn put_count(&mut self, flexible: bool, count: Option<usize>) {
        self.put_length(flexible, true, count);
    }

    /// A string, or null. It ends at [`STRING_BYTES_MAX`], between characters: an error's words may
    /// quote what a client sent, and must not stop the broker or its clients.
    #[inline]
    fn put_string(&mut self, flexible: bool, value: Option<&str>) {
        let value = value.map(|text| &text[..text.floor_char_boundary(STRING_BYTES_MAX)]);
        self.put_length(flexible, false, value.map(str::len));
        self.put(value.unwrap_or_default().as_bytes());
    }

    /// A tagged field's content, its size before it.
    #[inline]
    fn put_bytes_sized(&mut self, content: &[u8]) {
        self.put_uvarint(u32::try_from(content.len()).expect("a tagged field is small"));
        self.put(content);
    }

    /// Bytes or records, or null.
    #[inline]
    fn put_bytes(&mut self, flexible: bool, value: Option<&[u8]>) {
        self.put_length(flexible, true, value.map(<[u8]>::len));
        self.put(value.unwrap_or_default());
    }
}

impl Writer for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_width() {
        for shift in 0..32 {
            for value in [(1u32 << shift) - 1, 1 << shift, u32::MAX >> shift] {
                let mut out = Vec::new();
                out.put_uvarint(value);
                let mut input = Reader::new(&out);
                assert_eq!(input.uvarint(), Ok(value));
                assert_eq!(input.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn a_varint_ends_within_its_type() {
        assert_eq!(Reader::new(&[0xff; 4]).uvarint(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0xff; 9]).uvarint(), Err(DecodeError::Varint));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(), Ok(u32::MAX));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x10]).uvarint(),
            Err(DecodeError::Varint)
        );
    }

    #[test]
    fn lengths_and_counts_are_checked_first() {
        assert_eq!(Reader::new(&[0, 3, b'a', b'b']).string(false), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0xff, 0xfe]).string(false), Err(DecodeError::Length(-2)));
        assert_eq!(Reader::new(&[0xff, 0xff]).string(false), Err(DecodeError::Null));
        assert_eq!(Reader::new(&[3, 0xff, 0xfe]).string(true), Err(DecodeError::NotUtf8));
        let count = DecodeError::Count { count: 0x7fff_ffff, remaining: 1 };
        assert_eq!(Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0]).count(false), Err(count));
    }

    #[test]
    fn strings_are_cut_between_characters() {
        let check = |text: String, bytes: usize| {
            for flexible in [false, true] {
                let mut out = Vec::new();
                out.put_string(flexible, Some(&text));
                assert_eq!(Reader::new(&out).string(flexible).map(str::len), Ok(bytes));
            }
        };
        // Kafka cannot read a longer one, whatever its length could say.
        let mut long = Vec::new();
        long.put_bytes(true, Some(&[b'a'; STRING_BYTES_MAX + 1]));
        let refused = Err(DecodeError::Length(STRING_BYTES_MAX as i64 + 1));
        assert_eq!(Reader::new(&long).string(true), refused);
        check("a".repeat(STRING_BYTES_MAX), STRING_BYTES_MAX);
        check("a".repeat(STRING_BYTES_MAX + 9), STRING_BYTES_MAX);
        check("é".repeat(STRING_BYTES_MAX), STRING_BYTES_MAX - 1);
    }

    #[test]
    fn the_allowance_is_spent_once() {
        let bytes = [0u8; 4096];
        let mut input = Reader::new(&bytes);
        assert_eq!(input.charge(4096, ALLOWANCE_MULTIPLE), Ok(()));
        assert_eq!(input.charge(1, 1), Err(DecodeError::Allowance));
        assert_eq!(Reader::new(&bytes).charge(usize::MAX, 2), Err(DecodeError::Allowance));
    }

    #[test]
    fn tags_ascend_and_are_read_whole() {
        let seen = |bytes: &[u8]| {
            let mut seen = Vec::new();
            let result = Reader::new(bytes).tags(|tag, field| {
                seen.push(tag);
                Ok(tag == 1 && field.i8().is_ok())
            });
            result.map(|()| seen)
        };
        assert_eq!(seen(&[0]), Ok(vec![]));
        assert_eq!(seen(&[2, 0, 2, 9, 9, 1, 1, 7]), Ok(vec![0, 1]));
        assert_eq!(seen(&[2, 1, 1, 7, 0, 0]), Err(DecodeError::Tag(0)));
        assert_eq!(seen(&[2, 1, 1, 7, 1, 1, 7]), Err(DecodeError::Tag(1)));
        assert_eq!(seen(&[1, 1, 2, 7, 7]), Err(DecodeError::Tag(1)));
        assert_eq!(seen(&[1, 5, 9, 7]), Err(DecodeError::Truncated));
    }
}
