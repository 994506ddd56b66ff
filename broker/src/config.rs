//! What the user asked for: flags, then `RINGLOG_…` in the environment, then a TOML file, then
//! defaults.
//!
//! Invariant: a [`Config`] is complete and checked; nothing below `main` reads the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::defaults::BrokerDefaults;
use crate::metadata::topic_config::DURABILITY;

/// The largest node id: `advertise = shard` multiplies it by 1024, and Kafka's ids are int32.
pub const NODE_ID_MAX: i32 = crate::metadata::placement::NODE_ID_MAX;
/// The most shards of one process.
pub const SHARDS_MAX: usize = 256;
/// Coordinators have a share of a shard's memory beside it, one part in so many, but at least so
/// many bytes.
const COORDINATOR_MEMORY_SHARE: u64 = 8;
const COORDINATOR_MEMORY_MIN: u64 = 16 << 20;
/// The least memory that a shard can work in, bytes.
pub const MEMORY_PER_SHARD_MIN: u64 = 32 << 20;

const HTTP_LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9644);

/// How clients find the shard that owns a partition (architecture §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Advertise {
    /// One broker, one port; a request for another shard's partition takes the bus.
    Node,
    /// Every shard is a broker of its own, on its own port; clients come to the owner.
    Shard,
}

impl Advertise {
    /// As the flag says it.
    pub const fn name(self) -> &'static str {
        match self {
            Advertise::Node => "node",
            Advertise::Shard => "shard",
        }
    }
}

/// When a record counts as acknowledged (architecture §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityFlag {
    /// It is in the log's buffers.
    Memory,
    /// The direct write completed: survives the death of the process.
    Written,
    /// And it was flushed: survives power loss.
    Synced,
}

impl DurabilityFlag {
    /// The one of that name; `written` for what is none.
    pub fn named(name: &str) -> DurabilityFlag {
        match name {
            "memory" => DurabilityFlag::Memory,
            "synced" => DurabilityFlag::Synced,
            _ => DurabilityFlag::Written,
        }
    }

    /// The word for it, on the command line and in `ringlog.durability`.
    pub fn name(self) -> &'static str {
        match self {
            DurabilityFlag::Memory => "memory",
            DurabilityFlag::Written => "written",
            DurabilityFlag::Synced => "synced",
        }
    }
}

/// How segments are written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// Past the page cache, but for small writes of a shard with little to do.
    Auto,
    /// O_DIRECT.
    Direct,
    /// Through the page cache: for file systems without O_DIRECT, and for comparison.
    Buffered,
}

/// How fetched bytes reach the socket (architecture §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FetchPath {
    /// What measurement says is best here: `copy`.
    Auto,
    /// Slices of the log's memory, plain sends (the kernel copies once).
    Copy,
    /// Slices of the log's memory, MSG_ZEROCOPY sends (for real network cards).
    Zerocopy,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people, in colours on a terminal.
    Auto,
    /// For people, without colours.
    Text,
    /// One JSON object a line.
    Json,
}

