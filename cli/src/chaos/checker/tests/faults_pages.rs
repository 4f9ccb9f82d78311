//! What can be wrong with pages of history, and with what is due to who joins.

use super::builder::{CHANNEL, STRANGER, Story};
use super::tamper::given;
use super::telling::three_messages;
use super::{Rule, breaks_only, check};
use crate::chaos::history::{History, Membership, Outcome, Shown};

/// Client 2 has been given a, b and its edit, and c, and reads them.
fn read(story: &mut Story, change: impl FnOnce(&mut Vec<Shown>)) -> History {
    let op = story.reads(2);
    let mut history = story.history();
    let Outcome::Seen { page, .. } = &mut history.operations[op].outcome else {
        panic!("not a read");
    };
    change(page);
    history
}

#[test]
fn a_page_that_leaves_one_out() {
    let (mut story, _) = three_messages();
    let history = read(&mut story, |page| drop(page.remove(1)));
    let verdict = breaks_only(&history, Rule::PageWrong);
    assert!(verdict.violations[0].text.contains("seq 5"));
}

#[test]
fn a_page_may_end_anywhere() {
    let (mut story, _) = three_messages();
    let history = read(&mut story, |page| drop(page.remove(0)));
    assert!(check(&history).is_clean());
}

#[test]
fn a_page_with_what_nobody_wrote() {
    let (mut story, _) = three_messages();
    let history = read(&mut story, |page| page[0].ts += 1);
    breaks_only(&history, Rule::PageWrong);
}

#[test]
fn a_page_with_a_text_of_before() {
    let (mut story, _) = three_messages();
    // The client has been given the edit.
    let history = read(&mut story, |page| page[1].text = "text of b".into());
    let verdict = breaks_only(&history, Rule::PageWrong);
    assert!(verdict.violations[0].text.contains("text of b"));
}

#[test]
fn a_page_with_what_its_reader_knows_to_be_gone() {
    let (mut story, [_, b, _]) = three_messages();
    let before = story.reads(2);
    story.deletes(1, b);
    let after = story.reads(2);
    let mut history = story.history();
    assert!(check(&history).is_clean());
    history.operations[after].outcome = match &history.operations[before].outcome {
        Outcome::Seen { last_seq, page, .. } => Outcome::Seen {
            at: history.operations[after].began,
            last_seq: *last_seq,
            page: page.clone(),
        },
        other => panic!("not a read: {other:?}"),
    };
    let verdict = breaks_only(&history, Rule::PageWrong);
    assert!(verdict.violations[0].text.contains("deletes it"));
}

#[test]
fn who_has_joined_is_given_what_follows() {
    let (mut story, _) = three_messages();
    story.join(STRANGER);
    let from_seq = story.end_of_log();
    story.sends(0, "d");
    let mut history = story.history();
    history.memberships.push(Membership {
        client: STRANGER,
        channel: CHANNEL,
        from_seq,
        joined: true,
    });
    assert!(check(&history).is_clean());
    let place = given(&history, STRANGER, from_seq + 1);
    history.deliveries.remove(place);
    let verdict = breaks_only(&history, Rule::DeliveryMissing);
    assert_eq!(verdict.lost, 1);
}
