use super::json::Json;
use super::*;

const ID: &str = "pVEjKjV1QPuQGFpSpVmqrA";

#[test]
fn offsets_as_kafka_writes_them() {
    let text = "0\n3\n__cluster_metadata 0 17\na.b-c_d 0 9223372036854775807\na.b-c_d 12 0\n";
    let read = OffsetCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(read.offsets[&("a.b-c_d".to_owned(), 12)], 0);
    assert_eq!(read.render(), text);
    assert_eq!(OffsetCheckpoint::default().render(), "0\n0\n");
    assert_eq!(OffsetCheckpoint::parse(b"").unwrap(), OffsetCheckpoint::default());
}

#[test]
fn broken_offsets_name_the_line() {
    for (text, at) in [
        ("\n", 1),
        ("garbage", 1),
        ("0", 2),
        ("0\n", 2),
        ("0\n-1\n", 2),
        ("0\n+1\nt 0 0\n", 2),
        ("0\n99999999999999999999\n", 2),
        ("0\n2\nt 0 0\n", 2),
        ("0\n0\nt 0 0\n", 2),
        ("0\n1\nt 0\n", 3),
        ("0\n1\nt 0 0 0\n", 3),
        ("0\n1\nt 0 x\n", 3),
        ("0\n1\nt 2147483648 0\n", 3),
        ("0\n1\n\n", 3),
        ("0\n2\nt 0 0\nt 0 1\n", 4),
        ("0\r\n0\r\n", 1),
        ("0\n0", 2),
        ("0\n1\nt 0 15", 3),
    ] {
        assert_eq!(OffsetCheckpoint::parse(text.as_bytes()).unwrap_err().at, at, "{text:?}");
    }
    assert_eq!(OffsetCheckpoint::parse(b"0\n\xff").unwrap_err().what, "the file is not UTF-8");
}

