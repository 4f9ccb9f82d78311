//! Messages change in place; the log tells that they did.

use causeway_protocol::client::{Deleted, Entry, entry::Kind};
use causeway_protocol::{ErrorCode, Topic};

use super::world::{Rows, World};

/// Whether any row of the state has the text in it, in key or value.
fn mentions(rows: &Rows, text: &str) -> bool {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    rows.iter().any(|(key, value)| has(key) || has(value))
}

fn last(log: Vec<Entry>) -> Kind {
    log.into_iter().next_back().and_then(|e| e.kind).unwrap()
}

#[test]
fn history_shows_the_text_as_it_was_edited_last() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let sent = world.post(ann, general, "helo");
    world.post(ann, general, "next");
    world.edit(ann, general, sent.ts, "hallo").unwrap();
    let edit = world.edit(ann, general, sent.ts, "hello").unwrap();

    let history = world.history(ann, general).unwrap();
    assert_eq!(world.texts(ann, general), ["hello", "next"]);
    assert_eq!((history[0].seq, history[0].ts), (sent.seq, sent.ts));
    assert_eq!(history[0].edited_ts, edit.ts);
    assert_eq!(history[1].edited_ts, 0);
    assert!(!mentions(&world.rows(), "helo"));
    assert!(!mentions(&world.rows(), "hallo"));
}

#[test]
fn the_log_tells_of_an_edit_with_the_message_as_it_is_now() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let sent = world.post(ann, general, "one");
    let edit = world.edit(ann, general, sent.ts, "two").unwrap();
    let Some(Kind::Edited(pushed)) = &world.published.last().unwrap().entry.kind else {
        panic!("an edit is published");
    };
    assert_eq!((pushed.seq, pushed.text.as_str()), (sent.seq, "two"));

    world.edit(ann, general, sent.ts, "three").unwrap();
    let log = world.read_log(ann, Topic::Channel(general), edit.seq, edit.seq);
    let Kind::Edited(read) = last(log.unwrap().entries) else {
        panic!("the log has the edit");
    };
    assert_eq!((read.seq, read.text.as_str()), (sent.seq, "three"));
}

#[test]
fn a_deleted_text_is_gone_from_every_row() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    world.join(bob, general).unwrap();
    let sent = world.post(ann, general, "my password is swordfish");
    world
        .edit(ann, general, sent.ts, "my word is swordfish")
        .unwrap();
    world.reply(bob, general, sent.ts, "really?").unwrap();
    assert!(mentions(&world.rows(), "swordfish"));

    let delete = world.delete(ann, general, sent.ts).unwrap();
    assert!(!mentions(&world.rows(), "swordfish"));
    let log = world.log(bob, Topic::Channel(general));
    assert!(!format!("{log:?}").contains("swordfish"));
    let deleted = Deleted {
        seq: sent.seq,
        ts: sent.ts,
        user: ann.0,
    };
    assert_eq!(last(log), Kind::Deleted(deleted));
    assert_eq!(delete.seq, world.channel(ann, general).unwrap().last_seq);

    let world = world.reopened();
    assert!(!mentions(&world.rows(), "swordfish"));
}

#[test]
fn a_deleted_message_is_neither_edited_nor_deleted_again() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let ts = world.post(ann, general, "oops").ts;
    world.delete(ann, general, ts).unwrap();
    let rows = world.rows();
    let gone = Err(ErrorCode::MessageNotFound);
    assert_eq!(world.edit(ann, general, ts, "back"), gone);
    assert_eq!(world.delete(ann, general, ts), gone);
    // Nor what never was a message: the moment at which the channel was made.
    let joined = world.log(ann, Topic::Channel(general))[0].ts;
    assert_eq!(world.edit(ann, general, joined, "hm"), gone);
    assert_eq!(world.delete(ann, general, joined), gone);
    assert_eq!(world.rows(), rows);
}

#[test]
fn a_resend_of_a_deleted_message_does_not_bring_it_back() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let sent = world.send(ann, general, "id-1", "oops").unwrap();
    world.delete(ann, general, sent.ts).unwrap();
    let again = world.send(ann, general, "id-1", "oops").unwrap();
    assert_eq!((again.seq, again.duplicate), (sent.seq, true));
    assert!(world.texts(ann, general).is_empty());
}
