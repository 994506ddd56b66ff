//! The metadata log of a real Apache Kafka 4.3.1, folded: formatted `--standalone`, three topics
//! and one deleted, stopped, started, a fourth topic and an idempotent producer, killed, started,
//! stopped.

use super::*;
use crate::metadata::Position;

const LOG: &[u8] = include_bytes!("kafka-4.3.1.log");

#[test]
fn a_log_of_kafka_4_3_1_folds() {
    let mut fold = Fold::new(Image::new("cluster"));
    fold.apply_batches(LOG).expect("the log folds");
    assert!(!fold.in_transaction());
    let image = fold.published();
    assert_eq!(image.applied, Position { offset: 126, epoch: 3 });
    let topics: Vec<(&str, usize)> =
        image.topics_by_name().map(|topic| (&*topic.name, topic.partitions.len())).collect();
    assert_eq!(topics, [("conf", 2), ("first", 3), ("third", 1)]);
    assert_eq!(image.topic_config("conf", "retention.ms"), Some("60000"));
    assert_eq!(image.cluster_config("min.insync.replicas"), Some("1"));
    assert_eq!(image.features.get("share.version"), Some(&1));
    assert_eq!((image.metadata_version(), image.features.len()), (Some(30), 6));
    assert_eq!(image.next_producer_id, 1000);
    let broker = &image.brokers[&1];
    assert_eq!((broker.epoch, broker.fenced, broker.in_controlled_shutdown), (99, true, true));
    assert_eq!((image.quorum.kraft_version, image.quorum.leader), (Some(1), Some(1)));
    // Created, stopped, started, killed and fenced, started, stopped: six elections less one on
    // `third`.
    let first = image.topic_named("first").expect("there");
    let partition = &first.partitions[&2];
    assert_eq!((partition.leader, partition.leader_epoch, partition.partition_epoch), (-1, 5, 6));
    assert_eq!((&partition.elr[..], &partition.last_known_elr[..]), (&[1][..], &[1][..]));
    assert_eq!(partition.leader_recovery_state, 1);
    let third = &image.topic_named("third").expect("there").partitions[&0];
    assert_eq!((third.leader_epoch, third.partition_epoch), (3, 4));
}

/// Every record of Kafka's is written by us as the same bytes, so every batch but its CRC's time is
/// too.
#[test]
fn records_are_written_as_kafka_writes_them() {
    let mut log = LOG;
    let mut records = 0;
    while !log.is_empty() {
        let (batch, rest) = Batch::parse(log).expect("a batch");
        log = rest;
        batch.verify_crc().expect("its CRC is right");
        for record in batch.records().map(|record| record.expect("a record")) {
            let value = record.value.expect("a value");
            let mut again = Vec::new();
            if batch.header().is_control() {
                let key = record.key.expect("a key");
                let control = ControlRecord::decode(key, value).expect("known");
                assert_eq!(control.key().encode(), key);
                control.encode_value(&mut again);
            } else {
                let (record, version) = MetadataRecord::decode_value(value).expect("known");
                assert_eq!(version, crate::metadata::batches::version_of(&record));
                record.encode_value(version, &mut again);
            }
            assert_eq!(again, value);
            records += 1;
        }
    }
    assert_eq!(records, 127);
}

/// We can take up the log where Kafka left it (a later issue does, once the rest of the directory
/// is).
#[test]
fn a_controller_starts_on_kafkas_log() {
    let mut fold = Fold::new(Image::new("cluster"));
    fold.apply_batches(LOG).expect("the log folds");
    let voter = &fold.published().quorum.voters[0];
    let mut node = Node { directory: voter.directory, ..node() };
    node.controller_endpoint.port = voter.endpoints[0].2;
    let (mut controller, commands) =
        Controller::start(NOW_MS, node, settings(), fold, 4).expect("the log is ours");
    let lines = dump(&bytes_of(&commands));
    assert_eq!(lines[..2], ["127 control LeaderChange", "| epoch 4"]);
    controller.committed(end_of(&commands));
    assert!(controller.is_serving());
}
