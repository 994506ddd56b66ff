//! Files as they should and should not be.

use super::*;

const TRIAL: &str = "
about = 'A trial.'
rounds = 3
brokers = ['ringlog', 'mine']

[[broker]]
name = 'mine'
kind = 'ringlog'
flags = ['--io', 'buffered']
cpus = '0,1'

[[workload]]
name = 'produce-{bytes}'
title = '{bytes} B'
command = 'produce'
options = '--message-bytes {bytes} --batch-messages {batch}'
seconds = 1.5
each = [{ bytes = 10, batch = 100 }, { bytes = 1000, batch = 'all' }]

[[workload]]
name = 'reads'
command = 'consume'
brokers = ['kafka']
options = '--rate 5'

[[goal]]
text = 'faster'
workloads = ['produce-10']
figure = 'messages_per_second'
against = 'mine'
at-least = 2.0
";

#[test]
fn a_file_is_completed() {
    let experiment = Experiment::parse("trial", TRIAL).unwrap();
    let names: Vec<&str> = experiment.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["produce-10", "produce-1000", "reads"]);
    let [first, second, reads] = &experiment.workloads[..] else { panic!("three") };
    assert_eq!((first.title.as_str(), reads.title.as_str()), ("10 B", "reads"));
    assert_eq!(second.options, "--message-bytes 1000 --batch-messages all");
    assert_eq!((first.rounds, first.warmup, first.seconds), (3, WARMUP_SECONDS, 1.5));
    assert_eq!((reads.rounds, reads.seconds), (3, SECONDS));
    assert!(reads.is_open_loop() && !first.is_open_loop());
    // Only those that some workload names, with the experiment's cores unless they say otherwise.
    let brokers: Vec<_> =
        experiment.brokers.iter().map(|b| (b.name.as_str(), b.cpus.as_deref())).collect();
    assert_eq!(brokers, [("mine", Some("0,1")), ("ringlog", Some("0")), ("kafka", Some("0"))]);
    assert_eq!(experiment.goals[0].broker, "ringlog");
    assert_eq!(experiment.goals[0].section, "A trial.");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (from, to, says) in [
        ("rounds = 3", "laps = 3", "laps"),
        ("'produce'", "'juggle'", "juggle"),
        ("brokers = ['kafka']", "brokers = ['kavka']", "kavka"),
        ("name = 'reads'", "name = 'produce-10'", "two workloads"),
        ("{batch}", "{lot}", "{lot}"),
        ("workloads = ['produce-10']", "workloads = ['produce-11']", "produce-11"),
        ("'messages_per_second'", "'smiles'", "smiles"),
        ("at-least = 2.0", "", "at-least or at-most"),
        ("at-least = 2.0", "at-least = 2.0\nat-most = 3.0", "at-least or at-most"),
        ("brokers = ['kafka']", "brokers = ['ceiling']", "ceiling"),
        ("brokers = ['kafka']", "brokers = ['disk']", "disk"),
        ("kind = 'ringlog'", "kind = 'address'", "address"),
    ] {
        let text = TRIAL.replace(from, to);
        assert_ne!(text, TRIAL, "{from}");
        let outcome = Experiment::parse("trial", &text);
        let message = outcome.err().unwrap_or_else(|| panic!("{to} was taken")).to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn files_merge_unless_they_call_two_things_alike() {
    let one = || Experiment::parse("one", TRIAL).unwrap();
    let text = TRIAL.replace("produce-", "write-").replace("'reads'", "'more'");
    let other = Experiment::parse("other", &text).unwrap();
    let both = Experiment::merged("both", "Both.", vec![one(), other]).unwrap();
    assert_eq!((both.brokers.len(), both.workloads.len(), both.goals.len()), (3, 6, 2));
    assert_eq!(both.workloads[5].section, "A trial.");
    let twice = Experiment::merged("twice", "", vec![one(), one()]);
    assert!(twice.err().unwrap().to_string().contains("two workloads"));
    let text = text.replace("'buffered'", "'direct'");
    let different = Experiment::parse("different", &text).unwrap();
    let clash = Experiment::merged("clash", "", vec![one(), different]);
    assert!(clash.err().unwrap().to_string().contains("mine"));
}

#[test]
fn what_is_not_kept_takes_its_goals_along() {
    let mut experiment = Experiment::parse("trial", TRIAL).unwrap();
    experiment.keep(|_| true, |broker| broker.kind != Kind::Kafka);
    assert_eq!((experiment.workloads.len(), experiment.goals.len()), (2, 1));
    experiment.keep(|name| name == "produce-1000", |_| true);
    assert_eq!((experiment.workloads.len(), experiment.goals.len()), (1, 0));
}

#[test]
fn every_file_in_the_repository_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let names = names(&root.join("perf/experiments"));
    for name in &names {
        let experiment = Experiment::read(root, name).unwrap_or_else(|error| panic!("{error}"));
        assert!(!experiment.about.is_empty(), "{name} says nothing of itself");
        assert_eq!(name.starts_with("goal-"), !experiment.goals.is_empty(), "{name}");
        for goal in &experiment.goals {
            let named = std::iter::once(&goal.broker).chain(&goal.against);
            for broker in named {
                assert!(experiment.broker(broker).is_ok(), "{name}: {broker}");
            }
        }
        // It is kept in a folder of results, and read from there.
        let text = serde_json::to_string(&experiment).unwrap();
        assert_eq!(serde_json::from_str::<Experiment>(&text).unwrap(), experiment);
        assert!(toml::to_string(&experiment).is_ok(), "{name}");
    }
    for prefix in ["goal-", "matrix-"] {
        let family = names.iter().filter(|name| name.starts_with(prefix));
        let parts: Vec<Experiment> =
            family.map(|name| Experiment::read(root, name).unwrap()).collect();
        assert!(parts.len() > 5, "{prefix}");
        if let Err(error) = Experiment::merged("all", "All.", parts) {
            panic!("{prefix}: {error}");
        }
    }
    let nowhere = Experiment::read(root, "nowhere").err().unwrap().to_string();
    assert!(nowhere.contains("there are ab, first"), "{nowhere}");
}
