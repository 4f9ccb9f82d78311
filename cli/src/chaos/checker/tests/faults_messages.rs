//! What can be wrong with the messages that are stored.

use super::builder::{CHANNEL, MEMBERS, Story, author};
use super::tamper::{every_log, every_shown, shown, without};
use super::telling::{send, three_messages};
use super::{Rule, breaks_only};
use crate::chaos::history::Outcome;

#[test]
fn an_acknowledged_message_that_no_replica_has() {
    for seq in [4, 7] {
        let mut history = three_messages().0.history();
        every_log(&mut history, without(seq));
        let verdict = breaks_only(&history, Rule::AcknowledgedMissing);
        assert_eq!((verdict.total(), verdict.lost), (1, 1));
    }
}

#[test]
fn an_acknowledged_message_that_nobody_was_given_either() {
    let mut history = three_messages().0.history();
    every_log(&mut history, without(7));
    history
        .deliveries
        .retain(|delivery| delivery.entry.seq != 7);
    let verdict = breaks_only(&history, Rule::AcknowledgedMissing);
    assert_eq!(verdict.lost, 1 + MEMBERS as u64);
    let text = &verdict.violations[0].text;
    let told = [&CHANNEL.to_string(), "client 0", "message c", "seq 7"];
    assert!(told.iter().all(|word| text.contains(*word)), "{text}");
}

#[test]
fn a_message_that_one_replica_lacks() {
    for seq in [4, 7] {
        let mut history = three_messages().0.history();
        without(seq)(&mut history.replicas[1].entries);
        let verdict = breaks_only(&history, Rule::AcknowledgedMissing);
        assert_eq!(verdict.lost, 1);
        assert!(verdict.violations[0].text.contains("core-2"));
    }
}

#[test]
fn a_message_that_is_stored_twice() {
    let mut story = Story::new();
    let a = story.begin(0, send("a", 0));
    story.commit(a);
    story.acknowledge(a);
    story.sends(1, "b");
    story.store(a);
    let verdict = breaks_only(&story.history(), Rule::StoredTwice);
    assert_eq!(verdict.duplicated, 1 + MEMBERS as u64);
}

#[test]
fn an_unknown_message_that_is_stored_twice() {
    let mut story = Story::new();
    let a = story.begin(0, send("a", 0));
    story.commit(a);
    story.store(a);
    breaks_only(&story.history(), Rule::StoredTwice);
}

#[test]
fn a_message_that_is_elsewhere_than_acknowledged() {
    let (mut story, _) = three_messages();
    let d = story.begin(0, send("d", 0));
    story.commit(d);
    story.end(d, |at| Outcome::Acknowledged {
        at,
        seq: 9,
        ts: 1_090,
    });
    breaks_only(&story.history(), Rule::WrongPlace);
}

#[test]
fn another_text() {
    let (story, [a, ..]) = three_messages();
    let mut history = story.history();
    every_shown(&mut history, a, |shown| shown.text = "text of c".into());
    let verdict = breaks_only(&history, Rule::WrongText);
    assert!(verdict.violations[0].text.contains("text of a"));
}

#[test]
fn another_author_or_thread() {
    let (story, [a, ..]) = three_messages();
    let mut history = story.history();
    every_shown(&mut history, a, |shown| shown.thread_ts = 7);
    history
        .deliveries
        .retain(|delivery| delivery.entry.seq != 4);
    for member in &mut history.memberships {
        member.from_seq = 4;
    }
    breaks_only(&history, Rule::EntryWrong);

    let (mut story, [a, ..]) = three_messages();
    story.sends(0, "d");
    let mut history = story.history();
    every_shown(&mut history, a, |shown| shown.author = author(1));
    for delivery in &mut history.deliveries {
        if let Some(shown) = shown(&mut delivery.entry).filter(|shown| shown.ts == a) {
            shown.author = author(1);
        }
    }
    breaks_only(&history, Rule::EntryWrong);
}

#[test]
fn a_refused_message_that_is_stored() {
    let mut story = three_messages().0;
    let refused = story.begin(0, send("refused", 0));
    story.refuse(refused);
    story.commit(refused);
    breaks_only(&story.history(), Rule::RefusedShown);
}

#[test]
fn a_message_that_nobody_has_sent() {
    let mut story = three_messages().0;
    let phantom = story.begin(2, send("phantom", 0));
    story.commit(phantom);
    let mut history = story.history();
    history.operations.pop();
    breaks_only(&history, Rule::Phantom);
}

#[test]
fn of_many_violations_the_first_are_told() {
    let mut story = Story::new();
    for n in 0..100 {
        story.sends(n % MEMBERS, &n.to_string());
    }
    let mut history = story.history();
    every_log(&mut history, |entries| entries.truncate(MEMBERS));
    let verdict = breaks_only(&history, Rule::AcknowledgedMissing);
    assert_eq!((verdict.total(), verdict.lost), (100, 100));
    assert_eq!(verdict.violations.len(), 10);
}
