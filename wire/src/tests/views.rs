//! The borrowed forms say what the owned ones say, in every version.

use super::arbitrary::{self, Rng};
use crate::api::{fetch, produce};
use crate::message::Message;

const ROUNDS: u64 = 300;

/// A body of a random message, and the message.
fn body<M: Message + arbitrary::Arbitrary>(version: i16, seed: u64) -> (M, Vec<u8>) {
    let message: M = arbitrary::message(version, &mut Rng(seed << 8 | version as u64));
    let mut bytes = Vec::new();
    message.write(version, &mut bytes);
    (message, bytes)
}

#[test]
fn produce_requests() {
    use produce::*;
    for (version, seed) in API.versions().flat_map(|v| (0..ROUNDS).map(move |seed| (v, seed))) {
        let (owned, bytes) = body::<ProduceRequest>(version, seed);
        let view = RequestView::parse(version, &bytes).expect("well-formed");
        let topic = |topic: TopicView<'_>| TopicProduceData {
            name: topic.name.to_owned(),
            topic_id: topic.topic_id,
            partition_data: topic
                .partitions()
                .map(|partition| PartitionProduceData {
                    index: partition.index,
                    records: partition.records.map(<[u8]>::to_vec),
                })
                .collect(),
        };
        assert_eq!(view.topics().len(), owned.topic_data.len());
        let again = ProduceRequest {
            transactional_id: view.transactional_id().map(str::to_owned),
            acks: view.acks(),
            timeout_ms: view.timeout_ms(),
            topic_data: view.topics().map(topic).collect(),
        };
        assert_eq!(again, owned, "v{version} seed {seed}");
    }
}

#[test]
fn produce_responses() {
    use produce::*;
    for (version, seed) in API.versions().flat_map(|v| (0..ROUNDS).map(move |seed| (v, seed))) {
        let (owned, bytes) = body::<ProduceResponse>(version, seed);
        let view = ResponseView::parse(version, &bytes).expect("well-formed");
        assert_eq!(view.throttle_time_ms(), owned.throttle_time_ms);
        assert_eq!(view.topics().len(), owned.responses.len());
        for (view, owned) in view.topics().zip(&owned.responses) {
            assert_eq!((view.name, view.topic_id), (owned.name.as_str(), owned.topic_id));
            assert_eq!(view.partitions().len(), owned.partition_responses.len());
            for (view, owned) in view.partitions().zip(&owned.partition_responses) {
                let again = PartitionResultView {
                    index: owned.index,
                    error_code: owned.error_code,
                    base_offset: owned.base_offset,
                    log_append_time_ms: owned.log_append_time_ms,
                    log_start_offset: owned.log_start_offset,
                    error_message: owned.error_message.as_deref(),
                };
                assert_eq!(view, again, "v{version} seed {seed}");
            }
        }

        let mut out = Vec::new();
        let mut writer = ResponseWriter::new(version, owned.responses.len(), &mut out);
        for topic in &owned.responses {
            writer.topic(&topic.name, topic.topic_id, topic.partition_responses.len());
            for partition in &topic.partition_responses {
                let errors: Vec<_> = partition.record_errors.iter().map(record_error).collect();
                let leader = &partition.current_leader;
                writer.partition(&PartitionResult {
                    index: partition.index,
                    error_code: partition.error_code,
                    base_offset: partition.base_offset,
                    log_append_time_ms: partition.log_append_time_ms,
                    log_start_offset: partition.log_start_offset,
                    record_errors: &errors,
                    error_message: partition.error_message.as_deref(),
                    current_leader: (*leader != LeaderIdAndEpoch::default())
                        .then_some((leader.leader_id, leader.leader_epoch)),
                });
            }
        }
        writer.finish(owned.throttle_time_ms, &owned.node_endpoints);
        assert_eq!(out, bytes, "v{version} seed {seed}");
    }
}

fn record_error(error: &produce::BatchIndexAndErrorMessage) -> produce::RecordError<'_> {
    produce::RecordError {
        batch_index: error.batch_index,
        message: error.batch_index_error_message.as_deref(),
    }
}

#[test]
fn fetch_requests() {
    use fetch::*;
    for (version, seed) in API.versions().flat_map(|v| (0..ROUNDS).map(move |seed| (v, seed))) {
        let (owned, bytes) = body::<FetchRequest>(version, seed);
        let view = RequestView::parse(version, &bytes).expect("well-formed");
        let topic = |topic: TopicView<'_>| FetchTopic {
            topic: topic.name.to_owned(),
            topic_id: topic.topic_id,
            partitions: topic.partitions().map(fetch_partition).collect(),
        };
        let forgotten = |topic: ForgottenView<'_>| ForgottenTopic {
            topic: topic.name.to_owned(),
            topic_id: topic.topic_id,
            partitions: topic.partitions().collect(),
        };
        let (replica_id, replica_state) = match version {
            15.. => (
                -1,
                ReplicaState { replica_id: view.replica_id(), replica_epoch: view.replica_epoch() },
            ),
            _ => (view.replica_id(), ReplicaState::default()),
        };
        let again = FetchRequest {
            cluster_id: view.cluster_id().map(str::to_owned),
            replica_id,
            replica_state,
            max_wait_ms: view.max_wait_ms(),
            min_bytes: view.min_bytes(),
            max_bytes: view.max_bytes(),
            isolation_level: view.isolation_level(),
            session_id: view.session_id(),
            session_epoch: view.session_epoch(),
            topics: view.topics().map(topic).collect(),
            forgotten_topics_data: view.forgotten_topics().map(forgotten).collect(),
            rack_id: view.rack_id().to_owned(),
        };
        assert_eq!(again, owned, "v{version} seed {seed}");
    }
}

