//! The borrowed forms of Produce and Fetch against the owned ones.

use ringlog_wire::api::{Api, fetch, produce};

/// A request's body.
pub fn request(api: &Api, version: i16, body: &[u8]) {
    if *api == produce::API {
        produce_request(version, body);
    } else if *api == fetch::API {
        fetch_request(version, body);
    }
}

/// A response's body.
pub fn response(api: &Api, version: i16, body: &[u8]) {
    if *api == produce::API {
        produce_response(version, body);
    } else if *api == fetch::API {
        fetch_response(version, body);
    }
}

fn produce_request(version: i16, body: &[u8]) {
    use produce::*;
    let owned = ProduceRequest::decode(version, body);
    let view = RequestView::parse(version, body);
    // The owned form may need more memory than its allowance; the view needs none.
    let (Ok(owned), Ok(view)) = (&owned, &view) else {
        return assert!(owned.is_err(), "the view takes what the owned form takes");
    };
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
    let again = ProduceRequest {
        transactional_id: view.transactional_id().map(str::to_owned),
        acks: view.acks(),
        timeout_ms: view.timeout_ms(),
        topic_data: view.topics().map(topic).collect(),
    };
    assert_eq!(again, *owned);
    let partitions = view.topics().flat_map(|topic| topic.partitions());
    partitions.filter_map(|partition| partition.records).for_each(super::batch);
}

fn fetch_request(version: i16, body: &[u8]) {
    use fetch::*;
    let owned = FetchRequest::decode(version, body);
    let view = RequestView::parse(version, body);
    let (Ok(owned), Ok(view)) = (&owned, &view) else {
        return assert!(owned.is_err(), "the view takes what the owned form takes");
    };
    assert_eq!(view.cluster_id(), owned.cluster_id.as_deref());
    assert_eq!(view.max_bytes(), owned.max_bytes);
    assert_eq!((view.session_id(), view.session_epoch()), (owned.session_id, owned.session_epoch));
    assert_eq!(view.rack_id(), owned.rack_id);
    assert_eq!(view.topics().len(), owned.topics.len());
    for (view, owned) in view.topics().zip(&owned.topics) {
        assert_eq!((view.name, view.topic_id), (owned.topic.as_str(), owned.topic_id));
        assert_eq!(view.partitions().len(), owned.partitions.len());
        for (view, owned) in view.partitions().zip(&owned.partitions) {
            assert_eq!((view.index, view.fetch_offset), (owned.partition, owned.fetch_offset));
            assert_eq!(view.max_bytes, owned.partition_max_bytes);
            assert_eq!(view.current_leader_epoch, owned.current_leader_epoch);
            assert_eq!(view.high_watermark, owned.high_watermark);
        }
    }
    for (view, owned) in view.forgotten_topics().zip(&owned.forgotten_topics_data) {
        assert_eq!(view.partitions().collect::<Vec<_>>(), owned.partitions);
    }
}

fn produce_response(version: i16, body: &[u8]) {
    use produce::*;
    let owned = ProduceResponse::decode(version, body);
    let view = ResponseView::parse(version, body);
    let (Ok(owned), Ok(view)) = (&owned, &view) else {
        return assert!(owned.is_err(), "the view takes what the owned form takes");
    };
    assert_eq!(view.throttle_time_ms(), owned.throttle_time_ms);
    for (view, owned) in view.topics().zip(&owned.responses) {
        for (view, owned) in view.partitions().zip(&owned.partition_responses) {
            assert_eq!((view.index, view.error_code), (owned.index, owned.error_code));
            assert_eq!(view.base_offset, owned.base_offset);
        }
    }
}

fn fetch_response(version: i16, body: &[u8]) {
    use fetch::*;
    let owned = FetchResponse::decode(version, body);
    let view = ResponseView::parse(version, body);
    let (Ok(owned), Ok(view)) = (&owned, &view) else {
        return assert!(owned.is_err(), "the view takes what the owned form takes");
    };
    assert_eq!((view.error_code(), view.session_id()), (owned.error_code, owned.session_id));
    for (view, owned) in view.topics().zip(&owned.responses) {
        for (view, owned) in view.partitions().zip(&owned.partitions) {
            assert_eq!((view.index, view.error_code), (owned.partition_index, owned.error_code));
            assert_eq!(view.high_watermark, owned.high_watermark);
            assert_eq!(view.records, owned.records.as_deref().unwrap_or_default());
            super::batch(view.records);
        }
    }
}