/// The flags of `ringlog`, each also `RINGLOG_…` and a key of the TOML file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Flags {
    /// Directory of the data, one per process, locked while in use [default: ./ringlog-data]
    #[arg(long, env = "RINGLOG_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Address of shard 0; with --advertise shard, shard i listens on port + i [default:
    /// 127.0.0.1:9092]
    #[arg(long, env = "RINGLOG_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Host name that Metadata tells clients [default: the listen address]
    #[arg(long, env = "RINGLOG_ADVERTISED_HOST")]
    pub advertised_host: Option<String>,
    /// Kafka's node.id [default: 1]
    #[arg(long, env = "RINGLOG_NODE_ID")]
    pub node_id: Option<i32>,
    /// Shards, one core each [default: the cores the process may use]
    #[arg(long, env = "RINGLOG_SHARDS", global = true)]
    pub shards: Option<usize>,
    /// Cores to pin shards to, as 0,2,4-7, or `none` for no pinning [default: all allowed]
    #[arg(long, env = "RINGLOG_CPUS")]
    pub cpus: Option<String>,
    /// One broker (`node`) or one broker per shard (`shard`) [default: shard]
    #[arg(long, env = "RINGLOG_ADVERTISE")]
    pub advertise: Option<Advertise>,
    /// When a record is acknowledged [default: written]
    #[arg(long, env = "RINGLOG_DURABILITY")]
    pub durability: Option<DurabilityFlag>,
    /// How segments are written and read [default: auto]
    #[arg(long, env = "RINGLOG_IO")]
    pub io: Option<Io>,
    /// How fetched bytes reach the socket [default: auto]
    #[arg(long, env = "RINGLOG_FETCH_PATH")]
    pub fetch_path: Option<FetchPath>,
    /// Memory of all shards together, as 512M or 4G [default: a quarter of the
    /// machine's, or of the control group's limit]
    #[arg(long, env = "RINGLOG_MEMORY")]
    pub memory: Option<String>,
    /// Microseconds that an idle shard spins before it sleeps, while that finds work [default: 20]
    #[arg(long, env = "RINGLOG_SPIN_MICROS")]
    pub spin_micros: Option<u64>,
    /// Run each shard's loop inside a glommio executor or bare [default: glommio]
    #[arg(long, env = "RINGLOG_EXECUTOR")]
    pub executor: Option<Executor>,
    /// Log lines for people or as JSON [default: auto]
    #[arg(long, env = "RINGLOG_LOG_FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
    /// Which log lines, as `debug` or `info,ringlog_broker=debug` [default: info]
    #[arg(long, env = "RINGLOG_LOG", value_name = "FILTER", global = true)]
    pub log: Option<String>,
    /// Address of /metrics, /health and /ready, or `none` [default: 127.0.0.1:9644]
    #[arg(long, env = "RINGLOG_HTTP_LISTEN", value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// A broker default by Kafka's name, as num.partitions=4; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Broker defaults by Kafka's name in the TOML file: a table `[kafka]`
    #[arg(skip)]
    pub kafka: BTreeMap<String, toml::Value>,
}

/// Where the control thread listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpListen {
    /// The address.
    pub address: SocketAddr,
    /// The user asked for it: a broker that cannot listen there does not start. The default may be
    /// another broker's.
    pub is_explicit: bool,
}

/// What hosts a shard's loop (architecture §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Executor {
    /// A pinned glommio executor, the loop one task in it.
    Glommio,
    /// A pinned thread that runs the loop and nothing else.
    Bare,
}

/// The broker's configuration, complete and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Root of the data directory.
    pub data_dir: PathBuf,
    /// Address of shard 0.
    pub listen: SocketAddr,
    /// Host that clients are told.
    pub advertised_host: String,
    /// Kafka's node.id.
    pub node_id: i32,
    /// Number of shards, 1..=[`SHARDS_MAX`].
    pub shards: usize,
    /// Cores to pin to; `None` = no pinning.
    pub cpus: Option<Vec<usize>>,
    /// How clients find the owner of a partition.
    pub advertise: Advertise,
    /// When a record is acknowledged, unless its topic says otherwise.
    pub durability: DurabilityFlag,
    /// Direct or buffered.
    pub io: Io,
    /// Memory or zero-copy sends.
    pub fetch_path: FetchPath,
    /// Bytes of memory for each shard.
    pub memory_per_shard: u64,
    /// Time an idle shard spins before it sleeps.
    pub spin: Duration,
    /// The loop's host.
    pub executor: Executor,
    /// Where /metrics, /health and /ready are; `None`: nowhere.
    pub http_listen: Option<HttpListen>,
    /// Broker defaults under Kafka's names.
    pub defaults: BrokerDefaults,
    /// What the user set, under Kafka's names: topics take their defaults from it.
    pub statics: BTreeMap<String, String>,
}

