//! A real broker in this process, and a client that speaks to it over TCP.
//!
//! Every wait has an end: a client whose answer does not come within [`PATIENCE`] fails its test.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::disallowed_methods, reason = "a test stands outside: it has a clock and sockets")]

pub mod client;
pub mod exposition;
pub mod oracle;
pub mod records;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ringlog_broker::config::{Advertise, Config, Executor, Flags, Machine};
use ringlog_broker::message::Message;
use ringlog_broker::serve::{self, Clocks, Server};
use ringlog_shard::ShardId;

pub use client::Client;

/// Longest that anything may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A directory of its own for a test, removed at the end.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// A path where nothing is.
    pub fn fresh() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ringlog-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        Dir::at(std::env::temp_dir().join(name))
    }

    /// This path, emptied.
    pub fn at(path: PathBuf) -> Dir {
        let _ = std::fs::remove_dir_all(&path);
        Dir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Every file below, as a path relative to the directory, with its size; sorted.
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        collect(&self.0, &self.0, &mut found);
        found.sort();
        found
    }
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<(String, u64)>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            found.push((name, path.metadata().map_or(0, |metadata| metadata.len())));
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a broker is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    pub shards: usize,
    pub advertise: Advertise,
    pub executor: Executor,
    pub memory: &'static str,
    pub set: Vec<&'static str>,
    pub http: &'static str,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            shards: 1,
            advertise: Advertise::Node,
            executor: Executor::Bare,
            memory: "64M",
            set: Vec::new(),
            http: "none",
        }
    }
}

impl Options {
    /// Two shards, told to clients in this way.
    pub fn two_shards(advertise: Advertise) -> Options {
        Options { shards: 2, advertise, ..Options::default() }
    }
}

/// A broker that serves until it is dropped.
pub struct Broker {
    server: Option<Server>,
    dir: Option<Dir>,
    pub options: Options,
    pub config: Config,
}

impl Broker {
    /// One shard on a new directory.
    pub fn start() -> Broker {
        Broker::start_with(Options::default())
    }

    /// On a new directory.
    pub fn start_with(options: Options) -> Broker {
        Broker::start_on(Dir::fresh(), options)
    }

    /// On that directory.
    pub fn start_on(dir: Dir, options: Options) -> Broker {
        for _ in 0..20 {
            let config = resolve(dir.path(), &options);
            match serve::start(config.clone(), clocks()) {
                Ok(server) => {
                    return Broker { server: Some(server), dir: Some(dir), options, config };
                }
                // Another test took the port in between.
                Err(why) if why.contains("cannot listen") => {}
                Err(why) => panic!("the broker does not start: {why}"),
            }
        }
        panic!("no free ports");
    }

    /// Why no broker starts on that directory.
    pub fn refusal(path: &Path) -> String {
        match serve::start(resolve(path, &Options::default()), clocks()) {
            Ok(_) => panic!("a broker starts on {}", path.display()),
            Err(why) => why,
        }
    }

    /// Why no broker starts so.
    pub fn refusal_of(options: &Options) -> String {
        let dir = Dir::fresh();
        match serve::start(resolve(dir.path(), options), clocks()) {
            Ok(_) => panic!("a broker starts with {options:?}"),
            Err(why) => why,
        }
    }

    pub fn dir(&self) -> &Dir {
        self.dir.as_ref().expect("it runs")
    }

    /// Where shard `shard` listens.
    pub fn address(&self, shard: usize) -> SocketAddr {
        self.config.listen_of(shard)
    }

    /// Where its metrics are; it must have been started with an address for them.
    pub fn http(&self) -> SocketAddr {
        let server = self.server.as_ref().expect("it runs");
        server.http_address().expect("it listens")
    }

    /// A client of the first shard (with one port for all shards: of any).
    pub fn client(&self) -> Client {
        Client::connect(self.address(0))
    }

    /// Stops in order, and gives the directory back.
    pub fn stop(mut self) -> Dir {
        self.end().expect("a clean stop");
        self.dir.take().expect("it ran")
    }

    /// Stops, and starts on the same directory.
    pub fn restart(self) -> Broker {
        let options = self.options.clone();
        Broker::start_on(self.stop(), options)
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(server) = self.server.take() else { return Ok(()) };
        let remote = server.remote();
        for shard in 0..self.options.shards {
            remote.post(ShardId(shard as u16), Message::Stop);
        }
        server.wait()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let ended = self.end();
        if !std::thread::panicking() {
            ended.expect("no shard died, and the stop was clean");
        }
    }
}

fn resolve(path: &Path, options: &Options) -> Config {
    let flags = Flags {
        data_dir: Some(path.to_path_buf()),
        listen: Some(free_ports(options.shards)),
        shards: Some(options.shards),
        cpus: Some("none".into()),
        advertise: Some(options.advertise),
        http_listen: Some(options.http.into()),
        memory: Some(options.memory.into()),
        executor: Some(options.executor),
        set: options.set.iter().map(|line| line.to_string()).collect(),
        ..Flags::default()
    };
    let machine = Machine { cpus: vec![0, 1], memory_bytes: 1 << 30 };
    Config::resolve(flags, Flags::default(), &machine).expect("a good configuration")
}

fn clocks() -> Clocks {
    Clocks { wall_ms: now_ms, now: Instant::now }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    since.as_millis() as i64
}

/// The first of `count` ports in a row that nobody listens on, below those the system gives out.
fn free_ports(count: usize) -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let step = NEXT.fetch_add(count as u32, Ordering::Relaxed);
        let base = 12_000 + ((std::process::id() * 97 + step) % 20_000) as u16;
        let address = |port: usize| SocketAddr::from(([127, 0, 0, 1], base + port as u16));
        let held: Result<Vec<_>, _> =
            (0..count).map(|port| TcpListener::bind(address(port))).collect();
        if held.is_ok() {
            return address(0);
        }
    }
    panic!("no free ports");
}

/// Waits until `check` gives something.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}
