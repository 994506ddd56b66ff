//! Checks of consumer groups, classic and of the new protocol.

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use crate::broker::{Broker, WAIT_MAX, name, options, wait};
use crate::flow::Flow;
use crate::{Answer, Check, Failure, expect};

pub const CHECKS: &[Check] = &[
    Check { name: "groups/eager", run: |broker| rebalances(broker, "eager", EAGER) },
    Check {
        name: "groups/cooperative",
        run: |broker| rebalances(broker, "cooperative", COOPERATIVE),
    },
    Check { name: "groups/static", run: fixed },
    Check { name: "groups/consumer", run: |broker| rebalances(broker, "consumer", CONSUMER) },
    Check { name: "groups/pattern", run: pattern },
    Check { name: "groups/admin", run: admin },
];

type Settings = &'static [(&'static str, &'static str)];

const EAGER: Settings = &[
    ("partition.assignment.strategy", "range"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "200"),
];
const COOPERATIVE: Settings = &[
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "200"),
];
const CONSUMER: Settings = &[("group.protocol", "consumer")];

fn rebalances(broker: &Broker, name: &str, settings: Settings) -> Answer {
    let mut flow = Flow::new(broker, &format!("groups-{name}"), 1)?;
    flow.join("one", settings);
    flow.join("two", settings);
    flow.until_shared(&[3, 3])?;
    flow.join("three", settings);
    flow.until_shared(&[2, 2, 2])?;
    flow.leave("one")?;
    flow.until_shared(&[3, 3])?;
    flow.finish()?;
    flow.fresh(settings)?;
    Ok("3 3, 2 2 2, 3 3: all taken, one owner each, committed; a fresh one: the new only".into())
}

fn named(instance: &'static str) -> Vec<(&'static str, &'static str)> {
    [EAGER, &[("group.instance.id", instance)]].concat()
}

/// One of two static members restarts; then the other's name is taken by a third.
fn fixed(broker: &Broker) -> Answer {
    let mut flow = Flow::new(broker, "groups-static", 1)?;
    flow.join("one", &named("instance-1"));
    flow.join("two", &named("instance-2"));
    flow.until_shared(&[3, 3])?;
    let held = flow.lock().of("one").0;
    let of_other = flow.lock().of("two");
    flow.leave("one")?;
    flow.join("one", &named("instance-1"));
    flow.until_shared(&[3, 3])?;
    expect(format!("{:?}", flow.lock().of("one").0), &format!("{held:?}"))?;
    expect(format!("{:?}", flow.lock().of("two")), &format!("{of_other:?}"))?;
    let fenced = flow.forsake("two")?;
    flow.join("late", &named("instance-2"));
    flow.until("end of the older", true, |_| fenced.is_over())?;
    flow.until_shared(&[3, 3])?;
    flow.finish()?;
    let error = fenced.leave().err().ok_or("the older of one name is not fenced")?;
    Ok(format!("restarted: the same partitions, fenced: {}", name(&error)))
}

fn pattern(broker: &Broker) -> Answer {
    let mut flow = Flow::new(broker, "groups-pattern", 2)?;
    let pattern = [format!("^{}-groups-pattern-[0-9]", broker.prefix)];
    flow.join_as("one", CONSUMER, &pattern);
    flow.join_as("two", CONSUMER, &pattern);
    flow.until_shared(&[6, 6])?;
    flow.finish()?;
    Ok("6 6".into())
}

/// What the broker tells of a group, by the older calls that librdkafka has for it.
fn described(broker: &Broker, group: &str) -> Answer {
    let list = broker.reader.fetch_group_list(Some(group), WAIT_MAX)?;
    let found = list.groups().first().ok_or("no answer of the group")?;
    let (kind, protocol) = (found.protocol_type(), found.protocol());
    Ok(format!("{} {kind:?} {protocol:?} {}", found.state(), found.members().len()))
}

fn is_listed(broker: &Broker, group: &str) -> Result<bool, Failure> {
    let list = broker.reader.fetch_group_list(None, WAIT_MAX)?;
    Ok(list.groups().iter().any(|one| one.name() == group))
}

fn deleted(broker: &Broker, group: &str) -> Answer {
    let results = wait(broker.admin.delete_groups(&[group], &options()))?;
    Ok(match results.into_iter().next() {
        Some(Err((_, code))) => name(&KafkaError::AdminOp(code)),
        _ => "done".into(),
    })
}

fn admin(broker: &Broker) -> Answer {
    let mut flow = Flow::new(broker, "groups-admin", 1)?;
    let group = flow.group.clone();
    flow.join("one", EAGER);
    flow.until_shared(&[6])?;
    let mut shown = vec![format!("with a member: {}", described(broker, &group)?)];
    shown.push(format!("listed: {}", is_listed(broker, &group)?));
    shown.push(format!("delete: {}", deleted(broker, &group)?));
    flow.finish()?;
    shown.push(format!("without: {}", described(broker, &group)?));
    shown.push(format!("delete: {}", deleted(broker, &group)?));
    shown.push(format!("listed: {}", is_listed(broker, &group)?));
    shown.push(format!("committed: {:?}", flow.committed()?));
    shown.push(format!("delete again: {}", deleted(broker, &group)?));
    Ok(shown.join("; "))
}
