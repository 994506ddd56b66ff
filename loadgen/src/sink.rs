//! A server that only takes in: it speaks the bare protocol, reads frames and answers them at once.
//!
//! It shows how much the client can send when nothing behind the socket costs anything, and it is
//! the other end in tests. One thread serves all connections.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use ringlog_wire::frame;

use crate::error::Error;

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 256 * 1024;
const HEAD_BYTES: usize = frame::SIZE_BYTES + size_of::<i32>();
const WAIT: Duration = Duration::from_millis(50);

/// A running sink; it ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Sink {
    /// Listens at `address` and serves on a thread of its own, on one processor if that is given.
    pub fn start(address: SocketAddr, cpu: Option<usize>) -> Result<Sink, Error> {
        let what = || format!("listen at {address}");
        let listener = TcpListener::bind(address).map_err(|error| Error::io(what(), error))?;
        let address = listener.local_addr().map_err(|error| Error::io(what(), error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            if let Some(cpu) = cpu {
                core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
            }
            serve(listener, &stopped).expect("polling a loopback socket does not fail")
        });
        Ok(Sink { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it; returns how many bytes it took in.
    pub fn stop(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().unwrap_or_default())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end();
    }
}

/// One connection: what is left of the frame that is being received, and its head.
struct Guest {
    stream: TcpStream,
    head: Vec<u8>,
    left: usize,
    answers: Vec<u8>,
}

fn serve(mut listener: TcpListener, stop: &AtomicBool) -> std::io::Result<u64> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut guests: HashMap<usize, Guest> = HashMap::new();
    let mut next = 0;
    let mut total = 0;
    let mut buffer = vec![0; READ_BYTES];
    while !stop.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(WAIT)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() != LISTENER {
                let index = event.token().0;
                if let Some(guest) = guests.get_mut(&index) {
                    match guest.step(&mut buffer) {
                        Ok(bytes) => total += bytes,
                        Err(_) => {
                            guests.remove(&index);
                        }
                    }
                }
                continue;
            }
            while let Ok((mut stream, _)) = listener.accept() {
                stream.set_nodelay(true)?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(next), interest)?;
                let (head, answers) = (Vec::new(), Vec::new());
                guests.insert(next, Guest { stream, head, left: 0, answers });
                next += 1;
            }
        }
    }
    Ok(total)
}

impl Guest {
    fn step(&mut self, buffer: &mut [u8]) -> std::io::Result<u64> {
        let mut total = 0;
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            total += read as u64;
            self.take(&buffer[..read])?;
            if read < buffer.len() {
                break;
            }
        }
        while !self.answers.is_empty() {
            match self.stream.write(&self.answers) {
                Ok(written) => drop(self.answers.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn take(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let missing = HEAD_BYTES - self.head.len();
                let (head, rest) = bytes.split_at(missing.min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                let Some(whole) = self.head.first_chunk::<HEAD_BYTES>() else { return Ok(()) };
                let size = frame::frame_size(whole, frame::FRAME_BYTES_MAX).ok().flatten();
                let size = size.filter(|size| *size > HEAD_BYTES);
                self.left = size.ok_or(ErrorKind::InvalidData)? - HEAD_BYTES;
            }
            let skipped = self.left.min(bytes.len());
            bytes = &bytes[skipped..];
            self.left -= skipped;
            if self.left == 0 {
                self.answers.extend_from_slice(&4_i32.to_be_bytes());
                self.answers.extend_from_slice(&self.head[frame::SIZE_BYTES..]);
                self.head.clear();
            }
        }
        Ok(())
    }
}
