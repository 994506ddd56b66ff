//! The ceiling: the least a broker can do on this substrate, to compare brokers with.
//!
//! It speaks the bare protocol (`ringlog-loadgen produce --bare`): a request is `size i32`,
//! `correlation id i32` and record batches; each batch is checked, walked, copied once into an
//! aligned chunk and written with O_DIRECT; the answer (`size i32`, `correlation id i32`) leaves
//! when all its batches are written. With `--fetch BYTES` it answers each request at once with
//! that many bytes from memory instead.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods)]

mod store;
mod walk;

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use ringlog_shard::buf::{CHUNK_BYTES_MAX, Pool, Slice};
use ringlog_shard::uring::{Completion, Group, OutPiece, Ring, RingConfig, SendBatch, Wait};

use store::{Store, Waiter};

const USAGE: &str = "usage: ceiling --listen ADDR:PORT --cpu N --dir PATH [--fetch BYTES] \
                     [--memory BYTES] [--registered BYTES] [--buffers N] [--spin-us N]";

/// Bytes before a request's batches.
const HEAD_BYTES: usize = 8;

/// A frame larger than this is a mistake of the client.
const FRAME_BYTES_MAX: usize = 64 << 20;

struct Options {
    listen: String,
    cpu: Option<usize>,
    dir: String,
    fetch: Option<usize>,
    memory: usize,
    registered: usize,
    buffers: u16,
    spin: Duration,
}

