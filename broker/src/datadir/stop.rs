//! A clean stop, in Kafka's order (`kraft.md` A5): high watermarks, then every log closed, then
//! recovery points and log starts, the marker last. And the names of directories whose partition is
//! gone.
//!
//! Invariant: the marker is written only when every log was closed without an error; without it
//! Kafka and Ringlog recover by themselves, with it they believe.

use ringlog_storage::RecoveryHint;
use ringlog_storage::checkpoint::clean_shutdown::CLEAN_SHUTDOWN;
use ringlog_storage::checkpoint::offsets::{HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use ringlog_storage::checkpoint::{CleanShutdown, OffsetCheckpoint};
use ringlog_wire::Uuid;

use super::Step;

/// The end of a directory's name whose topic was deleted.
pub const DELETE_SUFFIX: &str = "-delete";
/// The end of a directory's name that belongs to no partition of this node.
pub const STRAY_SUFFIX: &str = "-stray";
/// Longest name of a directory.
const NAME_BYTES_MAX: usize = 255;

/// Where a partition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The high watermark.
    pub high_watermark: i64,
    /// Everything below is flushed; at a stop the log's end.
    pub flushed: i64,
    /// The log's first offset.
    pub log_start: i64,
    /// The base offset of its first segment.
    pub first_segment: i64,
}

impl PartitionEnd {
    /// Of a log that could not be opened: what was known of it before.
    pub fn unopened(topic: &str, partition: i32, hint: RecoveryHint) -> PartitionEnd {
        PartitionEnd {
            topic: topic.into(),
            partition,
            high_watermark: hint.recovery_point,
            flushed: hint.recovery_point,
            log_start: hint.log_start,
            // Where its segments begin was not seen: the log's start is said in any case.
            first_segment: 0,
        }
    }
}

/// The files of a clean stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPlan {
    /// Before the logs are closed.
    pub before_close: Vec<Step>,
    /// After every log was closed.
    pub after_close: Vec<Step>,
}

/// What a clean stop writes. `broker_epoch` is `None` when a log failed, or was not fully loaded:
/// then no marker.
pub fn stop_plan(ends: &[PartitionEnd], broker_epoch: Option<i64>) -> StopPlan {
    let [high_watermarks, recovery_points, log_starts] = checkpoint_steps(ends);
    let mut after_close = vec![recovery_points, log_starts];
    if let Some(broker_epoch) = broker_epoch {
        let marker = CleanShutdown { broker_epoch }.render();
        after_close.push(Step::Replace(CLEAN_SHUTDOWN.into(), marker.into_bytes()));
    }
    StopPlan { before_close: vec![high_watermarks], after_close }
}

/// The three checkpoints: high watermarks, recovery points, log starts. Also written now and then
/// while running.
pub fn checkpoint_steps(ends: &[PartitionEnd]) -> [Step; 3] {
    let step = |name: &str, offset: &dyn Fn(&PartitionEnd) -> Option<i64>| {
        let line = |end: &PartitionEnd| Some(((end.topic.clone(), end.partition), offset(end)?));
        let checkpoint = OffsetCheckpoint { offsets: ends.iter().filter_map(line).collect() };
        Step::Replace(name.into(), checkpoint.render().into_bytes())
    };
    let inside_segment =
        |end: &PartitionEnd| (end.log_start > end.first_segment).then_some(end.log_start);
    [
        step(HIGH_WATERMARK, &|end| Some(end.high_watermark)),
        step(RECOVERY_POINT, &|end| Some(end.flushed)),
        step(LOG_START, &inside_segment),
    ]
}

/// The name under which a deleted topic's directory waits for its removal.
pub fn delete_dir(topic: &str, partition: i32, id: Uuid) -> String {
    set_aside(topic, partition, id, DELETE_SUFFIX)
}

/// The name under which a directory is kept that belongs to no partition of this node.
pub fn stray_dir(topic: &str, partition: i32, id: Uuid) -> String {
    set_aside(topic, partition, id, STRAY_SUFFIX)
}

/// `topic-partition.<32 hex>suffix`, the topic cut so that the name stays a file name.
fn set_aside(topic: &str, partition: i32, id: Uuid, suffix: &str) -> String {
    let tail = format!("-{partition}.{:032x}{suffix}", u128::from_be_bytes(id.0));
    let head = &topic[..topic.len().min(NAME_BYTES_MAX - tail.len())];
    format!("{head}{tail}")
}
