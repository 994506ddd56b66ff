//! From a configuration to a serving broker, and to a clean stop: everything that happens before
//! the shards run and after they have ended, on the main thread, blocking.
//!
//! The start: lock → classify and format the directory → fold the metadata log → lead in a new
//! epoch (its records are on disk before anything is served) → open every partition's log, each
//! shard's in a thread of its own → run. The stop is Kafka's (`kraft.md` A5): logs closed, the
//! controller's last records, checkpoints, the marker last.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ringlog_shard::buf::Pool;
use ringlog_shard::fs::{DataDir, Lock};
use ringlog_shard::probe::{self, Level};
use ringlog_shard::{Host, ListenOn, ListenerConfig, ShardConfig, ShardId};
use ringlog_storage::checkpoint::partition::{PARTITION_METADATA, PartitionMetadata};
use ringlog_storage::{Durability, Log, LogConfig, RecoveryHint};
use ringlog_wire::Uuid;

use crate::config::{Advertise, Config, Executor, FetchPath};
use crate::connections::{self, Connections};
use crate::datadir::{self, Kind, OwnedFiles, PartitionEnd, Root};
use crate::http::{self, Http};
use crate::memory::{LogMemory, PoolMemory};
use crate::message::{Message, TopicPartition};
use crate::metadata::topic_config::Surroundings;
use crate::metadata::{Command, Controller, Endpoint, Fold, Image, Node, Settings, placement};
use crate::rules;
use crate::shell::{
    self, BlockingDisk, ClosedShard, METADATA_TOPIC_ID, OpenedLog, Shared, Shell, append_batch,
    carry_out, random_uuid,
};

/// Memory for the metadata log's records, beside that of the shards.
const CONTROL_POOL_BYTES: usize = 32 << 20;

/// File descriptors kept for segments and the like, out of the process's limit.
const FILES_RESERVED: u64 = 4096;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A broker that serves.
pub struct Server {
    handle: ringlog_shard::Handle<Message>,
    shared: Arc<Shared>,
    http: Option<Http>,
    now_ms: fn() -> i64,
    _lock: Lock,
}

/// Clocks, given by `main`: this module asks no clock itself.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Milliseconds since 1970.
    pub wall_ms: fn() -> i64,
    /// A steady clock.
    pub now: fn() -> Instant,
}

/// Starts serving.
///
/// # Errors
/// One sentence: what is in the way, and what to do about it.
pub fn start(config: Config, clocks: Clocks) -> Result<Server, String> {
    let begun = (clocks.now)();
    let http = http::start(&config, clocks)?;
    let path = config.data_dir.display().to_string();
    let data = DataDir::create(&config.data_dir)
        .map_err(|error| format!("--data-dir {path}: cannot be created: {error}"))?;
    let volume = data.volume().map(Arc::new).map_err(|e| format!("--data-dir {path}: {e}"))?;
    let (lock, fresh) = take_directory(&data, &path)?;
    let node_id = config.node_id;
    if fresh {
        format(&config, &data, clocks).map_err(|e| format!("--data-dir {path}: {e}"))?;
    }
    let root = open_root(&data, node_id).map_err(|e| format!("--data-dir {path}: {e}"))?;
    let (controller, metadata_log, image) = start_controller(&config, &data, &root, clocks)
        .map_err(|error| format!("--data-dir {path}: {error}"))?;
    let logs = open_logs(&config, &data, &root, &image)?;
    write_recovery_points(&data, &root, &image, &logs)?;
    let count: usize = logs.iter().map(Vec::len).sum();
    let allocates = probe::directory(data.root())
        .iter()
        .all(|finding| finding.name != "fallocate" || finding.level == Level::Ok);
    let connections = Connections::new(connection_limits(&config));
    let closed = Mutex::new(Vec::new());
    let shared = Arc::new(Shared { config, data, volume, allocates, connections, closed });
    let handle = run_shards(&shared, &image, logs, (controller, metadata_log))?;
    let config = &shared.config;
    for (shard, address) in handle.local_addrs().iter().enumerate() {
        tracing::info!(%address, shard, "listening");
    }
    if let Some(http) = &http {
        http.serve(handle.remote());
    }
    let (shards, elapsed_ms) = (config.shards, ((clocks.now)() - begun).as_millis() as u64);
    let (advertise, node_id, version) = (config.advertise.name(), config.node_id, VERSION);
    let durability = config.durability.name();
    tracing::info!(
        version,
        node_id,
        shards,
        advertise,
        durability,
        partitions = count,
        elapsed_ms,
        data_dir = path,
        "serving"
    );
    Ok(Server { handle, shared, http, now_ms: clocks.wall_ms, _lock: lock })
}

