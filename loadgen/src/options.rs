//! The options of each workload, as the command line names them. The same structures configure
//! a workload that runs in process, and stand in its JSON report.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ringlog_wire::batch::Compression;
use serde::Serialize;

use crate::error::Error;
use crate::keys::Keys;
use crate::payload::STAMP_BYTES;
use crate::produce::flow::Making;

/// More requests than this on one connection only measure the queue.
pub const INFLIGHT_MAX: usize = 1024;
/// Brokers remember this many batches of an idempotent producer, so no more may be under way.
pub const IDEMPOTENT_INFLIGHT_MAX: usize = 5;
/// As many connections as one process can reasonably hold; also what a producer id has room for.
pub const CONNECTIONS_MAX: usize = 20_000;
/// What a request may hold: just below Kafka's `socket.request.max.bytes`.
pub const REQUEST_BYTES_MAX: usize = 100_000_000;

/// A minute: whoever waits longer does not measure latency.
pub const LINGER_MS_MAX: f64 = 60_000.0;

const _: () = assert!(CONNECTIONS_MAX < 1 << 16);

/// Which replicas must have a batch before the broker acknowledges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Acks {
    /// None: the broker does not answer.
    #[value(name = "0")]
    #[serde(rename = "0")]
    None,
    /// The leader.
    #[value(name = "1")]
    #[serde(rename = "1")]
    Leader,
    /// Every in-sync replica.
    All,
}

impl Acks {
    /// As Produce requests spell it.
    pub fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first message there is.
    Earliest,
    /// After the last message there is.
    Latest,
    /// At this offset of every partition.
    Offset(i64),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "earliest" => Ok(From::Earliest),
            "latest" => Ok(From::Latest),
            offset => match offset.parse() {
                Ok(offset) if offset >= 0 => Ok(From::Offset(offset)),
                _ => Err(format!("expected earliest, latest or an offset, found {text:?}")),
            },
        }
    }
}

impl Serialize for From {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            From::Earliest => serializer.serialize_str("earliest"),
            From::Latest => serializer.serialize_str("latest"),
            From::Offset(offset) => serializer.serialize_i64(*offset),
        }
    }
}

/// `isolation.level` of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Isolation {
    /// Everything up to the high watermark.
    ReadUncommitted,
    /// Nothing of transactions that are open or were aborted.
    ReadCommitted,
}

impl Isolation {
    /// As requests spell it.
    pub fn code(self) -> i8 {
        self as i8
    }
}

/// `compression.type` of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not compressed.
    None,
    /// gzip, level 6.
    Gzip,
    /// snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard, level 3.
    Zstd,
}

impl Codec {
    /// As batches say it.
    pub fn compression(self) -> Compression {
        match self {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        }
    }
}

/// What every workload needs.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Common {
    /// Address of a broker to ask for the topic's leaders (several, separated by commas)
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    pub bootstrap: String,
    /// Topic to use; it is created when it does not exist
    #[arg(long, default_value = "loadgen")]
    pub topic: String,
    /// Partitions to create it with; an existing topic is used as it is  [default: 4]
    #[arg(long)]
    pub partitions: Option<i32>,
    /// Replicas to create it with
    #[arg(long, default_value_t = 1)]
    pub replication_factor: i16,
    /// TCP connections, spread over the leaders
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 5)]
    pub inflight: usize,
    /// Seconds to measure, after the warm-up
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Messages to measure, after the warm-up
    #[arg(long, value_name = "COUNT")]
    pub messages: Option<u64>,
    /// Seconds to run before measuring
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub warmup: f64,
    /// Seconds that a request may stay unanswered, reconnections included, before the run fails
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    pub timeout: f64,
    /// Write checkable messages, check what is read
    #[arg(long)]
    pub verify: bool,
    /// Run on this processor only
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// Print one JSON object instead of the report
    #[arg(long)]
    pub json: bool,
    /// Show what happens each second, also with --json and without a terminal
    #[arg(long)]
    pub progress: bool,
    /// Write the latencies of each second there, as HdrHistogram's tools read them
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
}

