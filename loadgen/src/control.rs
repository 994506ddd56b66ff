//! One blocking connection to one broker: a question, its answer, and no more.
//!
//! A `Control` also opens every data connection: it connects, asks for the versions, and gives its
//! stream away.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use ringlog_wire::api::{self, Api};
use ringlog_wire::message::Message;
use ringlog_wire::{ErrorCode, client, frame, header};

use api::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use api::find_coordinator;
use api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use api::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};

use crate::error::Error;
use crate::options::Isolation;

/// What this client calls itself.
pub const CLIENT_ID: &str = "ringlog-loadgen";
/// How long connecting, and one answer while mending, may take.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between questions to a broker that is not ready yet.
pub const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// After how long the coordinator aborts a transaction: what Kafka's producers ask for.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

const CONTROL_FRAME_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// What a broker speaks.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// By API key.
    apis: BTreeMap<i16, (i16, i16)>,
    /// By name.
    features: BTreeMap<String, i16>,
}

impl Versions {
    /// The level of a feature that is in force in the cluster; 0 when it is not known.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The highest version that both sides know, not above `cap`.
    pub fn negotiate(&self, api: &Api, cap: Option<i16>) -> Result<i16, Error> {
        let Some(&(min, max)) = self.apis.get(&api.key) else {
            return Err(Error::Broker(format!("the broker does not serve {}", api.name)));
        };
        let version = max.min(api.max).min(cap.unwrap_or(i16::MAX));
        if version >= min.max(api.min) {
            return Ok(version);
        }
        if let Some(cap) = cap.filter(|cap| *cap < api.min) {
            return Err(Error::Usage(format!(
                "{} version {cap}: expected {} to {}, which this client speaks",
                api.name, api.min, api.max
            )));
        }
        Err(Error::Broker(format!(
            "no common version of {}: the broker serves {min} to {max}, this client speaks \
             {} to {}",
            api.name,
            api.min,
            cap.unwrap_or(api.max).min(api.max)
        )))
    }
}

/// A blocking connection to one broker.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
    peer: String,
    versions: Versions,
    correlation_id: i32,
}

impl Control {
    /// Connects and asks for the versions.
    pub fn connect(address: &str) -> Result<Control, Error> {
        let stream = connect(address)?;
        let versions = Versions::default();
        let peer = address.to_owned();
        let mut control = Control { stream, peer, versions, correlation_id: 0 };
        control.versions = control.ask_versions()?;
        Ok(control)
    }

    /// The versions that the broker speaks.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The address that it is connected to.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Gives the connection away; the conversation is over and nothing is under way on it.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// A producer id and its epoch: a new one for an idempotent producer; a transactional one keeps
    /// its id, and what it had left open is aborted.
    pub fn init_producer_id(&mut self, id: Option<&str>) -> Result<(i64, i16), Error> {
        let request = InitProducerIdRequest {
            transactional_id: id.map(str::to_owned),
            transaction_timeout_ms: TRANSACTION_TIMEOUT.as_millis() as i32,
            ..InitProducerIdRequest::default()
        };
        let deadline = Instant::now() + CONTROL_TIMEOUT;
        let answer = loop {
            let answer: InitProducerIdResponse =
                self.call(&api::init_producer_id::API, &request)?;
            // A broker that has just started may have to load, or create, what keeps the ids.
            let passes = matches!(
                answer.error_code,
                ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::NotCoordinator
                    | ErrorCode::ConcurrentTransactions
                    | ErrorCode::RequestTimedOut
            );
            if !passes || Instant::now() > deadline {
                break answer;
            }
            std::thread::sleep(SETTLE_PAUSE);
        };
        check(answer.error_code, || format!("InitProducerId at {}", self.peer))?;
        Ok((answer.producer_id, answer.producer_epoch))
    }

    /// The address of the broker that coordinates a transactional id.
    pub fn find_coordinator(&mut self, id: &str) -> Result<String, Error> {
        let request = find_coordinator::FindCoordinatorRequest {
            key: id.to_owned(),
            key_type: find_coordinator::KEY_TRANSACTION,
            coordinator_keys: vec![id.to_owned()],
        };
        let deadline = Instant::now() + CONTROL_TIMEOUT;
        loop {
            let answer: find_coordinator::FindCoordinatorResponse =
                self.call(&find_coordinator::API, &request)?;
            // Up to version 3 the answer is about one key.
            let (code, host, port) = match answer.coordinators.first() {
                Some(one) => (one.error_code, &one.host, one.port),
                None => (answer.error_code, &answer.host, answer.port),
            };
            // The first transaction of a cluster creates what keeps them.
            let passes = matches!(
                code,
                ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress
            );
            if !passes || Instant::now() > deadline {
                check(code, || format!("FindCoordinator of {id} at {}", self.peer))?;
                return Ok(format!("{host}:{port}"));
            }
            std::thread::sleep(SETTLE_PAUSE);
        }
    }

    /// The offset of each partition at a timestamp, or at one of the API's special ones.
    pub fn list_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<BTreeMap<i32, i64>, Error> {
        self.offsets(topic, partitions, timestamp, Isolation::ReadUncommitted)
    }

