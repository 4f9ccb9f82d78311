//! What can be wrong with edits and deletions that are stored.

use super::tamper::{every_log, every_shown, shown, without};
use super::telling::{edit, three_messages};
use super::{Rule, breaks_only};
use crate::chaos::history::{Call, History, LogEntry, Outcome, What};

#[test]
fn a_refused_edit_or_deletion_that_is_stored() {
    for call in [|ts| edit(ts, "no"), |ts| Call::Delete { ts }] {
        let (mut story, [a, ..]) = three_messages();
        let refused = story.begin(0, call(a));
        story.refuse(refused);
        story.commit(refused);
        breaks_only(&story.history(), Rule::RefusedShown);
    }
}

#[test]
fn an_edit_or_deletion_that_nobody_has_asked_for() {
    for call in [|ts| edit(ts, "no"), |ts| Call::Delete { ts }] {
        let (mut story, [a, ..]) = three_messages();
        let phantom = story.begin(0, call(a));
        story.commit(phantom);
        let mut history = story.history();
        history.operations.pop();
        breaks_only(&history, Rule::Phantom);
    }
}

#[test]
fn an_edit_that_is_lost() {
    let (story, [_, b, _]) = three_messages();
    let mut history = story.history();
    every_log(&mut history, without(6));
    breaks_only(&history, Rule::EditLost);
    every_shown(&mut history, b, |shown| shown.text = "text of b".into());
    breaks_only(&history, Rule::EditLost);
}

#[test]
fn an_edit_that_one_replica_lacks() {
    let mut history = three_messages().0.history();
    without(6)(&mut history.replicas[2].entries);
    breaks_only(&history, Rule::EditLost);
}

#[test]
fn an_edit_without_effect() {
    let (mut story, [_, b, _]) = three_messages();
    story.edits(1, b, "one more b");
    for text in ["text of b", "another b", "what is this"] {
        let mut history = story.history();
        every_shown(&mut history, b, |shown| shown.text = text.into());
        breaks_only(&history, Rule::EditText);
    }
}

#[test]
fn an_edit_that_shows_another_text_than_its_message() {
    let mut history = three_messages().0.history();
    every_log(&mut history, |entries| {
        shown(&mut entries[5]).unwrap().text = "text of b".into();
    });
    breaks_only(&history, Rule::EditText);
}

#[test]
fn a_refused_text() {
    let (mut story, [_, b, _]) = three_messages();
    let refused = story.begin(1, edit(b, "no"));
    story.refuse(refused);
    let mut history = story.history();
    every_shown(&mut history, b, |shown| shown.text = "no".into());
    breaks_only(&history, Rule::RefusedShown);
}

#[test]
fn a_deletion_that_is_lost() {
    let (mut story, [a, ..]) = three_messages();
    story.deletes(0, a);
    let mut history = story.history();
    every_log(&mut history, without(8));
    breaks_only(&history, Rule::DeletionLost);
    every_shown(&mut history, a, |shown| {
        (shown.deleted, shown.text) = (false, "text of a".into());
    });
    breaks_only(&history, Rule::DeletionLost);
}

#[test]
fn a_deletion_that_was_done_and_is_nowhere() {
    let (mut story, [a, ..]) = three_messages();
    let gone = story.begin(0, Call::Delete { ts: a });
    story.end(gone, |at| Outcome::Done { at });
    breaks_only(&story.history(), Rule::DeletionLost);
}

#[test]
fn a_deletion_without_effect() {
    let (mut story, [a, ..]) = three_messages();
    story.deletes(0, a);
    for deleted in [true, false] {
        let mut history = story.history();
        every_shown(&mut history, a, |shown| {
            (shown.deleted, shown.text) = (deleted, "text of a".into());
        });
        breaks_only(&history, Rule::DeletionIneffective);
    }
}

/// One more entry, of which nobody is told.
fn append(history: &mut History, what: What) {
    every_log(history, |entries| {
        let last = entries.last().expect("there are messages");
        entries.push(LogEntry {
            seq: last.seq + 1,
            ts: last.ts + 1,
            what: what.clone(),
        });
    });
    history.memberships.clear();
}

#[test]
fn a_deletion_that_is_stored_twice() {
    let (mut story, [a, ..]) = three_messages();
    story.deletes(0, a);
    let mut history = story.history();
    append(&mut history, What::Deleted { ts: a });
    let verdict = breaks_only(&history, Rule::StoredTwice);
    assert_eq!(verdict.duplicated, 1);
}

#[test]
fn an_edit_of_what_is_deleted() {
    let (mut story, [a, ..]) = three_messages();
    story.deletes(0, a);
    story.begin(0, edit(a, "too late"));
    let mut history = story.history();
    let deleted = shown(&mut history.replicas[0].entries[3]).cloned();
    append(&mut history, What::Edited(deleted.expect("a message")));
    breaks_only(&history, Rule::DeletionIneffective);
}

#[test]
fn a_change_of_no_message() {
    let (mut story, _) = three_messages();
    story.begin(0, Call::Delete { ts: 7 });
    let mut history = story.history();
    append(&mut history, What::Deleted { ts: 7 });
    breaks_only(&history, Rule::Phantom);
}