fn fetch_partition(view: fetch::PartitionView) -> fetch::FetchPartition {
    fetch::FetchPartition {
        partition: view.index,
        current_leader_epoch: view.current_leader_epoch,
        fetch_offset: view.fetch_offset,
        last_fetched_epoch: view.last_fetched_epoch,
        log_start_offset: view.log_start_offset,
        partition_max_bytes: view.max_bytes,
        replica_directory_id: view.replica_directory_id,
        high_watermark: view.high_watermark,
    }
}

#[test]
fn fetch_responses() {
    use fetch::*;
    for (version, seed) in API.versions().flat_map(|v| (0..ROUNDS).map(move |seed| (v, seed))) {
        let (owned, bytes) = body::<FetchResponse>(version, seed);
        let view = ResponseView::parse(version, &bytes).expect("well-formed");
        assert_eq!(view.throttle_time_ms(), owned.throttle_time_ms);
        assert_eq!((view.error_code(), view.session_id()), (owned.error_code, owned.session_id));
        assert_eq!(view.topics().len(), owned.responses.len());
        for (view, owned) in view.topics().zip(&owned.responses) {
            assert_eq!((view.name, view.topic_id), (owned.topic.as_str(), owned.topic_id));
            assert_eq!(view.partitions().len(), owned.partitions.len());
            for (view, owned) in view.partitions().zip(&owned.partitions) {
                let parted = &owned.diverging_epoch;
                let leader = &owned.current_leader;
                let again = PartitionDataView {
                    index: owned.partition_index,
                    error_code: owned.error_code,
                    high_watermark: owned.high_watermark,
                    last_stable_offset: owned.last_stable_offset,
                    log_start_offset: owned.log_start_offset,
                    preferred_read_replica: owned.preferred_read_replica,
                    diverging_epoch: (*parted != EpochEndOffset::default())
                        .then_some((parted.epoch, parted.end_offset)),
                    current_leader: (*leader != LeaderIdAndEpoch::default())
                        .then_some((leader.leader_id, leader.leader_epoch)),
                    aborted_count: owned.aborted_transactions.as_ref().map_or(0, Vec::len),
                    records: owned.records.as_deref().unwrap_or_default(),
                };
                assert_eq!(view, again, "v{version} seed {seed}");
            }
        }
    }
}

#[test]
fn fetch_responses_written_around_their_records() {
    use fetch::*;
    for (version, seed) in API.versions().flat_map(|v| (0..ROUNDS).map(move |seed| (v, seed))) {
        let (mut owned, _) = body::<FetchResponse>(version, seed);
        for partition in owned.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
            // Records are never null in what is written here.
            partition.records.get_or_insert_default();
        }
        let mut bytes = Vec::new();
        owned.encode(version, &mut bytes);
        assert_eq!(write_fetch(version, &owned, false), bytes, "v{version} seed {seed}");
        assert_eq!(write_fetch(version, &owned, true), bytes, "v{version} seed {seed}");
    }
}

/// A response through the writer; the records stay outside and are put in their places afterwards,
/// or are written at once.
fn write_fetch(version: i16, owned: &fetch::FetchResponse, at_once: bool) -> Vec<u8> {
    use fetch::*;
    let mut out = Vec::new();
    let start = crate::header::begin_response(&API, version, 1, &mut out);
    let body_at = out.len();
    let (throttle, topics) = (owned.throttle_time_ms, owned.responses.len());
    let mut writer = ResponseWriter::new(
        version,
        throttle,
        owned.error_code,
        owned.session_id,
        topics,
        &mut out,
    );
    let mut holes = Vec::new();
    for topic in &owned.responses {
        writer.topic(&topic.topic, topic.topic_id, topic.partitions.len());
        for partition in &topic.partitions {
            let aborted: Option<Vec<_>> = partition.aborted_transactions.as_ref().map(|list| {
                list.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect()
            });
            let (parted, snapshot) = (&partition.diverging_epoch, &partition.snapshot_id);
            let leader = &partition.current_leader;
            let result = PartitionResult {
                index: partition.partition_index,
                error_code: partition.error_code,
                high_watermark: partition.high_watermark,
                last_stable_offset: partition.last_stable_offset,
                log_start_offset: partition.log_start_offset,
                aborted_transactions: aborted.as_deref(),
                preferred_read_replica: partition.preferred_read_replica,
                diverging_epoch: (*parted != EpochEndOffset::default())
                    .then_some((parted.epoch, parted.end_offset)),
                current_leader: (*leader != LeaderIdAndEpoch::default())
                    .then_some((leader.leader_id, leader.leader_epoch)),
                snapshot_id: (*snapshot != SnapshotId::default())
                    .then_some((snapshot.end_offset, snapshot.epoch)),
            };
            let records = partition.records.as_deref().unwrap_or_default();
            if at_once {
                writer.partition_with(&result, records);
            } else {
                holes.push((writer.partition(&result, records.len()), records));
            }
        }
    }
    let outside_bytes = writer.finish(&owned.node_endpoints);
    crate::frame::end(&mut out, start, outside_bytes);

    let mut sent = Vec::new();
    let mut from = 0;
    for (hole, records) in holes {
        sent.extend_from_slice(&out[from..hole]);
        sent.extend_from_slice(records);
        from = hole;
    }
    sent.extend_from_slice(&out[from..]);
    assert_eq!(crate::frame::frame_size(&sent, u32::MAX), Ok(Some(sent.len())));
    sent.split_off(body_at)
}
