//! The two snapshot-shaped files that `kafka-storage format --standalone` leaves (`kraft.md` A1,
//! A7).
//!
//! ```text
//! bootstrap.checkpoint     header | FeatureLevel* | footer
//! __cluster_metadata-0/00000000000000000000-0000000000.checkpoint
//!                          header, KRaftVersion, Voters | footer
//! ```
//!
//! Each `|` ends a batch; offsets count from 0, the epoch is 0; header, quorum and footer are
//! control batches.

use ringlog_wire::records::control::{SnapshotFooterRecord, SnapshotHeaderRecord};
use ringlog_wire::records::{ControlRecord, MetadataRecord};

use super::batches::{Stamp, control_batch, data_batch};
use super::bootstrap::{self, Node};

/// The epoch of snapshots from before the first leader.
const EPOCH: i32 = 0;

/// `bootstrap.checkpoint`: the features that the first controller of a cluster writes into its log.
pub fn bootstrap_checkpoint(now_ms: i64) -> Vec<u8> {
    let features: Vec<MetadataRecord> = bootstrap::feature_levels().collect();
    let at = |base_offset| Stamp { base_offset, epoch: EPOCH, now_ms };
    let mut bytes = control_batch(at(0), &[header(0)]);
    bytes.extend(data_batch(at(1), &features));
    bytes.extend(control_batch(at(1 + features.len() as i64), &[footer()]));
    bytes
}

/// The metadata log's first snapshot: who votes.
pub fn quorum_checkpoint(now_ms: i64, node: &Node) -> Vec<u8> {
    let at = |base_offset| Stamp { base_offset, epoch: EPOCH, now_ms };
    let quorum = [header(now_ms), bootstrap::kraft_version(), bootstrap::voters(node)];
    let mut bytes = control_batch(at(0), &quorum);
    bytes.extend(control_batch(at(quorum.len() as i64), &[footer()]));
    bytes
}

fn header(last_contained_log_timestamp: i64) -> ControlRecord {
    ControlRecord::SnapshotHeader(SnapshotHeaderRecord {
        last_contained_log_timestamp,
        ..Default::default()
    })
}

fn footer() -> ControlRecord {
    ControlRecord::SnapshotFooter(SnapshotFooterRecord::default())
}
