//! The two state machines under one roof, so that one runtime runs both.

use ringlog_wire::Uuid;
use ringlog_wire::records::group::GroupRecord;
use ringlog_wire::records::txn::TransactionRecord;

use super::replay::{Read, Replayed};
use super::{ImageView, Kind, Ticket, group_config, transaction_config};
use crate::defaults::BrokerDefaults;
use crate::group::{self, Groups};
use crate::txn::{self, Transactions};

/// A question to a coordinator, complete but for who is answered.
pub enum Ask {
    /// To one of groups.
    Group(Box<dyn FnOnce(Ticket) -> group::Event + Send>),
    /// To one of transactions.
    Transaction(Box<dyn FnOnce(Ticket) -> txn::Event + Send>),
}

/// Something that happens to a coordinator.
#[derive(Debug)]
pub enum Event {
    /// To one of groups.
    Group(group::Event),
    /// To one of transactions.
    Transaction(txn::Event),
}

impl Ask {
    /// The question of the one with that ticket.
    pub fn event(self, ticket: Ticket) -> Event {
        match self {
            Ask::Group(event) => Event::Group(event(ticket)),
            Ask::Transaction(event) => Event::Transaction(event(ticket)),
        }
    }
}

/// A coordinator's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of one of groups.
    Group(group::Response),
    /// Of one of transactions.
    Transaction(txn::Response),
}

impl Answer {
    /// About how many bytes of memory it takes, where that may be many.
    pub fn bytes(&self) -> usize {
        match self {
            Answer::Group(response) => response.bytes(),
            Answer::Transaction(response) => response.bytes(),
        }
    }

    /// The answer of a coordinator of groups, which was asked.
    pub fn into_group(self) -> group::Response {
        match self {
            Answer::Group(response) => response,
            Answer::Transaction(_) => unreachable!("a coordinator of groups was asked"),
        }
    }

    /// The answer of a coordinator of transactions, which was asked.
    pub fn into_transaction(self) -> txn::Response {
        match self {
            Answer::Transaction(response) => response,
            Answer::Group(_) => unreachable!("a coordinator of transactions was asked"),
        }
    }
}

/// What the world looks like to a coordinator at one moment.
pub struct Around<'a> {
    /// Wall clock, milliseconds.
    pub now_ms: i64,
    /// The topics.
    pub topics: ImageView<'a>,
    /// Random ids.
    pub new_uuid: &'a mut dyn FnMut() -> Uuid,
    /// Producer ids that nobody has; `None`: none are at hand now.
    pub next_producer_id: &'a mut dyn FnMut() -> Option<i64>,
}

/// What is done when a decision's records are durable.
#[derive(Debug)]
pub enum Command {
    /// Somebody is answered.
    Reply {
        /// Who.
        to: Ticket,
        /// With what.
        answer: Answer,
    },
    /// Markers go to the partitions of a transaction.
    WriteMarkers(Markers),
    /// What lies before this offset in the log is not needed any more.
    DropBefore(i64),
}

/// A transaction's markers.
#[derive(Clone, Debug)]
pub struct Markers {
    /// Whose transaction.
    pub transactional_id: String,
    /// The producer's id.
    pub producer_id: i64,
    /// The markers' epoch.
    pub producer_epoch: i16,
    /// The coordinator's epoch.
    pub coordinator_epoch: i32,
    /// Committed or aborted.
    pub committed: bool,
    /// How the epoch is judged (rule 35).
    pub transaction_version: i8,
    /// Where to: topics and partitions.
    pub partitions: Vec<(String, i32)>,
}

/// What a coordinator has decided.
#[derive(Debug, Default)]
pub struct Decision {
    /// Keys and values for the log, one batch.
    pub records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// They are part of this producer's transaction: id and epoch.
    pub transactional: Option<(i64, i16)>,
    /// What is done when they are durable, in this order.
    pub commands: Vec<Command>,
}

/// A coordinator of one partition.
#[derive(Debug)]
pub enum Machine {
    /// Of groups.
    Groups(Box<Groups>),
    /// Of transactions.
    Transactions(Box<Transactions>),
}

impl Machine {
    /// One that knows nothing yet.
    pub fn new(kind: Kind, defaults: &BrokerDefaults) -> Machine {
        match kind {
            Kind::Groups => Machine::Groups(Box::new(Groups::new(group_config(defaults)))),
            Kind::Transactions => {
                let config = transaction_config(defaults);
                Machine::Transactions(Box::new(Transactions::new(config)))
            }
        }
    }

    /// What it coordinates.
    pub fn kind(&self) -> Kind {
        match self {
            Machine::Groups(_) => Kind::Groups,
            Machine::Transactions(_) => Kind::Transactions,
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Machine::Groups(groups) => groups.bytes(),
            Machine::Transactions(transactions) => transactions.bytes(),
        }
    }

    /// From now on it may take so many. What it has already it keeps.
    pub fn limit_bytes(&mut self, bytes_max: usize) {
        match self {
            Machine::Groups(groups) => groups.limit_bytes(bytes_max),
            Machine::Transactions(transactions) => transactions.limit_bytes(bytes_max),
        }
    }