#[test]
fn partition_metadata_is_43_bytes() {
    let metadata = PartitionMetadata { topic_id: ID.to_owned() };
    let text = metadata.render();
    assert_eq!(text.len(), 43);
    assert_eq!(PartitionMetadata::parse(text.as_bytes()).unwrap(), metadata);
    assert_eq!(PartitionMetadata::parse(format!("{text}\n").as_bytes()).unwrap(), metadata);
    for text in [
        "",
        "version: 0",
        "version: 1\ntopic_id: pVEjKjV1QPuQGFpSpVmqrA",
        "version: 0\ntopic_id: short",
        "version: 0\ntopic_id: pVEjKjV1QPuQGFpSpVmqrB",
        "version: 0\nversion: 0\ntopic_id: pVEjKjV1QPuQGFpSpVmqrA",
        "topic_id: pVEjKjV1QPuQGFpSpVmqrA",
    ] {
        assert!(PartitionMetadata::parse(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn meta_properties_in_any_order_and_dress() {
    let text = "#\n#Sat Nov 21 08:00:00 UTC 2026\nnode.id=4\n  version : 1\r\n\ndirectory.id=\
        pVEjKjV1QPuQGFpSpVmqrA\ncluster.id=my\\=own\\:cluster\nbroker.rack a b\n";
    let read = MetaProperties::parse(text.as_bytes()).unwrap();
    assert_eq!((read.cluster_id.as_str(), read.node_id), ("my=own:cluster", 4));
    assert_eq!(read.directory_id.as_deref(), Some(ID));
    assert_eq!(read.others["broker.rack"], "a b");
    assert_eq!(MetaProperties::parse(read.render().as_bytes()).unwrap(), read);
    for (text, what) in [
        ("", "the version is missing"),
        ("version=0\n", "the version must be 1"),
        ("version=1\nnode.id=1\n", "the cluster id is missing"),
        ("version=1\ncluster.id=\nnode.id=1\n", "the cluster id is empty"),
        ("version=1\ncluster.id=c\n", "the node id is missing"),
        ("version=1\ncluster.id=c\nnode.id=-1\n", "node id"),
        ("version=1\nversion=1\n", "the key is there twice"),
        ("version=1\\", "an escape that is not taken here"),
    ] {
        assert_eq!(MetaProperties::parse(text.as_bytes()).unwrap_err().what, what, "{text:?}");
    }
    let short = "version=1\ncluster.id=c\nnode.id=1\ndirectory.id=x\n";
    assert_eq!(MetaProperties::parse(short.as_bytes()).unwrap_err().found, "x");
}

#[test]
fn clean_shutdown_is_json() {
    let marker = CleanShutdown { broker_epoch: 17 };
    assert_eq!(marker.render(), r#"{"version":0,"brokerEpoch":17}"#);
    assert_eq!(marker.render().len(), 30);
    for text in [marker.render(), " {\"brokerEpoch\" : 17 ,\n \"version\":0 } ".to_owned()] {
        assert_eq!(CleanShutdown::parse(text.as_bytes()).unwrap(), marker);
    }
    let negative = CleanShutdown { broker_epoch: -1 };
    assert_eq!(CleanShutdown::parse(negative.render().as_bytes()).unwrap(), negative);
    for text in ["", "{}", "[]", r#"{"version":1,"brokerEpoch":1}"#, r#"{"version":0}"#] {
        assert!(CleanShutdown::parse(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn quorum_state_of_both_versions() {
    let v0 = concat!(
        r#"{"clusterId":"","leaderId":1,"leaderEpoch":1,"votedId":-1,"appliedOffset":0,"#,
        r#""currentVoters":[{"voterId":1},{"voterId":3}],"data_version":0}"#,
    );
    let v1 = concat!(
        r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"#,
        r#""votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#,
    );
    let old = QuorumState::parse(v0.as_bytes()).unwrap();
    assert_eq!(old.voters, Some(vec![1, 3]));
    assert_eq!(old.render(), v1);
    let new = QuorumState::parse(v1.as_bytes()).unwrap();
    assert_eq!(new, QuorumState { voters: None, ..old });
    for (from, to) in [
        ("\"data_version\":1", "\"data_version\":2"),
        ("\"leaderEpoch\":1", "\"leaderEpoch\":-1"),
        ("\"leaderId\":1", "\"leaderId\":2147483648"),
        ("\"votedId\":-1", "\"votedId\":null"),
        ("AAAAAAAAAAAAAAAAAAAAAA", "A"),
        ("\"votedId\":-1,", ""),
    ] {
        assert!(QuorumState::parse(v1.replace(from, to).as_bytes()).is_err(), "{to}");
    }
}

#[test]
fn json_is_strict() {
    let parse = |text: &str| Json::parse(text.as_bytes());
    assert_eq!(parse(r#""a\u0041\n\"\\/é""#).unwrap(), Json::String("aA\n\"\\/é".to_owned()));
    assert_eq!(
        parse("[ -9223372036854775808 ]").unwrap(),
        Json::Array(vec![Json::Number(i64::MIN)])
    );
    assert_eq!(json::quote("a\"\\\u{1}"), r#""a\"\\\u0001""#);
    for text in [
        "",
        " ",
        "01",
        "-",
        "1.5",
        "1e3",
        "true",
        "{",
        "{\"a\"}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "[1,]",
        "[1 2]",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\u00é0\"",
        "1 1",
        "9223372036854775808",
        "[[[[[[[[[1]]]]]]]]]",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    assert!(parse(&"[".repeat(1 << 20)).is_err());
}

/// Every parser on every cut and on many mutations of good files: an error or a value, never a
/// panic.
#[test]
fn hostile_bytes_never_panic() {
    let meta = format!("version=1\ncluster.id=c\\:\\=\nnode.id=1\ndirectory.id={ID}\n");
    let files = [
        "0\n2\ntopic 0 17\ntopic 1 18\n".to_owned(),
        "0\n2\n0 0\n7 18\n".to_owned(),
        PartitionMetadata { topic_id: ID.to_owned() }.render(),
        meta,
        CleanShutdown { broker_epoch: 3 }.render(),
        r#"{"leaderId":1,"currentVoters":[{"voterId":1}],"é":"\u0041","data_version":0}"#
            .to_owned(),
    ];
    const ODD: &[u8] = b"0 \n{}[]\":,\\-=#\xff";
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for file in &files {
        for cut in 0..=file.len() {
            parse_all(&file.as_bytes()[..cut]);
        }
        for _ in 0..4000 {
            let mut bytes = file.clone().into_bytes();
            for _ in 0..3 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = random as usize % bytes.len();
                match random >> 32 & 3 {
                    0 => bytes[at] = (random >> 40) as u8,
                    1 => bytes[at] = ODD[(random >> 40) as usize % ODD.len()],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, (random >> 40) as u8),
                }
            }
            parse_all(&bytes);
        }
    }
}

fn parse_all(bytes: &[u8]) {
    if let Ok(value) = OffsetCheckpoint::parse(bytes) {
        assert_eq!(OffsetCheckpoint::parse(value.render().as_bytes()), Ok(value));
    }
    if let Ok(value) = crate::epochs::EpochCache::parse(bytes) {
        assert_eq!(crate::epochs::EpochCache::parse(value.render().as_bytes()), Ok(value));
    }
    if let Ok(value) = PartitionMetadata::parse(bytes) {
        assert_eq!(PartitionMetadata::parse(value.render().as_bytes()), Ok(value));
    }
    if let Ok(value) = MetaProperties::parse(bytes) {
        assert_eq!(MetaProperties::parse(value.render().as_bytes()), Ok(value));
    }
    if let Ok(value) = CleanShutdown::parse(bytes) {
        assert_eq!(CleanShutdown::parse(value.render().as_bytes()), Ok(value));
    }
    if let Ok(value) = QuorumState::parse(bytes) {
        let read = QuorumState::parse(value.render().as_bytes()).unwrap();
        assert_eq!(read.voted_directory_id, value.voted_directory_id);
    }
}
