//! What coordinators of transactions need of the rest: markers in the partitions, producer ids.

use ringlog_storage::transaction::Marker;
use ringlog_wire::error::ErrorCode;

use crate::api::asks::{Answers, Question};
use crate::api::init_producer_id;
use crate::coordinator::{Event, Kind, Markers};
use crate::group;
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;
use crate::txn;

impl Shell {
    /// Coordinators of transactions must not run out of producer ids.
    pub(super) fn keep_producer_ids(&mut self, core: &mut ShardCore) {
        if self.producer_ids.is_empty() && !self.stopping {
            init_producer_id::ask_for_ids(self, core);
        }
    }

    /// Has a transaction's markers written, and tells its coordinator of each.
    pub(super) fn write_markers(&mut self, core: &mut ShardCore, slot: Key, markers: Markers) {
        let Markers { producer_id, producer_epoch, coordinator_epoch, committed, .. } = markers;
        let marker = Marker { producer_id, producer_epoch, coordinator_epoch, committed };
        let version = markers.transaction_version;
        let question = |(topic, index): &(String, i32)| {
            let (of, place) = self.placed(topic, *index)?;
            Ok((of, place, Question::WriteMarker { marker, version, is_own: true }))
        };
        let questions = markers.partitions.iter().map(question).collect();
        let incarnation = self.coordinators.incarnation_of(slot);
        let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Answers| {
            if shell.coordinators.incarnation_of(slot) != incarnation {
                // It was rebuilt meanwhile, and has its markers written anew.
                return;
            }
            for ((topic, partition), answer) in markers.partitions.into_iter().zip(answers) {
                let event = txn::Event::MarkerWritten {
                    transactional_id: markers.transactional_id.clone(),
                    producer_id,
                    producer_epoch,
                    coordinator_epoch,
                    topic,
                    partition,
                    result: answer.err().unwrap_or(ErrorCode::None),
                };
                let event = Event::Transaction(event);
                shell.decide(core, slot, |machine, around| machine.step(event, around));
            }
        };
        self.ask_inside(core, questions, Box::new(finish));
    }

    /// A transaction has ended in the log of a coordinator: of groups, whose offsets were in it.
    pub(in crate::shell) fn coordinator_marked(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        marker: &Marker,
    ) {
        let Some(kind) = self.coordinators.kind_of(slot) else { return };
        if kind == Kind::Groups {
            let Marker { producer_id, producer_epoch, committed, .. } = *marker;
            let event = group::Event::EndTransaction { producer_id, producer_epoch, committed };
            let event = Event::Group(event);
            self.decide(core, slot, |machine, around| machine.step(event, around));
        }
    }
}