/// What the machine offers, given by `main` (it may look; this module may not).
#[derive(Clone, Debug)]
pub struct Machine {
    /// The cores this process may run on.
    pub cpus: Vec<usize>,
    /// Physical memory or the limit of the process's control group, whichever is less, bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// The files that may tell a memory limit of a process whose `/proc/self/cgroup` is `text`:
    /// its control group's and every group's above it, in either version of the file system. In a
    /// container the process sees its own group as the root.
    pub fn memory_limit_files(text: &str) -> Vec<String> {
        let mut files = Vec::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let (roots, file): (&[&str], _) = if controllers.is_empty() {
                (&["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], "memory.max")
            } else if controllers.split(',').any(|name| name == "memory") {
                (&["/sys/fs/cgroup/memory"], "memory.limit_in_bytes")
            } else {
                continue;
            };
            let mut group = path.trim_end_matches('/');
            loop {
                files.extend(roots.iter().map(|root| format!("{root}{group}/{file}")));
                let Some((above, _)) = group.rsplit_once('/') else { break };
                group = above;
            }
        }
        files
    }
}

impl Config {
    /// Lays `flags` (which clap already merged with the environment) over `file` over the defaults.
    ///
    /// # Errors
    /// One sentence: what was expected, what was found, what to do.
    pub fn resolve(flags: Flags, file: Flags, machine: &Machine) -> Result<Config, String> {
        let shards = flags.shards.or(file.shards);
        let cpus_text = flags.cpus.or(file.cpus);
        let cpus = match cpus_text.as_deref() {
            Some("none") => None,
            Some(list) => Some(parse_cpus(list, &machine.cpus)?),
            None => Some(machine.cpus.clone()),
        };
        let usable = cpus.as_ref().map_or(machine.cpus.len(), Vec::len);
        let shards = shards.unwrap_or(usable);
        if shards == 0 || shards > SHARDS_MAX {
            return Err(format!("--shards: expected 1 to {SHARDS_MAX}, found {shards}"));
        }
        // More shards than cores: legal (tests do it), but then pinning two to one core would only
        // hurt.
        let cpus = cpus.filter(|cpus| cpus.len() >= shards);
        let node_id = flags.node_id.or(file.node_id).unwrap_or(1);
        if !(0..=NODE_ID_MAX).contains(&node_id) {
            return Err(format!("--node-id: expected 0 to {NODE_ID_MAX}, found {node_id}"));
        }
        let listen =
            flags.listen.or(file.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9092)));
        let advertise = flags.advertise.or(file.advertise).unwrap_or(Advertise::Shard);
        if advertise == Advertise::Shard && usize::from(listen.port()) + shards > 65_536 {
            return Err(format!(
                "--listen: {} leaves no room for {shards} ports, one per shard; use a lower port \
                 or --advertise node",
                listen.port()
            ));
        }
        let advertised_host =
            advertised_host(flags.advertised_host.or(file.advertised_host), listen)?;
        let memory = flags.memory.or(file.memory);
        let memory_bytes = match memory.as_deref() {
            Some(text) => parse_bytes(text).map_err(|e| format!("--memory: {e}"))?,
            None => machine.memory_bytes / 4,
        };
        let memory_per_shard = memory_bytes / shards as u64;
        if memory_per_shard < MEMORY_PER_SHARD_MIN {
            return Err(format!(
                "--memory: {shards} shards need at least {} MiB, found {} MiB; give more or run \
                 fewer shards",
                (MEMORY_PER_SHARD_MIN >> 20) * shards as u64,
                memory_bytes >> 20
            ));
        }
        let spin_micros = flags.spin_micros.or(file.spin_micros).unwrap_or(20);
        let defaults = BrokerDefaults::parse(&file.kafka, &flags.set, &file.set)?;
        for key in &defaults.unused {
            tracing::warn!(key, "a setting of Kafka's that means nothing here is passed over");
        }
        let mut statics = defaults.set.clone();
        if let Some(durability) = flags.durability.or(file.durability) {
            statics.insert(DURABILITY.into(), durability.name().into());
        }
        let durability = DurabilityFlag::named(statics.get(DURABILITY).map_or("", String::as_str));
        let http_listen = http_listen(flags.http_listen.or(file.http_listen).as_deref())?;
        Ok(Config {
            http_listen,
            data_dir: flags.data_dir.or(file.data_dir).unwrap_or("./ringlog-data".into()),
            listen,
            advertised_host,
            node_id,
            shards,
            cpus,
            advertise,
            durability,
            io: flags.io.or(file.io).unwrap_or(Io::Auto),
            fetch_path: flags.fetch_path.or(file.fetch_path).unwrap_or(FetchPath::Auto),
            memory_per_shard,
            spin: Duration::from_micros(spin_micros),
            executor: flags.executor.or(file.executor).unwrap_or(Executor::Glommio),
            defaults,
            statics,
        })
    }

    /// Bytes that the state of a shard's coordinators (groups, offsets, transactions) may take,
    /// beside its memory. What would grow it beyond gets COORDINATOR_NOT_AVAILABLE.
    pub fn coordinator_memory_per_shard(&self) -> usize {
        let share = self.memory_per_shard / COORDINATOR_MEMORY_SHARE;
        usize::try_from(share.max(COORDINATOR_MEMORY_MIN)).unwrap_or(usize::MAX)
    }

    /// The address that shard `shard` listens on.
    pub fn listen_of(&self, shard: usize) -> SocketAddr {
        let mut address = self.listen;
        if self.advertise == Advertise::Shard && address.port() != 0 {
            let port = usize::from(address.port()) + shard;
            address.set_port(u16::try_from(port).expect("resolve() left room for every shard"));
        }
        address
    }
}

