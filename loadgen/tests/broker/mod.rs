//! A broker for tests: one node, one topic, logs in memory, one thread for each connection. It is
//! strict where a client's mistakes would show: sequences, epochs, partitions of transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ringlog_wire::api::{
    self, add_partitions_to_txn as add, api_versions, end_txn, fetch, find_coordinator,
    init_producer_id, list_offsets, metadata, produce,
};
use ringlog_wire::batch::{self, Batch, Codecs, TransactionEnd};
use ringlog_wire::header::{self, RequestHeader};
use ringlog_wire::message::Message;
use ringlog_wire::{ErrorCode, Uuid, frame};

const NODE: i32 = 1;
const TOPIC_ID: Uuid = Uuid([9; 16]);

/// What a broker has seen and keeps.
#[derive(Default)]
pub struct State {
    logs: Vec<Log>,
    producers: BTreeMap<i64, Producer>,
    stalled_until: Option<Instant>,
    /// Transactions that were committed.
    pub commits: u64,
    /// Messages of each batch, in the order in which they came.
    pub batches: Vec<u32>,
    /// The compression of the batches.
    pub compressions: BTreeSet<u8>,
    /// Partitions of each Produce request.
    pub widths: BTreeSet<usize>,
    /// Versions of Produce and of AddPartitionsToTxn that were spoken.
    pub versions: BTreeSet<(&'static str, i16)>,
}

#[derive(Default)]
struct Log {
    batches: Vec<(i64, Vec<u8>)>,
    next: i64,
    /// The first offset of each open transaction.
    open: BTreeMap<i64, i64>,
}

impl Log {
    fn append(&mut self, mut bytes: Vec<u8>, records: i64) -> i64 {
        let base = self.next;
        batch::encode_offset_and_epoch(bytes.first_chunk_mut().unwrap(), base, 0);
        self.batches.push((base, bytes));
        self.next += records;
        base
    }

    fn end(&self, isolation: i8) -> i64 {
        let stable = self.open.values().copied().min().filter(|_| isolation == 1);
        stable.unwrap_or(self.next)
    }