/// What a producing workload needs.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Producing {
    /// Bytes of each message's value
    #[arg(long, default_value_t = 100)]
    pub message_bytes: usize,
    /// Messages in each partition's batch
    #[arg(long, default_value_t = 640)]
    pub batch_messages: usize,
    /// Partitions that one request writes to
    #[arg(long, default_value_t = 1)]
    pub partitions_per_request: usize,
    /// 0, 1 or all
    #[arg(long, value_enum, default_value = "all")]
    pub acks: Acks,
    /// Messages a second, whatever the broker does; latency counts from the intended send time
    #[arg(long, value_name = "MESSAGES_PER_SECOND")]
    pub rate: Option<f64>,
    /// Each connection is an idempotent producer: nothing is lost, repeated or reordered by retries
    #[arg(long)]
    pub idempotent: bool,
    /// Each connection is a transactional producer, which commits after so many requests
    #[arg(long, value_name = "REQUESTS")]
    pub transactional: Option<u64>,
    /// The messages' keys: none, uniform:COUNT, or zipf:COUNT[,EXPONENT]
    #[arg(long, default_value = "none")]
    pub keys: Keys,
    /// How batches are compressed; their values are words then
    #[arg(long, value_enum, default_value = "none")]
    pub compression: Codec,
    /// Make the records of each request anew, instead of sending requests that were built before
    #[arg(long)]
    pub fresh: bool,
    /// Messages arrive one by one at --rate and wait so long for a full batch, as a producer's do;
    /// latency counts from each message's arrival (needs --fresh)
    #[arg(long, value_name = "MILLISECONDS")]
    pub linger_ms: Option<f64>,
    /// Append one line for each acknowledged request and partition (needs --verify)
    #[arg(long, value_name = "FILE")]
    pub ack_log: Option<PathBuf>,
    /// Highest version of Produce to use
    #[arg(long, value_name = "VERSION")]
    pub produce_version: Option<i16>,
}

/// What a consuming workload needs.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Consuming {
    /// Bytes that one fetch may return
    #[arg(long, default_value_t = 50 * 1024 * 1024)]
    pub fetch_max_bytes: i32,
    /// Bytes that one fetch may return of each partition
    #[arg(long, default_value_t = 1024 * 1024)]
    pub partition_max_bytes: i32,
    /// Bytes that the broker waits for
    #[arg(long, default_value_t = 1)]
    pub min_bytes: i32,
    /// Milliseconds that the broker waits for them
    #[arg(long, default_value_t = 500)]
    pub max_wait_ms: i32,
    /// Whether to read what transactions have not committed
    #[arg(long, value_enum, default_value = "read_uncommitted")]
    pub isolation: Isolation,
    /// Highest version of Fetch to use
    #[arg(long, value_name = "VERSION")]
    pub fetch_version: Option<i16>,
}

/// `ringlog-loadgen produce`.
#[derive(Args, Clone, Debug, Serialize)]
pub struct ProduceOptions {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub producing: Producing,
    /// Speak the bare protocol of the ceiling server: --partitions-per-request batches a request
    #[arg(long)]
    pub bare: bool,
}

/// `ringlog-loadgen consume`.
#[derive(Args, Clone, Debug, Serialize)]
pub struct ConsumeOptions {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub consuming: Consuming,
    /// earliest, latest or an offset. Without --duration and --messages, reading stops at the end
    /// that the topic has when the run begins
    #[arg(long, default_value = "earliest")]
    pub from: From,
    /// Consumers, each of which reads everything over --connections of its own
    #[arg(long, default_value_t = 1)]
    pub consumers: usize,
    /// Begin again at --from when the end is reached: a hot read for as long as --duration says
    #[arg(long)]
    pub repeat: bool,
    /// Check that every message acknowledged in this file (of produce --ack-log) is read once, at
    /// its offset (needs --verify)
    #[arg(long, value_name = "FILE")]
    pub check_acks: Option<PathBuf>,
}

/// `ringlog-loadgen end-to-end`.
#[derive(Args, Clone, Debug, Serialize)]
pub struct EndToEndOptions {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub producing: Producing,
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub consuming: Consuming,
    /// TCP connections that read  [default: as many as write, at most one for each partition]
    #[arg(long)]
    pub consumer_connections: Option<usize>,
}

