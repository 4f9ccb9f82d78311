//! What keeps the promises, however odd, is let pass.

use super::builder::{STRANGER, Story};
use super::check;
use super::telling::{edit, send};
use crate::chaos::history::{Call, History, Outcome};

fn passes(history: &History) {
    let verdict = check(history);
    assert!(verdict.is_clean(), "{:#?}", verdict.violations);
    assert_eq!(
        (verdict.lost, verdict.duplicated, verdict.out_of_order),
        (0, 0, 0)
    );
}

#[test]
fn nothing_is_fine() {
    passes(&History::default());
    passes(&Story::new().history());
}

#[test]
fn a_long_story_passes() {
    let mut story = Story::new();
    let a = story.sends(0, "a");
    story.sends(1, "b");
    story.replies(2, "c", a);
    story.edits(0, a, "another a");
    story.sends(0, "a");
    story.away(2);
    let d = story.sends(1, "d");
    let e = story.sends(1, "e");
    story.edits(1, d, "another d");
    story.edits(1, d, "one more d");
    story.reads(0);
    story.deletes(1, e);
    story.reads(0);
    story.back(2);
    story.join(STRANGER);
    story.sends(STRANGER, "f");
    story.reads(STRANGER);
    passes(&story.history());
}

#[test]
fn what_is_unknown_may_have_happened_or_not() {
    let mut story = Story::new();
    let a = story.sends(0, "a");
    let b = story.sends(1, "b");
    let [stored, _not, resent] = ["c", "d", "e"].map(|id| story.begin(2, send(id, 0)));
    story.commit(stored);
    story.commit(resent);
    story.sends(1, "f");
    story.sends(2, "e");
    let [edited, _not] = ["another a", "no a"].map(|text| story.begin(0, edit(a, text)));
    story.commit(edited);
    story.reads(1);
    let [deleted, _not] = [b, a].map(|ts| story.begin(1, Call::Delete { ts }));
    story.commit(deleted);
    story.reads(1);
    passes(&story.history());
}

#[test]
fn an_edge_may_repeat_edits_and_deletions() {
    let mut story = Story::new();
    let a = story.sends(0, "a");
    let twice = story.begin(0, edit(a, "another a"));
    story.commit(twice);
    story.commit(twice);
    story.acknowledge(twice);
    // The edge repeats the first one once more, late, and so takes back the second.
    let again = story.begin(0, edit(a, "one more a"));
    story.commit(again);
    story.acknowledge(again);
    story.commit(twice);
    // A deletion that was repeated is told that there is nothing.
    let gone = story.begin(0, Call::Delete { ts: a });
    story.commit(gone);
    story.end(gone, |at| Outcome::Done { at });
    // An edit that was carried out, and repeated after the deletion, as well.
    let b = story.sends(1, "b");
    let late = story.begin(1, edit(b, "another b"));
    story.commit(late);
    story.deletes(1, b);
    let code = "message_not_found".into();
    story.end(late, |at| Outcome::Refused { at, code });
    passes(&story.history());
}

#[test]
fn what_overlaps_may_come_in_any_order() {
    let mut story = Story::new();
    let [a, b] = ["a", "b"].map(|id| story.begin(0, send(id, 0)));
    story.commit(b);
    story.commit(a);
    story.acknowledge(a);
    story.acknowledge(b);
    // A resend is older than it looks.
    story.sends(1, "c");
    story.sends(0, "b");
    passes(&story.history());
}

#[test]
fn a_refusal_uses_no_id_up() {
    let mut story = Story::new();
    let refused = story.begin(0, send("a", 0));
    story.refuse(refused);
    let a = story.sends(0, "a");
    let refused = story.begin(0, edit(a, "another a"));
    story.refuse(refused);
    let refused = story.begin(0, Call::Delete { ts: a });
    story.refuse(refused);
    story.refuse(refused);
    passes(&story.history());
}

#[test]
fn reads_go_back_where_messages_go() {
    let mut story = Story::new();
    let (a, b) = (story.sends(0, "a"), story.sends(0, "b"));
    story.replies(1, "c", a);
    story.reads(0);
    story.away(2);
    let gone = story.begin(1, Call::Delete { ts: b });
    story.commit(gone);
    // From a replica that does not know yet, and from one that does.
    story.read_behind(2, 1);
    story.reads(2);
    story.deletes(0, a);
    story.reads(0);
    story.back(2);
    passes(&story.history());
}

#[test]
fn what_was_there_before_is_nobodys_business() {
    let mut story = Story::new();
    story.sends(0, "of an earlier run");
    story.sends(1, "a");
    story.reads(1);
    let mut history = story.history();
    history.operations.remove(0);
    history.deliveries.retain(|delivery| delivery.entry.seq > 4);
    for member in &mut history.memberships {
        member.from_seq = 4;
    }
    passes(&history);
}
