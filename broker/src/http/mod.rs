//! The control thread: `/metrics`, `/health` and `/ready` over HTTP/1.1, one request a connection.
//!
//! Invariants: nothing that comes over HTTP costs a shard more than one snapshot in
//! [`SNAPSHOT_KEPT`]; a connection holds at most [`request::HEAD_BYTES_MAX`] of input, and the
//! page, which all that ask at the same time share; there are at most [`CONNECTIONS_MAX`], each
//! with an end in sight; when there is one more, the oldest gives way.

mod connection;
pub mod health;
pub mod request;
mod shards;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use ringlog_shard::{Remote, net};

use crate::config::Config;
use crate::message::Message;
use crate::serve::Clocks;
use connection::{Connection, Next};
use request::{Page, Response};
use shards::Shards;

/// Connections at once.
const CONNECTIONS_MAX: usize = 16;
/// How old the figures may be that one more request is answered with.
const SNAPSHOT_KEPT: Duration = Duration::from_millis(100);
/// How long accepting rests when it failed.
const ACCEPT_REST: Duration = Duration::from_millis(100);
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// The control thread. It ends when this is dropped.
pub struct Http {
    address: SocketAddr,
    remote: Arc<OnceLock<Remote<Message>>>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// Starts it as configured. Until [`Http::serve`] the broker is alive, but not ready.
///
/// # Errors
/// The address is not to be had, and the user had asked for it.
pub fn start(config: &Config, clocks: Clocks) -> Result<Option<Http>, String> {
    let Some(listen) = config.http_listen else { return Ok(None) };
    let address = listen.address;
    match Http::start(address, config.node_id, clocks) {
        Ok(http) => {
            tracing::info!(address = %http.address, "metrics, health and readiness over HTTP");
            Ok(Some(http))
        }
        Err(error) if listen.is_explicit => Err(format!(
            "--http-listen: cannot listen on {address}: {error}; choose another address, or none"
        )),
        Err(error) => {
            tracing::warn!(
                %address,
                %error,
                "no metrics: another program listens there; say --http-listen"
            );
            Ok(None)
        }
    }
}

impl Http {
    fn start(address: SocketAddr, node_id: i32, clocks: Clocks) -> io::Result<Http> {
        let listener = net::listen(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (remote, stop) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
        let control = Control {
            poll,
            listener,
            connections: (0..CONNECTIONS_MAX).map(|_| None).collect(),
            shards: Shards::new(remote.clone(), node_id, clocks),
            clocks,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("ringlog-control".into())
            .spawn(move || control.run())?;
        Ok(Http { address, remote, stop, waker, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The shards run: from now on they are asked.
    pub fn serve(&self, remote: Remote<Message>) {
        assert!(self.remote.set(remote).is_ok(), "the shards start once");
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let woken = self.waker.wake();
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            // A control thread that panicked has said so; the broker ends all the same.
            let _ = thread.join();
        }
    }
}

struct Control {
    poll: Poll,
    listener: mio::net::TcpListener,
    connections: Vec<Option<Connection>>,
    shards: Shards,
    clocks: Clocks,
    stop: Arc<AtomicBool>,
}

impl Control {
    fn run(mut self) {
        let mut events = Events::with_capacity(2 * CONNECTIONS_MAX);
        while !self.stop.load(Ordering::Acquire) {
            let now = (self.clocks.now)();
            let next = self.connections.iter().flatten().map(Connection::deadline).min();
            let wait = next.map(|at| at.saturating_duration_since(now));
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return tracing::error!(%error, "no more metrics: polling failed"),
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => {}
                    Token(at) => self.advance(at),
                }
            }
            let now = (self.clocks.now)();
            for slot in &mut self.connections {
                if slot.as_ref().is_some_and(|connection| connection.deadline() <= now) {
                    *slot = None;
                }
            }
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The peer left before it was taken in, or there are no descriptors: those that
                // wait are seen again with the next one that comes.
                Err(_) => return std::thread::sleep(ACCEPT_REST),
            }
        }
    }

    fn admit(&mut self, mut stream: mio::net::TcpStream) {
        let free = self.connections.iter().position(Option::is_none);
        let oldest = || {
            let ages = self.connections.iter().enumerate();
            ages.min_by_key(|(_, c)| c.as_ref().map(Connection::begun)).map_or(0, |(at, _)| at)
        };
        let at = free.unwrap_or_else(oldest);
        let both = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(at), both).is_err() {
            return;
        }
        self.connections[at] = Some(Connection::new(stream, (self.clocks.now)()));
        self.advance(at);
    }

    /// Goes on with a connection as far as it can.
    fn advance(&mut self, at: usize) {
        let now = (self.clocks.now)();
        let Some(connection) = self.connections.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        let next = match connection.read() {
            Next::Answer(asked) => {
                let response = match asked {
                    Ok(Page::Metrics) => self.shards.metrics(),
                    Ok(Page::Health) => self.shards.health(),
                    Ok(Page::Ready) => self.shards.ready(),
                    Err(refusal) => Response::refusal(refusal),
                };
                connection.answer(response, now);
                connection.write()
            }
            Next::Write => connection.write(),
            other => other,
        };
        if matches!(next, Next::Close) {
            self.connections[at] = None;
        }
    }
}
