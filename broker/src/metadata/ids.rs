//! Random ids of topics, directories and clusters: drawn from a source that the shell gives.

use ringlog_wire::Uuid;

/// Ids whose upper half is zero and whose lower half is below this are Kafka's own.
const RESERVED_IDS: u128 = 100;
/// How many draws may be turned down (one in 64 begins with a dash) before the source is broken.
const DRAWS_MAX: usize = 64;

/// A random id that is not Kafka's own, does not look like a flag, and is not `taken`.
///
/// # Panics
/// When the source gives nothing else.
pub fn draw(source: &mut dyn FnMut() -> Uuid, taken: impl Fn(&Uuid) -> bool) -> Uuid {
    for _ in 0..DRAWS_MAX {
        let id = source();
        let reserved = u128::from_be_bytes(id.0) < RESERVED_IDS;
        if !reserved && !id.to_string().starts_with('-') && !taken(&id) {
            return id;
        }
    }
    panic!("the source of random ids repeats itself");
}