fn http_listen(text: Option<&str>) -> Result<Option<HttpListen>, String> {
    let Some(text) = text else {
        return Ok(Some(HttpListen { address: HTTP_LISTEN_DEFAULT, is_explicit: false }));
    };
    if text == "none" {
        return Ok(None);
    }
    let address = text.parse().map_err(|_| {
        format!("--http-listen: expected an address as 127.0.0.1:9644 or none, found {text:?}")
    })?;
    Ok(Some(HttpListen { address, is_explicit: true }))
}

fn advertised_host(host: Option<String>, listen: SocketAddr) -> Result<String, String> {
    match host {
        Some(host) if host.is_empty() || host.len() > 255 => {
            Err(format!("--advertised-host: expected a host name, found {} bytes", host.len()))
        }
        Some(host) => Ok(host),
        None if listen.ip().is_unspecified() => Err(format!(
            "--listen {listen} is every address of this machine, which no client can dial; \
             say with --advertised-host by what name clients reach it"
        )),
        None => Ok(listen.ip().to_string()),
    }
}

fn parse_cpus(text: &str, allowed: &[usize]) -> Result<Vec<usize>, String> {
    let cpus = parse_list(text)?;
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => Err(format!("--cpus: this process may run on {allowed:?}, found {cpu}")),
        None => Ok(cpus),
    }
}

/// Reads a list of cores as `0,2,4-7`.
///
/// # Errors
/// Says what was found instead.
pub fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let parse = |s: &str| {
            s.trim()
                .parse::<usize>()
                .map_err(|_| format!("--cpus: expected a list as 0,2,4-7 or none, found {text:?}"))
        };
        let (low, high) = (parse(low)?, parse(high)?);
        if low > high || high >= 1 << 16 {
            return Err(format!("--cpus: expected a range from low to high, found {part:?}"));
        }
        cpus.extend(low..=high);
    }
    cpus.dedup();
    Ok(cpus)
}