    /// The same, where the latest is where an isolation level ends.
    pub fn offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<BTreeMap<i32, i64>, Error> {
        let asked = |&partition_index: &i32| ListOffsetsPartition {
            partition_index,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation.code(),
            topics: vec![ListOffsetsTopic {
                name: topic.to_owned(),
                partitions: partitions.iter().map(asked).collect(),
            }],
            timeout_ms: CONTROL_TIMEOUT.as_millis() as i32,
        };
        let answer: ListOffsetsResponse = self.call(&api::list_offsets::API, &request)?;
        let mut offsets = BTreeMap::new();
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            let index = partition.partition_index;
            check(partition.error_code, || format!("ListOffsets of {topic}-{index}"))?;
            offsets.insert(index, partition.offset);
        }
        match partitions.iter().find(|partition| !offsets.contains_key(partition)) {
            None => Ok(offsets),
            Some(partition) => Err(Error::protocol(format!(
                "ListOffsets of {topic}: asked for partition {partition}, the answer lacks it"
            ))),
        }
    }

    fn ask_versions(&mut self) -> Result<Versions, Error> {
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID.to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let api = &api::api_versions::API;
        let mut version = api.max;
        let answer = loop {
            let body = self.exchange(api, version, &request)?;
            // A broker that does not know this version answers in version 0 and lists its own.
            let refused =
                body.get(..2) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes());
            let read_version = if refused { 0 } else { version };
            let answer = ApiVersionsResponse::read(read_version, &body)
                .map_err(|error| self.unreadable(api, read_version, error))?;
            if !refused || version == 0 {
                break answer;
            }
            let known = answer.api_keys.iter().find(|entry| entry.api_key == api.key);
            version = known.map_or(0, |entry| entry.max_version.clamp(0, version - 1));
        };
        check(answer.error_code, || format!("ApiVersions at {}", self.peer))?;
        let range = |entry: &api::api_versions::ApiVersion| {
            (entry.api_key, (entry.min_version, entry.max_version))
        };
        let level = |feature: &api::api_versions::FinalizedFeature| {
            (feature.name.clone(), feature.max_version_level)
        };
        Ok(Versions {
            apis: answer.api_keys.iter().map(range).collect(),
            features: answer.finalized_features.iter().map(level).collect(),
        })
    }

    /// Asks in the highest version that both sides know.
    pub fn call<Answer: Message>(
        &mut self,
        api: &Api,
        request: &impl Message,
    ) -> Result<Answer, Error> {
        let version = self.versions.negotiate(api, None)?;
        let body = self.exchange(api, version, request)?;
        Answer::read(version, &body).map_err(|error| self.unreadable(api, version, error))
    }

    fn exchange(
        &mut self,
        api: &Api,
        version: i16,
        request: &impl Message,
    ) -> Result<Vec<u8>, Error> {
        self.correlation_id += 1;
        let sent = self.correlation_id;
        let bytes = client::encode_request(api, version, sent, Some(CLIENT_ID), |out| {
            request.write(version, out);
        });
        let what = |peer: &str| format!("{} v{version} at {peer}", api.name);
        let io_error = |error| Error::io(what(&self.peer), error);
        (&self.stream).write_all(&bytes).map_err(io_error)?;
        let mut head = [0; frame::SIZE_BYTES];
        (&self.stream).read_exact(&mut head).map_err(io_error)?;
        let size = frame::frame_size(&head, CONTROL_FRAME_BYTES_MAX)
            .map_err(|error| Error::protocol(format!("{}: {error}", what(&self.peer))))?
            .expect("the head is whole");
        let mut content = vec![0; size - frame::SIZE_BYTES];
        (&self.stream).read_exact(&mut content).map_err(io_error)?;
        let (received, body) = header::parse_response(api, version, &content)
            .map_err(|error| self.unreadable(api, version, error))?;
        if received != sent {
            return Err(Error::protocol(format!(
                "{}: expected the answer to request {sent}, found {received}",
                what(&self.peer)
            )));
        }
        Ok(body.to_vec())
    }

    fn unreadable(&self, api: &Api, version: i16, error: impl std::fmt::Display) -> Error {
        Error::protocol(format!("answer to {} v{version} from {}: {error}", api.name, self.peer))
    }
}

/// Connects, with a limit, without delaying small writes.
pub fn connect(address: &str) -> Result<TcpStream, Error> {
    let what = || format!("connect to {address}");
    let addresses = address.to_socket_addrs().map_err(|error| Error::io(what(), error))?;
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONTROL_TIMEOUT) {
            Ok(stream) => {
                let configured = stream
                    .set_nodelay(true)
                    .and_then(|()| stream.set_read_timeout(Some(CONTROL_TIMEOUT)))
                    .and_then(|()| stream.set_write_timeout(Some(CONTROL_TIMEOUT)));
                return configured.map(|()| stream).map_err(|error| Error::io(what(), error));
            }
            Err(error) => last = error,
        }
    }
    Err(Error::io(what(), last))
}

/// An error for every code but none.
pub fn check(code: ErrorCode, what: impl FnOnce() -> String) -> Result<(), Error> {
    if code.is_none() {
        return Ok(());
    }
    Err(Error::Broker(format!("{}: the broker answered {code}", what())))
}
