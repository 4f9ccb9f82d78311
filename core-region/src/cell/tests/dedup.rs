//! A message is stored once, however often it is sent.

use causeway_protocol::ErrorCode;

use super::world::{HOUR_US, SECOND_US, World};

/// The table of ids, and the index by which they are forgotten.
const IDS: u8 = 12;
const AGES: u8 = 13;

#[test]
fn a_resend_returns_the_first_result_and_stores_nothing() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let first = world.send(ann, general, "id-1", "hello").unwrap();
    assert!(!first.duplicate);
    world.post(ann, general, "in between");

    let (rows, published) = (world.rows(), world.published.len());
    // The text does not matter: the first one stands.
    let again = world.send(ann, general, "id-1", "hallo").unwrap();
    assert!(again.duplicate);
    assert_eq!((again.seq, again.ts), (first.seq, first.ts));
    assert_eq!(world.rows(), rows);
    assert_eq!(world.published.len(), published);
    assert_eq!(world.texts(ann, general), ["hello", "in between"]);
}

#[test]
fn a_resend_is_known_after_a_restart() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let first = world.send(ann, general, "id-1", "hello").unwrap();

    let mut world = world.reopened();
    let again = world.send(ann, general, "id-1", "hello").unwrap();
    assert!(again.duplicate);
    assert_eq!((again.seq, again.ts), (first.seq, first.ts));
    assert_eq!(world.texts(ann, general), ["hello"]);
}

#[test]
fn a_resend_is_known_after_its_sender_has_left_the_channel() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let secret = world.private(ann, "secret");
    world.invite(ann, secret, bob).unwrap();
    let first = world.send(bob, secret, "id-1", "bye").unwrap();
    world.leave(bob, secret).unwrap();

    let again = world.send(bob, secret, "id-1", "bye").unwrap();
    assert!(again.duplicate);
    assert_eq!((again.seq, again.ts), (first.seq, first.ts));
    let new = world.send(bob, secret, "id-2", "still here");
    assert_eq!(new, Err(ErrorCode::ChannelNotFound));
}

#[test]
fn the_same_id_of_another_sender_is_another_message() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    world.join(bob, general).unwrap();
    world.send(ann, general, "id-1", "ann's").unwrap();
    let other = world.send(bob, general, "id-1", "bob's").unwrap();
    assert!(!other.duplicate);
    assert_eq!(world.texts(ann, general), ["ann's", "bob's"]);
}

#[test]
fn the_same_id_in_another_channel_is_refused() {
    let mut world = World::new();
    let ann = world.user("ann");
    let (general, random) = (world.public(ann, "general"), world.public(ann, "random"));
    world.send(ann, general, "id-1", "hello").unwrap();
    let elsewhere = world.send(ann, random, "id-1", "hello");
    assert_eq!(elsewhere, Err(ErrorCode::InvalidArguments));
    assert!(world.texts(ann, random).is_empty());
}

#[test]
fn an_id_is_known_for_a_day_and_new_after_it() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    world.send(ann, general, "id-1", "monday").unwrap();

    world.now_us += 24 * HOUR_US + HOUR_US / 2;
    let within = world.send(ann, general, "id-1", "monday").unwrap();
    assert!(within.duplicate);

    world.now_us += HOUR_US;
    let after = world.send(ann, general, "id-1", "tuesday").unwrap();
    assert!(!after.duplicate);
    assert_eq!(world.texts(ann, general), ["monday", "tuesday"]);

    // And its new day begins.
    world.now_us += 24 * HOUR_US;
    let again = world.send(ann, general, "id-1", "tuesday").unwrap();
    assert_eq!((again.seq, again.duplicate), (after.seq, true));
}

#[test]
fn an_id_that_is_used_anew_is_not_forgotten_with_its_old_use() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    // More ids than one send forgets, so that the last one's old use lingers.
    for n in 0..10 {
        world
            .send(ann, general, &format!("id-{n}"), "monday")
            .unwrap();
    }
    world.now_us += 26 * HOUR_US;
    let anew = world.send(ann, general, "id-9", "tuesday").unwrap();
    assert!(!anew.duplicate);
    for n in 0..10 {
        world
            .send(ann, general, &format!("other-{n}"), "tuesday")
            .unwrap();
    }
    let again = world.send(ann, general, "id-9", "tuesday").unwrap();
    assert_eq!((again.seq, again.duplicate), (anew.seq, true));
}

#[test]
fn ids_do_not_pile_up() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    for _ in 0..100 {
        world.post(ann, general, "a busy minute");
        world.now_us += SECOND_US / 2;
    }
    // Then four messages an hour, for a week.
    for quarter in 0..4 * 24 * 7 {
        world.now_us += HOUR_US / 4;
        world.post(ann, general, "a quiet week");
        if quarter == 4 * 26 + 40 {
            // The busy minute went, although each send forgets only a few.
            assert!(world.rows_of_table(IDS) <= 4 * 26);
        }
    }
    assert!(world.rows_of_table(IDS) <= 4 * 26);
    assert_eq!(world.rows_of_table(IDS), world.rows_of_table(AGES));
}

#[test]
fn a_refused_send_leaves_its_id_free() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    let refused = world.send(bob, general, "id-1", "hello");
    assert_eq!(refused, Err(ErrorCode::NotInChannel));
    world.join(bob, general).unwrap();
    let sent = world.send(bob, general, "id-1", "hello").unwrap();
    assert!(!sent.duplicate);
}