    /// Its log is read: it serves from now on, in the partition's leader epoch.
    pub fn loaded(&mut self, around: Around<'_>, leader_epoch: i32) -> Decision {
        match self {
            Machine::Groups(groups) => groups.loaded(around.now_ms).into(),
            Machine::Transactions(transactions) => {
                transactions.loaded(around.now_ms, leader_epoch).into()
            }
        }
    }

    /// Something happens.
    pub fn step(&mut self, event: Event, around: Around<'_>) -> Decision {
        let Around { now_ms, topics, new_uuid, next_producer_id } = around;
        match (self, event) {
            (Machine::Groups(groups), Event::Group(event)) => {
                groups.step(now_ms, event, &topics, new_uuid).into()
            }
            (Machine::Transactions(transactions), Event::Transaction(event)) => {
                transactions.step(now_ms, event, next_producer_id).into()
            }
            (machine, event) => panic!("{:?} is not asked {event:?}", machine.kind()),
        }
    }

    /// What is due.
    pub fn timer(&mut self, around: Around<'_>) -> Decision {
        match self {
            Machine::Groups(groups) => groups.timer(around.now_ms, &around.topics).into(),
            Machine::Transactions(transactions) => {
                transactions.timer(around.now_ms, around.next_producer_id).into()
            }
        }
    }

    /// When [`Machine::timer`] has something to do, wall clock, milliseconds.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        match self {
            Machine::Groups(groups) => groups.next_deadline_ms(),
            Machine::Transactions(transactions) => transactions.next_deadline_ms(),
        }
    }
}

/// Whether a coordinator of that kind can read a record.
///
/// # Errors
/// Why not.
pub(super) fn check(kind: Kind, key: &[u8], value: Option<&[u8]>) -> Result<Read, String> {
    match kind {
        Kind::Groups => group_record(key, value).map(|(_, read)| read),
        Kind::Transactions => {
            let (record, read) = transaction_record(key, value)?;
            txn::record::check(&record).map_err(|error| error.to_string())?;
            Ok(read)
        }
    }
}

fn group_record(key: &[u8], value: Option<&[u8]>) -> Result<(GroupRecord, Read), String> {
    let record = GroupRecord::decode(key, value).map_err(|error| error.to_string())?;
    let read = match &record {
        GroupRecord::Unknown { .. } => Read::OfUnknownType,
        _ => Read::Known,
    };
    Ok((record, read))
}

fn transaction_record(
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(TransactionRecord, Read), String> {
    let record = TransactionRecord::decode(key, value).map_err(|error| error.to_string())?;
    let read = match &record {
        TransactionRecord::Unknown { .. } => Read::OfUnknownType,
        TransactionRecord::TransactionLog { .. } => Read::Known,
    };
    Ok((record, read))
}

impl Replayed for Machine {
    fn record(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        producer: Option<(i64, i16)>,
        offset: i64,
        timestamp_ms: i64,
    ) -> Result<Read, String> {
        match self {
            Machine::Groups(groups) => {
                let (record, read) = group_record(key, value)?;
                groups.replay(record, producer, offset, timestamp_ms);
                Ok(read)
            }
            Machine::Transactions(transactions) => {
                let (record, read) = transaction_record(key, value)?;
                transactions.replay(record).map_err(|error| error.to_string())?;
                Ok(read)
            }
        }
    }

    fn marker(&mut self, producer_id: i64, committed: bool, offset: i64) {
        if let Machine::Groups(groups) = self {
            groups.replay_marker(producer_id, committed, offset);
        }
    }
}

impl From<group::Output> for Decision {
    fn from(output: group::Output) -> Decision {
        let group::Output { records, transactional, commands } = output;
        let records = records.iter().map(|record| encoded(|key, value| record.encode(key, value)));
        let commands = commands.into_iter().map(|command| match command {
            group::Command::Reply { to, response } => {
                Command::Reply { to, answer: Answer::Group(response) }
            }
        });
        Decision { records: records.collect(), transactional, commands: commands.collect() }
    }
}

impl From<txn::Output> for Decision {
    fn from(output: txn::Output) -> Decision {
        let txn::Output { records, commands } = output;
        let records = records.iter().map(|record| encoded(|key, value| record.encode(key, value)));
        let commands = commands.into_iter().map(|command| match command {
            txn::Command::Reply { to, response } => {
                Command::Reply { to, answer: Answer::Transaction(response) }
            }
            txn::Command::WriteMarkers {
                transactional_id,
                producer_id,
                producer_epoch,
                coordinator_epoch,
                committed,
                transaction_version,
                partitions,
            } => Command::WriteMarkers(Markers {
                transactional_id,
                producer_id,
                producer_epoch,
                coordinator_epoch,
                committed,
                transaction_version,
                partitions,
            }),
        });
        Decision { records: records.collect(), transactional: None, commands: commands.collect() }
    }
}

/// A record's key and value; `encode` says whether there is a value.
fn encoded(encode: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> bool) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let has_value = encode(&mut key, &mut value);
    (key, has_value.then_some(value))
}
