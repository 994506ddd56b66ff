//! What the coordinators share with their runtime: who waits for an answer, and which topics there
//! are.

use ringlog_wire::Uuid;

/// Who waits for an answer: the runtime's number for a request. Every ticket that goes into a
/// coordinator comes out exactly once, in an answer or when the coordinator is unloaded.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The topics, as the metadata image has them.
pub trait TopicsView {
    /// A topic's id and number of partitions.
    fn named(&self, name: &str) -> Option<(Uuid, i32)>;
    /// A topic's name and number of partitions.
    fn with_id(&self, id: Uuid) -> Option<(&str, i32)>;
    /// The names of all topics, in no order that means anything.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
    /// Changes with every topic that is created, deleted or given partitions: the metadata log's
    /// offset as of the last change, or a number that grows like it.
    fn version(&self) -> i64;
    /// The rack of this broker, which has all partitions.
    fn rack(&self) -> Option<&str>;
    /// The version of the last topic that was created; at most [`TopicsView::version`].
    fn created_version(&self) -> i64;
}
