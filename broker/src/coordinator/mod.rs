//! Coordinators: each is a state machine of one partition of `__consumer_offsets`
//! ([`crate::group`]) or `__transaction_state` ([`crate::txn`]), and that partition's log is all
//! that it knows after a restart.
//!
//! A machine takes events and decides: records for its log, and commands. The shell
//! (`shell/coordinators.rs`) appends a decision's records as one batch, and carries out its
//! commands, answers among them, when that batch and all before it are durable. When an append
//! fails, the machine is thrown away and rebuilt from the log.

mod live;
mod machine;
mod replay;
mod settings;

use ringlog_wire::Uuid;

use crate::metadata::Image;

pub use live::Live;
pub use machine::{Answer, Around, Ask, Command, Decision, Event, Machine, Markers};
pub use replay::{Read, Replay, Replayed, replay};
pub use settings::{group_config, transaction_config};

/// Where committed offsets and groups are kept.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Where transactions are kept.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Bytes of memory that what is told of one id, or of all ids of one request, may take.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What a coordinator coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Groups and their offsets.
    Groups,
    /// Transactions.
    Transactions,
}

impl Kind {
    /// The topic that its partitions are of.
    pub const fn topic(self) -> &'static str {
        match self {
            Kind::Groups => OFFSETS_TOPIC,
            Kind::Transactions => TRANSACTIONS_TOPIC,
        }
    }

    /// What the partitions of that topic coordinate, if it is one of these.
    pub fn of_topic(name: &str) -> Option<Kind> {
        [Kind::Groups, Kind::Transactions].into_iter().find(|kind| kind.topic() == name)
    }
}

/// Someone who waits for a coordinator's answer; answered exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The topics that there are, as coordinators need to know them.
pub trait TopicsView {
    /// The id and the number of partitions of the topic of that name.
    fn named(&self, name: &str) -> Option<(Uuid, i32)>;
    /// The name and the number of partitions of the topic of that id.
    fn with_id(&self, id: Uuid) -> Option<(&str, i32)>;
    /// The names of all topics, in no order that means anything.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
    /// Changes with every topic that is created, deleted or given partitions: the metadata log's
    /// offset as of the last change, or a number that grows like it.
    fn version(&self) -> i64;
    /// The version of the last topic that was created; at most [`TopicsView::version`].
    fn created_version(&self) -> i64;
    /// The rack of this broker, which has all partitions.
    fn rack(&self) -> Option<&str>;
}

/// The metadata image as coordinators see it.
#[derive(Clone, Copy, Debug)]
pub struct ImageView<'a> {
    /// The image.
    pub image: &'a Image,
    /// See [`TopicsView::version`].
    pub version: i64,
    /// See [`TopicsView::created_version`].
    pub created_version: i64,
    /// See [`TopicsView::rack`].
    pub rack: &'a str,
}

impl TopicsView for ImageView<'_> {
    fn named(&self, name: &str) -> Option<(Uuid, i32)> {
        self.image.topic_named(name).map(|topic| (topic.id, topic.partitions.len() as i32))
    }

    fn with_id(&self, id: Uuid) -> Option<(&str, i32)> {
        self.image.topic(id).map(|topic| (&*topic.name, topic.partitions.len() as i32))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.image.topics.values().map(|topic| &*topic.name))
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn created_version(&self) -> i64 {
        self.created_version
    }

    fn rack(&self) -> Option<&str> {
        Some(self.rack)
    }
}

/// The partition of a coordinator's topic of so many partitions that a group or transactional id
/// belongs to. Kafka's rule: Java's hash of the id, made positive, modulo the partitions.
pub fn partition_of(id: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has partitions");
    let hash = id
        .encode_utf16()
        .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Java's smallest number has no positive twin: it counts as 0.
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_belong_to_the_partitions_that_kafka_gives_them() {
        // "polygenelubricants" hashes to Java's smallest int.
        for (id, partition) in
            [("", 0), ("a", 47), ("group", 47), ("polygenelubricants", 0), ("gruppe-ä", 48)]
        {
            assert_eq!(partition_of(id, 50), partition, "{id}");
        }
    }
}