/// `ringlog-loadgen mix`.
#[derive(Args, Clone, Debug, Serialize)]
pub struct MixOptions {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub producing: Producing,
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub consuming: Consuming,
    /// TCP connections that produce  [default: as --connections says]
    #[arg(long)]
    pub producers: Option<usize>,
    /// Consumers at the tail, each of which reads everything
    #[arg(long, default_value_t = 1)]
    pub consumers: usize,
    /// TCP connections of each consumer and reader  [default: one for each leader]
    #[arg(long)]
    pub consumer_connections: Option<usize>,
    /// Readers of what the topic held before, each of which reads all of it again and again
    /// [default: 1 with --readers-from]
    #[arg(long)]
    pub readers: Option<usize>,
    /// Where these begin: earliest or an offset
    #[arg(long, value_name = "FROM")]
    pub readers_from: Option<From>,
    /// Topic that these read, if it is another one
    #[arg(long, value_name = "TOPIC")]
    pub readers_topic: Option<String>,
}

/// `ringlog-loadgen sweep`: as `produce`, at rising rates of its own.
#[derive(Args, Clone, Debug, Serialize)]
pub struct SweepOptions {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub produce: ProduceOptions,
    /// Messages a second to begin with
    #[arg(long, default_value_t = 10_000.0, value_name = "MESSAGES_PER_SECOND")]
    pub from_rate: f64,
    /// Highest rate to try
    #[arg(long, value_name = "MESSAGES_PER_SECOND")]
    pub to_rate: Option<f64>,
    /// Each rate is so many times the one before, until one fails
    #[arg(long, default_value_t = 2.0)]
    pub growth: f64,
    /// Then the space between the last good one and the first bad one is halved so often
    #[arg(long, default_value_t = 3)]
    pub halvings: u32,
    /// A rate is good when it is held with a 99th percentile of at most this
    #[arg(long, default_value_t = 10.0, value_name = "MILLISECONDS")]
    pub p99_max_ms: f64,
}

/// Seconds that a sweep measures each rate, when the options do not say.
pub const SWEEP_DURATION: f64 = 5.0;
/// Seconds that it warms up for each rate, when the options do not say.
pub const SWEEP_WARMUP: f64 = 1.0;

impl SweepOptions {
    /// The options of the run at one rate.
    pub fn at(&self, rate: f64) -> ProduceOptions {
        let mut options = self.produce.clone();
        let common = &mut options.common;
        common.duration = common.duration.or(Some(SWEEP_DURATION));
        if common.warmup == 0.0 {
            common.warmup = SWEEP_WARMUP;
        }
        if let Some(path) = &mut common.hdr_log {
            path.as_mut_os_string().push(format!(".{rate:.0}"));
        }
        options.producing.rate = Some(rate);
        options
    }

    /// Whether the options make sense together.
    pub fn check(&self) -> Result<(), Error> {
        self.at(self.from_rate).check()?;
        if self.produce.producing.rate.is_some() || self.produce.common.messages.is_some() {
            return Err(Error::Usage(
                "sweep goes with neither --rate nor --messages: it has rates of its own, each for \
                 --duration"
                    .into(),
            ));
        }
        let above = |name: &str, value: f64, low: f64| match value > low && value.is_finite() {
            true => Ok(()),
            false => Err(Error::Usage(format!("{name}: expected more than {low}, found {value}"))),
        };
        above("--from-rate", self.from_rate, 0.0)?;
        above("--growth", self.growth, 1.0)?;
        above("--p99-max-ms", self.p99_max_ms, 0.0)?;
        match self.to_rate {
            Some(rate) => above("--to-rate", rate, self.from_rate),
            None => Ok(()),
        }
    }
}

impl Common {
    /// The time limit of one request.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }

    fn check(&self) -> Result<(), Error> {
        within("--connections", self.connections, 1, CONNECTIONS_MAX)?;
        within("--inflight", self.inflight, 1, INFLIGHT_MAX)?;
        for (name, seconds) in [
            ("--duration", self.duration.unwrap_or(1.0)),
            ("--timeout", self.timeout),
            ("--warmup", self.warmup + 1.0),
        ] {
            if !(seconds > 0.0 && seconds < 1e9) {
                return Err(Error::Usage(format!(
                    "{name}: expected seconds above 0, found {seconds}"
                )));
            }
        }
        if self.partitions.is_some_and(|partitions| partitions < 1) {
            return Err(Error::Usage("--partitions: expected at least 1".into()));
        }
        Ok(())
    }
}