/// Locks the directory if it may be ours; says whether it is to be formatted. A directory that is
/// refused is left as it was.
fn take_directory(data: &DataDir, path: &str) -> Result<(Lock, bool), String> {
    let told = |error: std::io::Error| format!("--data-dir {path}: {error}");
    let classify = || {
        let entries = list(data).map_err(told)?;
        let ours = read_if_there(data, datadir::RINGLOG_PROPERTIES).map_err(told)?;
        datadir::classify(&entries, ours.as_deref())
            .map_err(|refusal| format!("--data-dir {path}: {refusal}"))
    };
    classify()?;
    let lock = data.lock(datadir::LOCK).map_err(told)?.ok_or_else(|| {
        format!("--data-dir {path}: another broker has it locked; stop it or use another directory")
    })?;
    // Again, under the lock: someone may have been faster.
    Ok((lock, classify()? == Kind::Blank))
}

fn list(data: &DataDir) -> std::io::Result<Vec<datadir::Entry>> {
    let entries = data.list("")?;
    Ok(entries.into_iter().map(|e| datadir::Entry { name: e.name, is_dir: e.is_dir }).collect())
}

fn read_if_there(data: &DataDir, path: &str) -> std::io::Result<Option<Vec<u8>>> {
    match data.read_file(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn node(config: &Config, directory: Uuid) -> Node {
    let endpoint = |name: &str| Endpoint {
        name: name.into(),
        host: config.advertised_host.clone(),
        port: config.listen.port(),
        security_protocol: 0,
    };
    Node {
        id: config.node_id,
        directory,
        incarnation: random_uuid(),
        controller_incarnation: random_uuid(),
        endpoints: vec![endpoint("PLAINTEXT")],
        controller_endpoint: endpoint("CONTROLLER"),
        rack: Some(shell::topology::rack(config)),
    }
}

fn format(config: &Config, data: &DataDir, clocks: Clocks) -> Result<(), String> {
    let identity = datadir::Identity::draw(&mut random_uuid);
    let node = node(config, identity.directory);
    for step in datadir::format_steps((clocks.wall_ms)(), &node, &identity.cluster_id) {
        carry_out(data, &step).map_err(|error| format!("cannot be formatted: {error}"))?;
    }
    tracing::info!(cluster_id = identity.cluster_id, "formatted a new data directory");
    Ok(())
}

/// Reads the files at the root, and takes the marker of a clean stop away before any log is
/// touched.
fn open_root(data: &DataDir, node_id: i32) -> Result<Root, String> {
    use ringlog_storage::checkpoint::{clean_shutdown, meta, offsets, quorum};
    let read = |path: &str| {
        read_if_there(data, path).map_err(|error| format!("{path} cannot be read: {error}"))
    };
    let quorum_state = format!("{}/{}", datadir::METADATA_DIR, quorum::QUORUM_STATE);
    let files = OwnedFiles {
        meta: read(meta::META_PROPERTIES)?,
        marker: read(clean_shutdown::CLEAN_SHUTDOWN)?,
        recovery_points: read(offsets::RECOVERY_POINT)?,
        log_starts: read(offsets::LOG_START)?,
        high_watermarks: read(offsets::HIGH_WATERMARK)?,
        quorum_state: read(&quorum_state)?,
    };
    let root = datadir::open(node_id, &files).map_err(|refusal| refusal.to_string())?;
    for warning in &root.warnings {
        tracing::warn!(warning, "a checkpoint is of no use");
    }
    for step in &root.steps {
        carry_out(data, step).map_err(|error| format!("{step:?}: {error}"))?;
    }
    Ok(root)
}

fn metadata_config() -> LogConfig {
    LogConfig {
        durability: Durability::Synced,
        // Kafka's `metadata.log.segment.bytes` is 1 GiB; the space is taken in small pieces.
        allocate_bytes: 1 << 20,
        ..LogConfig::default()
    }
}

fn open_metadata_log(data: &DataDir, clean: bool) -> Result<Log<LogMemory>, String> {
    // As Kafka: always scanned whole, whatever the marker says.
    let hint = RecoveryHint { clean, recovery_point: 0, log_start: 0 };
    let mut disk = BlockingDisk(data.clone());
    let dir = datadir::METADATA_DIR;
    let (log, report) = Log::open(&mut disk, dir, metadata_config(), hint, METADATA_TOPIC_ID)
        .map_err(|error| format!("{dir}: {error}"))?;
    if report.is_loss() {
        tracing::warn!(?report, "the metadata log was cut behind its last whole batch");
    }
    Ok(log)
}

/// Folds the metadata log and leads it in a new epoch; what that writes is durable when this
/// returns.
fn start_controller(
    config: &Config,
    data: &DataDir,
    root: &Root,
    clocks: Clocks,
) -> Result<(Controller, Log<LogMemory>, Arc<Image>), String> {
    let mut log = open_metadata_log(data, false)?;
    let fold = fold_log(data, &log, &root.cluster_id)?;
    let epoch = datadir::next_epoch(root.quorum_state.as_ref(), fold.staged().applied.epoch);
    let step = datadir::quorum_state_step(config.node_id, epoch);
    carry_out(data, &step).map_err(|error| format!("quorum-state: {error}"))?;
    let settings = Settings {
        num_partitions: config.defaults.num_partitions,
        replication_factor: config.defaults.default_replication_factor,
        delete_topic_enable: config.defaults.delete_topic_enable,
        statics: config.statics.clone(),
    };
    let node = node(config, root.directory);
    let now_ms = (clocks.wall_ms)();
    let (mut controller, commands) = Controller::start(now_ms, node, settings, fold, epoch)
        .map_err(|error| error.to_string())?;
    let end = write_metadata(&mut log, now_ms, &commands)?;
    close_metadata(data, log)?;
    let image = controller
        .committed(end)
        .into_iter()
        .find_map(|command| match command {
            Command::Publish(image) => Some(image),
            _ => None,
        })
        .ok_or("the controller's first records publish nothing")?;
    assert!(controller.is_serving(), "its registration is durable");
    let log = open_metadata_log(data, true)?;
    Ok((controller, log, image))
}

fn control_pool() -> Result<Pool, String> {
    Pool::new("metadata log", CONTROL_POOL_BYTES)
        .map_err(|error| format!("no memory for the metadata log: {error}"))
}

/// Appends the batches of `commands`; says where the log ends then.
fn write_metadata(
    log: &mut Log<LogMemory>,
    now_ms: i64,
    commands: &[Command],
) -> Result<i64, String> {
    let mut pool = control_pool()?;
    for command in commands {
        if let Command::Append(append) = command {
            append_batch(log, now_ms, &mut PoolMemory(&mut pool), append)?;
        }
    }
    Ok(log.end_offset())
}

fn close_metadata(data: &DataDir, log: Log<LogMemory>) -> Result<(), String> {
    log.close(&mut BlockingDisk(data.clone())).map_err(|error| format!("the metadata log: {error}"))
}

/// Everything that the metadata log says.
fn fold_log(data: &DataDir, log: &Log<LogMemory>, cluster_id: &str) -> Result<Fold, String> {
    let mut fold = Fold::new(Image::new(cluster_id));
    let mut segments: Vec<_> = data
        .list(datadir::METADATA_DIR)
        .map_err(|error| error.to_string())?
        .into_iter()
        .filter(|entry| entry.name.ends_with(".log"))
        .collect();
    segments.sort_by(|a, b| a.name.cmp(&b.name));
    let mut left = log.size_bytes();
    for segment in segments {
        let path = Path::new(datadir::METADATA_DIR).join(&segment.name);
        let mut bytes = data.read_file(&path).map_err(|error| error.to_string())?;
        // After a crash the file may be longer than the log.
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= bytes.len() as u64;
        fold.apply_batches(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(fold)
}

/// Opens the log of every partition of this node, each shard's in a thread of its own.
fn open_logs(
    config: &Config,
    data: &DataDir,
    root: &Root,
    image: &Arc<Image>,
) -> Result<Vec<Vec<OpenedLog>>, String> {
    let entries = list(data).map_err(|error| error.to_string())?;
    let found = datadir::Found::sort(&entries).map_err(|refusal| refusal.to_string())?;
    for dir in &found.deleted {
        data.remove_dir_all(dir).map_err(|error| format!("{dir}: {error}"))?;
    }
    let ids = topic_ids(data, &found);
    let placed = datadir::place(&found, &ids, image, config.node_id, &mut random_uuid);
    for step in &placed.steps {
        tracing::warn!(?step, "a directory of no partition is set aside");
        carry_out(data, step).map_err(|error| format!("{step:?}: {error}"))?;
    }
    let mut homes: Vec<Vec<datadir::LivePartition>> = vec![Vec::new(); config.shards];
    for live in placed.live {
        homes[placement::shard_of(live.topic_id, live.partition, config.shards)].push(live);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = homes
            .into_iter()
            .map(|live| scope.spawn(|| open_shard_logs(config, data, root, image, live)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "opening the logs failed".to_string()))
            .collect()
    })
}

/// What was recovered is flushed: said at once, so that a crash loop never scans the same bytes
/// twice. What is said of topics that are gone ends here.
fn write_recovery_points(
    data: &DataDir,
    root: &Root,
    image: &Image,
    logs: &[Vec<OpenedLog>],
) -> Result<(), String> {
    let end = |opened: &OpenedLog| {
        let topic = &image.topic(opened.of.topic)?.name;
        let Ok((log, _)) = &opened.opened else {
            return Some(PartitionEnd::unopened(topic, opened.of.index, opened.hint));
        };
        Some(PartitionEnd {
            topic: topic.to_string(),
            partition: opened.of.index,
            high_watermark: log.end_offset(),
            flushed: log.recovery_point(),
            log_start: log.log_start_offset(),
            first_segment: log.first_segment_offset(),
        })
    };
    let ends: Vec<_> = logs.iter().flatten().filter_map(end).collect();
    let is_blank = root.recovery_points.offsets.is_empty() && root.log_starts.offsets.is_empty();
    if ends.is_empty() && is_blank {
        return Ok(());
    }
    for step in datadir::checkpoint_steps(&ends) {
        carry_out(data, &step).map_err(|error| format!("{step:?}: {error}"))?;
    }
    Ok(())
}

fn topic_ids(data: &DataDir, found: &datadir::Found) -> BTreeMap<String, Uuid> {
    let mut ids = BTreeMap::new();
    for (dir, _, _) in &found.partitions {
        let bytes = data.read_file(Path::new(dir).join(PARTITION_METADATA));
        let parsed = bytes.ok().and_then(|bytes| PartitionMetadata::parse(&bytes).ok());
        if let Some(metadata) = parsed {
            ids.extend(metadata.topic_id.parse().ok().map(|id: Uuid| (dir.clone(), id)));
        }
    }
    ids
}

fn open_shard_logs(
    config: &Config,
    data: &DataDir,
    root: &Root,
    image: &Image,
    live: Vec<datadir::LivePartition>,
) -> Vec<OpenedLog> {
    let mut disk = BlockingDisk(data.clone());
    let around = Surroundings { image, statics: &config.statics, node_id: config.node_id };
    let open = |live: datadir::LivePartition| {
        let key = (live.topic.clone(), live.partition);
        let hint = RecoveryHint {
            clean: root.clean.is_some(),
            recovery_point: root.recovery_points.offsets.get(&key).copied().unwrap_or(0),
            log_start: root.log_starts.offsets.get(&key).copied().unwrap_or(0),
        };
        let log_config = rules::log_config(around, &config.defaults, &live.topic);
        OpenedLog {
            of: TopicPartition { topic: live.topic_id, index: live.partition },
            hint,
            opened: Log::open(&mut disk, &live.dir, log_config, hint, live.topic_id),
        }
    };
    live.into_iter().map(open).collect()
}

/// Connections that all shards together may have: as configured, but never so many that the logs
/// have no file descriptors left.
fn connection_limits(config: &Config) -> connections::Limits {
    let wanted = config.defaults.max_connections as u64;
    let files = probe::raise_open_files();
    let room = files.saturating_sub(FILES_RESERVED).max(files / 2);
    if room < wanted {
        tracing::warn!(
            connections = room,
            "fewer than max.connections = {wanted}: the limit of open files is {files}; raise it \
             to {} (ulimit -n)",
            wanted + FILES_RESERVED
        );
    }
    connections::Limits {
        all: wanted.min(room) as usize,
        per_address: config.defaults.max_connections_per_ip as usize,
        overrides: config.defaults.max_connections_per_ip_overrides.clone(),
    }
}

fn run_shards(
    shared: &Arc<Shared>,
    image: &Arc<Image>,
    logs: Vec<Vec<OpenedLog>>,
    controller: (Controller, Log<LogMemory>),
) -> Result<ringlog_shard::Handle<Message>, String> {
    let config = &shared.config;
    let listeners = match config.advertise {
        Advertise::Node => {
            vec![ListenerConfig { addr: config.listen, on: ListenOn::EveryShard }]
        }
        Advertise::Shard => (0..config.shards)
            .map(|shard| ListenerConfig {
                addr: config.listen_of(shard),
                on: ListenOn::Shard(ShardId(shard as u16)),
            })
            .collect(),
    };
    let shard_config = ShardConfig {
        shards: config.shards,
        cpus: config.cpus.clone(),
        listeners,
        spin: config.spin,
        memory: config.memory_per_shard as usize,
        host: match config.executor {
            Executor::Glommio => Host::Glommio,
            Executor::Bare => Host::Bare,
        },
        send_zero_copy: config.fetch_path == FetchPath::Zerocopy,
        // The limit is on all shards together (`Shared::connections`).
        connections_max: usize::MAX,
        ..ShardConfig::default()
    };
    let seats: Vec<_> = logs.into_iter().map(|logs| Mutex::new(Some(logs))).collect();
    let pool = control_pool()?;
    let controller = Mutex::new(Some((controller.0, controller.1, pool)));
    let (shared, image) = (Arc::clone(shared), Arc::clone(image));
    let make = move |shard: ShardId| {
        let logs = seats[shard.index()].lock().expect("taken once").take();
        let controller = match shard.index() {
            0 => controller.lock().expect("taken once").take(),
            _ => None,
        };
        let (shared, image) = (Arc::clone(&shared), Arc::clone(&image));
        Shell::new(shared, shard.index(), image, logs.unwrap_or_default(), controller)
    };
    ringlog_shard::run::<Shell, _>(shard_config, make).map_err(|error| error.to_string())
}

impl Server {
    /// A sender for other threads.
    pub fn remote(&self) -> ringlog_shard::Remote<Message> {
        self.handle.remote()
    }

    /// Where /metrics, /health and /ready are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Http::address)
    }

    /// Waits until the shards have ended (they are asked with [`Message::Stop`]), then leaves the
    /// directory as a cleanly stopped Kafka does.
    ///
    /// # Errors
    /// What went wrong; the directory then has no marker, and the next start recovers.
    pub fn wait(self) -> Result<(), String> {
        self.handle.join().map_err(|error| format!("a shard ended: {error}"))?;
        let closed =
            std::mem::take(&mut *self.shared.closed.lock().expect("the shards have ended"));
        finish(&self.shared, closed, (self.now_ms)())
    }
}

fn finish(shared: &Shared, closed: Vec<ClosedShard>, now_ms: i64) -> Result<(), String> {
    let mut ends = Vec::new();
    let mut clean = closed.len() == shared.config.shards;
    let mut broker_epoch = None;
    for shard in closed {
        for log in shard.logs {
            clean &= log.clean;
            ends.push(log.end);
        }
        if let Some((mut controller, mut log)) = shard.controller {
            let commands = controller.stop(now_ms);
            let end = write_metadata(&mut log, now_ms, &commands)?;
            close_metadata(&shared.data, log)?;
            for command in controller.committed(end) {
                if let Command::Stopped(epoch) = command {
                    broker_epoch = Some(epoch);
                }
            }
        }
    }
    clean &= broker_epoch.is_some();
    let plan = datadir::stop_plan(&ends, broker_epoch.filter(|_| clean));
    for step in plan.before_close.iter().chain(&plan.after_close) {
        carry_out(&shared.data, step).map_err(|error| format!("{step:?}: {error}"))?;
    }
    match clean {
        true => tracing::info!("stopped cleanly"),
        false => tracing::warn!("stopped, but not cleanly: the next start checks the logs"),
    }
    Ok(())
}
