//! Subscriptions by expression.

use super::*;
use crate::group::consumer::MemberState;

fn regex_join(member: &str, regex: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(regex.to_string()),
        ..join(member, &[])
    }
}

#[test]
fn rule_75_the_broker_resolves_expressions() {
    let mut desk = Desk::new();
    let request = regex_join("m", "a|x.*");
    let answer = desk.step(|group, at, ids| group.heartbeat(at, &client(), 1, &request, ids));
    // Until it is resolved, the expression stands for nothing, and the group stays in epoch 1.
    assert_eq!(kinds(&answer.records), ["member", "current"]);
    assert_eq!((answer.response.member_epoch, assigned(&answer.response)), (1, Vec::new()));
    assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms));
    assert_eq!(kinds(&desk.timer()), ["regex", "epoch"]);
    assert!(desk.group.is_subscribed_to("a") && !desk.group.is_subscribed_to("b"));
    let told = desk.good(&alive("m", 1));
    assert_eq!((told.member_epoch, assigned(&told)), (2, desk.list(&[("a", &[0, 1, 2, 3])])));

    // A second member with the same expression need not wait.
    let joined = desk.good(&regex_join("n", "a|x.*"));
    assert_eq!((joined.member_epoch, desk.group.epoch()), (3, 3));
    assert_eq!(desk.group.members()["n"].state, MemberState::UnreleasedPartitions);
}

#[test]
fn rule_75_new_topics_are_found_at_most_every_ten_seconds() {
    let mut desk = Desk::new();
    desk.good(&regex_join("m", "x.*"));
    assert_eq!(kinds(&desk.timer()), ["regex"], "nothing matches, nobody is rebalanced");
    desk.world.create("x1", 2);
    desk.now_ms += 10_000;
    desk.good(&alive("m", 1));
    assert_eq!(desk.timer(), []);
    desk.now_ms += 1;
    desk.good(&alive("m", 1));
    assert_eq!(kinds(&desk.timer()), ["regex", "epoch"]);
    assert_eq!(assigned(&desk.good(&alive("m", 1))), desk.list(&[("x1", &[0, 1])]));
    // A topic that is deleted is a change of the hash, not of the expression.
    desk.world.delete("x1");
    desk.good(&alive("m", 2));
    assert_eq!((desk.group.epoch(), desk.timer()), (3, vec![]));
    // After the refresh interval it is looked up again without a reason.
    desk.good(&owning("m", 2, Vec::new()));
    desk.now_ms += 600_001;
    desk.good(&alive("m", 3));
    assert_eq!(kinds(&desk.timer()), ["regex", "epoch"]);
    assert!(!desk.group.is_subscribed_to("x1"));
}

#[test]
fn rule_75_expressions_change_and_go_with_their_last_member() {
    let mut desk = Desk::new();
    desk.good(&regex_join("m", "a"));
    desk.timer();
    desk.good(&alive("m", 1));
    desk.now_ms += 20_000;
    let mut request = alive("m", 2);
    request.subscribed_topic_regex = Some("b".to_string());
    let answer = desk.step(|group, at, ids| group.heartbeat(at, &client(), 1, &request, ids));
    assert_eq!(kinds(&answer.records), ["member", "-regex", "current"]);
    assert_eq!(assigned(&answer.response), Vec::new());
    assert_eq!(kinds(&desk.timer()), ["regex", "epoch"]);
    let told = desk.good(&owning("m", 2, Vec::new()));
    assert_eq!((told.member_epoch, assigned(&told)), (3, desk.list(&[("b", &[0, 1])])));
    // Empty takes it back.
    request.member_epoch = 3;
    request.subscribed_topic_regex = Some(String::new());
    desk.good(&request);
    assert!(!desk.group.is_subscribed_to("b"));
    desk.good(&owning("m", 3, Vec::new()));
    desk.good(&regex_join("n", "b"));
    desk.now_ms += 20_000;
    let answer =
        desk.step(|group, at, ids| group.heartbeat(at, &client(), 1, &alive("n", -1), ids));
    assert_eq!(kinds(&answer.records), ["-current", "-target", "-member", "-regex", "epoch"]);
}

#[test]
fn rule_75_what_is_no_expression_is_refused() {
    let mut desk = Desk::new();
    let (code, message) = desk.bad(&regex_join("m", "a("));
    assert_eq!(code, ErrorCode::InvalidRegularExpression);
    let start = "SubscribedTopicRegex `a(` is not a valid regular expression: ";
    assert!(message.starts_with(start), "{message}");
    assert!(message.ends_with('.') && message.len() > start.len() + 3, "{message}");
}

#[test]
fn rule_75_many_topics_are_resolved_in_turns() {
    let mut desk = Desk::new();
    for number in 0..15_000 {
        desk.world.create(&format!("t{number}"), 1);
    }
    desk.good(&regex_join("m", "a"));
    desk.good(&regex_join("n", "t1"));
    desk.good(&regex_join("o", "b"));
    let (_, kinds_told) = resolved(&mut desk);
    assert_eq!(kinds_told, ["regex", "epoch"], "what was there when it was asked for");
    desk.now_ms += 20_000;
    desk.good(&alive("m", 1));
    let (turns, kinds_told) = resolved(&mut desk);
    assert_eq!(kinds_told, ["regex", "regex", "regex", "epoch"]);
    assert!((2..10).contains(&turns), "{turns}");
    assert!(desk.group.is_subscribed_to("t1") && !desk.group.is_subscribed_to("t2"));
}

/// After how many turns expressions are resolved, and what is written then.
fn resolved(desk: &mut Desk) -> (usize, Vec<&'static str>) {
    for turn in 1.. {
        assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms), "there is more to do");
        let records = desk.timer();
        if !records.is_empty() {
            return (turn, kinds(&records));
        }
    }
    unreachable!("a turn without end")
}

/// Against long names the worst expressions take milliseconds for each.
#[test]
fn rule_75_a_costly_expression_is_held_against_few_topics_in_a_turn() {
    let mut desk = Desk::new();
    for number in 0..40 {
        desk.world.create(&format!("{}{number:02}", "a".repeat(247)), 1);
    }
    desk.good(&regex_join("m", &format!(r"{}\d+", "a?".repeat(1_000))));
    // A topic comes before the end: it is seen at the latest when all is resolved again.
    assert_eq!(desk.timer(), []);
    desk.world.create("aaa1", 1);
    let (turns, _) = resolved(&mut desk);
    assert!((10..40).contains(&turns), "{turns}");
    desk.now_ms += 20_000;
    desk.good(&alive("m", 1));
    resolved(&mut desk);
    assert!(desk.group.is_subscribed_to("aaa1"));
    assert!(desk.group.is_subscribed_to(&format!("{}31", "a".repeat(247))));
}
