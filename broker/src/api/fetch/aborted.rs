//! What readers of committed records are told beside them: the aborted transactions that these
//! records meet (rule 39). They lie in memory, or in the index of the segment that holds their
//! markers, which is read on the helper thread.
//!
//! Invariant: records leave only with all that was aborted among them, or not at all.

use std::io;

use ringlog_storage::{AbortedPlan, AbortedSearch, ReadPlan};
use ringlog_wire::error::ErrorCode;

use super::enough::end_of;
use crate::message::{FetchAsk, Fetched};
use crate::partition::{Isolation, read_error};
use crate::shell::{ColdRead, ReadFor, ShardCore, Shell};
use crate::slab::Key;
use crate::topics::Place;

/// The next step of a search.
pub(super) type Next = (AbortedSearch, AbortedPlan);
/// Whose: (fetch, pass, entry).
type Whose = (Key, u32, usize);

impl Shell {
    /// Adds what was aborted among records that were just read. Gives back the next step when
    /// memory does not know it.
    pub(super) fn add_aborted(
        &self,
        ask: &FetchAsk,
        place: Result<Place, ErrorCode>,
        isolation: Isolation,
        fetched: &mut Fetched,
    ) -> Option<Next> {
        if isolation == Isolation::Uncommitted || fetched.bytes() == 0 {
            return None;
        }
        let upto = end_of(fetched).expect("records have an end");
        let mut search = AbortedSearch::new(ask.offset, upto);
        let found = match place {
            Ok(Place::Open(slot)) => self.find_aborted(slot, &mut search),
            _ => Err(ErrorCode::NotLeaderOrFollower),
        };
        match found {
            Ok(Some(plan)) => return Some((search, plan)),
            Ok(None) => fetched.aborted = search.found(),
            Err(code) => *fetched = Fetched::error(ask, code),
        }
        None
    }

    fn find_aborted(
        &self,
        slot: Key,
        search: &mut AbortedSearch,
    ) -> Result<Option<AbortedPlan>, ErrorCode> {
        let hosted = self.logs.get(slot).ok_or(ErrorCode::NotLeaderOrFollower)?;
        hosted.partition.log.find_aborted(search).map_err(read_error)
    }

    /// The same for records that were read from files.
    pub(super) fn search_aborted(&mut self, core: &mut ShardCore, (request, pass, at): Whose) {
        let Some(pending) = self.fetches.get_mut(request).filter(|p| p.pass == pass) else {
            return;
        };
        let ((ask, place), isolation) = (pending.asks[at], pending.isolation);
        let mut fetched = pending.results[at].clone();
        let next = self.add_aborted(&ask, place, isolation, &mut fetched);
        if let Some(pending) = self.fetches.get_mut(request) {
            pending.results[at] = fetched;
        }
        match (next, place) {
            (Some(next), Ok(Place::Open(slot))) => {
                self.read_aborted(core, (request, pass, at), (ask.offset, slot), next);
            }
            _ => self.fetch_part_done(core, request),
        }
    }

    /// Reads an index for a search.
    pub(super) fn read_aborted(
        &mut self,
        core: &mut ShardCore,
        (request, pass, at): Whose,
        (from, slot): (i64, Key),
        (search, plan): Next,
    ) {
        let purpose = ReadFor::Fetch { request, pass, at, from, upto: from, bytes_max: 0 };
        let read = ColdRead { slot, purpose, plan: ReadPlan::Empty };
        self.read_aborted_index(core, read, search, plan);
    }

    /// An index that a search wants has been read.
    pub(crate) fn aborted_came(
        &mut self,
        core: &mut ShardCore,
        read: &ColdRead,
        (mut search, plan): (AbortedSearch, AbortedPlan),
        bytes: io::Result<Vec<u8>>,
    ) {
        let ReadFor::Fetch { request, pass, at, from, .. } = read.purpose else { return };
        let taken = match (self.logs.get_mut(read.slot), bytes) {
            (None, _) => Err(ErrorCode::NotLeaderOrFollower),
            (Some(hosted), Ok(bytes)) => {
                let log = &mut hosted.partition.log;
                log.load_aborted(&mut search, &plan, &bytes).map_err(read_error)
            }
            (Some(_), Err(_)) => Err(ErrorCode::KafkaStorageError),
        };
        let found = match taken {
            Ok(false) => match self.find_aborted(read.slot, &mut search) {
                Ok(Some(plan)) => {
                    let next = (search, plan);
                    return self.read_aborted(core, (request, pass, at), (from, read.slot), next);
                }
                ended => ended.map(|_| search.found()),
            },
            Ok(true) => Ok(search.found()),
            Err(code) => {
                if self.lines.allow() {
                    let path = plan.path.display();
                    tracing::error!(index = %path, %code, "no index of aborted transactions");
                }
                Err(code)
            }
        };
        let Some(pending) = self.fetches.get_mut(request).filter(|p| p.pass == pass) else {
            return;
        };
        match found {
            Ok(aborted) => pending.results[at].aborted = aborted,
            Err(code) => pending.results[at] = Fetched::error(&pending.asks[at].0, code),
        }
        self.fetch_part_done(core, request);
    }
}