impl Producing {
    /// How much of each request is made while the run goes on.
    pub fn making(&self, common: &Common) -> Making {
        // Stamps lie inside the values, and those of a compressed batch cannot be written over.
        let is_remade = common.verify && self.compression != Codec::None;
        if self.fresh || is_remade {
            Making::Fresh
        } else if common.verify || self.is_idempotent() {
            Making::Stamped
        } else {
            Making::Prebuilt
        }
    }

    /// Whether batches carry a producer's sequences.
    pub fn is_idempotent(&self) -> bool {
        self.idempotent || self.transactional.is_some()
    }

    /// How long a message waits for its batch to become full.
    pub fn linger(&self) -> Option<Duration> {
        self.linger_ms.map(|millis| Duration::from_secs_f64(millis / 1e3))
    }

    fn check(&self, common: &Common, bare: bool) -> Result<(), Error> {
        let bytes_min = if common.verify { STAMP_BYTES } else { 0 };
        within("--message-bytes", self.message_bytes, bytes_min, REQUEST_BYTES_MAX)?;
        within("--batch-messages", self.batch_messages, 1, 1_000_000)?;
        within("--partitions-per-request", self.partitions_per_request, 1, 100_000)?;
        let request_bytes = (self.message_bytes + self.keys.bytes() + 32)
            * self.batch_messages
            * self.partitions_per_request;
        if request_bytes > REQUEST_BYTES_MAX {
            return Err(Error::Usage(format!(
                "--message-bytes × --batch-messages × --partitions-per-request: expected at most \
                 {REQUEST_BYTES_MAX} bytes a request, found about {request_bytes}"
            )));
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err(Error::Usage("--rate: expected messages a second above 0".into()));
        }
        if self.transactional == Some(0) {
            return Err(Error::Usage("--transactional: expected at least 1 request".into()));
        }
        let name = if self.transactional.is_some() { "--transactional" } else { "--idempotent" };
        if self.is_idempotent() && self.acks != Acks::All {
            return Err(Error::Usage(format!("{name} needs --acks all")));
        }
        if self.is_idempotent() && common.inflight > IDEMPOTENT_INFLIGHT_MAX {
            return Err(Error::Usage(format!(
                "{name} allows at most {IDEMPOTENT_INFLIGHT_MAX} requests under way \
                 (brokers remember that many), found --inflight {}",
                common.inflight
            )));
        }
        if self.ack_log.is_some() && (!common.verify || self.acks == Acks::None) {
            return Err(Error::Usage("--ack-log needs --verify and --acks 1 or all".into()));
        }
        if self.ack_log.is_some() && self.transactional.is_some() {
            return Err(Error::Usage(
                "--ack-log goes with no --transactional: only a commit promises anything".into(),
            ));
        }
        self.check_linger()?;
        if bare && self.compression != Codec::None {
            return Err(Error::Usage(
                "--bare goes with no --compression: records are walked".into(),
            ));
        }
        if bare && (self.is_idempotent() || common.verify || self.acks == Acks::None) {
            return Err(Error::Usage(
                "--bare goes with neither --verify, --idempotent, --transactional nor --acks 0"
                    .into(),
            ));
        }
        Ok(())
    }
}

impl Producing {
    fn check_linger(&self) -> Result<(), Error> {
        let Some(millis) = self.linger_ms else { return Ok(()) };
        if !(0.0..=LINGER_MS_MAX).contains(&millis) {
            return Err(Error::Usage(format!(
                "--linger-ms: expected 0 to {LINGER_MS_MAX}, found {millis}"
            )));
        }
        if !self.fresh {
            return Err(Error::Usage(
                "--linger-ms needs --fresh: prebuilt batches are always full".into(),
            ));
        }
        if self.rate.is_none() {
            return Err(Error::Usage(
                "--linger-ms needs --rate: without one, batches are full at once".into(),
            ));
        }
        Ok(())
    }
}

