//! Members of the classic protocol in a consumer group.

use ringlog_wire::api::heartbeat::HeartbeatRequest;
use ringlog_wire::api::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use ringlog_wire::api::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_wire::api::sync_group::SyncGroupRequest;
use ringlog_wire::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};

use super::*;
use crate::group::consumer::{Downgrade, MigrationPolicy, Refusal};

pub(super) fn subscription(topics: &[&str], owned: &[(&str, &[i32])]) -> Vec<u8> {
    let topics = topics.iter().map(|topic| topic.to_string()).collect();
    let owned_partitions = named(owned);
    let subscription =
        ConsumerProtocolSubscription { topics, owned_partitions, ..Default::default() };
    subscription.to_bytes(1)
}

pub(super) fn named(topics: &[(&str, &[i32])]) -> Vec<TopicPartition> {
    let one = |(topic, partitions): &(&str, &[i32])| TopicPartition {
        topic: topic.to_string(),
        partitions: partitions.to_vec(),
    };
    topics.iter().map(one).collect()
}

fn classic(member: &str, topics: &[&str], owned: &[(&str, &[i32])]) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".to_string(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id: member.to_string(),
        protocol_type: "consumer".to_string(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_string(),
            metadata: subscription(topics, owned),
        }],
        ..Default::default()
    }
}

/// What is wrong with a join, and how it becomes so.
type Edit = (&'static str, fn(&mut JoinGroupRequest));

impl Desk {
    /// A classic member joins; what the group says, and what it becomes.
    fn classic(
        &mut self,
        request: &JoinGroupRequest,
    ) -> Result<(JoinGroupResponse, Option<Downgrade>), Refusal> {
        let mut refused = None;
        let answer = self.step(|group, at, ids| {
            group.classic_join(at, &client(), 9, request, ids).unwrap_or_else(|refusal| {
                refused = Some(refusal);
                Answer { records: vec![], response: Default::default(), downgrade: None }
            })
        });
        match refused {
            Some(refusal) => Err(refusal),
            None => Ok((answer.response, answer.downgrade)),
        }
    }

    fn joined(&mut self, request: &JoinGroupRequest) -> JoinGroupResponse {
        let (response, downgrade) = self.classic(request).expect("a join that is taken");
        assert_eq!(downgrade, None);
        assert_eq!(response.error_code, ErrorCode::None);
        response
    }

    /// What a classic member is told that it has.
    fn synced(&mut self, member: &str, epoch: i32) -> Result<Vec<TopicPartition>, ErrorCode> {
        let request = SyncGroupRequest {
            group_id: "g".to_string(),
            generation_id: epoch,
            member_id: member.to_string(),
            protocol_type: Some("consumer".to_string()),
            protocol_name: Some("range".to_string()),
            ..Default::default()
        };
        let at = Context { now_ms: self.now_ms, topics: &self.world, config: &self.config };
        let response = self.group.classic_sync(&at, &request).map_err(|refusal| refusal.code)?;
        let assignment = ConsumerProtocolAssignment::from_bytes(&response.assignment);
        Ok(assignment.expect("an assignment").assigned_partitions)
    }

    fn classic_beat(&mut self, member: &str, epoch: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".to_string(),
            generation_id: epoch,
            member_id: member.to_string(),
            ..Default::default()
        };
        let at = Context { now_ms: self.now_ms, topics: &self.world, config: &self.config };
        match self.group.classic_heartbeat(&at, &request) {
            Ok(response) => response.error_code,
            Err(refusal) => refusal.code,
        }
    }
}

#[test]
fn rule_75_a_classic_member_joins_syncs_and_is_asked_to_join_again() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    // Without an id it is first given one.
    let (told, _) = desk.classic(&classic("", &["a"], &[])).expect("an id");
    let id = Uuid([1; 16]).to_string();
    assert_eq!((told.error_code, &told.member_id), (ErrorCode::MemberIdRequired, &id));
    assert_eq!(desk.group.members().len(), 1);

    let joined = desk.joined(&classic("c", &["a"], &[]));
    assert_eq!((joined.generation_id, joined.protocol_name.as_deref()), (3, Some("range")));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(desk.synced("c", 3), Ok(vec![]));
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::None, "it waits for the other");
    assert_eq!(desk.classic_beat("c", 2), ErrorCode::IllegalGeneration);

    // The other member gives its partitions up: now there is something to join for.
    desk.good(&alive("m", 2));
    desk.good(&owning("m", 2, desk.list(&[("a", &[0, 1])])));
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::RebalanceInProgress);
    desk.joined(&classic("c", &["a"], &[]));
    assert_eq!(desk.synced("c", 3), Ok(named(&[("a", &[2, 3])])));
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::None);
    check_owners(&desk.group);

    // It lets go of what it no longer lists when it joins.
    desk.good(&join("n", &["a"]));
    desk.good(&join("o", &["a"]));
    assert_eq!(desk.synced("c", 3), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::RebalanceInProgress);
    let again = desk.joined(&classic("c", &["a"], &[("a", &[2, 3])]));
    let kept = desk.synced("c", again.generation_id).expect("an assignment");
    assert_eq!((again.generation_id, kept), (3, named(&[("a", &[2])])));
    let again = desk.joined(&classic("c", &["a"], &[("a", &[2])]));
    assert_eq!(again.generation_id, 5);
}

