//! From what the shards say to a verdict: alive, serving, or why not.

use serde_json::{Value, json};

use crate::metrics::Snapshot;

/// A status, and a line of JSON that says why.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// 200, not 503.
    pub is_good: bool,
    /// What is said of it.
    pub body: Value,
}

impl Verdict {
    fn of(word: &str, reasons: Vec<String>, rest: Value) -> Verdict {
        let is_good = reasons.is_empty();
        let mut body = json!({ "status": if is_good { word } else { "unavailable" } });
        if let (Some(body), Value::Object(rest)) = (body.as_object_mut(), rest) {
            if !is_good {
                body.insert("reasons".into(), reasons.into());
            }
            body.extend(rest);
        }
        Verdict { is_good, body }
    }

    /// The body as one line.
    pub fn line(&self) -> String {
        format!("{}\n", self.body)
    }
}

/// The shards do not run yet: recovery may take its time, and is no reason to kill the process.
pub fn starting_is_healthy() -> Verdict {
    Verdict::of("starting", Vec::new(), json!({}))
}

/// The shards do not run yet.
pub fn starting_is_not_ready() -> Verdict {
    Verdict::of("", vec!["the logs are being opened".into()], json!({}))
}

fn silent(shards: usize, snapshots: &[Snapshot]) -> Vec<String> {
    let answered = |shard: &usize| snapshots.iter().any(|found| found.shard == *shard);
    let silent = (0..shards).filter(|shard| !answered(shard));
    silent.map(|shard| format!("shard {shard} does not answer")).collect()
}

fn metadata_failure(snapshots: &[Snapshot]) -> Option<String> {
    let failed = snapshots.iter().filter_map(|found| found.controller).any(|c| c.is_failed);
    let why = "the metadata log failed: topics stay as they are until the broker is restarted";
    failed.then(|| why.to_string())
}

fn counts(shards: usize, snapshots: &[Snapshot]) -> Value {
    let opening: usize = snapshots.iter().map(|found| found.logs_opening).sum();
    let failed: usize = snapshots.iter().map(|found| found.logs_failed).sum();
    json!({ "shards": shards, "logs_opening": opening, "logs_failed": failed })
}

/// The process does its work: every shard answers, and the metadata log can be written.
pub fn health(shards: usize, snapshots: &[Snapshot]) -> Verdict {
    let mut reasons = silent(shards, snapshots);
    reasons.extend(metadata_failure(snapshots));
    Verdict::of("healthy", reasons, counts(shards, snapshots))
}

/// Clients can be sent here: healthy, registered, and not about to stop. Every log was opened, or
/// is known not to open, before the shards ran.
pub fn ready(shards: usize, snapshots: &[Snapshot]) -> Verdict {
    let mut reasons = silent(shards, snapshots);
    reasons.extend(metadata_failure(snapshots));
    if snapshots.iter().any(|found| found.stopping) {
        reasons.push("the broker is stopping".into());
    }
    if snapshots.iter().filter_map(|found| found.controller).any(|c| !c.is_serving) {
        reasons.push("the broker is not registered".into());
    }
    Verdict::of("ready", reasons, counts(shards, snapshots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::snapshot::ControllerFigures;

    fn shard(shard: usize) -> Snapshot {
        let controller = (shard == 0).then_some(ControllerFigures {
            is_serving: true,
            is_failed: false,
            topics: 1,
            partitions: 1,
        });
        Snapshot {
            shard,
            stopping: false,
            logs_opening: 0,
            logs_failed: 0,
            controller,
            figures: None,
        }
    }

    fn with_controller(change: impl FnOnce(&mut ControllerFigures)) -> Snapshot {
        let mut snapshot = shard(0);
        change(snapshot.controller.as_mut().expect("shard 0 has it"));
        snapshot
    }

    #[test]
    fn each_reason_is_told() {
        let stopping = Snapshot { stopping: true, ..shard(1) };
        let failed = with_controller(|controller| controller.is_failed = true);
        let alone = with_controller(|controller| controller.is_serving = false);
        let offline = Snapshot { logs_failed: 2, ..shard(1) };
        // Healthy, ready, and a word of why not.
        let cases = [
            (vec![shard(0), shard(1)], true, true, ""),
            (vec![shard(0), offline], true, true, ""),
            (vec![shard(0)], false, false, "shard 1 does not answer"),
            (vec![], false, false, "shard 0 does not answer"),
            (vec![shard(0), stopping], true, false, "stopping"),
            (vec![failed, shard(1)], false, false, "metadata log failed"),
            (vec![alone, shard(1)], true, false, "not registered"),
        ];
        for (snapshots, healthy, is_ready, why) in cases {
            let (health, ready) = (health(2, &snapshots), ready(2, &snapshots));
            assert_eq!((health.is_good, ready.is_good), (healthy, is_ready), "{snapshots:?}");
            assert!(ready.line().contains(why), "{}", ready.line());
            assert_eq!(ready.line().lines().count(), 1);
        }
    }

    #[test]
    fn recovery_is_alive_but_not_ready() {
        assert!(starting_is_healthy().is_good);
        assert!(!starting_is_not_ready().is_good);
    }
}
