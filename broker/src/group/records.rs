//! The records of classic groups and of offsets, and about how many bytes they are.

pub use ringlog_wire::records::group::{
    GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata, OffsetCommitKey,
    OffsetCommitValue,
};

/// What a record takes beside its key and value: length, attributes, deltas, at most.
const RECORD_OVERHEAD: usize = 32;
/// What a batch takes beside its records.
pub(crate) const BATCH_OVERHEAD: usize = 61;

/// A committed offset; null forgets it.
pub(crate) fn offset(
    group: &str,
    topic: &str,
    partition: i32,
    value: Option<OffsetCommitValue>,
) -> GroupRecord {
    let key = OffsetCommitKey { group: group.to_owned(), topic: topic.to_owned(), partition };
    GroupRecord::OffsetCommit { key, value }
}

/// A classic group; null forgets it.
pub(crate) fn group(group: &str, value: Option<GroupMetadataValue>) -> GroupRecord {
    GroupRecord::GroupMetadata { key: GroupMetadataKey { group: group.to_owned() }, value }
}

/// About how many bytes a record takes in a batch, never less than it does.
pub(crate) fn bytes(record: &GroupRecord) -> usize {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    record.encode(&mut key, &mut value);
    key.len() + value.len() + RECORD_OVERHEAD
}

/// True when the records fit into one batch of at most `max` bytes.
pub(crate) fn fit(records: &[GroupRecord], max: usize) -> bool {
    records.iter().map(bytes).sum::<usize>() + BATCH_OVERHEAD <= max
}
