//! What can be wrong with the logs of replicas.

use super::tamper::{every_log, shown, without};
use super::telling::{send, three_messages};
use super::{Rule, breaks_only, check};
use crate::chaos::history::{LogEntry, What};

#[test]
fn a_log_that_is_empty() {
    let mut history = three_messages().0.history();
    history.replicas[0].entries.clear();
    let missing = [
        (Rule::AcknowledgedMissing, 3),
        (Rule::EditLost, 1),
        // That the members have joined.
        (Rule::ReplicasDiffer, 3),
    ];
    assert_eq!(check(&history).broken, missing.into());
}

#[test]
fn a_log_that_was_not_read() {
    let mut history = three_messages().0.history();
    history.replicas.clear();
    breaks_only(&history, Rule::LogUnread);
}

#[test]
fn a_hole() {
    let mut story = three_messages().0;
    let unknown = story.begin(2, send("unknown", 0));
    story.commit(unknown);
    story.sends(2, "d");
    let mut history = story.history();
    history
        .deliveries
        .retain(|delivery| delivery.entry.seq != 8);
    every_log(&mut history, without(8));
    let verdict = breaks_only(&history, Rule::LogHole);
    assert_eq!(verdict.lost, 0);

    let mut history = story.history();
    without(8)(&mut history.replicas[0].entries);
    breaks_only(&history, Rule::LogHole);
}

#[test]
fn a_log_that_does_not_begin_with_one() {
    let mut history = three_messages().0.history();
    every_log(&mut history, without(1));
    breaks_only(&history, Rule::LogHole);
}

#[test]
fn a_clock_that_goes_back() {
    let mut story = three_messages().0;
    story.clock -= 15;
    story.sends(1, "d");
    breaks_only(&story.history(), Rule::TsOrder);
}

#[test]
fn a_log_in_disorder() {
    let mut history = three_messages().0.history();
    history.replicas[0].entries.swap(3, 4);
    breaks_only(&history, Rule::LogOrder);

    let mut history = three_messages().0.history();
    let entry = history.replicas[0].entries[3].clone();
    history.replicas[0].entries.insert(3, entry);
    breaks_only(&history, Rule::LogOrder);
}

#[test]
fn a_log_with_two_entries_of_one_seq() {
    let mut history = three_messages().0.history();
    let mut entry = history.replicas[0].entries[3].clone();
    entry.what = What::Other;
    history.replicas[0].entries.insert(4, entry);
    breaks_only(&history, Rule::SeqReused);
}

#[test]
fn replicas_that_differ() {
    for with in [
        |entry: &mut LogEntry| entry.ts += 1,
        |entry: &mut LogEntry| entry.what = What::Other,
        |entry: &mut LogEntry| shown(entry).unwrap().text.push('!'),
    ] {
        let mut history = three_messages().0.history();
        with(&mut history.replicas[1].entries[3]);
        breaks_only(&history, Rule::ReplicasDiffer);
    }
}

#[test]
fn a_replica_that_is_behind() {
    let mut story = three_messages().0;
    let unknown = story.begin(2, send("unknown", 0));
    story.commit(unknown);
    let mut history = story.history();
    history.replicas[1].entries.pop();
    breaks_only(&history, Rule::ReplicasDiffer);
}
