//! Connections: an echo service driven over real sockets, on both hosts.

#![allow(clippy::disallowed_methods)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ringlog_shard::buf::{ReadBuf, Slice};
use ringlog_shard::{
    CloseReason, ConnId, Core, Handle, Host, ListenOn, ListenerConfig, Service, ShardConfig,
    ShardId, run,
};

/// First byte of a command; anything else is echoed.
const COMMAND_CLOSE: u8 = b'C';
const COMMAND_ABORT: u8 = b'A';
const COMMAND_BULK: u8 = b'B';
const COMMAND_PAUSE: u8 = b'P';

const BULK_SLICES: usize = 300;
const BULK_SLICE_BYTES: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    closed: AtomicUsize,
    drained: AtomicUsize,
    bytes: AtomicUsize,
}

struct Echo {
    counts: Arc<Counts>,
    bulk: Option<Slice>,
    paused: Vec<(ConnId, Instant)>,
    live: Vec<ConnId>,
}

impl Service for Echo {
    type Message = ();

    fn start(&mut self, core: &mut Core<()>) {
        let mut chunk = core.pool().take(BULK_SLICE_BYTES).unwrap();
        let bytes: Vec<u8> = (0..BULK_SLICE_BYTES).map(|at| at as u8).collect();
        chunk.append(&bytes);
        self.bulk = Some(chunk.slice(0..BULK_SLICE_BYTES));
    }

    fn accepted(&mut self, _: &mut Core<()>, conn: ConnId, at: usize, peer: SocketAddr) -> bool {
        assert_eq!(at, 0);
        assert!(peer.ip().is_loopback());
        assert!(!self.live.contains(&conn), "an id is used once");
        self.live.push(conn);
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn received(&mut self, core: &mut Core<()>, conn: ConnId, bytes: &[u8]) {
        assert!(self.live.contains(&conn), "bytes of a live connection");
        assert!(!self.paused.iter().any(|(paused, _)| *paused == conn), "nothing while paused");
        self.counts.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        match bytes[0] {
            COMMAND_CLOSE => {
                core.send(conn, b"bye");
                core.close(conn);
                core.send(conn, b"never");
            }
            COMMAND_ABORT => {
                for _ in 0..BULK_SLICES {
                    core.send_slice(conn, self.bulk.clone().unwrap());
                }
                core.abort(conn);
            }
            COMMAND_BULK => {
                for number in 0..BULK_SLICES {
                    core.send(conn, &(number as u32).to_be_bytes());
                    core.send_slice(conn, self.bulk.clone().unwrap());
                }
                assert_eq!(core.queued_bytes(conn), BULK_SLICES * (BULK_SLICE_BYTES + 4));
            }
            COMMAND_PAUSE => {
                core.pause(conn);
                self.paused.push((conn, core.now() + PAUSE));
                core.wake_at(Some(core.now() + PAUSE));
                core.send(conn, b"p");
            }
            _ => core.send(conn, bytes),
        }
    }

    fn drained(&mut self, core: &mut Core<()>, conn: ConnId) {
        assert_eq!(core.queued_bytes(conn), 0);
        self.counts.drained.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&mut self, core: &mut Core<()>, conn: ConnId, _: CloseReason) {
        let at = self.live.iter().position(|live| *live == conn);
        self.live.swap_remove(at.expect("closed once, and only if accepted"));
        core.send(conn, b"to nobody");
        core.resume(conn);
        core.close(conn);
        self.counts.closed.fetch_add(1, Ordering::Relaxed);
    }

    fn disk_done(&mut self, _: &mut Core<()>, _: u64, _: std::io::Result<u32>, _: Option<ReadBuf>) {
        unreachable!("no files here");
    }

    fn message(&mut self, _: &mut Core<()>, _: ShardId, (): ()) {}

    fn timer(&mut self, core: &mut Core<()>) {
        let now = core.now();
        let (over, rest): (Vec<_>, Vec<_>) = self.paused.drain(..).partition(|(_, at)| *at <= now);
        self.paused = rest;
        over.into_iter().for_each(|(conn, _)| core.resume(conn));
        core.wake_at(self.paused.iter().map(|(_, at)| *at).min());
    }

    fn turn_end(&mut self, _: &mut Core<()>) {}
}

fn serve(change: impl FnOnce(&mut ShardConfig)) -> (Handle<()>, Arc<Counts>, SocketAddr) {
    let addr = "127.0.0.1:0".parse().unwrap();
    let mut config = ShardConfig {
        listeners: vec![ListenerConfig { addr, on: ListenOn::Shard(ShardId(0)) }],
        memory: 16 << 20,
        host: Host::Bare,
        ..ShardConfig::default()
    };
    change(&mut config);
    let counts = Arc::new(Counts::default());
    let shared = counts.clone();
    let make =
        move |_| Echo { counts: shared.clone(), bulk: None, paused: Vec::new(), live: Vec::new() };
    let handle = run(config, make).unwrap();
    let addr = handle.local_addrs()[0];
    (handle, counts, addr)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut seen = vec![0; bytes.len()];
    stream.read_exact(&mut seen).unwrap();
    assert!(seen == bytes, "the bytes come back as they were sent");
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "{what} took too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn finish(handle: Handle<()>) {
    handle.stop();
    handle.join().unwrap();
}

fn echo_in_parts(host: Host) {
    let (handle, counts, addr) = serve(|config| config.host = host);
    let mut stream = connect(addr);
    for part in [&b"hello"[..], b", ", b"world"] {
        stream.write_all(part).unwrap();
        expect(&mut stream, part);
        std::thread::sleep(Duration::from_millis(3));
    }
    let large: Vec<u8> = (0..3 << 20).map(|at: usize| (at % 251) as u8 | 0x80).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = large.clone();
    let thread = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    expect(&mut stream, &large);
    thread.join().unwrap();
    drop(stream);
    wait_until("the close", || counts.closed.load(Ordering::Relaxed) == 1);
    assert!(counts.drained.load(Ordering::Relaxed) >= 4);
    finish(handle);
}

#[test]
fn bytes_come_back_on_the_bare_host() {
    echo_in_parts(Host::Bare);
}

#[test]
fn bytes_come_back_on_the_glommio_host() {
    echo_in_parts(Host::Glommio);
}

#[test]
fn closing_sends_what_was_queued_before() {
    let (handle, counts, addr) = serve(|_| {});
    let mut stream = connect(addr);
    stream.write_all(&[COMMAND_CLOSE]).unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, b"bye");
    wait_until("the close", || counts.closed.load(Ordering::Relaxed) == 1);
    finish(handle);
}

