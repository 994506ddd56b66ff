//! What Apache Kafka answers to the same clients, and how Ringlog may differ from it.
//!
//! `perf/clients/answers-kafka.json` is written by `cargo perf clients --server kafka`; each
//! difference that is meant stands in `perf/clients/differences.toml` with its reason. A difference
//! that stands there and is not seen is as wrong as one that is seen and does not stand there.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::program::{Outcome, Said};
use crate::Failure;
use crate::place::Place;
use crate::process;

/// How a check ended, and the broker's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// How it ended.
    pub result: Outcome,
    /// The broker's answer.
    pub answer: String,
}

/// The answers by client and check.
pub type Answers = BTreeMap<String, BTreeMap<String, Answer>>;

/// A difference that is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    check: String,
    client: String,
    kafka: String,
    ringlog: String,
    why: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DifferenceFile {
    #[serde(default)]
    difference: Vec<Difference>,
}

fn answers_path(place: &Place) -> PathBuf {
    place.root().join("perf/clients/answers-kafka.json")
}

/// What Kafka answered when it was last asked.
pub fn of_kafka(place: &Place) -> Result<Answers, Failure> {
    let path = answers_path(place);
    if !path.exists() {
        return Ok(Answers::new());
    }
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// Keeps what Kafka answered now; what was not asked stays as it was, but for checks that clients
/// which play all of theirs no longer have.
pub fn keep(place: &Place, said: &BTreeMap<String, Said>, is_whole: bool) -> Result<(), Failure> {
    let mut answers = of_kafka(place)?;
    for (client, said) in said {
        let kept = answers.entry(client.clone()).or_default();
        if is_whole {
            kept.clear();
        }
        for (check, line) in said {
            let answer = Answer { result: line.result, answer: line.answer.clone() };
            kept.insert(check.clone(), answer);
        }
    }
    let text = serde_json::to_string_pretty(&answers)? + "\n";
    process::write_file(&answers_path(place), text.as_bytes())
}

/// The differences that are meant.
pub fn differences(place: &Place) -> Result<Vec<Difference>, Failure> {
    let path = place.root().join("perf/clients/differences.toml");
    let file: DifferenceFile = toml::from_str(&fs::read_to_string(path)?)?;
    Ok(file.difference)
}

/// Complaints about one run of all clients: answers that differ from Kafka's and are not listed.
/// Marks the listed differences that were seen. Failed checks are complained of elsewhere. When all
/// checks were to be played, what Kafka answered must have been asked.
pub fn compare(
    kafka: &Answers,
    listed: &[Difference],
    is_seen: &mut [bool],
    said: &BTreeMap<String, Said>,
    is_whole: bool,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for (client, said) in said {
        let of_kafka = kafka.get(client);
        let is_unsaid = |check: &&String| is_whole && !said.contains_key(*check);
        for check in of_kafka.into_iter().flat_map(BTreeMap::keys).filter(is_unsaid) {
            complaints.push(format!("{client} {check}: said nothing of it"));
        }
        for line in said.values().filter(|line| line.result != Outcome::Fail) {
            let place = format!("{client} {}", line.check);
            let Some(answer) = of_kafka.and_then(|said| said.get(&line.check)) else {
                complaints.push(format!("{place}: Kafka was not asked (--server kafka)"));
                continue;
            };
            if (answer.result, &answer.answer) == (line.result, &line.answer) {
                continue;
            }
            let is_this = |one: &Difference| {
                one.check == line.check
                    && one.client == *client
                    && one.kafka == answer.answer
                    && one.ringlog == line.answer
            };
            match listed.iter().position(is_this) {
                Some(index) => is_seen[index] = true,
                None => complaints.push(format!(
                    "{place}: Kafka: {:?} {:?}; Ringlog: {:?} {:?}",
                    answer.result, answer.answer, line.result, line.answer
                )),
            }
        }
    }
    complaints
}

/// Complaints about listed differences that a whole run did not show, or that give no reason.
pub fn stale(listed: &[Difference], is_seen: &[bool]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (difference, is_seen) in listed.iter().zip(is_seen) {
        let place = format!("differences.toml: {} {}", difference.client, difference.check);
        if !is_seen {
            complaints.push(format!("{place}: no longer so"));
        }
        if difference.why.trim().is_empty() {
            complaints.push(format!("{place}: no reason given"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::program::Line;

    fn said(answer: &str) -> BTreeMap<String, Said> {
        let line = Line {
            check: "nulls".into(),
            result: Outcome::Pass,
            detail: String::new(),
            answer: answer.into(),
        };
        BTreeMap::from([("kcat".to_string(), Said::from([("nulls".to_string(), line)]))])
    }

    fn kafka(answer: &str) -> Answers {
        let answer = Answer { result: Outcome::Pass, answer: answer.into() };
        Answers::from([("kcat".to_string(), BTreeMap::from([("nulls".to_string(), answer)]))])
    }

    const LISTED: &str = "[[difference]]\ncheck = \"nulls\"\nclient = \"kcat\"\nkafka = \"a\"\n\
                          ringlog = \"b\"\nwhy = \"x\"\n";

    #[test]
    fn only_listed_differences_are_borne_and_must_be_seen() {
        let listed = toml::from_str::<DifferenceFile>(LISTED).unwrap().difference;
        for (of_kafka, of_ringlog, complaints, stale_count) in
            [("a", "b", 0, 0), ("a", "a", 0, 1), ("a", "c", 1, 1), ("c", "b", 1, 1)]
        {
            let mut is_seen = [false];
            let found = compare(&kafka(of_kafka), &listed, &mut is_seen, &said(of_ringlog), true);
            let place = format!("{of_kafka} {of_ringlog}");
            assert_eq!(found.len(), complaints, "{place}: {found:?}");
            assert_eq!(stale(&listed, &is_seen).len(), stale_count, "{place}");
        }
    }

    #[test]
    fn what_kafka_was_not_asked_is_a_complaint() {
        let found = compare(&Answers::new(), &[], &mut [], &said("a"), true);
        assert!(found[0].contains("not asked"), "{found:?}");
    }

    #[test]
    fn what_only_kafka_was_asked_is_a_complaint() {
        let nothing = BTreeMap::from([("kcat".to_string(), Said::new())]);
        assert_eq!(compare(&kafka("a"), &[], &mut [], &nothing, false).len(), 0);
        let found = compare(&kafka("a"), &[], &mut [], &nothing, true);
        assert_eq!(found, ["kcat nulls: said nothing of it"]);
    }
}
