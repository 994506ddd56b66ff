//! Directories as they are found, formatting cut anywhere, a start and a stop.

use super::*;
use crate::metadata::image::{Endpoint, Image, PartitionImage, TopicImage};
use ringlog_storage::checkpoint::{OffsetCheckpoint, QuorumState};
use std::sync::Arc;

const NOW_MS: i64 = 1_800_000_000_000;

/// As Kafka writes it.
const QUORUM_STATE: &str = concat!(
    r#"{"leaderId":1,"leaderEpoch":3,"votedId":-1,"#,
    r#""votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#,
);

const fn id(number: u128) -> Uuid {
    Uuid((1u128 << 64 | number).to_be_bytes())
}

fn node() -> Node {
    let endpoint = |name: &str, port| Endpoint {
        name: name.into(),
        host: "127.0.0.1".into(),
        port,
        security_protocol: 0,
    };
    Node {
        id: 1,
        directory: id(0xd1),
        incarnation: id(1),
        controller_incarnation: id(2),
        endpoints: vec![endpoint("PLAINTEXT", 9092)],
        controller_endpoint: endpoint("CONTROLLER", 9093),
        rack: None,
    }
}

/// A data directory in memory: files with their bytes, directories without.
#[derive(Clone, Debug, Default, PartialEq)]
struct Dir(BTreeMap<String, Option<Vec<u8>>>);

impl Dir {
    fn of(names: &[&str]) -> Dir {
        let entry = |name: &&str| match name.strip_suffix('/') {
            Some(dir) => (dir.to_string(), None),
            None => (name.to_string(), Some(Vec::new())),
        };
        Dir(names.iter().map(entry).collect())
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::CreateDir(path) => {
                self.0.entry(path.clone()).or_insert(None);
            }
            Step::Replace(path, bytes) => {
                self.0.remove(&format!("{path}{TMP_SUFFIX}"));
                self.0.insert(path.clone(), Some(bytes.clone()));
            }
            Step::Remove(path) => {
                self.0.remove(path);
            }
            Step::Rename(from, to) => {
                let moved = self.0.remove(from).expect("it is there");
                self.0.insert(to.clone(), moved);
            }
        }
    }

    /// The step's crash: of a replacement, a part of the new file lies beside the old one.
    fn half(&mut self, step: &Step) {
        if let Step::Replace(path, bytes) = step {
            self.0.insert(format!("{path}{TMP_SUFFIX}"), Some(bytes[..bytes.len() / 2].to_vec()));
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let root = self.0.iter().filter(|(path, _)| !path.contains('/'));
        root.map(|(path, bytes)| Entry { name: path.clone(), is_dir: bytes.is_none() }).collect()
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).cloned().flatten()
    }

    fn classify(&self) -> Result<Kind, Refusal> {
        classify(&self.entries(), self.file(RINGLOG_PROPERTIES).as_deref())
    }
}

#[test]
fn blank_directories() {
    for names in [&[][..], &[".lock"], &[".lock", "ringlog.properties.tmp"]] {
        assert_eq!(Dir::of(names).classify(), Ok(Kind::Blank), "{names:?}");
    }
}

#[test]
fn other_peoples_directories_are_refused_by_name() {
    let kafka = Dir::of(&[".lock", "meta.properties", "__cluster_metadata-0/", "t-0/"]);
    assert_eq!(kafka.classify(), Err(Refusal::Kafka));
    assert!(Refusal::Kafka.to_string().contains("Apache Kafka"));
    let foreign = Dir::of(&["notes.txt", "a/", "b/", "c/"]);
    let names = ["a", "b", "c"].map(str::to_string).to_vec();
    assert_eq!(foreign.classify(), Err(Refusal::Foreign { names }));
}

#[test]
fn our_own_words_are_read_strictly() {
    let with = |text: &str| {
        let mut dir = Dir::of(&[]);
        dir.0.insert(RINGLOG_PROPERTIES.into(), Some(text.into()));
        dir.classify()
    };
    assert_eq!(with("#x\nformat.version=1\nstate=ready\n"), Ok(Kind::Ours));
    let found = "2".to_string();
    assert_eq!(with("format.version=2\nstate=ready\n"), Err(Refusal::Version { found }));
    for text in ["", "state=ready", "format.version=1", "format.version=1\nstate=odd"] {
        assert!(matches!(with(text), Err(Refusal::Damaged { .. })), "{text}");
    }
}

#[test]
fn formatting_cut_anywhere_is_begun_again() {
    let steps = format_steps(NOW_MS, &node(), "cluster");
    let mut whole = Dir::of(&[".lock"]);
    steps.iter().for_each(|step| whole.carry_out(step));
    assert_eq!(whole.classify(), Ok(Kind::Ours));
    for cut in 0..steps.len() {
        for half in [false, true] {
            let mut dir = Dir::of(&[".lock"]);
            steps[..cut].iter().for_each(|step| dir.carry_out(step));
            if half {
                dir.half(&steps[cut]);
            }
            assert_eq!(dir.classify(), Ok(Kind::Blank), "cut at {cut}, half {half}");
            steps.iter().for_each(|step| dir.carry_out(step));
            assert_eq!(dir, whole, "cut at {cut}, half {half}");
        }
    }
}

