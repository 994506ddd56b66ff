//! Starting shards, and what the rest of the process holds of them.
//!
//! Invariant: either all shards start or none serves: sockets are bound and rings made before
//! the first service is.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::buf::Pool;
use crate::bus::{self, Bus, Mailbox};
use crate::config::{Host, ListenOn, SHARDS_MAX, ShardConfig};
use crate::core::{Core, Limits, Listening, Parts};
use crate::helper::Helper;
use crate::probe::{self, Finding, Level};
use crate::service::{Service, ShardId};
use crate::turn::Shard;
use crate::uring::{Ring, RingConfig};
use crate::{host_bare, host_glommio};

/// Connections that wait to be accepted, per listener.
const LISTEN_BACKLOG: i32 = 1024;
/// How long a port may still be another's, and how often that is looked at.
const PREDECESSOR_WAIT_MAX: Duration = Duration::from_millis(500);
const PREDECESSOR_LOOK: Duration = Duration::from_millis(5);

/// Why the shards did not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration contradicts itself.
    Config(String),
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The machine lacks something; each finding says what to do.
    Unsuitable(Vec<Finding>),
    /// A shard's ring, memory or thread could not be made.
    Shard(ShardId, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(what) => write!(out, "configuration: {what}"),
            StartError::Listen(addr, error) => write!(
                out,
                "cannot listen on {addr}: {error}; choose another address or stop its owner"
            ),
            StartError::Unsuitable(findings) => {
                write!(out, "this machine cannot run shards:")?;
                findings.iter().try_for_each(|finding| write!(out, "\n  {finding}"))
            }
            StartError::Shard(shard, error) => write!(out, "shard {shard} cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Sends messages to shards from any thread.
pub struct Remote<M> {
    mailboxes: Arc<[Arc<Mailbox<M>>]>,
}

impl<M> Clone for Remote<M> {
    fn clone(&self) -> Self {
        Remote { mailboxes: self.mailboxes.clone() }
    }
}

impl<M: Send> Remote<M> {
    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// Sends a message; it arrives as one from the shard to itself.
    pub fn post(&self, to: ShardId, message: M) {
        self.mailboxes[to.index()].post(message);
    }

    /// Ends all loops after their current turn.
    pub fn stop(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.stop());
    }
}

/// The running shards.
pub struct Handle<M> {
    remote: Remote<M>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    local_addrs: Vec<SocketAddr>,
}

impl<M: Send> Handle<M> {
    /// A sender for other threads.
    pub fn remote(&self) -> Remote<M> {
        self.remote.clone()
    }

    /// Sends a message to a shard; it arrives as one from the shard to itself.
    pub fn post(&self, to: ShardId, message: M) {
        self.remote.post(to, message);
    }

    /// Ends all loops after their current turn.
    pub fn stop(&self) {
        self.remote.stop();
    }

    /// Where each listener of the configuration listens.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Waits until all shards have stopped, by [`Handle::stop`] or [`Core::stop`]. A ring that
    /// failed is an error; a shard that panicked is one too.
    pub fn join(self) -> io::Result<()> {
        let mut outcome = Ok(());
        for thread in self.threads {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a shard panicked")));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// What one shard's thread is given.
struct Seat<M> {
    id: ShardId,
    config: ShardConfig,
    bus: Bus<M>,
    mailbox: Arc<Mailbox<M>>,
    helper: Helper<M>,
    listening: Vec<Listening>,
}

/// Starts the shards. `make` makes the service of each, on its own thread.
pub fn run<S, F>(config: ShardConfig, make: F) -> Result<Handle<S::Message>, StartError>
where
    S: Service,
    F: Fn(ShardId) -> S + Send + Sync + 'static,
{
    check(&config)?;
    let unsuitable: Vec<_> =
        probe::kernel().into_iter().filter(|finding| finding.level == Level::Fatal).collect();
    if !unsuitable.is_empty() {
        return Err(StartError::Unsuitable(unsuitable));
    }
    let (mut listening, local_addrs) = listen(&config)?;
    let mailboxes = (0..config.shards).map(|_| Mailbox::new().map(Arc::new));
    let mailboxes: Arc<[_]> = mailboxes.collect::<Result<Vec<_>, _>>().map_err(first_shard)?.into();
    let make = Arc::new(make);
    let (told, reports) = channel();
    let (mut threads, mut gates) = (Vec::new(), Vec::new());
    for bus in bus::connect::<S::Message>(config.shards, config.lane_messages) {
        let id = bus.me();
        let mailbox = mailboxes[id.index()].clone();
        let helper = Helper::start(format!("ringlog-help-{id}"), mailbox.clone());
        let helper = helper.map_err(|error| StartError::Shard(id, error))?;
        let listening = std::mem::take(&mut listening[id.index()]);
        let seat = Seat { id, config: config.clone(), bus, mailbox, helper, listening };
        let (gate, opened) = channel();
        let (make, told) = (make.clone(), told.clone());
        let thread = std::thread::Builder::new()
            .name(format!("ringlog-shard-{id}"))
            .spawn(move || shard_thread(seat, &*make, &told, &opened))
            .map_err(|error| StartError::Shard(id, error))?;
        threads.push(thread);
        gates.push(gate);
    }
    drop(told);
    await_reports(&reports, config.shards)?;
    for gate in gates {
        // A thread that has gone since is noticed by `join`.
        let _ = gate.send(());
    }
    Ok(Handle { remote: Remote { mailboxes }, threads, local_addrs })
}

type Report = (ShardId, io::Result<()>);

fn first_shard(error: io::Error) -> StartError {
    StartError::Shard(ShardId(0), error)
}

fn await_reports(reports: &Receiver<Report>, shards: usize) -> Result<(), StartError> {
    for _ in 0..shards {
        match reports.recv() {
            Ok((_, Ok(()))) => {}
            Ok((id, Err(error))) => return Err(StartError::Shard(id, error)),
            Err(_) => return Err(first_shard(io::Error::other("a shard's thread died"))),
        }
    }
    Ok(())
}

fn check(config: &ShardConfig) -> Result<(), StartError> {
    let wrong = |what: &str| Err(StartError::Config(what.to_string()));
    if config.shards == 0 || config.shards > SHARDS_MAX {
        return wrong(&format!("shards must be 1 to {SHARDS_MAX}, not {}", config.shards));
    }
    if config.cpus.as_ref().is_some_and(Vec::is_empty) {
        return wrong("the list of cpus is empty; leave it out to pin nothing");
    }
    if !config.lane_messages.is_power_of_two() || !config.ring_entries.is_power_of_two() {
        return wrong("lane_messages and ring_entries must be powers of two");
    }
    let (large, small) = (config.receive_buffers, config.receive_small_buffers);
    if !large.is_power_of_two() || !small.is_power_of_two() || large > 16384 || small > 16384 {
        return wrong("receive buffers must be a power of two, at most 16384");
    }
    if config.receive_small_buffer_bytes == 0 || config.receive_buffer_bytes == 0 {
        return wrong("receive buffers must have bytes");
    }
    for listener in &config.listeners {
        match listener.on {
            ListenOn::Shard(id) if id.index() >= config.shards => {
                return wrong(&format!("{} is on shard {id}, which is not", listener.addr));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Binds all sockets: for each shard its own, and for each listener its address.
fn listen(config: &ShardConfig) -> Result<(Vec<Vec<Listening>>, Vec<SocketAddr>), StartError> {
    let mut sockets: Vec<Vec<Listening>> = (0..config.shards).map(|_| Vec::new()).collect();
    let mut addrs = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let shared = listener.on == ListenOn::EveryShard;
        let mut addr = listener.addr;
        if shared {
            // Shards share the port; another broker of the same user would share it unnoticed.
            bound(addr, false).map_err(|error| StartError::Listen(addr, error))?;
        }
        for (shard, own) in sockets.iter_mut().enumerate() {
            if !shared && listener.on != ListenOn::Shard(ShardId(shard as u16)) {
                continue;
            }
            let socket = bound(addr, shared).map_err(|error| StartError::Listen(addr, error))?;
            socket.listen(LISTEN_BACKLOG).map_err(|error| StartError::Listen(addr, error))?;
            let bound = socket.local_addr().ok().and_then(|bound| bound.as_socket());
            addr = bound.unwrap_or(addr);
            own.push(Listening { index, socket });
        }
        addrs.push(addr);
    }
    Ok((sockets, addrs))
}

fn bound(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Accepted connections inherit this.
    socket.set_tcp_nodelay(true)?;
    bind_when_free(&socket, addr)?;
    Ok(socket)
}

/// A predecessor that was killed listens for a moment more: its ring is taken apart after it.
fn bind_when_free(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    let until = Instant::now() + PREDECESSOR_WAIT_MAX;
    loop {
        match socket.bind(&addr.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(PREDECESSOR_LOOK);
            }
            done => return done,
        }
    }
}

fn shard_thread<S: Service>(
    seat: Seat<S::Message>,
    make: &(impl Fn(ShardId) -> S + Send + Sync),
    told: &Sender<Report>,
    opened: &Receiver<()>,
) -> io::Result<()> {
    let (id, host) = (seat.id, seat.config.host);
    pin(&seat.config, id);
    let core = match furnish(seat) {
        Ok(core) => core,
        Err(error) => {
            let _ = told.send((id, Err(error)));
            return Ok(());
        }
    };
    let _ = told.send((id, Ok(())));
    if opened.recv().is_err() {
        // Another shard failed to start.
        return Ok(());
    }
    let executor = match host {
        Host::Bare => None,
        Host::Glommio => host_glommio::make()
            .inspect_err(|why| tracing::warn!(shard = %id, "running on a plain thread: {why}"))
            .ok(),
    };
    let mut shard = Shard::new(make(id), core);
    shard.start();
    let ended = match &executor {
        Some(executor) => host_glommio::run(executor, &mut shard),
        None => host_bare::run(&mut shard),
    };
    if let Err(error) = &ended {
        tracing::error!(shard = %id, %error, "the shard's loop failed");
    }
    shard.finish();
    ended
}

fn pin(config: &ShardConfig, id: ShardId) {
    let Some(cpus) = &config.cpus else { return };
    let cpu = cpus[id.index() % cpus.len()];
    if !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        tracing::warn!(shard = %id, cpu, "the shard cannot be pinned to its cpu; it runs unpinned");
    }
}

fn furnish<M: Send + 'static>(seat: Seat<M>) -> io::Result<Core<M>> {
    let Seat { config, bus, mailbox, helper, listening, .. } = seat;
    let mut ring = Ring::new(RingConfig {
        entries: config.ring_entries,
        large: (config.receive_buffers, config.receive_buffer_bytes),
        small: (config.receive_small_buffers, config.receive_small_buffer_bytes),
    })?;
    let pool = Pool::new("chunks", config.memory)?;
    ring.register_pool(&pool, config.registered_bytes_max);
    bus.publish_ring(ring.duplicate_descriptor()?);
    let limits = Limits {
        connections_max: config.connections_max,
        small_buffer_bytes: config.receive_small_buffer_bytes,
        large_buffers: usize::from(config.receive_buffers),
        zero_copy: config.send_zero_copy,
        spin: config.spin,
    };
    Ok(Core::new(Parts { ring, bus, mailbox, helper, pool, listening, limits }))
}
