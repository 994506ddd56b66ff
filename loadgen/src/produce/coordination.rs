//! The connection to the coordinator of a producer's transactions, beside the one to the leader.

use std::io::IoSlice;
use std::time::Instant;

use mio::Token;
use ringlog_wire::api;

use super::Producer;
use super::frames::Framing;
use super::transactions::{Answered, Dialect, PRODUCE_IMPLICIT, Transactions};
use crate::client::{Connection, Readiness};
use crate::control::{Control, SETTLE_PAUSE};
use crate::error::Error;
use crate::lane::Backoff;
use crate::meter::Intended;

/// EndTxn as it is before a transaction has an epoch of its own.
const END_EXPLICIT_MAX: i16 = api::end_txn::VERSION_OF_EPOCHS_MIN - 1;

/// One producer's transactions, and their coordinator.
#[derive(Debug)]
pub(super) struct Coordination {
    pub(super) transactions: Transactions,
    connection: Option<Connection>,
    output: Vec<u8>,
    written: usize,
    backoff: Backoff,
    /// When the coordinator was first asked what it has not answered well yet.
    asked_at: Option<Instant>,
}

impl Coordination {
    fn lost(&mut self, now: Instant) {
        self.connection = None;
        self.transactions.lost();
        self.output.clear();
        self.written = 0;
        self.backoff.wait(now);
    }
}

/// The transactional id of a connection: all of a run's have the same length.
pub(super) fn transactional_id(run: u64, index: usize) -> String {
    format!("loadgen-{run:012x}-{index:05}")
}

impl Producer {
    fn coordinator(&self, id: &str) -> Result<Control, Error> {
        let cluster = self.cluster.as_ref().expect("the bare protocol has no transactions");
        Control::connect(&cluster.any()?.find_coordinator(id)?)
    }

