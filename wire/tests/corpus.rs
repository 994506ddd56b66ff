//! The fuzz targets' corpus (`wire/fuzz/corpus`), through the fuzz targets' functions, without a
//! fuzzer: what was found once stays found. The same frames are what `cargo perf hostile` mutates,
//! so every API and version must be there.
//!
//! `UPDATE_CORPUS=1` adds what is missing: messages of one version written in every other, the
//! batches inside Produce and Fetch, and the records of the metadata log named by `CORPUS_LOG`.
#![allow(clippy::disallowed_methods)]

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use checks::Side;
use ringlog_wire::api::{API_LIST, Api, fetch, produce};
use ringlog_wire::batch::Batch;
use ringlog_wire::client::encode_request;
use ringlog_wire::header::{RequestHeader, begin_response};
use ringlog_wire::records::{GroupRecord, MetadataRecord, TransactionRecord};

/// Inputs above this are not kept.
const INPUT_BYTES_MAX: usize = 4096;
/// The whole corpus stays below this.
const CORPUS_BYTES_MAX: u64 = 900 << 10;

type Check = fn(&[u8]);

const TARGETS: [(&str, Check); 5] = [
    ("frame", checks::frame),
    ("request", checks::request),
    ("response", checks::response),
    ("batch", checks::batch),
    ("records", checks::records),
];

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn add(target: &str, input: &[u8]) {
    if input.is_empty() || input.len() > INPUT_BYTES_MAX {
        return;
    }
    fs::create_dir_all(folder(target)).unwrap();
    // FNV-1a: the same input has the same name wherever it is made.
    let name = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    fs::write(folder(target).join(format!("{name:016x}")), input).unwrap();
}

type Parts<'a> = (&'static Api, i16, &'a [u8]);

fn parts(side: Side, input: &[u8]) -> Option<Parts<'_>> {
    match side {
        Side::Request => checks::request_parts(input),
        Side::Response => checks::response_parts(input),
    }
}

/// As [`parts`], for inputs whose body can be read.
fn good(side: Side, input: &[u8]) -> Option<Parts<'_>> {
    let (api, version, body) = parts(side, input)?;
    checks::bodies::recode(side, api.key, version, body).ok()?;
    Some((api, version, body))
}

fn target(side: Side) -> &'static str {
    if side == Side::Request { "request" } else { "response" }
}

/// An input of the target, around a body.
fn input(side: Side, api: &Api, version: i16, body: &[u8]) -> Vec<u8> {
    if side == Side::Request {
        return encode_request(api, version, 1, Some("corpus"), |out| out.extend(body))
            .split_off(4);
    }
    let mut out = [api.key.to_be_bytes(), version.to_be_bytes()].concat();
    let start = begin_response(api, version, 1, &mut out);
    out.drain(start..start + 4);
    out.extend(body);
    out
}

/// APIs and versions of which the corpus has no input that can be read.
fn missing(side: Side) -> BTreeSet<(i16, i16)> {
    let inputs = inputs(target(side));
    let there: BTreeSet<(i16, i16)> = inputs
        .iter()
        .filter_map(|input| good(side, input))
        .map(|(api, version, _)| (api.key, version))
        .collect();
    let all = API_LIST.iter().flat_map(|api| api.versions().map(|version| (api.key, version)));
    all.filter(|pair| !there.contains(pair)).collect()
}

/// The longest message of each API, in every version that is missing.
fn add_versions(side: Side) {
    let inputs = inputs(target(side));
    let mut richest = BTreeMap::<i16, (i16, &[u8])>::new();
    for input in inputs.iter().filter(|input| input.len() < INPUT_BYTES_MAX / 2) {
        let Some((api, version, body)) = good(side, input) else { continue };
        let best = richest.entry(api.key).or_insert((version, body));
        if body.len() > best.1.len() {
            *best = (version, body);
        }
    }
    for (key, version) in missing(side) {
        let api = ringlog_wire::api::find(key).unwrap();
        let body = checks::bodies::convert(side, key, richest.get(&key).copied(), version);
        add(target(side), &input(side, api, version, &body));
    }
}

fn add_batches() {
    for input in inputs("request") {
        let Some((api, version, body)) = good(Side::Request, &input) else { continue };
        if *api == produce::API {
            let view = produce::RequestView::parse(version, body).unwrap();
            let partitions = view.topics().flat_map(|topic| topic.partitions());
            partitions.filter_map(|partition| partition.records).for_each(|it| add("batch", it));
        }
    }
    for input in inputs("response") {
        let Some((api, version, body)) = good(Side::Response, &input) else { continue };
        if *api == fetch::API {
            let view = fetch::ResponseView::parse(version, body).unwrap();
            let partitions = view.topics().flat_map(|topic| topic.partitions());
            partitions.for_each(|partition| add("batch", partition.records));
        }
    }
}

