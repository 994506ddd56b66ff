//! A fresh log, a restart, a clean stop; and when replies leave.

use super::*;
use crate::metadata::command::{ProducerIds, StartError};
use crate::metadata::controller::WAITING_MAX;
use crate::metadata::image::NO_LEADER;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};

fn create(name: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: -1,
        ..Default::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..Default::default() }
}

const FRESH: &[&str] = &[
    "0 control LeaderChange",
    "1 control KRaftVersion",
    "2 control KRaftVoters",
    "| epoch 1",
    "3 v0 BeginTransaction",
    "4 v0 FeatureLevel metadata.version 30",
    "5 v0 FeatureLevel eligible.leader.replicas.version 1",
    "6 v0 FeatureLevel group.version 1",
    "7 v0 FeatureLevel transaction.version 2",
    "8 v0 Config 4: min.insync.replicas=Some(\"1\")",
    "9 v0 EndTransaction",
    "| epoch 1",
    "10 v0 RegisterController",
    "| epoch 1",
    "11 v4 RegisterBroker epoch 11 fenced true",
    "| epoch 1",
    "12 v0 BrokerRegistrationChange epoch 11 fenced -1 stopping 0",
    "| epoch 1",
];

#[test]
fn a_fresh_log_is_kafkas() {
    let (controller, commands) = start(&[], 1);
    assert_eq!(dump(&bytes_of(&commands)), FRESH);
    assert_eq!(controller.broker_epoch(), 11);
    assert!(!controller.is_serving());
}

#[test]
fn appends_follow_each_other_and_carry_their_place() {
    let (_, commands) = start(&[], 1);
    let mut next = 0;
    for append in appends(&commands) {
        let (batch, rest) = Batch::parse(&append.batch).expect("a batch");
        assert!(rest.is_empty(), "one batch an append");
        assert_eq!(batch.header().base_offset, next);
        assert_eq!((append.base_offset, append.epoch), (next, 1));
        assert_eq!(append.next_offset, batch.header().next_offset());
        next = append.next_offset;
    }
    assert_eq!(next, 13);
}

#[test]
fn a_fresh_log_cut_after_any_batch_is_begun_again() {
    let (_, commands) = start(&[], 1);
    let batches: Vec<Vec<u8>> = appends(&commands).map(|append| append.batch.clone()).collect();
    for cut in 0..=batches.len() {
        let log = batches[..cut].concat();
        let (mut controller, commands) = start(&log, 2);
        let published = controller.committed(end_of(&commands));
        assert!(controller.is_serving(), "cut after {cut} batches");
        let [Command::Publish(image)] = &published[..] else { panic!("{published:?}") };
        assert_eq!(image.metadata_version(), Some(30), "cut after {cut} batches");
        assert_eq!(image.cluster_config("min.insync.replicas"), Some("1"));
        assert_eq!(image.quorum.voters.len(), 1);
        // What was folded as it was written is what a reader of the log folds.
        let mut fold = Fold::new(Image::new("cluster"));
        fold.apply_batches(&[log, bytes_of(&commands)].concat()).expect("the log folds");
        assert_eq!(fold.published(), &**image);
    }
}

#[test]
fn a_restart_after_a_crash_leads_again_in_a_new_epoch() {
    let (mut controller, mut log) = serving();
    log.extend(bytes_of(&controller.create_topics(NOW_MS, 1, &create("t", 2), &mut ids(1))));
    let (mut controller, commands) = start(&log, 2);
    assert_eq!(
        dump(&bytes_of(&commands)),
        [
            "16 control LeaderChange",
            "| epoch 2",
            "17 v0 RegisterController",
            "| epoch 2",
            "18 v4 RegisterBroker epoch 18 fenced true",
            "| epoch 2",
            "19 v0 BrokerRegistrationChange epoch 18 fenced -1 stopping 0",
            "20 v2 PartitionChange 0 leader 1 isr None elr None None",
            "21 v2 PartitionChange 1 leader 1 isr None elr None None",
            "| epoch 2",
        ]
    );
    let published = controller.committed(22);
    let [Command::Publish(image)] = &published[..] else { panic!("{published:?}") };
    let partition = image.partition(id(1), 1).expect("it is there");
    assert_eq!((partition.leader, partition.leader_epoch, partition.partition_epoch), (1, 1, 1));
    assert_eq!(image.applied, crate::metadata::Position { offset: 21, epoch: 2 });
}

#[test]
fn a_clean_stop_leaves_what_kafka_leaves_and_a_start_takes_it_up() {
    let (mut controller, mut log) = serving();
    let created = controller.create_topics(NOW_MS, 1, &create("t", 1), &mut ids(1));
    log.extend(bytes_of(&created));
    controller.committed(end_of(&created));
    let stop = controller.stop(NOW_MS);
    assert_eq!(
        dump(&bytes_of(&stop)),
        [
            "15 v1 BrokerRegistrationChange epoch 11 fenced 0 stopping 1",
            "16 v2 PartitionChange 0 leader -1 isr Some([]) elr Some([1]) Some([1])",
            "| epoch 1",
            "17 v0 BrokerRegistrationChange epoch 11 fenced 1 stopping 0",
            "| epoch 1",
        ]
    );
    assert!(matches!(controller.committed(17)[..], [Command::Publish(_)]));
    let done = controller.committed(18);
    let [Command::Publish(image), Command::Stopped(11)] = &done[..] else { panic!("{done:?}") };
    assert_eq!(image.partition(id(1), 0).expect("it is there").leader, NO_LEADER);
    assert!(controller.stop(NOW_MS).is_empty());
    let refused = controller.create_topics(NOW_MS, 2, &create("u", 1), &mut ids(2));
    let [(2, Reply::CreateTopics(response))] = &replies(refused)[..] else { panic!() };
    assert_eq!(response.topics[0].error_code, ErrorCode::NotController);

    log.extend(bytes_of(&stop));
    let (_, commands) = start(&log, 2);
    let lines = dump(&bytes_of(&commands));
    let last = &lines[lines.len() - 2];
    assert_eq!(last, "22 v2 PartitionChange 0 leader 1 isr Some([1]) elr Some([]) Some([])");
}

