//! Who may commit and fetch.

use super::*;

#[test]
fn rule_75_commits_are_checked_against_epochs() {
    let mut desk = Desk::new();
    assert!(desk.group.check_commit("", None, -1, false, 9).is_ok(), "an empty group");
    desk.good(&join("m", &["a"]));
    desk.good(&join("n", &["a"]));
    let kept = desk.list(&[("a", &[0, 1])]);
    desk.good(&owning("m", 2, desk.list(&[("a", &[0, 1])])));
    desk.good(&owning("m", 2, kept));
    desk.good(&alive("n", 3));
    let topic = desk.topic("a");
    let group = &desk.group;
    // (member, epoch, transactional, version) -> error
    let cases = [
        ("m", 3, false, 9, None),
        ("m", 4, false, 9, Some(ErrorCode::StaleMemberEpoch)),
        ("m", 3, false, 8, Some(ErrorCode::UnsupportedVersion)),
        ("m", 3, true, 4, None),
        ("", -1, true, 4, None),
        ("", -1, false, 9, Some(ErrorCode::UnknownMemberId)),
        ("x", 3, false, 9, Some(ErrorCode::UnknownMemberId)),
    ];
    for (member, epoch, transactional, version, error) in cases {
        let checked = group.check_commit(member, None, epoch, transactional, version);
        assert_eq!(checked.err().map(|refusal| refusal.code), error, "{member} {epoch}");
    }
    // The epoch before: what the member had then, it may commit.
    let behind = group.check_commit("m", None, 2, false, 9).expect("to be seen by partition");
    assert_eq!(behind.partition("a", topic, 0), Ok(()));
    let refused = behind.partition("a", topic, 2).expect_err("another member's");
    assert_eq!(refused.code, ErrorCode::StaleMemberEpoch);
    let newer = group.check_commit("n", None, 2, false, 9).expect("to be seen by partition");
    let refused = newer.partition("a", topic, 2).expect_err("not its own then");
    assert_eq!(
        refused.message,
        "Received member epoch 2 is older than assignment epoch 3 for partition a-2."
    );
}

#[test]
fn rule_75_fetches_are_checked_against_epochs() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    let code = |member, epoch| desk.group.check_fetch(member, epoch).err().map(|r| r.code);
    assert_eq!(code(None, -1), None);
    assert_eq!(code(Some("m"), 2), None);
    assert_eq!(code(Some("m"), 1), Some(ErrorCode::StaleMemberEpoch));
    assert_eq!(code(Some("m"), 3), Some(ErrorCode::StaleMemberEpoch));
    assert_eq!(code(Some("x"), 2), Some(ErrorCode::UnknownMemberId));
    assert_eq!(code(None, 2), Some(ErrorCode::UnknownMemberId));
}
