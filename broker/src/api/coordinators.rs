//! What the APIs share that a coordinator answers.

use std::collections::HashSet;

use ringlog_shard::ConnId;
use ringlog_wire::error::ErrorCode;
use ringlog_wire::message::Message;

use super::{Outcome, Request};
use crate::coordinator::{Ask, Kind};
use crate::group::{self, Client};
use crate::shell::{ShardCore, Shell};
use crate::txn;

/// Most groups or transactional ids of one request.
pub const IDS_MAX: usize = 10_000;

/// Each id once, where it stands first. Kafka tells what is named twice twice; here an answer is
/// never larger than what there is to tell.
pub(super) fn each_once(mut ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

impl Shell {
    /// Asks the coordinator of group `id`; the request is answered with what `respond` makes of its
    /// answer, or of the code for which there is none.
    pub(crate) fn ask_group<R: Message>(
        &mut self,
        core: &mut ShardCore,
        request: &Request<'_>,
        id: &str,
        event: impl FnOnce(crate::coordinator::Ticket) -> group::Event + Send + 'static,
        respond: impl FnOnce(Result<group::Response, ErrorCode>) -> R + Send + 'static,
    ) -> Outcome {
        let to = request.reply_to();
        let ask = Ask::Group(Box::new(event));
        self.coordinate(
            core,
            Kind::Groups,
            id,
            ask,
            Box::new(move |shell, core, answer| {
                let answer = answer.map(|answer| answer.into_group());
                to.send(shell, core, &respond(answer));
            }),
        );
        Outcome::Parked
    }

    /// Asks the coordinator of a transactional id, likewise.
    pub(crate) fn ask_transaction<R: Message>(
        &mut self,
        core: &mut ShardCore,
        request: &Request<'_>,
        id: &str,
        event: impl FnOnce(crate::coordinator::Ticket) -> txn::Event + Send + 'static,
        respond: impl FnOnce(Result<txn::Response, ErrorCode>) -> R + Send + 'static,
    ) -> Outcome {
        let to = request.reply_to();
        let ask = Ask::Transaction(Box::new(event));
        self.coordinate(
            core,
            Kind::Transactions,
            id,
            ask,
            Box::new(move |shell, core, answer| {
                let answer = answer.map(|answer| answer.into_transaction());
                to.send(shell, core, &respond(answer));
            }),
        );
        Outcome::Parked
    }

    /// Who sent a request, as groups remember it.
    pub(crate) fn client_of(&self, request: &Request<'_>) -> Client {
        Client {
            id: request.client_id.unwrap_or_default().to_string(),
            host: self.host_of(request.conn),
        }
    }

    /// The address of a connection's other end, as Java writes it.
    fn host_of(&self, conn: ConnId) -> String {
        let peer = self.sessions.get(&conn).map(|session| session.peer.ip());
        peer.map_or_else(|| "/".to_string(), |ip| format!("/{ip}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_often_is_asked_for_once() {
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        assert_eq!(each_once(ids(&["b", "a", "b", "", "a", "b"])), ids(&["b", "a", ""]));
    }
}
