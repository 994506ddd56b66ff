//! One non-blocking connection: frames in, gathered writes out. It knows nothing of requests.
//!
//! Invariants: a frame is handed over whole and once; no frame is larger than `FRAME_BYTES_MAX`,
//! and the receive buffer never grows past what one frame needs. Polling is edge-triggered, so
//! every call goes on until the socket would block or a read comes up short; once the poll has said
//! that the peer sends no more, a short read is not the end, for nothing would tell of it again.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream as BlockingStream;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use ringlog_wire::frame;

use crate::error::Error;

/// The largest answer that is accepted: what a client may ask for with --fetch-max-bytes.
pub const FRAME_BYTES_MAX: u32 = i32::MAX as u32;
/// How many slices one write gathers.
pub const SLICES_MAX: usize = 128;

const RECEIVE_BYTES_MIN: usize = 64 * 1024;

/// What the poll says of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// There is something to receive, be it the end.
    pub readable: bool,
    /// Writing may make progress again.
    pub writable: bool,
    /// The peer sends no more than what is there.
    pub ended: bool,
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Readiness {
        let ended = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || ended;
        Readiness { readable, writable: event.is_writable(), ended }
    }
}

/// One connection to a broker.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: String,
    incoming: Vec<u8>,
    start: usize,
    filled: usize,
    is_writable: bool,
    has_ended: bool,
}

impl Connection {
    /// Takes over a connected stream and registers it with the poll.
    pub fn new(
        stream: BlockingStream,
        peer: &str,
        registry: &Registry,
        token: Token,
    ) -> Result<Connection, Error> {
        let what = || format!("prepare the connection to {peer}");
        stream.set_nonblocking(true).map_err(|error| Error::io(what(), error))?;
        let mut stream = TcpStream::from_std(stream);
        registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| Error::io(what(), error))?;
        Ok(Connection {
            stream,
            peer: peer.to_owned(),
            incoming: vec![0; RECEIVE_BYTES_MIN],
            start: 0,
            filled: 0,
            is_writable: true,
            has_ended: false,
        })
    }

    /// The address at the other end, as it was given.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether writing may make progress.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// The poll has said this.
    pub fn note(&mut self, ready: Readiness) {
        self.is_writable |= ready.writable;
        self.has_ended |= ready.ended;
    }

    /// Writes as much as the socket takes at once, and says how much.
    pub fn send(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        assert!(!slices.is_empty(), "there is something to send");
        loop {
            return match self.stream.write_vectored(slices) {
                Ok(written) => Ok(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_writable = false;
                    Ok(0)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(Error::io(format!("send to {}", self.peer), error)),
            };
        }
    }

    /// Receives what there is and hands over each whole frame, without its size.
    pub fn receive(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            self.make_room()?;
            let room = self.incoming.len() - self.filled;
            match self.stream.read(&mut self.incoming[self.filled..]) {
                Ok(0) => return Err(self.closed()),
                Ok(read) => {
                    self.filled += read;
                    self.deliver(&mut each)?;
                    if read < room && !self.has_ended {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(format!("receive from {}", self.peer), error)),
            }
        }
    }

    fn closed(&self) -> Error {
        let error = io::Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection");
        Error::io(format!("receive from {}", self.peer), error)
    }

    fn deliver(&mut self, each: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        while let Some(size) = self.next_size()? {
            if self.filled - self.start < size {
                break;
            }
            each(&self.incoming[self.start + frame::SIZE_BYTES..self.start + size])?;
            self.start += size;
        }
        if self.start == self.filled {
            (self.start, self.filled) = (0, 0);
        }
        Ok(())
    }

    fn next_size(&self) -> Result<Option<usize>, Error> {
        frame::frame_size(&self.incoming[self.start..self.filled], FRAME_BYTES_MAX)
            .map_err(|error| Error::protocol(format!("{} sent a frame: {error}", self.peer)))
    }

    /// Makes room to read into: the whole of the frame that has begun, if it is known.
    fn make_room(&mut self) -> Result<(), Error> {
        let size = self.next_size()?.unwrap_or(frame::SIZE_BYTES);
        if self.start + size > self.incoming.len() || self.filled == self.incoming.len() {
            self.incoming.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        if size > self.incoming.len() {
            self.incoming.resize(size.next_multiple_of(RECEIVE_BYTES_MIN), 0);
        }
        assert!(self.filled < self.incoming.len(), "there is room to read into");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn an_end_that_comes_with_the_last_frame_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = BlockingStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut poll = Poll::new().unwrap();
        let mut connection = Connection::new(stream, "it", poll.registry(), Token(0)).unwrap();
        peer.write_all(&[0, 0, 0, 4, 1, 2, 3, 4]).unwrap();
        drop(peer);
        let (mut frames, mut events) = (Vec::new(), Events::with_capacity(8));
        let until = Instant::now() + Duration::from_secs(5);
        let end = loop {
            assert!(Instant::now() < until, "the end goes unseen");
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            let Some(event) = events.iter().next() else { continue };
            connection.note(Readiness::from(event));
            let received = connection.receive(|content| {
                frames.push(content.to_vec());
                Ok(())
            });
            if let Err(error) = received {
                break error;
            }
        };
        assert_eq!(frames, [[1, 2, 3, 4]]);
        assert!(end.is_connection_loss(), "{end}");
    }
}
