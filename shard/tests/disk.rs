//! Files through the ring: direct writes at depth, reads, syncs, errors.

#![allow(clippy::disallowed_methods)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ringlog_shard::buf::{CHUNK_SIZES, ReadBuf};
use ringlog_shard::fs::{DataDir, File, OpenMode};
use ringlog_shard::{CloseReason, ConnId, Core, Host, Service, ShardConfig, ShardId, run};

const CHUNK_BYTES: usize = CHUNK_SIZES[1];
const WRITES: u64 = 32;

const ALLOCATE: u64 = 1000;
const SYNC: u64 = 1001;
const READ: u64 = 2000;
const BAD: u64 = 3000;
const TAIL: u64 = 4000;

fn fill(number: u64) -> Vec<u8> {
    (0..CHUNK_BYTES as u64)
        .map(|at| (at.wrapping_mul(31) ^ number.wrapping_mul(97)) as u8)
        .collect()
}

/// allocate → write all at once → sync → read all and one past the end → a bad write → done
struct Writer {
    path: PathBuf,
    file: Option<File>,
    read_only: Option<File>,
    left: u64,
    done: Sender<()>,
}

impl Writer {
    fn write_all(&mut self, core: &mut Core<()>) {
        let file = self.file.clone().unwrap();
        for number in 0..WRITES {
            let mut chunk = core.pool().take(CHUNK_BYTES).expect("within the budget");
            chunk.append(&fill(number));
            core.write(&file, number * CHUNK_BYTES as u64, chunk.write(0..CHUNK_BYTES), number);
        }
        self.left = WRITES;
    }

    fn read_all(&mut self, core: &mut Core<()>) {
        let file = self.file.clone().unwrap();
        for number in 0..=WRITES {
            let buf = core.pool().read_buf(CHUNK_BYTES).expect("within the budget");
            core.read(&file, number * CHUNK_BYTES as u64, buf, READ + number);
        }
        self.left = WRITES + 1;
    }
}

impl Service for Writer {
    type Message = ();

    fn start(&mut self, core: &mut Core<()>) {
        let file = File::open_direct(&self.path, OpenMode::CreateNew).unwrap();
        core.allocate(&file, 0, WRITES * CHUNK_BYTES as u64, ALLOCATE);
        self.read_only = Some(File::open_direct(&self.path, OpenMode::Read).unwrap());
        self.file = Some(file);
    }

    fn accepted(&mut self, _: &mut Core<()>, _: ConnId, _: usize, _: SocketAddr) -> bool {
        false
    }

    fn received(&mut self, _: &mut Core<()>, _: ConnId, _: &[u8]) {}

    fn drained(&mut self, _: &mut Core<()>, _: ConnId) {}

    fn closed(&mut self, _: &mut Core<()>, _: ConnId, _: CloseReason) {}

    fn disk_done(
        &mut self,
        core: &mut Core<()>,
        token: u64,
        result: io::Result<u32>,
        read: Option<ReadBuf>,
    ) {
        match token {
            ALLOCATE => {
                assert_eq!(result.unwrap(), 0);
                self.write_all(core);
            }
            SYNC => {
                assert_eq!(result.unwrap(), 0);
                assert_eq!(core.pool().used_bytes(), 0, "written chunks are back");
                self.read_all(core);
            }
            BAD => {
                assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EBADF));
                let mut chunk = core.pool().take(CHUNK_BYTES).unwrap();
                chunk.append(b"tail");
                let file = self.file.clone().unwrap();
                core.write(&file, 0, chunk.write(0..4096), TAIL);
            }
            TAIL => {
                assert_eq!(result.unwrap(), 4096);
                self.done.send(()).unwrap();
                core.stop();
            }
            READ.. => {
                let (number, read) = (token - READ, read.unwrap());
                let expected = if number == WRITES { Vec::new() } else { fill(number) };
                assert_eq!(result.unwrap() as usize, expected.len());
                assert!(*read == expected[..]);
                assert!(*read.freeze() == expected[..]);
                self.left -= 1;
                if self.left == 0 {
                    let mut chunk = core.pool().take(CHUNK_BYTES).unwrap();
                    chunk.append(b"refused");
                    let file = self.read_only.clone().unwrap();
                    core.write(&file, 0, chunk.write(0..4096), BAD);
                }
            }
            _ => {
                assert_eq!(result.unwrap() as usize, CHUNK_BYTES);
                self.left -= 1;
                if self.left == 0 {
                    core.sync(&self.file.clone().unwrap(), SYNC);
                }
            }
        }
    }

    fn message(&mut self, _: &mut Core<()>, _: ShardId, (): ()) {}

    fn timer(&mut self, _: &mut Core<()>) {}

    fn turn_end(&mut self, _: &mut Core<()>) {}
}

fn round_trip(name: &str, change: impl FnOnce(&mut ShardConfig)) {
    let path = format!("{}/disk-{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let dir = DataDir::create(path).unwrap();
    let mut config = ShardConfig { memory: 4 << 20, host: Host::Bare, ..ShardConfig::default() };
    change(&mut config);
    let (done, ended) = channel();
    let path = dir.path("log");
    let make = move |_| Writer {
        path: path.clone(),
        file: None,
        read_only: None,
        left: 0,
        done: done.clone(),
    };
    let handle = run(config, make).unwrap();
    let outcome = ended.recv_timeout(Duration::from_secs(30));
    handle.join().unwrap();
    outcome.unwrap();
    let bytes = dir.read_file("log").unwrap();
    assert_eq!(bytes.len() as u64, WRITES * CHUNK_BYTES as u64);
    assert_eq!(bytes[..4], *b"tail");
    assert!(bytes[4..4096].iter().all(|byte| *byte == 0), "the tail block is padded");
    assert!(bytes[4096..CHUNK_BYTES] == fill(0)[4096..]);
    assert!(bytes[CHUNK_BYTES..2 * CHUNK_BYTES] == fill(1));
    std::fs::remove_dir_all(dir.root()).unwrap();
}

#[test]
fn what_is_written_is_read() {
    round_trip("bare", |_| {});
}

#[test]
fn what_is_written_is_read_with_a_short_queue_and_unregistered_memory() {
    round_trip("short", |config| (config.ring_entries, config.registered_bytes_max) = (4, 0));
}

#[test]
fn what_is_written_is_read_on_the_glommio_host() {
    round_trip("glommio", |config| config.host = Host::Glommio);
}