fn options() -> Option<Options> {
    let mut options = Options {
        listen: "127.0.0.1:9100".into(),
        cpu: None,
        dir: "ceiling-data".into(),
        fetch: None,
        memory: 64 << 20,
        registered: 64 << 20,
        buffers: 16,
        spin: Duration::from_micros(30),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--listen" => options.listen = value,
            "--cpu" => options.cpu = Some(value.parse().ok()?),
            "--dir" => options.dir = value,
            "--fetch" => options.fetch = Some(value.parse().ok()?),
            "--memory" => options.memory = value.parse().ok()?,
            "--registered" => options.registered = value.parse().ok()?,
            "--buffers" => options.buffers = value.parse().ok()?,
            "--spin-us" => options.spin = Duration::from_micros(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(options)
}

struct Request {
    correlation_id: [u8; 4],
    writes_left: usize,
}

/// A connection. Those that ended stay in the table: the server serves one measurement.
struct Conn {
    fd: OwnedFd,
    open: bool,
    /// The start of a frame whose rest has not come.
    partial: Vec<u8>,
    requests: VecDeque<Request>,
    /// The number of the oldest request.
    first_request: u64,
    out: Vec<OutPiece>,
    sending: bool,
}

struct Server {
    ring: Ring,
    pool: Pool,
    store: Store,
    conns: Vec<Conn>,
    done: VecDeque<Waiter>,
    fetch: Option<Vec<Slice>>,
}

impl Server {
    /// Takes in bytes of a connection; `None` when they are not of the protocol.
    fn take_in(&mut self, conn: u64, mut bytes: &[u8]) -> Option<()> {
        let mut partial = std::mem::take(&mut self.conns[conn as usize].partial);
        while !partial.is_empty() && !bytes.is_empty() {
            let wanted = frame_bytes(&partial)?.unwrap_or(HEAD_BYTES);
            let (now, later) = bytes.split_at(bytes.len().min(wanted - partial.len()));
            partial.extend_from_slice(now);
            bytes = later;
            if frame_bytes(&partial)? == Some(partial.len()) {
                self.frame(conn, &partial)?;
                partial.clear();
            }
        }
        while let Some(size) = frame_bytes(bytes)? {
            let Some((frame, rest)) = bytes.split_at_checked(size) else { break };
            self.frame(conn, frame)?;
            bytes = rest;
        }
        partial.extend_from_slice(bytes);
        self.conns[conn as usize].partial = partial;
        Some(())
    }

    fn frame(&mut self, conn: u64, frame: &[u8]) -> Option<()> {
        let correlation_id: [u8; 4] = frame.get(4..HEAD_BYTES)?.try_into().ok()?;
        let entry = &mut self.conns[conn as usize];
        if let Some(slices) = &self.fetch {
            let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
            let mut head = ((bytes + 4) as i32).to_be_bytes().to_vec();
            head.extend_from_slice(&correlation_id);
            entry.out.push(OutPiece::Bytes(head));
            entry.out.extend(slices.iter().cloned().map(OutPiece::Slice));
            return Some(());
        }
        let number = entry.first_request + entry.requests.len() as u64;
        let mut rest = &frame[HEAD_BYTES..];
        let mut writes_left = 0;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(walk::batch_bytes(rest)?);
            walk::check(batch)?;
            let waiter = (conn, number);
            writes_left += self.store.append(&mut self.ring, &mut self.pool, batch, waiter);
            rest = after;
        }
        entry.requests.push_back(Request { correlation_id, writes_left });
        Some(())
    }

    /// Answers requests all of whose batches are written, in order.
    fn answer(&mut self) {
        while let Some((conn, number)) = self.done.pop_front() {
            let conn = &mut self.conns[conn as usize];
            let at = (number - conn.first_request) as usize;
            conn.requests[at].writes_left -= 1;
            while let Some(first) = conn.requests.front()
                && first.writes_left == 0
            {
                let mut answer = 4_i32.to_be_bytes().to_vec();
                answer.extend_from_slice(&first.correlation_id);
                match conn.out.last_mut() {
                    Some(OutPiece::Bytes(last)) => last.extend_from_slice(&answer),
                    _ => conn.out.push(OutPiece::Bytes(answer)),
                }
                conn.requests.pop_front();
                conn.first_request += 1;
            }
        }
    }

    fn send(&mut self) {
        for (key, conn) in self.conns.iter_mut().enumerate() {
            if conn.open && !conn.sending && !conn.out.is_empty() {
                let mut batch = Box::<SendBatch>::default();
                batch.fill(&mut conn.out);
                conn.sending = true;
                self.ring.send(key as u64, conn.fd.as_raw_fd(), batch, false);
            }
        }
    }

    fn complete(&mut self, completion: Completion, listener: &TcpListener) {
        match completion {
            Completion::Received { conn, result, more } => {
                let taken = match result {
                    Ok(Some(buffer)) => {
                        let taken = self.take_in(conn, &buffer);
                        self.ring.recycle(buffer);
                        taken
                    }
                    Ok(None) => None,
                    Err(error) => (error.raw_os_error() == Some(libc::ENOBUFS)).then_some(()),
                };
                let entry = &mut self.conns[conn as usize];
                if taken.is_none() && entry.open {
                    entry.open = false;
                    // What is still in flight fails; the measurement is over.
                    self.ring.cancel_all_of(entry.fd.as_raw_fd());
                }
                if !more && entry.open {
                    self.ring.receive(conn, entry.fd.as_raw_fd(), Group::Large);
                }
            }
            Completion::Sent { conn, result, batch } => {
                let conn = &mut self.conns[conn as usize];
                conn.sending = false;
                let unsent = batch.map_or(0, |batch| batch.bytes()) - result.unwrap_or(0);
                assert!(unsent == 0 || !conn.open, "a blocking send is whole");
            }
            Completion::Disk { token, result, .. } => {
                self.store.done(token, result, &mut self.done);
            }
            Completion::Accepted { result, .. } => {
                if let Ok(fd) = result {
                    self.admit(fd);
                }
                self.ring.accept(0, listener.as_raw_fd());
            }
            _ => {}
        }
    }

    fn admit(&mut self, fd: OwnedFd) {
        let socket = socket2::Socket::from(fd);
        let _ = socket.set_tcp_nodelay(true);
        let key = self.conns.len() as u64;
        self.ring.receive(key, socket.as_raw_fd(), Group::Large);
        self.conns.push(Conn {
            fd: socket.into(),
            open: true,
            partial: Vec::new(),
            requests: VecDeque::new(),
            first_request: 0,
            out: Vec::new(),
            sending: false,
        });
    }
}

/// Bytes of the frame that begins here; `Some(None)` while its size has not come.
fn frame_bytes(bytes: &[u8]) -> Option<Option<usize>> {
    let Some(size) = walk::i32_at(bytes, 0) else { return Some(None) };
    let size = 4 + usize::try_from(size).ok()?;
    (HEAD_BYTES..=FRAME_BYTES_MAX).contains(&size).then_some(Some(size))
}

/// Bytes to answer with in `--fetch`, from one chunk that stays in memory.
fn hot_bytes(pool: &mut Pool, bytes: usize) -> Vec<Slice> {
    let mut chunk = pool.take(CHUNK_BYTES_MAX).expect("an empty pool has a chunk");
    chunk.append(&vec![b'x'; CHUNK_BYTES_MAX]);
    let whole = std::iter::repeat_n(CHUNK_BYTES_MAX, bytes / CHUNK_BYTES_MAX);
    let rest = Some(bytes % CHUNK_BYTES_MAX).filter(|rest| *rest > 0);
    whole.chain(rest).map(|bytes| chunk.slice(0..bytes)).collect()
}

fn serve(options: &Options) -> io::Result<()> {
    if let Some(id) = options.cpu {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
    let listener = TcpListener::bind(&options.listen)?;
    let large = (options.buffers, 256 << 10);
    let mut ring = Ring::new(RingConfig { entries: 1024, large, small: (1, 4096) })?;
    let mut pool = Pool::new("chunks", options.memory)?;
    ring.register_pool(&pool, options.registered);
    ring.accept(0, listener.as_raw_fd());
    let fetch = options.fetch.map(|bytes| hot_bytes(&mut pool, bytes));
    let store = Store::open(&options.dir)?;
    let (conns, done) = (Vec::new(), VecDeque::new());
    let mut server = Server { ring, pool, store, conns, done, fetch };
    println!("listening on {}", listener.local_addr()?);
    let mut raw = Vec::new();
    loop {
        server.ring.reap(&mut raw);
        if raw.is_empty() && !spin(&mut server.ring, options.spin) {
            server.ring.submit(Wait::Forever)?;
            continue;
        }
        for entry in raw.drain(..) {
            if let Some(completion) = server.ring.interpret(entry) {
                server.complete(completion, &listener);
            }
        }
        server.store.flush(&mut server.ring);
        server.answer();
        server.send();
        if server.ring.needs_submit() {
            server.ring.submit(Wait::No)?;
        }
    }
}

fn spin(ring: &mut Ring, limit: Duration) -> bool {
    let begun = Instant::now();
    loop {
        for _ in 0..32 {
            if ring.has_completions() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begun.elapsed() >= limit {
            return false;
        }
    }
}

fn main() -> io::Result<()> {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    serve(&options)
}
