//! Tables of (state, event) and the exact outcome, in words.
//!
//! ```text
//! records    id: State producer/epoch [partitions] v<transaction version>, then what is unusual
//! replies    <what> CODE producer/epoch
//! markers    markers commit id producer/epoch v<transaction version> [partitions]
//! ```

mod add;
mod end;
mod init;
mod limits;
mod markers;
mod query;
mod timers;

use ringlog_wire::api::add_offsets_to_txn::AddOffsetsToTxnRequest;
use ringlog_wire::api::add_partitions_to_txn::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use ringlog_wire::api::end_txn::EndTxnRequest;
use ringlog_wire::api::init_producer_id::InitProducerIdRequest;
use ringlog_wire::error::ErrorCode;
use ringlog_wire::records::TransactionRecord;

use super::record::{record_of, transaction_of};
use super::state::{NO_PRODUCER_ID, State, Transaction, by_topic, pairs};
use super::{Command, Event, Output, Response, Transactions, TxnConfig};
use crate::coordinator::Ticket;

const START_MS: i64 = 1_000_000;
const PID: i64 = 100;
const TICKET: Ticket = Ticket(9);
const ALL: [State; 6] = [
    State::Empty,
    State::Ongoing,
    State::PrepareCommit,
    State::PrepareAbort,
    State::CompleteCommit,
    State::CompleteAbort,
];

/// A coordinator at a desk.
struct Desk {
    machine: Transactions,
    now_ms: i64,
    /// Producer ids at hand, the next one last.
    ids: Vec<i64>,
    log: Vec<TransactionRecord>,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(TxnConfig::default())
    }

    fn with(config: TxnConfig) -> Desk {
        let ids = (0..20).map(|at| 219 - at).collect();
        Desk { machine: Transactions::new(config), now_ms: START_MS, ids, log: Vec::new() }
    }

    /// A desk that knows "t" as it says.
    fn of(transaction: Transaction) -> Desk {
        let mut desk = Desk::new();
        desk.know("t", transaction);
        desk
    }

    /// Learns of an id, and that its markers are on their way.
    fn know(&mut self, id: &str, transaction: Transaction) {
        let last_producer_epoch = transaction.last_producer_epoch;
        let record = record_of(id, &transaction);
        self.log.push(record.clone());
        self.machine.replay(record).expect("a state");
        // Not in the log, and still to be tested.
        let entry = self.machine.entries.get_mut(id).expect("it is known");
        entry.transaction.last_producer_epoch = last_producer_epoch;
        self.machine.loaded(self.now_ms, 7);
    }

    fn step(&mut self, event: Event) -> String {
        let Desk { machine, ids, .. } = self;
        let output = machine.step(self.now_ms, event, &mut || ids.pop());
        self.tell(output)
    }

    /// Lets time go on until the next deadline, and says what happens then.
    fn ring(&mut self) -> String {
        self.now_ms = self.now_ms.max(self.machine.next_deadline_ms().expect("a deadline"));
        self.ring_now()
    }

    fn ring_now(&mut self) -> String {
        let Desk { machine, ids, .. } = self;
        let output = machine.timer(self.now_ms, &mut || ids.pop());
        self.tell(output)
    }

    fn tell(&mut self, output: Output) -> String {
        let records = output.records.iter().map(show_record);
        let told = records.chain(output.commands.iter().map(show_command));
        let told = told.collect::<Vec<_>>().join("; ");
        self.log.extend(output.records);
        self.check_replayed();
        told
    }

    /// What the log says is what is so.
    fn check_replayed(&self) {
        let mut replayed = Transactions::new(TxnConfig::default());
        for record in &self.log {
            replayed.replay(record.clone()).expect("a state");
        }
        let kept = |(id, at): (&str, &Transaction)| {
            (id.to_owned(), Transaction { last_producer_epoch: -1, ..at.clone() })
        };
        let live: Vec<_> = self.machine.iter().map(kept).collect();
        assert_eq!(replayed.iter().map(kept).collect::<Vec<_>>(), live);
    }

    fn init(&mut self, version: i16, expected: Option<(i64, i16)>) -> String {
        let (producer_id, producer_epoch) = expected.unwrap_or((-1, -1));
        self.step(Event::InitProducerId {
            to: TICKET,
            version,
            request: InitProducerIdRequest {
                transactional_id: Some("t".to_owned()),
                transaction_timeout_ms: 60_000,
                producer_id,
                producer_epoch,
            },
        })
    }

    fn add(&mut self, version: i16, claim: (i64, i16), wanted: &[(&str, i32)]) -> String {
        self.step(adding(version, claim, wanted, false))
    }

    fn add_offsets(&mut self, version: i16, claim: (i64, i16)) -> String {
        let request = AddOffsetsToTxnRequest {
            transactional_id: "t".to_owned(),
            producer_id: claim.0,
            producer_epoch: claim.1,
            group_id: "g".to_owned(),
        };
        self.step(Event::AddOffsets { to: TICKET, version, request, offsets_partition: 12 })
    }

    fn end(&mut self, version: i16, claim: (i64, i16), committed: bool) -> String {
        let request = EndTxnRequest {
            transactional_id: "t".to_owned(),
            producer_id: claim.0,
            producer_epoch: claim.1,
            committed,
        };
        self.step(Event::EndTxn { to: TICKET, version, request })
    }

    fn verify(&mut self, claim: (i64, i16), wanted: &[(&str, i32)], add: bool) -> String {
        self.step(Event::Verify {
            to: TICKET,
            transactional_id: "t".to_owned(),
            producer_id: claim.0,
            producer_epoch: claim.1,
            partitions: owned(wanted),
            add,
        })
    }

    fn written(&mut self, claim: (i64, i16), at: (&str, i32), result: ErrorCode) -> String {
        self.written_by(7, claim, at, result)
    }

    fn written_by(
        &mut self,
        coordinator_epoch: i32,
        claim: (i64, i16),
        at: (&str, i32),
        result: ErrorCode,
    ) -> String {
        self.step(Event::MarkerWritten {
            transactional_id: "t".to_owned(),
            producer_id: claim.0,
            producer_epoch: claim.1,
            coordinator_epoch,
            topic: at.0.to_owned(),
            partition: at.1,
            result,
        })
    }
}