#[test]
fn what_came_into_an_unfinished_directory_is_not_touched() {
    let steps = format_steps(NOW_MS, &node(), "cluster");
    let mut dir = Dir::of(&["orders-0/"]);
    dir.carry_out(&steps[0]);
    let names = vec!["orders-0".to_string()];
    assert_eq!(dir.classify(), Err(Refusal::Unfinished { names }));
}

#[test]
fn the_files_of_formatting() {
    let steps = format_steps(NOW_MS, &node(), "lLfJmTdgQ3Gd5eBVDUgyIw");
    let path = |step: &Step| match step {
        Step::Replace(path, _) => path.clone(),
        Step::CreateDir(path) => format!("{path}/"),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        steps.iter().map(path).collect::<Vec<_>>(),
        [
            "ringlog.properties",
            "__cluster_metadata-0/",
            "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
            "bootstrap.checkpoint",
            "meta.properties",
            "ringlog.properties",
        ]
    );
    let mut dir = Dir::default();
    steps.iter().for_each(|step| dir.carry_out(step));
    let size = |path: &str| dir.file(path).expect("written").len();
    // Kafka's own: 241 bytes, and 411 with two features more (of 27 and 29 bytes).
    assert_eq!(size("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"), 241);
    assert_eq!(size("bootstrap.checkpoint"), 411 - 27 - 29);
    let files = OwnedFiles { meta: dir.file("meta.properties"), ..Default::default() };
    let root = open(1, &files).expect("ours");
    assert_eq!((root.cluster_id.as_str(), root.directory), ("lLfJmTdgQ3Gd5eBVDUgyIw", id(0xd1)));
    assert_eq!((root.clean, root.warnings.len()), (None, 0));
    assert_eq!(open(2, &files), Err(Refusal::NodeId { found: 1, expected: 2 }));
}

#[test]
fn identities_avoid_what_kafka_reserves() {
    let dash = Uuid([0xf8; 16]);
    assert!(dash.to_string().starts_with('-'));
    let mut draws = [Uuid::ZERO, Uuid::METADATA_TOPIC, dash, id(1), dash, id(2)].into_iter();
    let identity = Identity::draw(&mut || draws.next().expect("no more is drawn"));
    assert_eq!(identity, Identity { cluster_id: id(1).to_string(), directory: id(2) });
}

fn files() -> OwnedFiles {
    let meta = "version=1\nnode.id=1\ncluster.id=c\ndirectory.id=AAAAAAAAAAEAAAAAAAAA0Q\n";
    OwnedFiles { meta: Some(meta.into()), ..Default::default() }
}