#[test]
fn rule_75_classic_joins_that_do_not_fit_are_refused() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    let edits: &[Edit] = &[
        ("connect", |r| r.protocol_type = "connect".to_string()),
        ("no protocols", |r| r.protocols.clear()),
        ("malformed", |r| r.protocols[0].metadata = vec![0]),
    ];
    for (what, edit) in edits {
        let mut request = classic("c", &["a"], &[]);
        edit(&mut request);
        let refused = desk.classic(&request).expect_err(what);
        assert_eq!(refused.code, ErrorCode::InconsistentGroupProtocol, "{what}");
    }
    // All classic members must have one protocol in common.
    desk.joined(&classic("c", &["a"], &[]));
    let mut request = classic("d", &["a"], &[]);
    request.protocols[0].name = "sticky".to_string();
    let refused = desk.classic(&request).expect_err("another protocol");
    assert_eq!(refused.message, "Member d's protocols are not supported.");
    let unknown = LeaveGroupRequest {
        group_id: "g".to_string(),
        members: vec![MemberIdentity { member_id: "x".to_string(), ..Default::default() }],
        ..Default::default()
    };
    let answer = desk.step(|group, at, _| group.classic_leave(at, &unknown).expect("an answer"));
    assert_eq!(answer.response.members[0].error_code, ErrorCode::UnknownMemberId);
    // A member of the new protocol is none here.
    assert_eq!(desk.classic_beat("m", 2), ErrorCode::UnknownMemberId);
    desk.config.migration_policy = MigrationPolicy::Disabled;
    let refused = desk.classic(&classic("d", &["a"], &[])).expect_err("disabled");
    assert_eq!(refused.code, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn rule_75_classic_members_that_do_not_sync_or_join_again_are_fenced() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    let mut request = classic("c", &["a"], &[]);
    request.session_timeout_ms = 30_000;
    desk.joined(&request);
    assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms + 20_000), "the sync");
    assert_eq!(desk.synced("c", 3), Ok(vec![]));
    assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms + 30_000), "the session");
    // Asked to join again, it has its rebalance timeout from the first time on.
    desk.good(&alive("m", 2));
    desk.good(&owning("m", 2, desk.list(&[("a", &[0, 1])])));
    for _ in 0..2 {
        desk.now_ms += 10_000;
        desk.good(&alive("m", 3));
        assert_eq!(desk.classic_beat("c", 3), ErrorCode::RebalanceInProgress);
    }
    assert_eq!(desk.timer(), []);
    desk.now_ms += 10_000;
    assert_eq!(kinds(&desk.timer()), ["-current", "-target", "-member", "epoch"]);
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::UnknownMemberId);
}

/// The group may not become a classic one, and nobody is left who makes a target by heartbeats.
#[test]
fn rule_75_classic_members_that_are_left_get_what_is_free() {
    let mut desk = Desk::new();
    desk.config.migration_policy = MigrationPolicy::Upgrade;
    desk.good(&join("m", &["a"]));
    desk.joined(&classic("c", &["a"], &[]));
    desk.good(&alive("m", 2));
    desk.good(&owning("m", 2, desk.list(&[("a", &[0, 1])])));
    desk.joined(&classic("c", &["a"], &[]));
    assert_eq!(desk.synced("c", 3), Ok(named(&[("a", &[2, 3])])));
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::None);

    desk.config.assignment_interval_ms = 1_000;
    desk.good(&alive("m", -1));
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::None, "it is too soon for another target");
    desk.now_ms += 1_000;
    assert_eq!(desk.classic_beat("c", 3), ErrorCode::RebalanceInProgress);
    desk.joined(&classic("c", &["a"], &[("a", &[2, 3])]));
    assert_eq!(desk.synced("c", 4), Ok(named(&[("a", &[0, 1, 2, 3])])));
    assert_eq!(desk.classic_beat("c", 4), ErrorCode::None);
    assert_eq!(desk.group.state().name(), "Stable");
}

#[test]
fn rule_75_a_member_may_change_its_protocol() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    desk.joined(&classic("c", &["a"], &[]));
    assert!(desk.group.members()["c"].is_classic());
    desk.good(&join("c", &["a"]));
    assert!(!desk.group.members()["c"].is_classic());
    assert_eq!(desk.synced("c", 3), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn rule_75_a_static_member_that_comes_back_as_a_classic_one_ends_the_consumer_group() {
    let mut desk = Desk::new();
    let mut request = join("m", &["a"]);
    request.instance_id = Some("i".to_string());
    desk.good(&request);
    let mut request = classic("", &["a"], &[]);
    request.group_instance_id = Some("i".to_string());
    let (response, downgrade) = desk.classic(&request).expect("a join that is taken");
    let Downgrade { group, rebalance } = downgrade.expect("nobody speaks the new protocol");
    assert!(!rebalance);
    assert_eq!((response.generation_id, group.generation), (2, 2));
    let [member] = &group.members[..] else { panic!("one member") };
    assert_eq!(member.member_id, response.member_id);
    let assignment = ConsumerProtocolAssignment::from_bytes(&member.assignment);
    let expected = named(&[("a", &[0, 1, 2, 3])]);
    assert_eq!(assignment.expect("an assignment").assigned_partitions, expected);
    // The log says that there is no consumer group any more.
    let left = read_back(&desk.log);
    assert!(!left.is_recorded() && left.is_empty() && left.target().is_empty());
}