fn bulk_in_order(zero_copy: bool) {
    let (handle, _, addr) = serve(|config| config.send_zero_copy = zero_copy);
    let mut stream = connect(addr);
    stream.write_all(&[COMMAND_BULK]).unwrap();
    // The socket fills while nobody reads.
    std::thread::sleep(Duration::from_millis(30));
    let slice: Vec<u8> = (0..BULK_SLICE_BYTES).map(|at| at as u8).collect();
    for number in 0..BULK_SLICES {
        expect(&mut stream, &(number as u32).to_be_bytes());
        expect(&mut stream, &slice);
    }
    stream.write_all(b"more").unwrap();
    expect(&mut stream, b"more");
    finish(handle);
}

#[test]
fn copied_and_referenced_output_keeps_its_order() {
    bulk_in_order(false);
}

#[test]
fn zero_copy_output_keeps_its_order() {
    bulk_in_order(true);
}

#[test]
fn aborting_and_leaving_while_sends_are_in_flight_harms_nobody() {
    let (handle, counts, addr) = serve(|_| {});
    let rounds = 50;
    for round in 0..rounds {
        let mut aborted = connect(addr);
        aborted.write_all(&[COMMAND_ABORT]).unwrap();
        let mut left = connect(addr);
        left.write_all(&[COMMAND_BULK]).unwrap();
        if round % 2 == 0 {
            let mut seen = [0; 1000];
            left.read_exact(&mut seen).unwrap();
        }
        drop(left);
        let mut rest = Vec::new();
        if let Err(error) = aborted.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
    wait_until("the closes", || counts.closed.load(Ordering::Relaxed) == 2 * rounds);
    let mut stream = connect(addr);
    stream.write_all(b"still here").unwrap();
    expect(&mut stream, b"still here");
    // Stopping with a full socket must end too.
    let mut full = connect(addr);
    full.write_all(&[COMMAND_BULK]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    finish(handle);
}

#[test]
fn a_paused_connection_gets_its_bytes_later_and_in_order() {
    let (handle, counts, addr) = serve(|_| {});
    let mut stream = connect(addr);
    stream.write_all(&[COMMAND_PAUSE]).unwrap();
    expect(&mut stream, b"p");
    let begun = Instant::now();
    stream.write_all(b"first ").unwrap();
    std::thread::sleep(Duration::from_millis(5));
    stream.write_all(b"second").unwrap();
    expect(&mut stream, b"first second");
    assert!(begun.elapsed() >= PAUSE / 2, "nothing came back while paused");
    // The end of input is told after the bytes before it.
    stream.write_all(&[COMMAND_PAUSE]).unwrap();
    expect(&mut stream, b"p");
    stream.write_all(b"last").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until("the close", || counts.closed.load(Ordering::Relaxed) == 1);
    assert_eq!(counts.bytes.load(Ordering::Relaxed), 1 + 12 + 1 + 4);
    finish(handle);
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let (handle, counts, addr) = serve(|config| config.connections_max = 4);
    let mut kept: Vec<_> = (0..4).map(|_| connect(addr)).collect();
    for stream in &mut kept {
        stream.write_all(b"x").unwrap();
        expect(stream, b"x");
    }
    let mut seen = Vec::new();
    let ended = connect(addr).read_to_end(&mut seen);
    assert!(matches!(ended, Ok(0)) || ended.is_err());
    drop(kept.pop());
    wait_until("the close", || counts.closed.load(Ordering::Relaxed) == 1);
    let mut again = connect(addr);
    again.write_all(b"y").unwrap();
    expect(&mut again, b"y");
    finish(handle);
}

fn many(host: Host, connections: usize, change: impl FnOnce(&mut ShardConfig)) {
    let (handle, counts, addr) = serve(|config| {
        config.host = host;
        change(config);
    });
    let mut streams: Vec<_> = (0..connections).map(|_| connect(addr)).collect();
    let text: Vec<u8> = (0..9000_u32).map(|at| at as u8 | 0x80).collect();
    for _ in 0..3 {
        for stream in &mut streams {
            stream.write_all(&text).unwrap();
        }
        for stream in &mut streams {
            expect(stream, &text);
        }
    }
    drop(streams);
    wait_until("the closes", || counts.closed.load(Ordering::Relaxed) == connections);
    assert_eq!(counts.accepted.load(Ordering::Relaxed), connections);
    finish(handle);
}

#[test]
fn two_thousand_connections() {
    many(Host::Bare, 2000, |_| {});
}

#[test]
fn starved_connections_go_on_in_rotation() {
    many(Host::Bare, 200, |config| {
        config.receive_buffers = 2;
        config.receive_buffer_bytes = 8 << 10;
        config.receive_small_buffers = 1;
        config.receive_small_buffer_bytes = 256;
        config.ring_entries = 8;
    });
}

#[test]
fn many_connections_on_the_glommio_host() {
    many(Host::Glommio, 300, |_| {});
}

#[test]
fn an_address_in_use_is_a_clear_error() {
    let (handle, _, addr) = serve(|_| {});
    assert_in_use(addr, ListenOn::Shard(ShardId(0)));
    finish(handle);
}

/// What the shards of one program share, two programs do not.
#[test]
fn a_shared_port_is_not_shared_with_another_program() {
    let (handle, _, addr) = serve(|config| {
        config.shards = 2;
        config.listeners[0].on = ListenOn::EveryShard;
    });
    assert_in_use(addr, ListenOn::EveryShard);
    finish(handle);
}

fn assert_in_use(addr: SocketAddr, on: ListenOn) {
    let listeners = vec![ListenerConfig { addr, on }];
    let config = ShardConfig { listeners, host: Host::Bare, ..ShardConfig::default() };
    let make =
        |_| Echo { counts: Arc::default(), bulk: None, paused: Vec::new(), live: Vec::new() };
    let Err(error) = run(config, make) else { panic!("two listeners on one address") };
    assert!(error.to_string().contains("cannot listen on 127.0.0.1"), "{error}");
}
