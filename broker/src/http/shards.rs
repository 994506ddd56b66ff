//! Asking the shards: one question to each, one answer from each or none within a bound.

use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ringlog_shard::{Remote, ShardId, process};

use super::SNAPSHOT_KEPT;
use super::health::{self, Verdict};
use super::request::Response;
use crate::message::Message;
use crate::metrics::report::{self, PARTITIONS_MAX, Surroundings};
use crate::metrics::{Detail, Snapshot};
use crate::serve::Clocks;

/// Longest that a shard may take to answer: it looks at its messages in every turn.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// What was asked of the shards last.
struct Kept<T> {
    at: Instant,
    what: T,
}

/// See the module's head.
pub(super) struct Shards {
    remote: Arc<OnceLock<Remote<Message>>>,
    clocks: Clocks,
    node_id: i32,
    started_seconds: f64,
    page: Option<Kept<Arc<str>>>,
    health: Option<Kept<Vec<Snapshot>>>,
}

impl Shards {
    pub(super) fn new(
        remote: Arc<OnceLock<Remote<Message>>>,
        node_id: i32,
        clocks: Clocks,
    ) -> Shards {
        let started_seconds = (clocks.wall_ms)() as f64 / 1e3;
        Shards { remote, clocks, node_id, started_seconds, page: None, health: None }
    }

    fn is_fresh<T>(&self, kept: &Kept<T>) -> bool {
        (self.clocks.now)().saturating_duration_since(kept.at) < SNAPSHOT_KEPT
    }

    pub(super) fn metrics(&mut self) -> Response {
        if let Some(kept) = self.page.as_ref().filter(|kept| self.is_fresh(kept)) {
            return Response::new("200 OK", TEXT, kept.what.clone());
        }
        // The page before is let go first, so that there are no two of them.
        self.page = None;
        let partitions_max = PARTITIONS_MAX;
        let snapshots = self.ask(Detail::All { partitions_max });
        let around = Surroundings {
            process: process::stats(),
            started_seconds: self.started_seconds,
            node_id: self.node_id,
        };
        let page: Arc<str> = report::page(&snapshots, &around).into();
        self.page = Some(Kept { at: (self.clocks.now)(), what: page.clone() });
        Response::new("200 OK", TEXT, page)
    }

    pub(super) fn health(&mut self) -> Response {
        let Some(shards) = self.shards() else { return say(&health::starting_is_healthy()) };
        say(&health::health(shards, self.fresh_health()))
    }

    pub(super) fn ready(&mut self) -> Response {
        let Some(shards) = self.shards() else { return say(&health::starting_is_not_ready()) };
        say(&health::ready(shards, self.fresh_health()))
    }

    fn shards(&self) -> Option<usize> {
        self.remote.get().map(Remote::shards)
    }

    fn fresh_health(&mut self) -> &[Snapshot] {
        if !self.health.as_ref().is_some_and(|kept| self.is_fresh(kept)) {
            let what = self.ask(Detail::Health);
            self.health = Some(Kept { at: (self.clocks.now)(), what });
        }
        self.health.as_ref().map_or(&[], |kept| &kept.what)
    }

    /// The answers of those that answer, by shard.
    fn ask(&self, detail: Detail) -> Vec<Snapshot> {
        let Some(remote) = self.remote.get() else { return Vec::new() };
        let (to, answers) = channel();
        for shard in 0..remote.shards() {
            let message = Message::Snapshot { detail, to: to.clone() };
            remote.post(ShardId(shard as u16), message);
        }
        drop(to);
        let until = (self.clocks.now)() + ANSWER_PATIENCE;
        let mut found = Vec::new();
        while found.len() < remote.shards() {
            let left = until.saturating_duration_since((self.clocks.now)());
            match answers.recv_timeout(left) {
                Ok(snapshot) => found.push(snapshot),
                Err(_) => break,
            }
        }
        found.sort_by_key(|snapshot: &Snapshot| snapshot.shard);
        found
    }
}

fn say(verdict: &Verdict) -> Response {
    let status = if verdict.is_good { "200 OK" } else { "503 Service Unavailable" };
    Response::new(status, JSON, verdict.line().into())
}