    fn read(&self, from: i64, end: i64, bytes_max: usize) -> Vec<u8> {
        let start = self.batches.partition_point(|(base, _)| *base <= from).saturating_sub(1);
        let mut out = Vec::new();
        for (base, bytes) in &self.batches[start..] {
            if *base >= end || !out.is_empty() && out.len() + bytes.len() > bytes_max {
                break;
            }
            out.extend_from_slice(bytes);
        }
        if from >= end { Vec::new() } else { out }
    }
}

#[derive(Default)]
struct Producer {
    epoch: i16,
    is_transactional: bool,
    added: BTreeSet<i32>,
    sequences: BTreeMap<i32, i32>,
}

/// A running broker; its threads end with the process.
#[derive(Clone)]
pub struct Broker {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    grown: Condvar,
    transaction_version: i16,
    port: i32,
}

impl Broker {
    pub fn start(partitions: usize, transaction_version: i16) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut state = State::default();
        state.logs.resize_with(partitions, Log::default);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            grown: Condvar::new(),
            transaction_version,
            port: i32::from(address.port()),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(&shared, stream.unwrap()));
            }
        });
        Broker { address, shared }
    }

    /// Nothing is answered for so long, as if the process were stopped.
    pub fn stall(&self, duration: Duration) {
        self.state().stalled_until = Some(Instant::now() + duration);
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut head = [0; frame::SIZE_BYTES];
    while stream.read_exact(&mut head).is_ok() {
        let size = frame::frame_size(&head, frame::FRAME_BYTES_MAX).unwrap().unwrap();
        let mut content = vec![0; size - frame::SIZE_BYTES];
        if stream.read_exact(&mut content).is_err() {
            return;
        }
        let until = shared.state.lock().unwrap().stalled_until;
        if let Some(left) = until.and_then(|at| at.checked_duration_since(Instant::now())) {
            std::thread::sleep(left);
        }
        let prefix = header::parse_prefix(&content).unwrap();
        let api = api::find(prefix.key).unwrap();
        assert!(api.serves(prefix.version), "{} v{}", api.name, prefix.version);
        let (_, body) = RequestHeader::parse(api, &content).unwrap();
        let mut out = Vec::new();
        let start = header::begin_response(api, prefix.version, prefix.correlation_id, &mut out);
        if answer(shared, prefix.key, prefix.version, body, &mut out) {
            frame::end(&mut out, start, 0);
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    }
}

/// False: the request wants no answer.
fn answer(shared: &Shared, key: i16, version: i16, body: &[u8], out: &mut Vec<u8>) -> bool {
    macro_rules! handle {
        ($request:ty, $handler:expr) => {{
            let request = <$request>::read(version, body).unwrap();
            $handler(shared, version, request).write(version, out);
            true
        }};
    }
    if key == produce::API.key {
        let request = produce::ProduceRequest::read(version, body).unwrap();
        let acks = request.acks;
        produce(shared, version, request).write(version, out);
        return acks != 0;
    }
    match key {
        key if key == api_versions::API.key => {
            handle!(api_versions::ApiVersionsRequest, versions)
        }
        key if key == metadata::API.key => handle!(metadata::MetadataRequest, metadata),
        key if key == fetch::API.key => handle!(fetch::FetchRequest, fetch),
        key if key == list_offsets::API.key => {
            handle!(list_offsets::ListOffsetsRequest, offsets)
        }
        key if key == find_coordinator::API.key => {
            handle!(find_coordinator::FindCoordinatorRequest, coordinator)
        }
        key if key == init_producer_id::API.key => {
            handle!(init_producer_id::InitProducerIdRequest, producer_id)
        }
        key if key == add::API.key => handle!(add::AddPartitionsToTxnRequest, add_partitions),
        key if key == end_txn::API.key => handle!(end_txn::EndTxnRequest, end_transaction),
        key => panic!("API {key} is not served"),
    }
}

fn versions(
    shared: &Shared,
    _: i16,
    _: api_versions::ApiVersionsRequest,
) -> api_versions::ApiVersionsResponse {
    let level = shared.transaction_version;
    api_versions::ApiVersionsResponse {
        api_keys: api_versions::advertised(),
        finalized_features: vec![api_versions::FinalizedFeature {
            name: "transaction.version".into(),
            max_version_level: level,
            min_version_level: level,
        }],
        ..Default::default()
    }
}

fn metadata(
    shared: &Shared,
    _: i16,
    request: metadata::MetadataRequest,
) -> metadata::MetadataResponse {
    let partition = |place| metadata::MetadataResponsePartition {
        partition_index: place as i32,
        leader_id: NODE,
        ..Default::default()
    };
    let partitions = shared.state.lock().unwrap().logs.len();
    let topic = |asked: metadata::MetadataRequestTopic| metadata::MetadataResponseTopic {
        name: asked.name,
        topic_id: TOPIC_ID,
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    metadata::MetadataResponse {
        brokers: vec![metadata::MetadataResponseBroker {
            node_id: NODE,
            host: "127.0.0.1".into(),
            port: shared.port,
            ..Default::default()
        }],
        topics: request.topics.unwrap_or_default().into_iter().map(topic).collect(),
        ..Default::default()
    }
}

fn produce(
    shared: &Shared,
    version: i16,
    request: produce::ProduceRequest,
) -> produce::ProduceResponse {
    let mut state = shared.state.lock().unwrap();
    let is_transactional = request.transactional_id.is_some();
    state.versions.insert((produce::API.name, version));
    let mut responses = Vec::new();
    for topic in request.topic_data {
        state.widths.insert(topic.partition_data.len());
        let mut partition_responses = Vec::new();
        for data in topic.partition_data {
            let records = data.records.unwrap();
            let implicit = version >= 12;
            let taken = state.append(data.index, records, is_transactional, implicit);
            partition_responses.push(produce::PartitionProduceResponse {
                index: data.index,
                error_code: taken.err().unwrap_or(ErrorCode::None),
                base_offset: taken.unwrap_or(-1),
                ..Default::default()
            });
        }
        let (name, topic_id) = (topic.name, topic.topic_id);
        responses.push(produce::TopicProduceResponse { name, topic_id, partition_responses });
    }
    drop(state);
    shared.grown.notify_all();
    produce::ProduceResponse { responses, ..Default::default() }
}

impl State {
    fn append(
        &mut self,
        partition: i32,
        bytes: Vec<u8>,
        is_transactional: bool,
        implicit: bool,
    ) -> Result<i64, ErrorCode> {
        let (batch, rest) = Batch::parse(&bytes).unwrap();
        assert!(rest.is_empty(), "one batch for each partition");
        batch.verify_crc().unwrap();
        let records = batch.walk_opened(&mut Codecs::new()).unwrap().records;
        let header = *batch.header();
        assert_eq!(header.is_transactional(), is_transactional);
        if header.has_producer_id() {
            let producer = self.producers.get_mut(&header.producer_id).unwrap();
            if producer.epoch != header.producer_epoch {
                return Err(ErrorCode::InvalidProducerEpoch);
            }
            assert_eq!(producer.is_transactional, is_transactional);
            if is_transactional && implicit {
                producer.added.insert(partition);
            }
            if is_transactional && !producer.added.contains(&partition) {
                return Err(ErrorCode::InvalidTxnState);
            }
            let expected = producer.sequences.entry(partition).or_insert(0);
            if *expected != header.base_sequence {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            *expected += records as i32;
        }
        self.batches.push(records);
        self.compressions.insert(header.compression().unwrap() as u8);
        let log = &mut self.logs[partition as usize];
        if is_transactional {
            log.open.entry(header.producer_id).or_insert(log.next);
        }
        Ok(log.append(bytes, i64::from(records)))
    }
}

fn fetch(shared: &Shared, _: i16, request: fetch::FetchRequest) -> fetch::FetchResponse {
    let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms as u64);
    let mut state = shared.state.lock().unwrap();
    loop {
        let mut is_empty = true;
        let mut responses = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for asked in &topic.partitions {
                let log = &state.logs[asked.partition as usize];
                let end = log.end(request.isolation_level);
                let bytes_max = asked.partition_max_bytes as usize;
                let records = log.read(asked.fetch_offset, end, bytes_max);
                is_empty &= records.is_empty();
                partitions.push(fetch::PartitionData {
                    partition_index: asked.partition,
                    high_watermark: log.next,
                    records: Some(records),
                    ..Default::default()
                });
            }
            let (name, topic_id) = (topic.topic.clone(), topic.topic_id);
            responses.push(fetch::FetchableTopicResponse { topic: name, topic_id, partitions });
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if !is_empty || left.is_zero() {
            return fetch::FetchResponse { responses, ..Default::default() };
        }
        state = shared.grown.wait_timeout(state, left).unwrap().0;
    }
}

fn offsets(
    shared: &Shared,
    _: i16,
    request: list_offsets::ListOffsetsRequest,
) -> list_offsets::ListOffsetsResponse {
    let state = shared.state.lock().unwrap();
    let partition = |asked: &list_offsets::ListOffsetsPartition| {
        let log = &state.logs[asked.partition_index as usize];
        let is_latest = asked.timestamp == list_offsets::LATEST;
        list_offsets::ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: if is_latest { log.end(request.isolation_level) } else { 0 },
            ..Default::default()
        }
    };
    let topic = |asked: &list_offsets::ListOffsetsTopic| list_offsets::ListOffsetsTopicResponse {
        name: asked.name.clone(),
        partitions: asked.partitions.iter().map(partition).collect(),
    };
    list_offsets::ListOffsetsResponse {
        topics: request.topics.iter().map(topic).collect(),
        ..Default::default()
    }
}

fn coordinator(
    shared: &Shared,
    _: i16,
    request: find_coordinator::FindCoordinatorRequest,
) -> find_coordinator::FindCoordinatorResponse {
    assert_eq!(request.key_type, find_coordinator::KEY_TRANSACTION);
    let one = |key: &String| find_coordinator::Coordinator {
        key: key.clone(),
        node_id: NODE,
        host: "127.0.0.1".into(),
        port: shared.port,
        ..Default::default()
    };
    find_coordinator::FindCoordinatorResponse {
        coordinators: request.coordinator_keys.iter().map(one).collect(),
        ..Default::default()
    }
}

fn producer_id(
    shared: &Shared,
    _: i16,
    request: init_producer_id::InitProducerIdRequest,
) -> init_producer_id::InitProducerIdResponse {
    let mut state = shared.state.lock().unwrap();
    let producer_id = 1000 + state.producers.len() as i64;
    let is_transactional = request.transactional_id.is_some();
    state.producers.insert(producer_id, Producer { is_transactional, ..Default::default() });
    init_producer_id::InitProducerIdResponse { producer_id, ..Default::default() }
}

fn add_partitions(
    shared: &Shared,
    version: i16,
    request: add::AddPartitionsToTxnRequest,
) -> add::AddPartitionsToTxnResponse {
    let mut state = shared.state.lock().unwrap();
    state.versions.insert((add::API.name, version));
    let producer = state.producers.get_mut(&request.v3_and_below_producer_id).unwrap();
    assert_eq!(producer.epoch, request.v3_and_below_producer_epoch);
    let mut results = Vec::new();
    for topic in request.v3_and_below_topics {
        producer.added.extend(&topic.partitions);
        let result = |partition_index| add::AddPartitionsToTxnPartitionResult {
            partition_index,
            partition_error_code: ErrorCode::None,
        };
        results.push(add::AddPartitionsToTxnTopicResult {
            name: topic.name,
            results_by_partition: topic.partitions.into_iter().map(result).collect(),
        });
    }
    add::AddPartitionsToTxnResponse { results_by_topic_v3_and_below: results, ..Default::default() }
}

fn end_transaction(
    shared: &Shared,
    version: i16,
    request: end_txn::EndTxnRequest,
) -> end_txn::EndTxnResponse {
    let mut state = shared.state.lock().unwrap();
    let state = &mut *state;
    let producer = state.producers.get_mut(&request.producer_id).unwrap();
    assert_eq!(producer.epoch, request.producer_epoch);
    assert!(request.committed && !producer.added.is_empty());
    for partition in std::mem::take(&mut producer.added) {
        let log = &mut state.logs[partition as usize];
        let marker = TransactionEnd {
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
            coordinator_epoch: 0,
            committed: true,
            timestamp: 0,
        };
        log.append(marker.to_batch(), 1);
        log.open.remove(&request.producer_id);
    }
    if version >= end_txn::VERSION_OF_EPOCHS_MIN {
        producer.epoch += 1;
        producer.sequences.clear();
    }
    state.commits += 1;
    let (producer_id, producer_epoch) = (request.producer_id, producer.epoch);
    shared.grown.notify_all();
    end_txn::EndTxnResponse { producer_id, producer_epoch, ..Default::default() }
}
