//! How long a group of many members and partitions takes to settle, under the classic protocol,
//! eager and cooperative, and under the consumer protocol: of the broker under test and of Apache
//! Kafka. Members are consumers of Kafka's Java client, all in one process.

use std::time::Duration;

use serde::Deserialize;

use super::Ground;
use super::broker::Broker;
use super::client::Client;
use crate::Failure;
use crate::broker::Kind;

const PROTOCOLS: [(&str, &str); 3] = [
    ("eager", "classic, eager"),
    ("cooperative", "classic, cooperative"),
    ("consumer", "consumer protocol"),
];
const HEAP_MIB: u32 = 1024;
/// Three changes of the group, each with a limit of its own in the program.
const END_WAIT_MAX: Duration = Duration::from_secs(400);

/// What the program says of one change of the group.
#[derive(Debug, Deserialize)]
struct Change {
    change: String,
    /// From the change until the group is settled.
    seconds: f64,
    /// Partitions with another owner than before.
    moved: u64,
    /// How often a partition was given to a member while another had it.
    shared: u64,
}

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let mut kinds = vec![ground.kind.clone()];
    if ground.kind != Kind::Kafka {
        kinds.push(Kind::Kafka);
    }
    for kind in kinds {
        run_on(ground, &kind)?;
    }
    Ok(())
}

fn run_on(ground: &mut Ground<'_>, kind: &Kind) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let folder = folder.path();
    let mut broker = Broker::start(ground, kind.clone(), folder)?;
    let address = broker.setup.address();
    let (members, partitions) = (ground.pace.members, ground.pace.partitions);
    let name = if *kind == Kind::Kafka { kind.to_string() } else { "Ringlog".to_string() };
    ground.promises.note(
        &format!("{name}: group"),
        format!("{members} members, {partitions} partitions, on {kind}"),
    );
    for (protocol, title) in PROTOCOLS {
        let topic = format!("wide-{protocol}");
        ground.programs.create(address, folder, &[&format!("{topic}:{partitions}")])?;
        let (members, partitions) = (members.to_string(), partitions.to_string());
        let arguments = [
            "--group",
            protocol,
            "--protocol",
            protocol,
            "--topic",
            &topic,
            "--members",
            &members,
            "--partitions",
            &partitions,
        ];
        let command = ground.programs.ours(HEAP_MIB, folder, "rebalance", address, &arguments);
        let text = Client::start(protocol, &command, folder)?.finish(END_WAIT_MAX)?;
        broker.check_alive()?;
        let mut shared = 0;
        for line in text.lines() {
            let change: Change = serde_json::from_str(line)?;
            shared = change.shared;
            let found = format!("{:.2} s, {} partitions moved", change.seconds, change.moved);
            ground.promises.note(&format!("{name}: {title}: {}", change.change), found);
        }
        let what = format!("{name}: {title}: partitions with two owners at a time");
        ground.promises.exactly(&what, shared, 0);
    }
    broker.finish(&mut ground.promises)
}