fn add_records() {
    for (key, _, version_max) in MetadataRecord::TYPES {
        for version in 0..=*version_max {
            // The shortest record: nothing but zeros, as many as it takes.
            let head = [1, *key as u8, version as u8];
            let value = |zeros| [&head[..], &vec![0; zeros]].concat();
            let shortest = (0..256).map(value).find(|it| MetadataRecord::decode_value(it).is_ok());
            if let Some(value) = shortest {
                add("records", &[&[0], &value[..]].concat());
            }
        }
    }
    add_coordinator_records();
    let Some(log) = std::env::var_os("CORPUS_LOG") else { return };
    let bytes = fs::read(log).unwrap();
    let mut rest = &bytes[..];
    while let Ok((batch, after)) = Batch::parse(rest) {
        rest = after;
        for record in batch.records().flatten() {
            let kind = match batch.header().is_control() {
                true => record.key.and_then(|key| key.get(3)).map_or(0, |kind| kind + 1),
                false => 0,
            };
            add("records", &[&[kind], record.value.unwrap_or_default()].concat());
        }
    }
}

/// The shortest record of each type and version of the coordinators' topics, and its end.
fn add_coordinator_records() {
    let types = GroupRecord::TYPES.iter().map(|it| (checks::GROUP, it));
    let types = types.chain(TransactionRecord::TYPES.iter().map(|it| (checks::TRANSACTION, it)));
    for (topic, (kind, _, version_max)) in types {
        let reads = |key: &[u8], value: Option<&[u8]>| match topic {
            checks::GROUP => GroupRecord::decode(key, value).is_ok(),
            _ => TransactionRecord::decode(key, value).is_ok(),
        };
        // Ones where zeros are refused: a compact length of 0 is null.
        let padded = |head: i16| {
            let fills = [0, 1].into_iter().flat_map(|fill| (0..256).map(move |n| vec![fill; n]));
            fills.map(move |fill| [&head.to_be_bytes()[..], &fill].concat())
        };
        let key = padded(*kind).find(|key| reads(key, None)).unwrap();
        let head = [&[topic, key.len() as u8], &key[..]].concat();
        add("records", &head);
        for version in 0..=*version_max {
            let value = padded(version).find(|value| reads(&key, Some(value))).unwrap();
            add("records", &[&head[..], &value].concat());
        }
    }
    for kind in [checks::SUBSCRIPTION, checks::ASSIGNMENT] {
        for version in 0..=3 {
            add("records", &[&[kind, 0, version], &[0; 20][..]].concat());
        }
    }
}

/// Requests again, with little of their bodies, which the target does not look at.
fn add_frames() {
    for content in inputs("request") {
        let Some((api, ..)) = parts(Side::Request, &content) else { continue };
        let (_, body) = RequestHeader::parse(api, &content).unwrap();
        let content = &content[..content.len() - body.len() + body.len().min(8)];
        let size = (content.len() as i32).to_be_bytes();
        add("frame", &[&size[..], content].concat());
    }
}

#[test]
fn every_api_has_its_line() {
    let mut keys: Vec<i16> = API_LIST.iter().map(|api| api.key).collect();
    keys.sort_unstable();
    let mut lines = checks::bodies::KEYS.to_vec();
    lines.sort_unstable();
    assert_eq!(lines, keys, "give it a line in wire/fuzz/src/bodies.rs");
}

#[test]
fn the_corpus_passes_and_is_complete() {
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        add_versions(Side::Request);
        add_versions(Side::Response);
        add_batches();
        add_records();
        add_frames();
    }
    let mut bytes = 0;
    for (target, check) in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{target} has a corpus");
        for input in &inputs {
            check(input);
            bytes += input.len() as u64;
        }
    }
    assert!(bytes < CORPUS_BYTES_MAX, "{bytes} bytes: minimise it (cargo fuzz cmin)");
    for side in [Side::Request, Side::Response] {
        let missing = missing(side);
        let remedy = "UPDATE_CORPUS=1 cargo test -p ringlog-wire --test corpus";
        assert!(missing.is_empty(), "{side:?}: (key, version) {missing:?}: run {remedy}");
    }
}
