//! The loop of the one thread: wait for sockets, step the engine, show the live view, hear Ctrl-C.
//!
//! An engine that names a time for its next step less than `SPIN` ahead is polled without sleeping:
//! the poll's own resolution is a millisecond, and an open loop must not be late by that. It gives
//! way meanwhile to whatever else its core has to do, such as the kernel's end of the broker's
//! writes: a thread that never did would measure the delay it makes.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::client::Readiness;
use crate::error::Error;
use crate::interrupt;
use crate::live::{Live, Row};
use crate::options::Common;

/// The longest sleep: deadlines and backoffs are looked at this often.
pub const TICK: Duration = Duration::from_millis(10);

const SPIN: Duration = Duration::from_micros(1_500);
const EVENTS_MAX: usize = 1024;
/// How long a run that was stopped waits for what is still under way.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A workload that is stepped by the loop.
pub trait Engine {
    /// The poll has something to say of connection `index`.
    fn ready(&mut self, index: usize, ready: Readiness) -> Result<(), Error>;
    /// Time has passed; returns when it wants the next step, at the latest in `TICK`.
    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, Error>;
    /// Whether there is nothing left to do.
    fn is_finished(&self) -> bool;
    /// Nothing new is begun: the run ends when what is under way has been answered.
    fn stop(&mut self);
    /// The seconds that have ended since the last call.
    fn progress(&mut self) -> Vec<Row>;
}

/// Runs the engine to its end, or until Ctrl-C.
pub fn drive(poll: &mut Poll, engine: &mut impl Engine, common: &Common) -> Result<(), Error> {
    interrupt::watch()?;
    let mut live = Live::new(common);
    let result = turns(poll, engine, &mut live);
    live.end();
    result
}

fn turns(poll: &mut Poll, engine: &mut impl Engine, live: &mut Live) -> Result<(), Error> {
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut give_up_at = None;
    loop {
        let now = Instant::now();
        if give_up_at.is_none() && interrupt::was_asked() {
            give_up_at = Some(now + STOP_PATIENCE);
            engine.stop();
        }
        let next = engine.tick(now)?;
        live.show(now, || engine.progress());
        if engine.is_finished() || give_up_at.is_some_and(|at| now >= at) {
            return Ok(());
        }
        let wait = next.map_or(TICK, |at| at.saturating_duration_since(now)).min(TICK);
        let wait = wait.checked_sub(SPIN).unwrap_or_default();
        match poll.poll(&mut events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("poll", error)),
        }
        if wait.is_zero() && events.is_empty() {
            thread::yield_now();
        }
        for event in &events {
            engine.ready(event.token().0, event.into())?;
        }
    }
}
