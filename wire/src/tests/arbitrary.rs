//! Messages with every field filled in, from a seed.

use crate::error::ErrorCode;
use crate::message::{Form, Message};
use crate::uuid::Uuid;

/// A small random source (splitmix64): one seed, one sequence.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A value that a version can carry.
pub trait Arbitrary {
    fn arbitrary(form: Form, rng: &mut Rng) -> Self;
}

/// A whole message for a version.
pub fn message<M: Message + Arbitrary>(version: i16, rng: &mut Rng) -> M {
    let flexible = version >= M::FLEXIBLE_FROM;
    M::arbitrary(Form { version, flexible, nullable: false }, rng)
}

macro_rules! integers {
    ($($kind:ty)*) => {$(
        impl Arbitrary for $kind {
            fn arbitrary(_form: Form, rng: &mut Rng) -> $kind {
                match rng.below(8) {
                    0 => 0,
                    1 => <$kind>::MAX,
                    2 => <$kind>::MIN,
                    _ => rng.next() as $kind,
                }
            }
        }
    )*};
}

integers! { i8 i16 u16 i32 i64 }

impl Arbitrary for bool {
    fn arbitrary(_form: Form, rng: &mut Rng) -> bool {
        rng.below(2) == 1
    }
}

impl Arbitrary for f64 {
    fn arbitrary(_form: Form, rng: &mut Rng) -> f64 {
        rng.next() as i32 as f64 / 16.0
    }
}

impl Arbitrary for Uuid {
    fn arbitrary(_form: Form, rng: &mut Rng) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&rng.next().to_be_bytes());
        bytes[8..].copy_from_slice(&rng.next().to_be_bytes());
        Uuid(bytes)
    }
}

impl Arbitrary for ErrorCode {
    fn arbitrary(_form: Form, rng: &mut Rng) -> ErrorCode {
        ErrorCode::ALL[rng.below(ErrorCode::ALL.len())]
    }
}

impl Arbitrary for String {
    fn arbitrary(_form: Form, rng: &mut Rng) -> String {
        // Long enough, now and then, for a length of two bytes.
        let length = if rng.below(16) == 0 { 100 + rng.below(200) } else { rng.below(12) };
        (0..length).map(|_| ['a', 'Z', '0', '.', '_', '-', 'é', '✓'][rng.below(8)]).collect()
    }
}

impl Arbitrary for Vec<u8> {
    fn arbitrary(_form: Form, rng: &mut Rng) -> Vec<u8> {
        (0..rng.below(200)).map(|_| rng.next() as u8).collect()
    }
}

impl<T: Arbitrary> Arbitrary for Vec<T> {
    fn arbitrary(form: Form, rng: &mut Rng) -> Vec<T> {
        let form = Form { nullable: false, ..form };
        (0..rng.below(4)).map(|_| T::arbitrary(form, rng)).collect()
    }
}

impl<T: Arbitrary> Arbitrary for Option<T> {
    fn arbitrary(form: Form, rng: &mut Rng) -> Option<T> {
        if form.nullable && rng.below(3) == 0 { None } else { Some(T::arbitrary(form, rng)) }
    }
}