#[test]
fn a_root_after_a_clean_stop() {
    let files = OwnedFiles {
        marker: Some(r#"{"version":0,"brokerEpoch":17}"#.into()),
        recovery_points: Some("0\n1\nt 0 9\n".into()),
        log_starts: Some("0\n1\nt 0 4\n".into()),
        high_watermarks: Some("0\n1\nt 0 8\n".into()),
        quorum_state: Some(QUORUM_STATE.into()),
        ..files()
    };
    let root = open(1, &files).expect("ours");
    let one = |offset| OffsetCheckpoint { offsets: [(("t".to_string(), 0), offset)].into() };
    assert_eq!(root.clean, Some(17));
    assert_eq!((root.recovery_points, root.log_starts), (one(9), one(4)));
    assert_eq!((root.high_watermarks, root.warnings), (one(8), vec![]));
    assert_eq!(root.steps, [Step::Remove(".kafka_cleanshutdown".into())]);
    assert_eq!(next_epoch(root.quorum_state.as_ref(), 2), 4);
    assert_eq!(next_epoch(root.quorum_state.as_ref(), 7), 8);
    assert_eq!(next_epoch(None, 0), 1);
}

#[test]
fn malformed_hints_are_told_and_absent() {
    let garbage = || Some(b"garbage".to_vec());
    let files = OwnedFiles {
        meta: files().meta,
        marker: garbage(),
        recovery_points: garbage(),
        log_starts: garbage(),
        high_watermarks: garbage(),
        quorum_state: garbage(),
    };
    let root = open(1, &files).expect("ours");
    assert_eq!((root.clean, root.warnings.len()), (None, 5));
    assert_eq!(root.recovery_points, OffsetCheckpoint::default());
    for meta in [None, garbage(), Some(b"version=1\nnode.id=1\ncluster.id=c\n".to_vec())] {
        let refused = open(1, &OwnedFiles { meta, ..Default::default() });
        assert!(matches!(refused, Err(Refusal::Damaged { file: "meta.properties", .. })));
    }
}

#[test]
fn the_quorum_state_is_kafkas() {
    let Step::Replace(path, bytes) = quorum_state_step(1, 3) else { panic!() };
    assert_eq!(path, "__cluster_metadata-0/quorum-state");
    assert_eq!(String::from_utf8_lossy(&bytes), QUORUM_STATE);
    assert_eq!(QuorumState::parse(&bytes).expect("it is read back").leader_epoch, 3);
}

#[test]
fn directories_are_sorted_by_name() {
    let dir = Dir::of(&[
        "__cluster_metadata-0/",
        "a-b-12/",
        "t-0/",
        "meta.properties",
        "remote-log-index-cache/",
        "t-1.0123456789abcdef0123456789abcdef-delete/",
        "u-0.00-stray/",
        "u-1.00-future/",
    ]);
    let found = Found::sort(&dir.entries()).expect("all are known");
    let partition = |dir: &str, topic: &str, number| (dir.to_string(), topic.to_string(), number);
    assert_eq!(found.partitions, [partition("a-b-12", "a-b", 12), partition("t-0", "t", 0)]);
    assert_eq!(found.deleted, ["t-1.0123456789abcdef0123456789abcdef-delete"]);
    assert_eq!(found.set_aside, ["u-0.00-stray", "u-1.00-future"]);
    for name in ["ringlog", "t-", "-0", "t-x", "t-01", "t-+1", "a b-0", "t-4294967296"] {
        let entries = Dir::of(&[&format!("{name}/")]).entries();
        assert_eq!(Found::sort(&entries), Err(Refusal::Stranger { name: name.into() }));
    }
}

/// One topic `t` with the id 7 and partitions 0 and 1 on this node, 2 on another.
fn image() -> Image {
    let partition = |replica| PartitionImage { replicas: vec![replica], ..Default::default() };
    let partitions = [(0, partition(1)), (1, partition(1)), (2, partition(2))].into();
    let mut image = Image::new("c");
    image.topic_ids.insert("t".into(), id(7));
    image.topics.insert(id(7), Arc::new(TopicImage { name: "t".into(), id: id(7), partitions }));
    image
}

#[test]
fn directories_find_their_partitions_and_the_rest_is_set_aside() {
    let check = |dirs: &[(&str, Option<Uuid>)], exists: [bool; 2], strays: &[&str]| {
        let names: Vec<String> = dirs.iter().map(|(name, _)| format!("{name}/")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = Found::sort(&Dir::of(&names).entries()).expect("partitions");
        let topic_ids = dirs.iter();
        let topic_ids = topic_ids.filter_map(|(name, id)| Some((name.to_string(), (*id)?)));
        let placed = place(&found, &topic_ids.collect(), &image(), 1, &mut || id(5));
        let live: Vec<(&str, bool)> =
            placed.live.iter().map(|live| (live.dir.as_str(), live.exists)).collect();
        assert_eq!(live, [("t-0", exists[0]), ("t-1", exists[1])]);
        let stray = |dir: &&str| {
            let to = format!("{dir}.00000000000000010000000000000005-stray");
            Step::Rename(dir.to_string(), to)
        };
        assert_eq!(placed.steps, strays.iter().map(stray).collect::<Vec<_>>());
    };
    let (own, other) = (Some(id(7)), Some(id(8)));
    check(&[], [false, false], &[]);
    check(&[("t-0", own), ("t-1", own)], [true, true], &[]);
    check(&[("t-0", other), ("t-1", None)], [false, false], &["t-0", "t-1"]);
    check(&[("t-2", own), ("t-9", own), ("u-0", own)], [false, false], &["t-2", "t-9", "u-0"]);
}

#[test]
fn a_clean_stop_writes_the_marker_last() {
    let end = |partition, log_start| PartitionEnd {
        topic: "t".into(),
        partition,
        high_watermark: 8,
        flushed: 9,
        log_start,
        first_segment: 3,
    };
    let replace = |path: &str, text: &str| Step::Replace(path.into(), text.into());
    let ends = [end(0, 3), end(1, 4)];
    let mut plan = stop_plan(&ends, Some(17));
    assert_eq!(
        plan.before_close,
        [replace("replication-offset-checkpoint", "0\n2\nt 0 8\nt 1 8\n")]
    );
    let recovery = replace("recovery-point-offset-checkpoint", "0\n2\nt 0 9\nt 1 9\n");
    let starts = replace("log-start-offset-checkpoint", "0\n1\nt 1 4\n");
    let marker = replace(".kafka_cleanshutdown", "{\"version\":0,\"brokerEpoch\":17}");
    assert_eq!(plan.after_close, [recovery, starts, marker]);
    plan.after_close.pop();
    assert_eq!(stop_plan(&ends, None), plan);
}

#[test]
fn names_of_what_is_set_aside() {
    let id = Uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes());
    assert_eq!(delete_dir("t", 3, id), "t-3.0123456789abcdef0123456789abcdef-delete");
    let long = stray_dir(&"x".repeat(249), 12, id);
    assert_eq!(long.len(), 255);
    assert!(long.ends_with("x-12.0123456789abcdef0123456789abcdef-stray"));
}