/// Reads `512M`, `4G`, `1073741824`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let upper = text.trim().to_ascii_uppercase();
    let digits_end = upper.find(|c: char| !c.is_ascii_digit()).unwrap_or(upper.len());
    let (digits, unit) = upper.split_at(digits_end);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err(format!("expected a size as 512M or 4G, found {text:?}")),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| format!("expected a size as 512M or 4G, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine { cpus: vec![0, 1], memory_bytes: 8 << 30 }
    }

    fn resolve(flags: Flags) -> Result<Config, String> {
        Config::resolve(flags, Flags::default(), &machine())
    }

    #[test]
    fn defaults_are_embedded() {
        let config = resolve(Flags::default()).unwrap();
        assert_eq!(config.shards, 2);
        assert_eq!(config.memory_per_shard, 1 << 30);
        assert_eq!(config.listen_of(1).port(), 9093);
        assert_eq!(config.advertised_host, "127.0.0.1");
    }

    #[test]
    fn the_control_thread_listens_where_it_is_told() {
        let listen = |text: Option<&str>| {
            let http_listen = text.map(str::to_string);
            let config = resolve(Flags { http_listen, ..Flags::default() }).unwrap();
            config.http_listen.map(|at| (at.address.to_string(), at.is_explicit))
        };
        assert_eq!(listen(None), Some(("127.0.0.1:9644".into(), false)));
        assert_eq!(listen(Some("0.0.0.0:80")), Some(("0.0.0.0:80".into(), true)));
        assert_eq!(listen(Some("none")), None);
    }

    #[test]
    fn memory_limits_are_looked_for_in_all_groups_above() {
        let files = Machine::memory_limit_files("0::/a/b\n");
        let v2 = [
            "/sys/fs/cgroup/a/b/memory.max",
            "/sys/fs/cgroup/unified/a/b/memory.max",
            "/sys/fs/cgroup/a/memory.max",
            "/sys/fs/cgroup/unified/a/memory.max",
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/unified/memory.max",
        ];
        assert_eq!(files, v2);
        let files = Machine::memory_limit_files("4:cpu:/x\n3:memory,y:/a\nnonsense\n");
        let v1 = ["a/", ""].map(|at| format!("/sys/fs/cgroup/memory/{at}memory.limit_in_bytes"));
        assert_eq!(files, v1);
        assert_eq!(Machine::memory_limit_files("1:memory:/").len(), 1);
    }

    #[test]
    fn flags_win_over_the_file() {
        let file: Flags =
            toml::from_str("shards = 1\nnode-id = 7\n[kafka]\n\"num.partitions\" = 3\n").unwrap();
        let flags = Flags { node_id: Some(9), ..Flags::default() };
        let config = Config::resolve(flags, file, &machine()).unwrap();
        assert_eq!((config.shards, config.node_id, config.defaults.num_partitions), (1, 9, 3));
    }

    #[test]
    fn errors_say_what_to_do() {
        let err = |flags| resolve(flags).unwrap_err();
        let any = "0.0.0.0:9092".parse().ok();
        assert!(err(Flags { listen: any, ..Flags::default() }).contains("--advertised-host"));
        assert!(err(Flags { cpus: Some("9".into()), ..Flags::default() }).contains("found 9"));
        assert!(err(Flags { memory: Some("1M".into()), ..Flags::default() }).contains("64 MiB"));
        assert!(err(Flags { memory: Some("lots".into()), ..Flags::default() }).contains("512M"));
        assert!(err(Flags { shards: Some(0), ..Flags::default() }).contains("expected 1"));
        let http = |text: &str| Flags { http_listen: Some(text.into()), ..Flags::default() };
        assert!(err(http("9644")).contains("127.0.0.1:9644"));
        assert!(err(Flags { node_id: Some(-1), ..Flags::default() }).contains("--node-id"));
        assert!(err(Flags { set: vec!["nope".into()], ..Flags::default() }).contains("KEY=VALUE"));
        assert!(err(Flags { set: vec!["a.b=1".into()], ..Flags::default() }).contains("a.b"));
    }
}
