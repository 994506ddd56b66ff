//! One HTTP connection: a head comes in, one answer goes out, and it is over.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::request::{self, HEAD_BYTES_MAX, Page, Refusal, Response};

/// Longest that a request may take to arrive.
const READ_PATIENCE: Duration = Duration::from_secs(2);
/// Longest that an answer may take to leave; a page may have megabytes.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes that are read and thrown away behind a head, so that closing does not take the
/// answer back.
const DRAIN_BYTES_MAX: usize = 64 << 10;

/// What a connection needs next.
pub(super) enum Next {
    /// To be told when there is more.
    Wait,
    /// An answer.
    Answer(Result<Page, Refusal>),
    /// It has an answer to write.
    Write,
    /// Nothing.
    Close,
}

enum State {
    /// The head so far.
    Reading(Vec<u8>),
    /// Bytes of the answer that are out.
    Writing(Response, usize),
    /// Bytes thrown away since the answer is out.
    Draining(usize),
}

pub(super) struct Connection {
    stream: TcpStream,
    state: State,
    begun: Instant,
    deadline: Instant,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Instant) -> Connection {
        let state = State::Reading(Vec::new());
        Connection { stream, state, begun: now, deadline: now + READ_PATIENCE }
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes what has arrived.
    pub(super) fn read(&mut self) -> Next {
        let mut buffer = [0; 1024];
        loop {
            let most = match &self.state {
                State::Reading(head) => buffer.len().min(HEAD_BYTES_MAX - head.len()),
                State::Writing(..) => return Next::Write,
                State::Draining(_) => buffer.len(),
            };
            let count = match self.stream.read(&mut buffer[..most]) {
                Ok(0) => return Next::Close,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Next::Close,
            };
            match &mut self.state {
                State::Reading(head) => {
                    head.extend_from_slice(&buffer[..count]);
                    if let Some(asked) = request::parse(head) {
                        return Next::Answer(asked);
                    }
                }
                State::Draining(drained) => {
                    *drained += count;
                    if *drained > DRAIN_BYTES_MAX {
                        return Next::Close;
                    }
                }
                State::Writing(..) => unreachable!("nothing is read while an answer goes out"),
            }
        }
    }

    /// Has this to say.
    pub(super) fn answer(&mut self, response: Response, now: Instant) {
        self.state = State::Writing(response, 0);
        self.deadline = now + WRITE_PATIENCE;
    }

    /// Writes what the peer takes.
    pub(super) fn write(&mut self) -> Next {
        let State::Writing(response, written) = &mut self.state else { return Next::Wait };
        let head = response.head.len();
        loop {
            let rest = match written.checked_sub(head) {
                None => &response.head[*written..],
                Some(at) => &response.body.as_bytes()[at..],
            };
            if rest.is_empty() {
                break;
            }
            match self.stream.write(rest) {
                Ok(0) => return Next::Close,
                Ok(count) => *written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Next::Close,
            }
        }
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return Next::Close;
        }
        self.state = State::Draining(0);
        self.read()
    }
}