#[test]
fn a_reply_waits_for_everything_staged_before_it() {
    let (mut controller, _) = serving();
    let first = controller.create_topics(NOW_MS, 1, &create("t", 1), &mut ids(1));
    assert_eq!(end_of(&first), 15);
    assert!(replies(first).is_empty());
    // The second finds the first, which may still be lost: it waits too, though it writes nothing.
    let second = controller.create_topics(NOW_MS, 2, &create("t", 1), &mut ids(2));
    assert_eq!(second, []);
    let third = controller.create_topics(NOW_MS, 3, &create("u", 1), &mut ids(2));
    assert_eq!(end_of(&third), 17);
    assert_eq!(controller.committed(14), []);
    let done = controller.committed(15);
    let [Command::Publish(image), Command::Reply(1, _), Command::Reply(2, second)] = &done[..]
    else {
        panic!("{done:?}")
    };
    assert!(image.topic_named("t").is_some() && image.topic_named("u").is_none());
    let Reply::CreateTopics(second) = second else { panic!() };
    assert_eq!(second.topics[0].error_code, ErrorCode::TopicAlreadyExists);
    assert_eq!(replies(controller.committed(17)).len(), 1);
    // Nothing is on its way: the answer is now.
    let now = controller.create_topics(NOW_MS, 4, &create("u", 1), &mut ids(3));
    assert_eq!(replies(now).len(), 1);
}

#[test]
fn producer_ids_come_in_blocks_and_never_again() {
    let (mut controller, mut log) = serving();
    let first = controller.allocate_producer_ids(NOW_MS, 1);
    let second = controller.allocate_producer_ids(NOW_MS, 2);
    assert_eq!(dump(&bytes_of(&first)), ["13 v0 ProducerIds 1000", "| epoch 1"]);
    assert_eq!(dump(&bytes_of(&second)), ["14 v0 ProducerIds 2000", "| epoch 1"]);
    assert_eq!(
        replies(controller.committed(15)),
        [
            (1, Reply::ProducerIds(Ok(ProducerIds { first: 0, count: 1000 }))),
            (2, Reply::ProducerIds(Ok(ProducerIds { first: 1000, count: 1000 }))),
        ]
    );
    log.extend(bytes_of(&first));
    log.extend(bytes_of(&second));
    let (mut controller, commands) = start(&log, 2);
    controller.committed(end_of(&commands));
    let third = controller.allocate_producer_ids(NOW_MS, 3);
    assert_eq!(
        replies(controller.committed(end_of(&third))),
        [(3, Reply::ProducerIds(Ok(ProducerIds { first: 2000, count: 1000 })))]
    );
}

#[test]
fn a_failed_log_answers_everyone_and_takes_nothing() {
    let (mut controller, _) = serving();
    controller.create_topics(NOW_MS, 1, &create("t", 1), &mut ids(1));
    controller.allocate_producer_ids(NOW_MS, 2);
    let told = replies(controller.failed());
    let [(1, Reply::CreateTopics(response)), (2, ids_reply)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(response.topics[0].error_code, ErrorCode::KafkaStorageError);
    assert_eq!(ids_reply, &Reply::ProducerIds(Err(ErrorCode::KafkaStorageError)));
    let after = controller.create_topics(NOW_MS, 3, &create("u", 1), &mut ids(2));
    let [Command::Reply(3, Reply::CreateTopics(response))] = &after[..] else {
        panic!("{after:?}")
    };
    assert_eq!(response.topics[0].error_code, ErrorCode::KafkaStorageError);
}

#[test]
fn a_full_queue_answers() {
    let (mut controller, _) = serving();
    for token in 0..WAITING_MAX as u64 {
        assert!(replies(controller.allocate_producer_ids(NOW_MS, token)).is_empty());
    }
    let full = controller.allocate_producer_ids(NOW_MS, 9999);
    let busy = Reply::ProducerIds(Err(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(full, [Command::Reply(9999, busy)]);
    let full = controller.create_topics(NOW_MS, 9999, &create("t", 1), &mut ids(1));
    let [Command::Reply(9999, Reply::CreateTopics(response))] = &full[..] else { panic!() };
    assert_eq!(response.topics[0].error_code, ErrorCode::RequestTimedOut);
}

#[test]
fn a_log_of_another_quorum_is_refused() {
    let (_, log) = serving();
    let mut fold = Fold::new(Image::new("cluster"));
    fold.apply_batches(&log).expect("the log folds");
    let other = Node { id: 2, ..node() };
    let refused = Controller::start(NOW_MS, other, settings(), fold.clone(), 2).err();
    let Some(StartError::Voters { voters, node: own }) = refused else { panic!("{refused:?}") };
    assert_eq!((voters[0].id, own.id), (1, 2));
    // The same node at another address tells the quorum so.
    let mut moved = node();
    moved.controller_endpoint.port = 9999;
    let (_, commands) = Controller::start(NOW_MS, moved, settings(), fold, 2).expect("ours");
    let lines = dump(&bytes_of(&commands));
    assert_eq!(lines[..2], ["13 control LeaderChange", "14 control KRaftVoters"]);
}