impl Consuming {
    fn check(&self) -> Result<(), Error> {
        for (name, value) in [
            ("--fetch-max-bytes", self.fetch_max_bytes),
            ("--partition-max-bytes", self.partition_max_bytes),
            ("--min-bytes", self.min_bytes.saturating_add(1)),
            ("--max-wait-ms", self.max_wait_ms.saturating_add(1)),
        ] {
            if value < 1 {
                return Err(Error::Usage(format!("{name}: a negative number makes no sense")));
            }
        }
        Ok(())
    }
}

impl ProduceOptions {
    /// Whether the options make sense together.
    pub fn check(&self) -> Result<(), Error> {
        self.common.check()?;
        self.producing.check(&self.common, self.bare)?;
        bounded(&self.common)
    }
}

impl ConsumeOptions {
    /// Whether the options make sense together.
    pub fn check(&self) -> Result<(), Error> {
        self.common.check()?;
        self.consuming.check()?;
        within("--consumers", self.consumers, 1, CONNECTIONS_MAX)?;
        if self.check_acks.is_some() && self.consumers > 1 {
            return Err(Error::Usage("--check-acks goes with one of --consumers".into()));
        }
        if self.check_acks.is_some() && !self.common.verify {
            return Err(Error::Usage("--check-acks needs --verify".into()));
        }
        if self.repeat && (self.common.verify || self.from == From::Latest) {
            return Err(Error::Usage(
                "--repeat goes with neither --verify nor --from latest".into(),
            ));
        }
        if self.repeat || self.from == From::Latest { bounded(&self.common) } else { Ok(()) }
    }
}

impl EndToEndOptions {
    /// Whether the options make sense together.
    pub fn check(&self) -> Result<(), Error> {
        self.common.check()?;
        self.producing.check(&self.common, false)?;
        self.consuming.check()?;
        within("--message-bytes", self.producing.message_bytes, STAMP_BYTES, REQUEST_BYTES_MAX)?;
        if self.producing.acks == Acks::None {
            return Err(Error::Usage(
                "end-to-end needs --acks 1 or all: it reads until all that was \
                 acknowledged has arrived"
                    .into(),
            ));
        }
        bounded(&self.common)
    }
}

impl MixOptions {
    /// Whether the options make sense together.
    pub fn check(&self) -> Result<(), Error> {
        let usage = |text: &str| Err(Error::Usage(text.into()));
        self.common.check()?;
        self.producing.check(&self.common, false)?;
        self.consuming.check()?;
        within("--producers", self.producers.unwrap_or(1), 1, CONNECTIONS_MAX)?;
        within("--consumers", self.consumers, 0, CONNECTIONS_MAX)?;
        within("--readers", self.readers(), 0, CONNECTIONS_MAX)?;
        within(
            "--consumer-connections",
            self.consumer_connections.unwrap_or(1),
            1,
            CONNECTIONS_MAX,
        )?;
        if self.readers_from == Some(From::Latest) {
            return usage("--readers-from: expected earliest or an offset: readers catch up");
        }
        if self.readers() == 0 && (self.readers_from.is_some() || self.readers_topic.is_some()) {
            return usage("--readers-from and --readers-topic need --readers of at least 1");
        }
        if self.consumers > 0 && self.producing.acks == Acks::None {
            return usage(
                "mix with --consumers needs --acks 1 or all: it reads until all that was \
                 acknowledged has arrived",
            );
        }
        if self.consumers == 0 && self.common.verify {
            return usage("--verify needs --consumers: it checks what these read");
        }
        bounded(&self.common)
    }

    /// How many readers there are.
    pub fn readers(&self) -> usize {
        let is_asked = self.readers_from.is_some() || self.readers_topic.is_some();
        self.readers.unwrap_or(usize::from(is_asked))
    }
}

fn bounded(common: &Common) -> Result<(), Error> {
    if common.duration.is_none() && common.messages.is_none() {
        return Err(Error::Usage("expected --duration SECONDS or --messages COUNT".into()));
    }
    Ok(())
}

fn within(name: &str, value: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Usage(format!("{name}: expected {min} to {max}, found {value}")))
}