fn owned(partitions: &[(&str, i32)]) -> Vec<(String, i32)> {
    partitions.iter().map(|&(topic, index)| (topic.to_owned(), index)).collect()
}

fn adding(version: i16, claim: (i64, i16), wanted: &[(&str, i32)], verify_only: bool) -> Event {
    let topic = |&(name, index): &(&str, i32)| AddPartitionsToTxnTopic {
        name: name.to_owned(),
        partitions: vec![index],
    };
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: "t".to_owned(),
        producer_id: claim.0,
        producer_epoch: claim.1,
        verify_only,
        topics: wanted.iter().map(topic).collect(),
    };
    Event::AddPartitions { to: TICKET, version, transaction, refused: Default::default() }
}

/// "t" in a state, with epoch 5, and with partition a-0 where it can have one.
fn at(state: State) -> Transaction {
    let has_partitions = state == State::Ongoing || state.is_prepared();
    Transaction {
        state,
        previous_producer_id: PID,
        producer_epoch: 5,
        partitions: by_topic(has_partitions.then(|| ("a".to_owned(), 0))),
        start_ms: if state == State::Empty { -1 } else { START_MS },
        ..Transaction::new(PID, 60_000, START_MS)
    }
}

/// The same, by a client of the second transaction version.
fn second(state: State) -> Transaction {
    Transaction { client_version: 2, ..at(state) }
}

fn show_partitions(partitions: &[(String, i32)]) -> String {
    let show = |(topic, index): &(String, i32)| format!("{topic}-{index}");
    partitions.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn show_record(record: &TransactionRecord) -> String {
    let TransactionRecord::TransactionLog { key, value } = record else {
        unreachable!("nothing else is written")
    };
    let id = &key.transactional_id;
    let Some(value) = value else { return format!("{id}: gone") };
    let it = transaction_of(id, value).expect("a state");
    let partitions = show_partitions(&pairs(&it.partitions));
    let (state, epoch, version) = (it.state.name(), it.producer_epoch, it.client_version);
    let mut told = format!("{id}: {state} {}/{epoch} [{partitions}] v{version}", it.producer_id);
    if it.previous_producer_id != it.producer_id {
        told += &format!(" before {}", it.previous_producer_id);
    }
    if it.next_producer_id != NO_PRODUCER_ID {
        told += &format!(" next {}", it.next_producer_id);
    }
    told
}

fn show_command(command: &Command) -> String {
    match command {
        Command::Reply { response, .. } => show_response(response),
        Command::WriteMarkers {
            transactional_id,
            producer_id,
            producer_epoch,
            coordinator_epoch,
            committed,
            transaction_version,
            partitions,
        } => {
            assert_eq!(*coordinator_epoch, 7);
            let what = if *committed { "commit" } else { "abort" };
            let partitions = show_partitions(partitions);
            format!(
                "markers {what} {transactional_id} {producer_id}/{producer_epoch} \
                 v{transaction_version} [{partitions}]"
            )
        }
    }
}

fn show_response(response: &Response) -> String {
    match response {
        Response::InitProducerId(it) => {
            format!("InitProducerId {} {}/{}", it.error_code, it.producer_id, it.producer_epoch)
        }
        Response::EndTxn(it) => {
            format!("EndTxn {} {}/{}", it.error_code, it.producer_id, it.producer_epoch)
        }
        Response::AddOffsets(it) => format!("AddOffsets {}", it.error_code),
        Response::AddPartitions(it) => {
            let mut told = "AddPartitions".to_owned();
            for topic in &it.topic_results {
                for result in &topic.results_by_partition {
                    let (index, code) = (result.partition_index, result.partition_error_code);
                    told += &format!(" {}-{index}:{code}", topic.name);
                }
            }
            told
        }
        Response::Verify(it) => {
            let show = |(topic, index, code): &(String, i32, ErrorCode)| {
                format!(" {topic}-{index}:{code}")
            };
            format!("Verify{}", it.iter().map(show).collect::<String>())
        }
        Response::Describe(it) => format!("{it:?}"),
        Response::List(it) => format!("{it:?}"),
    }
}

/// Checks a table: for each state, what one event comes to.
fn check(
    table: &[(State, &str)],
    of: impl Fn(State) -> Transaction,
    event: impl Fn(&mut Desk) -> String,
) {
    assert_eq!(table.len(), ALL.len(), "every state has a row");
    for (place, &(state, expected)) in table.iter().enumerate() {
        assert_eq!(state, ALL[place], "rows are in order");
        assert_eq!(event(&mut Desk::of(of(state))), expected, "{state:?}");
    }
}
