//! Records that make a change, and records that cannot be true.

use super::*;
use crate::metadata::fold::FoldError;
use crate::metadata::image::{PartitionImage, Position};
use ringlog_wire::DecodeError;
use ringlog_wire::records::{
    AbortTransactionRecord, BeginTransactionRecord, BrokerRegistrationChangeRecord, ClearElrRecord,
    ConfigRecord, EndTransactionRecord, FeatureLevelRecord, NoOpRecord, PartitionChangeRecord,
    PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};

/// Folds records at the offsets after the last.
fn apply(fold: &mut Fold, records: Vec<MetadataRecord>) -> Result<(), FoldError> {
    let first = fold.staged().applied.offset + 1;
    let mut at = (first..).map(|offset| Position { offset, epoch: 1 });
    records.iter().try_for_each(|record| fold.apply(record, at.next().expect("offsets go on")))
}

fn topic(name: &str, number: u128) -> MetadataRecord {
    TopicRecord { name: name.into(), topic_id: id(number) }.into()
}

fn partition(replicas: &[i32]) -> MetadataRecord {
    PartitionRecord {
        partition_id: 0,
        topic_id: id(1),
        replicas: replicas.to_vec(),
        isr: replicas.to_vec(),
        leader: replicas[0],
        leader_epoch: 0,
        partition_epoch: 0,
        ..Default::default()
    }
    .into()
}

fn with_partition() -> Fold {
    let mut fold = Fold::new(Image::new("cluster"));
    apply(&mut fold, vec![topic("t", 1), partition(&[1, 2, 3])]).expect("they fold");
    fold
}

fn changed(change: PartitionChangeRecord) -> Result<PartitionImage, FoldError> {
    let mut fold = with_partition();
    let change = PartitionChangeRecord { partition_id: 0, topic_id: id(1), ..change };
    apply(&mut fold, vec![change.into()])?;
    Ok(fold.published().partition(id(1), 0).expect("there").clone())
}

#[test]
fn changes_of_a_partition() {
    let shrunk = changed(PartitionChangeRecord { isr: Some(vec![1]), ..Default::default() });
    let shrunk = shrunk.expect("it folds");
    assert_eq!((shrunk.leader, shrunk.leader_epoch, shrunk.partition_epoch), (1, 0, 1));
    assert_eq!(shrunk.isr, [1]);
    // The same leader, named, starts an epoch; so does none.
    for leader in [1, 2, -1] {
        let elected = changed(PartitionChangeRecord { leader, ..Default::default() });
        let elected = elected.expect("it folds");
        assert_eq!((elected.leader, elected.leader_epoch, elected.partition_epoch), (leader, 1, 1));
        assert_eq!(elected.isr, [1, 2, 3]);
    }
    let moved = PartitionChangeRecord { replicas: Some(vec![3, 4]), ..Default::default() };
    let moved = changed(moved).expect("it folds");
    assert_eq!((moved.replicas.len(), moved.directories.len()), (2, 2));
    let wrong = PartitionChangeRecord { directories: Some(vec![id(9)]), ..Default::default() };
    let error = FoldError::Directories { offset: 2, replicas: 3, directories: 1 };
    assert_eq!(changed(wrong), Err(error));
}

#[test]
fn what_cannot_be_true_is_an_error() {
    let check = |record: MetadataRecord, error: FoldError| {
        assert_eq!(apply(&mut with_partition(), vec![record]), Err(error));
    };
    let change = PartitionChangeRecord { partition_id: 7, topic_id: id(1), ..Default::default() };
    check(change.into(), FoldError::NoPartition { offset: 2, topic: id(1), partition: 7 });
    let remove = RemoveTopicRecord { topic_id: id(2) };
    check(remove.into(), FoldError::NoTopic { offset: 2, topic: id(2) });
    let clear = ClearElrRecord { topic_name: "u".into() };
    check(clear.into(), FoldError::NoTopicNamed { offset: 2, topic: "u".into() });
    check(topic("t", 2), FoldError::TopicTwice { offset: 2, topic: "t".into() });
    check(topic("u", 1), FoldError::TopicTwice { offset: 2, topic: "u".into() });
    let broker =
        BrokerRegistrationChangeRecord { broker_id: 1, broker_epoch: 5, ..Default::default() };
    check(broker.into(), FoldError::NoBroker { offset: 2, broker: 1, epoch: 5 });
    let feature = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 31 };
    check(feature.into(), FoldError::MetadataVersion { offset: 2, level: 31 });
    check(EndTransactionRecord {}.into(), FoldError::Transaction { offset: 2 });
    check(AbortTransactionRecord::default().into(), FoldError::Transaction { offset: 2 });
    let ids = ProducerIdsRecord { next_producer_id: -1, ..Default::default() };
    check(ids.into(), FoldError::ProducerIds { offset: 2, next: 0, found: -1 });
    let again = with_partition().apply(&NoOpRecord {}.into(), Position { offset: 1, epoch: 1 });
    assert_eq!(again, Err(FoldError::Order { offset: 1, applied: 1 }));
}