    /// A coordinator, and the producer's id and epoch. The first transaction of a cluster makes it
    /// create what keeps them, which may take longer than an answer.
    fn coordinated(&self, id: &str) -> Result<(Control, (i64, i16)), Error> {
        let deadline = Instant::now() + self.common.timeout();
        loop {
            let attempt = self.coordinator(id).and_then(|mut control| {
                let identity = control.init_producer_id(Some(id))?;
                Ok((control, identity))
            });
            match attempt {
                Err(error) if error.is_connection_loss() && Instant::now() < deadline => {
                    std::thread::sleep(SETTLE_PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Makes a connection a transactional producer.
    pub(super) fn enlist(&mut self, index: usize, requests: u64) -> Result<(), Error> {
        let id = transactional_id(self.run.id, index);
        let (control, identity) = self.coordinated(&id)?;
        let Framing::Kafka { version, topic, .. } = &self.setup.framing else {
            return Err(Error::Usage("--bare has no transactions".into()));
        };
        let is_implicit = *version >= PRODUCE_IMPLICIT;
        let end_max = if is_implicit { i16::MAX } else { END_EXPLICIT_MAX };
        let end = control.versions().negotiate(&api::end_txn::API, Some(end_max))?;
        let add_max = api::add_partitions_to_txn::VERSION_OF_CLIENTS_MAX;
        let add = match is_implicit {
            true => add_max,
            false => {
                control.versions().negotiate(&api::add_partitions_to_txn::API, Some(add_max))?
            }
        };
        self.tally.versions.insert(api::end_txn::API.name, end);
        let flow = &mut self.lanes[index].flow;
        flow.identity = Some(identity);
        flow.transactional_id = Some(id.clone());
        let dialect = Dialect { add, end, is_implicit };
        let transactions = Transactions::new(id, topic.clone(), dialect, requests);
        self.lanes[index].coordination = Some(Coordination {
            transactions,
            connection: Some(self.attach(control, index)?),
            output: Vec::new(),
            written: 0,
            backoff: Backoff::default(),
            asked_at: None,
        });
        Ok(())
    }

    fn attach(&self, control: Control, index: usize) -> Result<Connection, Error> {
        let token = Token(self.common.connections + index);
        let peer = control.peer().to_owned();
        Connection::new(control.into_stream(), &peer, &self.registry, token)
    }

    /// Whether the transaction lets the next request begin.
    pub(super) fn may_begin(&self, index: usize) -> bool {
        let lane = &self.lanes[index];
        let allows = |coordination: &Coordination| {
            coordination.transactions.allows(lane.flow.next_partitions())
        };
        lane.coordination.as_ref().is_none_or(allows)
    }

    /// Asks the coordinator what is to be asked now.
    pub(super) fn coordinate(&mut self, index: usize) {
        let (now, stopping) = (self.tally.now, self.stopping);
        let lane = &mut self.lanes[index];
        let Some(coordination) = &mut lane.coordination else { return };
        let Coordination { transactions, connection, output, written, backoff, asked_at } =
            coordination;
        let Some(connection) = connection else { return };
        if backoff.is_waiting() {
            return;
        }
        transactions.wonder(lane.flow.is_idle(), stopping, lane.flow.next_partitions());
        let (id, epoch) = lane.flow.identity.unwrap_or((-1, -1));
        transactions.ask(id, epoch, output);
        if transactions.is_asked() {
            asked_at.get_or_insert(now);
        }
        while *written < output.len() && connection.is_writable() {
            match connection.send(&[IoSlice::new(&output[*written..])]) {
                Ok(bytes) => *written += bytes,
                Err(error) => {
                    self.tally.error("connection lost", || error.to_string());
                    coordination.lost(now);
                    return;
                }
            }
        }
        if *written == output.len() {
            output.clear();
            *written = 0;
        }
    }

    /// The connection to the coordinator can be read or written.
    pub(super) fn coordinator_ready(
        &mut self,
        index: usize,
        ready: Readiness,
    ) -> Result<(), Error> {
        let now = self.tally.now;
        let lane = &mut self.lanes[index];
        let Some(coordination) = &mut lane.coordination else { return Ok(()) };
        let Coordination { transactions, connection: Some(connection), .. } = coordination else {
            return Ok(());
        };
        connection.note(ready);
        let mut answered = None;
        if ready.readable {
            let received = connection.receive(|content| {
                answered = Some(transactions.answer(content)?);
                Ok(())
            });
            match received {
                Ok(()) => {}
                Err(error) if error.is_connection_loss() => {
                    if !self.stopping || transactions.is_open() {
                        self.tally.error("connection lost", || error.to_string());
                    }
                    coordination.lost(now);
                }
                Err(error) => return Err(error),
            }
        }
        match answered {
            Some(Answered::Again(code) | Answered::Elsewhere(code)) => {
                self.tally.error(code.name(), || code.name().to_owned());
                coordination.backoff.wait(now);
                if let Some(Answered::Elsewhere(_)) = answered {
                    coordination.lost(now);
                }
            }
            Some(Answered::Added | Answered::Committed(_)) => {
                let since = coordination.asked_at.take().unwrap_or(now);
                coordination.backoff = Backoff::default();
                if let Some(Answered::Committed(next)) = answered {
                    self.commits.answered(now, &Intended::at(since), 1, 0);
                    if let Some((id, epoch)) = next {
                        lane.flow.begin_epoch(id, epoch);
                    }
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Connects again to a coordinator that was lost, and asks again what was refused.
    pub(super) fn look_at_coordinator(&mut self, index: usize, now: Instant) -> Result<(), Error> {
        let Some(coordination) = &mut self.lanes[index].coordination else { return Ok(()) };
        let late = |since: Instant| now.saturating_duration_since(since) > self.common.timeout();
        if coordination.asked_at.is_some_and(late) {
            let what = "the transaction's coordinator did not answer";
            return Err(self.tally.timed_out(what, self.common.timeout));
        }
        if !coordination.backoff.is_over(now) {
            return Ok(());
        }
        coordination.backoff.stop();
        if coordination.connection.is_none() {
            let id = coordination.transactions.id().to_owned();
            let connected = self.coordinator(&id).and_then(|control| self.attach(control, index));
            let Some(coordination) = &mut self.lanes[index].coordination else { return Ok(()) };
            match connected {
                Ok(connection) => {
                    coordination.connection = Some(connection);
                    self.tally.reconnections += 1;
                }
                Err(error) if error.is_connection_loss() => {
                    self.tally.error("reconnection failed", || error.to_string());
                    coordination.backoff.wait(Instant::now());
                }
                Err(error) => return Err(error),
            }
        }
        self.pump(index)
    }
}
