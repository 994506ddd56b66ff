//! Classic groups become consumer groups and back.

use ringlog_wire::consumer_protocol::ConsumerProtocolAssignment;
use ringlog_wire::records::group::ClassicProtocol;

use super::classic::{named, subscription};
use super::*;
use crate::group::consumer::{ClassicMember, ClassicSnapshot, MigrationPolicy, Refusal};

fn member(id: &str, partitions: &[i32]) -> ClassicMember {
    let assigned_partitions = named(&[("a", partitions)]);
    let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    ClassicMember {
        member_id: id.to_string(),
        client_id: "client".to_string(),
        client_host: "/127.0.0.1".to_string(),
        rebalance_timeout_ms: 20_000,
        session_timeout_ms: 10_000,
        protocols: vec![ClassicProtocol {
            name: "range".to_string(),
            metadata: subscription(&["a"], &[]),
        }],
        assignment: assignment.to_bytes(1),
        ..Default::default()
    }
}

fn classic_group(members: Vec<ClassicMember>) -> ClassicSnapshot {
    ClassicSnapshot {
        group_id: "g".to_string(),
        generation: 5,
        protocol_type: Some("consumer".to_string()),
        protocol_name: Some("range".to_string()),
        members,
    }
}

impl Desk {
    fn upgrade(&mut self, classic: &ClassicSnapshot) -> Result<(), Refusal> {
        let at = Context { now_ms: self.now_ms, topics: &self.world, config: &self.config };
        let (group, records) = ConsumerGroup::from_classic(&at, classic)?;
        self.group = group;
        self.log.extend(records);
        assert_eq!(durable(&self.group), durable(&read_back(&self.log)), "rule 76");
        Ok(())
    }
}

type Case = (&'static str, fn(&mut Desk, &mut ClassicSnapshot));

#[test]
fn rule_75_an_upgrade_keeps_what_members_have() {
    let mut desk = Desk::new();
    desk.upgrade(&classic_group(vec![member("x", &[0, 1]), member("y", &[2, 3])]))
        .expect("an upgrade");
    let expected =
        ["member", "member", "epoch", "target", "target", "target epoch", "current", "current"];
    assert_eq!(kinds(&desk.log), expected);
    assert_eq!((desk.group.epoch(), desk.group.target_epoch()), (5, 5));
    assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms + 10_000));
    // The member that brought it about joins as any other.
    let joined = desk.good(&join("m", &["a"]));
    assert_eq!((joined.member_epoch, assigned(&joined)), (6, vec![]));
    check_owners(&desk.group);

    // When it has gone, the others are a classic group again.
    let request = alive("m", -1);
    let answer = desk.step(|group, at, ids| group.heartbeat(at, CLIENT, 1, &request, ids));
    let downgrade = answer.downgrade.expect("only classic members are left");
    assert!(downgrade.rebalance);
    assert_eq!(downgrade.group.generation, 6);
    assert_eq!(downgrade.group.protocol_name.as_deref(), Some("range"));
    let ids: Vec<&str> = downgrade.group.members.iter().map(|m| m.member_id.as_str()).collect();
    assert_eq!(ids, ["x", "y"]);
    let left = read_back(&desk.log);
    assert!(!left.is_recorded() && left.is_empty() && left.target().is_empty());
}

#[test]
fn rule_75_a_silent_last_member_downgrades_too() {
    let mut desk = Desk::new();
    let mut x = member("x", &[0, 1, 2, 3]);
    x.session_timeout_ms = 100_000;
    desk.upgrade(&classic_group(vec![x])).expect("an upgrade");
    desk.good(&join("m", &["a"]));
    desk.now_ms += 45_000;
    let answer = desk.step(|group, at, _| group.timer(at));
    assert!(answer.downgrade.is_some_and(|downgrade| downgrade.rebalance));
}

#[test]
fn rule_75_groups_that_cannot_become_consumer_groups() {
    let ok = || classic_group(vec![member("x", &[0, 1]), member("y", &[2, 3])]);
    let cases: &[Case] = &[
        ("online upgrade is disabled.", |desk, _| {
            desk.config.migration_policy = MigrationPolicy::Downgrade;
        }),
        ("the group does not use the consumer embedded protocol.", |_, group| {
            group.protocol_type = Some("connect".to_string());
        }),
        ("the group size exceeds the consumer group maximum size.", |desk, _| {
            desk.config.members_max = 1;
        }),
        ("the embedded consumer protocol is malformed.", |_, group| {
            group.members[0].protocols[0].metadata = vec![0, 1, 2];
        }),
        ("the embedded consumer protocol is malformed.", |_, group| {
            group.members[0].assignment = vec![0, 1, 2];
        }),
        ("two members have one partition.", |_, group| {
            group.members[0].assignment = group.members[1].assignment.clone();
        }),
        (
            "an unsupported custom assignor is in use. Please refer to the documentation or \
             switch to a default assignor before re-attempting the upgrade.",
            |_, group| {
                let own = ConsumerProtocolAssignment {
                    assigned_partitions: vec![],
                    user_data: Some(vec![1]),
                };
                group.members[0].assignment = own.to_bytes(1);
            },
        ),
    ];
    for (why, edit) in cases {
        let mut desk = Desk::new();
        let mut group = ok();
        edit(&mut desk, &mut group);
        let refused = desk.upgrade(&group).expect_err(why);
        assert_eq!(refused.code, ErrorCode::GroupIdNotFound);
        let message = format!("Cannot upgrade classic group g to consumer group because {why}");
        assert_eq!(refused.message, message);
    }
    let mut never_synced = ok();
    never_synced.members[0].assignment.clear();
    Desk::new().upgrade(&never_synced).expect("a member that has nothing yet");
}

#[test]
fn rule_75_without_the_policy_the_group_stays() {
    let mut desk = Desk::new();
    desk.upgrade(&classic_group(vec![member("x", &[0, 1])])).expect("an upgrade");
    desk.good(&join("m", &["a"]));
    desk.config.migration_policy = MigrationPolicy::Upgrade;
    let request = alive("m", -1);
    let answer = desk.step(|group, at, ids| group.heartbeat(at, CLIENT, 1, &request, ids));
    assert_eq!(answer.downgrade, None);
    assert_eq!(desk.group.members().len(), 1);
}
