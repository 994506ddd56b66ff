//! `cargo perf record`: a proxy between clients and a broker that keeps what they say, frame by
//! frame, as seeds for the fuzz targets (`wire/fuzz/corpus`).
//!
//! Start the broker on another loopback address than it advertises, so that clients come here:
//!
//! ```text
//! ringlog --listen 127.0.0.2:9092 --advertised-host 127.0.0.1 --shards 1
//! cargo perf record --listen 127.0.0.1:9092 --broker 127.0.0.2:9092 --into wire/fuzz/corpus
//! ```
//!
//! A request is kept as its frame's content; a response as the key and the version that it answers
//! (two bytes each), then its frame's content. The same content is kept once, whatever its
//! correlation id was.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::Failure;

/// Frames above this are passed on and not kept.
const KEPT_BYTES_MAX: usize = 2048;
/// What anybody may send.
const FRAME_BYTES_MAX: usize = 100 << 20;
/// Key, version, correlation id.
const PREFIX_BYTES: usize = 8;

/// Between whom.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where clients connect
    #[arg(long)]
    listen: SocketAddr,
    /// Where the broker listens
    #[arg(long)]
    broker: SocketAddr,
    /// The corpus: frames go to its folders `request` and `response`
    #[arg(long)]
    into: PathBuf,
}

/// What one connection's requests were, until they are answered: correlation id to key and version.
type Asked = Arc<Mutex<HashMap<[u8; 4], [u8; 4]>>>;

struct Recorder {
    into: PathBuf,
    seen: Mutex<HashSet<u64>>,
}

/// Runs until it is killed.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    for name in ["request", "response"] {
        fs::create_dir_all(arguments.into.join(name))?;
    }
    let into = arguments.into.clone();
    let recorder = Arc::new(Recorder { into, seen: Mutex::default() });
    for client in TcpListener::bind(arguments.listen)?.incoming() {
        let client = client?;
        let broker = TcpStream::connect(arguments.broker)?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let asked = Asked::default();
        let pairs = [(client.try_clone()?, broker.try_clone()?), (broker, client)];
        for (is_answer, (from, to)) in pairs.into_iter().enumerate() {
            let (recorder, asked) = (recorder.clone(), asked.clone());
            thread::spawn(move || {
                // Either side may end the connection whenever it likes.
                let _ = recorder.pass_on(from, &to, &asked, is_answer == 1);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    }
    Ok(())
}

impl Recorder {
    fn pass_on(
        &self,
        mut from: TcpStream,
        mut to: &TcpStream,
        asked: &Asked,
        is_answer: bool,
    ) -> io::Result<()> {
        loop {
            let mut size = [0; 4];
            from.read_exact(&mut size)?;
            let bytes = u32::from_be_bytes(size) as usize;
            if bytes > FRAME_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut content = vec![0; bytes];
            from.read_exact(&mut content)?;
            self.keep(&content, asked, is_answer)?;
            to.write_all(&[&size[..], &content].concat())?;
        }
    }

    fn keep(&self, content: &[u8], asked: &Asked, is_answer: bool) -> io::Result<()> {
        let mut asked = asked.lock().expect("no thread panics while it holds this");
        if is_answer {
            let Some((id, rest)) = content.split_first_chunk::<4>() else { return Ok(()) };
            let Some(head) = asked.remove(id) else { return Ok(()) };
            self.write("response", &[&head[..], &[0; 4], rest].concat())
        } else {
            let Some((prefix, rest)) = content.split_first_chunk::<PREFIX_BYTES>() else {
                return Ok(());
            };
            let [head @ .., a, b, c, d] = *prefix;
            asked.insert([a, b, c, d], head);
            self.write("request", &[&head[..], &[0; 4], rest].concat())
        }
    }

    fn write(&self, folder: &str, input: &[u8]) -> io::Result<()> {
        // FNV-1a.
        let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let is_new = self.seen.lock().expect("no thread panics while it holds this").insert(hash);
        if !is_new || input.len() > KEPT_BYTES_MAX {
            return Ok(());
        }
        let path = self.into.join(folder).join(format!("{hash:016x}"));
        fs::write(path, input)
    }
}