#[test]
fn a_record_that_nobody_knows_is_told_with_its_place() {
    use ringlog_wire::batch::{BatchBuilder, BatchOptions};
    let mut batch =
        BatchBuilder::new(BatchOptions { partition_leader_epoch: 1, ..Default::default() });
    batch.push(NOW_MS, None, Some(&[1, 99, 3, 0]), &[]);
    let error = Fold::new(Image::new("cluster")).apply_batches(&batch.finish()).unwrap_err();
    let unknown = DecodeError::Unknown { key: 99, version: 3 };
    assert_eq!(error, FoldError::Record { offset: 0, error: unknown });
}

#[test]
fn a_transaction_is_published_whole_or_not_at_all() {
    let begin = || MetadataRecord::from(BeginTransactionRecord::default());
    let mut fold = with_partition();
    let before = fold.published().clone();
    apply(&mut fold, vec![begin(), topic("u", 2)]).expect("they fold");
    assert!(fold.in_transaction());
    assert_eq!(fold.published(), &before);
    assert!(fold.staged().topic_named("u").is_some());
    let mut aborted = fold.clone();
    apply(&mut fold, vec![EndTransactionRecord {}.into()]).expect("it folds");
    assert!(fold.published().topic_named("u").is_some());
    apply(&mut aborted, vec![AbortTransactionRecord::default().into()]).expect("it folds");
    assert!(aborted.published().topic_named("u").is_none());
    assert_eq!(aborted.published().applied.offset, 4);
    let nested = apply(&mut fold, vec![begin(), begin()]);
    assert_eq!(nested, Err(FoldError::Transaction { offset: 6 }));
}

#[test]
fn settings_features_and_brokers() {
    let config = |value: Option<&str>| {
        MetadataRecord::from(ConfigRecord {
            resource_type: 2,
            resource_name: "t".into(),
            name: "retention.ms".into(),
            value: value.map(str::to_string),
        })
    };
    let mut fold = with_partition();
    apply(&mut fold, vec![config(None), config(Some("5"))]).expect("they fold");
    assert_eq!(fold.published().topic_config("t", "retention.ms"), Some("5"));
    apply(&mut fold, vec![config(None)]).expect("it folds");
    assert!(fold.published().configs.is_empty());
    let feature = |feature_level| {
        MetadataRecord::from(FeatureLevelRecord { name: "group.version".into(), feature_level })
    };
    apply(&mut fold, vec![feature(1), feature(0)]).expect("they fold");
    assert!(fold.published().features.is_empty());

    let broker = RegisterBrokerRecord { broker_id: 4, broker_epoch: 9, ..Default::default() };
    let change = |fenced, in_controlled_shutdown| {
        MetadataRecord::from(BrokerRegistrationChangeRecord {
            broker_id: 4,
            broker_epoch: 9,
            fenced,
            in_controlled_shutdown,
            ..Default::default()
        })
    };
    let mut seen = Vec::new();
    apply(&mut fold, vec![broker.clone().into()]).expect("it folds");
    for record in [change(0, 0), change(-1, 0), change(0, 1), change(1, 0), broker.into()] {
        apply(&mut fold, vec![record]).expect("it folds");
        let broker = &fold.published().brokers[&4];
        seen.push((broker.fenced, broker.in_controlled_shutdown));
    }
    assert_eq!(seen, [(true, false), (false, false), (false, true), (true, true), (true, false)]);
}

#[test]
fn clearing_eligible_leaders() {
    let elr = PartitionChangeRecord {
        partition_id: 0,
        topic_id: id(1),
        eligible_leader_replicas: Some(vec![2]),
        last_known_elr: Some(vec![3]),
        ..Default::default()
    };
    for name in ["t", ""] {
        let mut fold = with_partition();
        let clear = ClearElrRecord { topic_name: name.into() };
        apply(&mut fold, vec![elr.clone().into(), clear.into()]).expect("they fold");
        let partition = fold.published().partition(id(1), 0).expect("there");
        assert!(partition.elr.is_empty() && partition.last_known_elr.is_empty());
    }
}

#[test]
fn images_share_what_did_not_change() {
    let mut fold = with_partition();
    apply(&mut fold, vec![topic("u", 2)]).expect("it folds");
    let before = fold.published().clone();
    apply(&mut fold, vec![RemoveTopicRecord { topic_id: id(2) }.into()]).expect("it folds");
    let (left, right) = (before.topic(id(1)), fold.published().topic(id(1)));
    assert!(std::sync::Arc::ptr_eq(left.expect("there"), right.expect("there")));
    assert!(before.topic(id(2)).is_some() && fold.published().topic(id(2)).is_none());
}
