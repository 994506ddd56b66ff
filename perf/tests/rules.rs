//! Every rule of the protocol that brokers usually get wrong, and that this release can meet, has a
//! test that names it: `fn rule_NN…`, anywhere in the workspace.
//!
//! The numbers are those of the list that this project works from: connection and header (1–13),
//! produce (14–24), idempotence (25–31), transactions (32–43), fetch (44–54), offsets and metadata
//! (55–67), groups (68–76), quotas (77–78).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rules that no test can meet yet, and why.
const NOT_YET: &[(std::ops::RangeInclusive<u32>, &str)] = &[
    (13..=13, "SASL is not served"),
    (50..=50, "quotas are not served, so no fetch is throttled"),
    (53..=54, "one node has no follower to prefer, and no log of an old format"),
    (67..=67, "nothing is compacted"),
    (72..=72, "cooperative rebalancing is the clients' own: their matrix has it"),
    (77..=78, "quotas are not served"),
];
const LAST: u32 = 78;

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a folder of this repository");
    for entry in entries.map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true if entry.ends_with("target") || entry.ends_with("cache") => {}
            true => rust_files(&entry, out),
            false if entry.extension().is_some_and(|extension| extension == "rs") => {
                out.push(entry);
            }
            false => {}
        }
    }
}

/// The rules that the names of functions name: `rule_9_…`, `rule_49b_…`, `rules_25_and_27_…`,
/// `rules_25_to_27_…`.
fn named(text: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let names = text.split("fn rule").skip(1).filter_map(|rest| rest.split('(').next());
    for name in names {
        let (mut from, mut last) = (None, None);
        for word in name.split('_').skip(1) {
            match word.trim_end_matches('b').parse::<u32>() {
                Ok(rule) => {
                    found.extend(from.take().unwrap_or(rule)..=rule);
                    last = Some(rule);
                }
                Err(_) if word == "to" => from = last,
                Err(_) if word == "and" => {}
                Err(_) => break,
            }
        }
    }
    found
}

#[test]
fn names_are_read() {
    let text = "fn rule_9_of_2() fn rule_49b() fn rules_14_and_20_x() fn rules_51_to_53_() fn r()";
    assert_eq!(named(text), BTreeSet::from([9, 14, 20, 49, 51, 52, 53]));
}

#[test]
fn every_rule_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["wire", "storage", "shard", "broker", "loadgen"] {
        rust_files(&root.join(folder), &mut files);
    }
    let read = |file: &PathBuf| std::fs::read_to_string(file).expect("a source file");
    let tested: BTreeSet<u32> = files.iter().flat_map(|file| named(&read(file))).collect();
    let waived = |rule: &u32| NOT_YET.iter().find(|(rules, _)| rules.contains(rule));
    let untested: Vec<u32> =
        (1..=LAST).filter(|rule| !tested.contains(rule) && waived(rule).is_none()).collect();
    assert!(untested.is_empty(), "no test names the rules {untested:?}");
    let needless: Vec<u32> = tested.iter().copied().filter(|rule| waived(rule).is_some()).collect();
    assert!(needless.is_empty(), "the rules {needless:?} have tests: take them off the list");
}
