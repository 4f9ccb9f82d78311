//! What can be wrong with what clients are given.

use std::time::Duration;

use bytes::Bytes;

use super::builder::{MEMBERS, STRANGER, Story, author};
use super::tamper::{given, shown};
use super::telling::{edit, send, three_messages};
use super::{Rule, breaks_only, check};
use crate::chaos::history::{Call, Delivery, History, LogEntry, Shown, What};

fn history() -> History {
    three_messages().0.history()
}

fn changed(seq: u64, with: impl Fn(&mut LogEntry)) -> History {
    let mut history = history();
    let place = given(&history, 2, seq);
    with(&mut history.deliveries[place].entry);
    history
}

#[test]
fn a_message_that_never_comes() {
    for (seq, lost) in [(4, 1), (6, 0), (7, 1)] {
        let mut history = history();
        let place = given(&history, 2, seq);
        history.deliveries.remove(place);
        let verdict = breaks_only(&history, Rule::DeliveryMissing);
        assert_eq!(verdict.lost, lost);
        assert!(verdict.violations[0].text.contains("client 2"));
    }
}

#[test]
fn a_client_that_is_given_nothing() {
    let mut history = history();
    history.deliveries.retain(|delivery| delivery.client != 1);
    let verdict = breaks_only(&history, Rule::DeliveryMissing);
    assert_eq!((verdict.total(), verdict.lost), (1, 3));
}

#[test]
fn a_message_that_comes_twice() {
    let mut history = history();
    let again = history.deliveries[given(&history, 2, 5)].clone();
    history.deliveries.push(again);
    let verdict = breaks_only(&history, Rule::DeliveredTwice);
    assert_eq!((verdict.duplicated, verdict.out_of_order), (1, 0));
}

#[test]
fn a_message_that_comes_under_two_seqs() {
    let mut history = history();
    let mut again = history.deliveries[given(&history, 2, 4)].clone();
    again.entry.seq = 8;
    shown(&mut again.entry).unwrap().seq = 8;
    history.deliveries.push(again);
    let verdict = breaks_only(&history, Rule::DeliveredTwice);
    assert_eq!(verdict.duplicated, 1);
}

#[test]
fn a_message_that_comes_too_late() {
    let mut history = history();
    let (one, other) = (given(&history, 2, 4), given(&history, 2, 5));
    let [early, late] = [one, other].map(|place| history.deliveries[place].entry.clone());
    history.deliveries[one].entry = late;
    history.deliveries[other].entry = early;
    for delivery in &mut history.deliveries {
        delivery.at += Duration::from_secs(1);
    }
    let verdict = breaks_only(&history, Rule::DeliveredOutOfOrder);
    assert_eq!((verdict.out_of_order, verdict.lost), (1, 0));
}

#[test]
fn something_else_than_the_log_says() {
    let message = |with: fn(&mut Shown)| move |entry: &mut LogEntry| with(shown(entry).unwrap());
    let faults: [&dyn Fn(&mut LogEntry); 7] = [
        &|entry| entry.ts += 1,
        &|entry| entry.what = What::Other,
        &message(|shown| shown.ts += 1),
        &message(|shown| shown.author = author(2)),
        &message(|shown| shown.thread_ts = 1_040),
        &message(|shown| shown.text = "text of a".into()),
        &message(|shown| shown.id = Bytes::from_static(b"b")),
    ];
    for fault in faults {
        let mut history = changed(7, fault);
        // Under another id it is another message that is lost, or there twice.
        history
            .deliveries
            .retain(|d| d.client != 2 || d.entry.seq == 7);
        for member in &mut history.memberships {
            member.from_seq = 6;
        }
        history.deliveries.retain(|d| d.entry.seq > 6);
        breaks_only(&history, Rule::DeliveryDiffers);
    }
}

#[test]
fn an_edit_with_the_text_before_it() {
    let history = changed(6, |entry| shown(entry).unwrap().text = "text of b".into());
    breaks_only(&history, Rule::DeliveryDiffers);
}

#[test]
fn a_text_from_the_future() {
    let history = changed(5, |entry| shown(entry).unwrap().text = "another b".into());
    breaks_only(&history, Rule::Phantom);
}

#[test]
fn a_deletion_from_the_future() {
    let mut story = Story::new();
    let a = story.sends(0, "a");
    story.deletes(0, a);
    let mut history = story.history();
    let place = given(&history, 2, 4);
    let shown = shown(&mut history.deliveries[place].entry).unwrap();
    (shown.deleted, shown.text) = (true, String::new());
    breaks_only(&history, Rule::Phantom);
}

#[test]
fn a_deleted_text() {
    let mut story = Story::new();
    let a = story.sends(0, "a");
    story.away(2);
    story.deletes(0, a);
    story.back(2);
    let mut history = story.history();
    let place = given(&history, 2, 4);
    shown(&mut history.deliveries[place].entry).unwrap().deleted = true;
    history.deliveries[place].at += Duration::from_secs(1);
    breaks_only(&history, Rule::DeliveryDiffers);
}

/// A history in which something was refused, and a client was given it.
fn refused(call: impl Fn(u64) -> Call) -> History {
    let mut story = Story::new();
    let a = story.sends(0, "a");
    let op = story.begin(0, call(a));
    story.refuse(op);
    let before = story.history();
    story.commit(op);
    let given = story.history().deliveries;
    History {
        deliveries: given.into_iter().filter(|d| d.client < MEMBERS).collect(),
        ..before
    }
}

#[test]
fn what_was_refused() {
    breaks_only(&refused(|_| send("refused", 0)), Rule::RefusedShown);
    breaks_only(&refused(|ts| edit(ts, "refused")), Rule::RefusedShown);
    breaks_only(&refused(|ts| Call::Delete { ts }), Rule::RefusedShown);
}

#[test]
fn what_nobody_has_sent() {
    let mut history = refused(|_| send("phantom", 0));
    history.operations.pop();
    breaks_only(&history, Rule::Phantom);
}

#[test]
fn a_stranger_is_owed_nothing_but_the_truth() {
    let mut story = Story::new();
    story.join(STRANGER);
    story.sends(0, "a");
    story.sends(0, "b");
    let mut history = story.history();
    let place = given(&history, STRANGER, 5);
    let taken: Delivery = history.deliveries.remove(place);
    assert!(check(&history).is_clean());
    history.deliveries.push(taken);
    breaks_only(&history, Rule::DeliveredOutOfOrder);
}
