//! What can be wrong with what was answered, against real time.

use std::time::Duration;

use super::builder::{Op, Story};
use super::telling::{edit, send};
use super::{Rule, breaks_only, check};
use crate::chaos::history::{At, Call, History, Outcome};

fn answered(history: &mut History, op: Op, when: At) {
    let Outcome::Acknowledged { at, .. } = &mut history.operations[op].outcome else {
        panic!("not acknowledged");
    };
    *at = when;
}

fn seen(history: &mut History, op: Op, seen: u64) {
    let Outcome::Seen { last_seq, .. } = &mut history.operations[op].outcome else {
        panic!("not a read");
    };
    *last_seq = seen;
}

#[test]
fn two_messages_with_one_seq() {
    let mut story = Story::new();
    story.sends(0, "a");
    story.sends(1, "b");
    let mut history = story.history();
    history.operations[1].outcome = Outcome::Acknowledged {
        at: Duration::from_millis(6),
        seq: 4,
        ts: 1_040,
    };
    let verdict = breaks_only(&history, Rule::SeqReused);
    assert_eq!(verdict.lost, 0);
}

#[test]
fn a_log_that_was_set_back_and_went_on() {
    let mut story = Story::new();
    story.sends(0, "a");
    story.sends(1, "b");
    let mut history = story.history();
    // Nothing is left of a message whose seq another has now.
    history.operations[0].call = send("gone", 0);
    let verdict = check(&history);
    assert!(verdict.broken.contains_key(&Rule::AcknowledgedMissing));
    history.operations[1].outcome = history.operations[0].outcome.clone();
    let verdict = check(&history);
    assert!(verdict.broken.contains_key(&Rule::SeqReused));
    assert!(verdict.broken.contains_key(&Rule::AcknowledgedMissing));
    assert!(verdict.lost >= 1);
}

#[test]
fn a_seq_against_time() {
    let mut story = Story::new();
    let a = story.begin(0, send("a", 0));
    let b = story.begin(1, send("b", 0));
    story.commit(b);
    story.acknowledge(b);
    story.commit(a);
    story.acknowledge(a);
    let mut history = story.history();
    // As if a, with the larger seq, had been answered before b began.
    history.operations[b].began += Duration::from_micros(2);
    let before = history.operations[b].began - Duration::from_micros(1);
    answered(&mut history, a, before);
    breaks_only(&history, Rule::SeqOrder);
}

#[test]
fn an_unanswered_message_before_an_older_one() {
    let mut story = Story::new();
    let [a, b] = ["a", "b"].map(|id| story.begin(0, send(id, 0)));
    story.commit(b);
    story.commit(a);
    story.acknowledge(a);
    let mut history = story.history();
    history.operations[b].began = Duration::from_millis(3);
    answered(&mut history, a, Duration::from_micros(2_500));
    breaks_only(&history, Rule::SeqOrder);
}

#[test]
fn edits_and_deletions_are_in_order_too() {
    for call in [|ts| edit(ts, "another"), |ts| Call::Delete { ts }] {
        let mut story = Story::new();
        let a = story.sends(0, "a");
        let b = story.begin(1, send("b", 0));
        let change = story.begin(0, call(a));
        story.commit(change);
        story.commit(b);
        story.acknowledge(change);
        story.acknowledge(b);
        let mut history = story.history();
        let before = history.operations[change].began - Duration::from_micros(1);
        answered(&mut history, b, before);
        breaks_only(&history, Rule::SeqOrder);
    }
}

#[test]
fn a_resend_with_another_place() {
    let mut story = Story::new();
    story.sends(0, "a");
    story.sends(0, "a");
    let first = story.history();
    for (seq, ts) in [(5, 1_040), (4, 1_050)] {
        let mut history = first.clone();
        let at = Duration::from_millis(9);
        history.operations[1].outcome = Outcome::Acknowledged { at, seq, ts };
        breaks_only(&history, Rule::ResendDiffers);
    }
}

#[test]
fn a_read_that_goes_back() {
    let mut story = Story::new();
    story.away(2);
    story.sends(0, "a");
    story.sends(1, "b");
    story.reads(2);
    let read = story.reads(2);
    let mut history = story.history();
    history.memberships.retain(|member| member.client != 2);
    seen(&mut history, read, 4);
    breaks_only(&history, Rule::ReadWentBack);
}

#[test]
fn a_read_that_shows_again_what_was_gone() {
    let mut story = Story::new();
    story.sends(0, "a");
    let b = story.sends(1, "b");
    story.away(2);
    story.deletes(1, b);
    story.reads(2);
    let read = story.reads(2);
    story.back(2);
    let mut history = story.history();
    seen(&mut history, read, 5);
    breaks_only(&history, Rule::ReadWentBack);
}

#[test]
fn a_read_without_ones_own_message() {
    let mut story = Story::new();
    story.sends(1, "a");
    story.away(0);
    story.sends(0, "b");
    let read = story.reads(0);
    story.back(0);
    let mut history = story.history();
    seen(&mut history, read, 4);
    breaks_only(&history, Rule::ReadMissedOwn);
}

#[test]
fn a_read_without_what_was_delivered() {
    let mut story = Story::new();
    story.sends(1, "a");
    story.sends(1, "b");
    let read = story.reads(2);
    let mut history = story.history();
    seen(&mut history, read, 4);
    breaks_only(&history, Rule::ReadMissedDelivered);
}

#[test]
fn a_read_of_what_is_no_message() {
    let mut story = Story::new();
    let a = story.sends(1, "a");
    story.replies(1, "b", a);
    let read = story.reads(2);
    for seq in [2, 5, 77] {
        let mut history = story.history();
        seen(&mut history, read, seq);
        breaks_only(&history, Rule::Phantom);
    }
}

#[test]
fn an_empty_page_says_nothing() {
    let mut story = Story::new();
    story.sends(1, "a");
    let read = story.reads(1);
    let mut history = story.history();
    seen(&mut history, read, 0);
    assert!(check(&history).is_clean());
}
