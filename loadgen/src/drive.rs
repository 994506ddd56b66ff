//! The loop of the one thread: wait for sockets, step the engine, show the live line.
//!
//! An engine that names a time for its next step less than `SPIN` ahead is polled without sleeping:
//! the poll's own resolution is a millisecond, and an open loop must not be late by that.

use std::io::{ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::error::Error;

/// The longest sleep: deadlines and backoffs are looked at this often.
pub const TICK: Duration = Duration::from_millis(10);

const SPIN: Duration = Duration::from_micros(1_500);
const EVENTS_MAX: usize = 1024;
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// A workload that is stepped by the loop.
pub trait Engine {
    /// Connection `index` can be read or written.
    fn ready(&mut self, index: usize, readable: bool, writable: bool) -> Result<(), Error>;
    /// Time has passed; returns when it wants the next step, at the latest in `TICK`.
    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, Error>;
    /// Whether there is nothing left to do.
    fn is_finished(&self) -> bool;
    /// One line on what happened since the last call.
    fn progress(&mut self, seconds: f64) -> String;
}

/// Runs the engine to its end.
pub fn drive(poll: &mut Poll, engine: &mut impl Engine, progress: bool) -> Result<(), Error> {
    let mut live = Live::new(progress);
    let result = turns(poll, engine, &mut live);
    live.end();
    result
}

fn turns(poll: &mut Poll, engine: &mut impl Engine, live: &mut Live) -> Result<(), Error> {
    let mut events = Events::with_capacity(EVENTS_MAX);
    loop {
        let now = Instant::now();
        let next = engine.tick(now)?;
        live.tick(now, engine);
        if engine.is_finished() {
            return Ok(());
        }
        let wait = next.map_or(TICK, |at| at.saturating_duration_since(now)).min(TICK);
        let wait = wait.checked_sub(SPIN).unwrap_or_default();
        match poll.poll(&mut events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("poll", error)),
        }
        for event in &events {
            let readable = event.is_readable() || event.is_read_closed() || event.is_error();
            engine.ready(event.token().0, readable, event.is_writable())?;
        }
    }
}

/// The line on stderr that is rewritten once a second.
struct Live {
    shown: bool,
    rewrite: bool,
    last: Instant,
}

impl Live {
    fn new(forced: bool) -> Live {
        let rewrite = std::io::stderr().is_terminal();
        Live { shown: rewrite || forced, rewrite, last: Instant::now() }
    }

    fn tick(&mut self, now: Instant, engine: &mut impl Engine) {
        let passed = now.saturating_duration_since(self.last);
        if !self.shown || passed < PROGRESS_INTERVAL {
            return;
        }
        self.last = now;
        let line = engine.progress(passed.as_secs_f64());
        let (before, after) = if self.rewrite { ("\r\x1b[2K", "") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{before}{line}{after}");
    }

    fn end(&self) {
        if self.rewrite {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}
