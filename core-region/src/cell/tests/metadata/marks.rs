//! Reactions, pins and stars.

use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{
    GetReactions, ListPins, ListStars, Message, PinnedMessage, Reaction, Starred,
};
use causeway_protocol::limits::{EMOJI_PER_MESSAGE_MAX, PINS_MAX, STARS_MAX};

use super::*;

fn message(world: &World, user: UserId, channel: ChannelId, ts: u64) -> Message {
    let channel = channel.0;
    let get = Question::GetReactions(GetReactions { channel, ts });
    match world.ask(user, get) {
        Ok(Answer::Reactions(list)) => list.message.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn pins(world: &World, user: UserId, channel: ChannelId) -> Vec<PinnedMessage> {
    let list = ListPins { channel: channel.0 };
    match world.ask(user, Question::ListPins(list)) {
        Ok(Answer::Pins(list)) => list.pins,
        other => panic!("{other:?}"),
    }
}

fn stars(world: &World, user: UserId) -> Vec<Starred> {
    match world.ask(user, Question::ListStars(ListStars::default())) {
        Ok(Answer::Stars(list)) => list.stars,
        other => panic!("{other:?}"),
    }
}

/// A reaction of these users.
fn reaction(emoji: &str, users: &[UserId]) -> Reaction {
    Reaction {
        emoji: emoji.into(),
        users: users.iter().map(|user| user.0).collect(),
        count: u32::try_from(users.len()).unwrap(),
    }
}

#[test]
fn a_reaction_is_put_once_and_taken_back_once() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ts,
    } = scene();
    let tada = |remove| react(general, ts, "tada", remove);
    let (again, none) = (ErrorCode::AlreadyReacted, ErrorCode::NoReaction);
    refused(&mut world, ann, vec![(tada(REMOVE), none)]);
    for user in [bob, ann] {
        done(&mut world, user, &tada(ADD));
        refused(&mut world, user, vec![(tada(ADD), again)]);
    }
    done(&mut world, ann, &react(general, ts, "+1", ADD));
    let shown = [reaction("+1", &[ann]), reaction("tada", &[ann, bob])];
    assert_eq!(message(&world, cid, general, ts).reactions, shown);
    assert_eq!(world.history(cid, general).unwrap()[0].reactions, shown);

    // What another has put, nobody takes back.
    let of_ann = react(general, ts, "+1", REMOVE);
    refused(&mut world, bob, vec![(of_ann, none)]);
    done(&mut world, ann, &tada(REMOVE));
    refused(&mut world, ann, vec![(tada(REMOVE), none)]);
    let shown = [reaction("+1", &[ann]), reaction("tada", &[bob])];
    assert_eq!(message(&world, cid, general, ts).reactions, shown);
    done(&mut world, bob, &tada(REMOVE));
    let shown = [reaction("+1", &[ann])];
    assert_eq!(message(&world, cid, general, ts).reactions, shown);
    done(&mut world, bob, &tada(ADD));
}

#[test]
fn a_message_has_so_many_different_reactions() {
    let Scene {
        mut world,
        ann,
        bob,
        general,
        ts,
        ..
    } = scene();
    let emoji = |n: usize| react(general, ts, &format!("emoji-{n}"), ADD);
    let last = EMOJI_PER_MESSAGE_MAX - 1;
    // However many users react with each.
    for n in 0..last {
        world.change(ann, &emoji(n)).unwrap();
        world.change(bob, &emoji(n)).unwrap();
    }
    done(&mut world, ann, &emoji(last));
    let reactions = message(&world, ann, general, ts).reactions;
    assert_eq!(reactions.len(), EMOJI_PER_MESSAGE_MAX);

    let too_many = vec![(emoji(last + 1), ErrorCode::TooManyEmoji)];
    refused(&mut world, ann, too_many.clone());
    let again = vec![(emoji(0), ErrorCode::AlreadyReacted)];
    refused(&mut world, ann, again);
    // Another message has its own.
    let next = world.post(ann, general, "next").ts;
    done(&mut world, ann, &react(general, next, "tada", ADD));
    // There is room when the last user has taken one back.
    done(&mut world, ann, &react(general, ts, "emoji-0", REMOVE));
    refused(&mut world, ann, too_many);
    done(&mut world, bob, &react(general, ts, "emoji-0", REMOVE));
    done(&mut world, ann, &emoji(last + 1));
}

#[test]
fn a_message_is_pinned_once_and_any_member_takes_the_pin_out() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ts,
    } = scene();
    let next = world.post(ann, general, "next").ts;
    done(&mut world, bob, &pin(general, next, ADD));
    done(&mut world, bob, &pin(general, ts, ADD));
    let pinned_ts = world.now_us;
    for user in [ann, bob] {
        let again = vec![(pin(general, ts, ADD), ErrorCode::AlreadyPinned)];
        refused(&mut world, user, again);
    }
    let shown = pins(&world, cid, general);
    let expected = PinnedMessage {
        channel: general.0,
        ts,
        pinned_by: bob.0,
        pinned_ts,
        message: Some(message(&world, cid, general, ts)),
        left_out: false,
    };
    assert_eq!(shown[0], expected);
    assert_eq!((shown.len(), shown[1].ts), (2, next));
    assert!(message(&world, cid, general, ts).pinned);

    done(&mut world, ann, &pin(general, ts, REMOVE));
    let again = vec![(pin(general, ts, REMOVE), ErrorCode::NoPin)];
    refused(&mut world, bob, again);
    assert_eq!(pins(&world, cid, general).len(), 1);
    assert!(!message(&world, cid, general, ts).pinned);
    done(&mut world, ann, &pin(general, ts, ADD));
    assert_eq!(pins(&world, cid, general)[0].pinned_by, ann.0);
}

#[test]
fn a_channel_has_so_many_pins() {
    let Scene {
        mut world,
        ann,
        general,
        ts,
        ..
    } = scene();
    let next = world.post(ann, general, "next").ts;
    let channel = general.number();
    let others = (1..).take(PINS_MAX - 1);
    let others = others.map(|ts| Item::Pin { channel, ts });
    fill(&mut world, others, &there());
    done(&mut world, ann, &pin(general, ts, ADD));
    assert_eq!(pins(&world, ann, general).len(), PINS_MAX);

    let too_many = vec![
        (pin(general, next, ADD), ErrorCode::TooManyPins),
        (pin(general, ts, ADD), ErrorCode::AlreadyPinned),
    ];
    refused(&mut world, ann, too_many);
    let random = world.public(ann, "random");
    let elsewhere = world.post(ann, random, "elsewhere").ts;
    done(&mut world, ann, &pin(random, elsewhere, ADD));
    done(&mut world, ann, &pin(general, ts, REMOVE));
    done(&mut world, ann, &pin(general, next, ADD));
}

#[test]
fn a_star_is_for_its_user_alone() {
    let Scene {
        mut world,
        ann,
        cid,
        general,
        ts,
        ..
    } = scene();
    // That a message has a star does not give the channel one.
    for ts in [ts, 0] {
        done(&mut world, cid, &star(general, ts, ADD));
        let again = vec![(star(general, ts, ADD), ErrorCode::AlreadyStarred)];
        refused(&mut world, cid, again);
    }
    let shown = stars(&world, cid);
    let starred: Vec<_> = shown.iter().map(|star| (star.channel, star.ts)).collect();
    assert_eq!(starred, [(general.0, 0), (general.0, ts)]);
    assert_eq!(shown[0].starred_ts, world.now_us);
    assert_eq!(shown[0].message, None);
    assert_eq!(shown[1].message, Some(message(&world, cid, general, ts)));
    assert!(stars(&world, ann).is_empty());

    for ts in [ts, 0] {
        let none = vec![(star(general, ts, REMOVE), ErrorCode::NotStarred)];
        refused(&mut world, ann, none.clone());
        done(&mut world, cid, &star(general, ts, REMOVE));
        refused(&mut world, cid, none);
    }
    assert!(stars(&world, cid).is_empty());
    done(&mut world, cid, &star(general, ts, ADD));
}

#[test]
fn a_user_has_so_many_stars() {
    let Scene {
        mut world,
        ann,
        bob,
        general,
        ts,
        ..
    } = scene();
    let (user, channel) = (ann.number(), general.number());
    let others = (1..).take(STARS_MAX - 1);
    let others = others.map(|ts| Item::Star { user, channel, ts });
    fill(&mut world, others, &there());
    done(&mut world, ann, &star(general, 0, ADD));

    let too_many = vec![
        (star(general, ts, ADD), ErrorCode::TooMany),
        (star(general, 0, ADD), ErrorCode::AlreadyStarred),
    ];
    refused(&mut world, ann, too_many);
    done(&mut world, bob, &star(general, ts, ADD));
    done(&mut world, ann, &star(general, 0, REMOVE));
    done(&mut world, ann, &star(general, ts, ADD));
}

#[test]
fn a_reply_is_marked_as_any_message() {
    let Scene {
        mut world,
        ann,
        bob,
        general,
        ts,
        ..
    } = scene();
    let reply = world.reply(bob, general, ts, "hello ann").unwrap().ts;
    for request in [
        react(general, reply, "tada", ADD),
        pin(general, reply, ADD),
        star(general, reply, ADD),
    ] {
        done(&mut world, ann, &request);
    }
    let thread = world.thread(bob, general, ts).unwrap();
    assert_eq!(thread[1].reactions, [reaction("tada", &[ann])]);
    assert!(thread[1].pinned && thread[0].reactions.is_empty() && !thread[0].pinned);
}

#[test]
fn what_is_no_message_is_not_marked() {
    let Scene {
        mut world,
        ann,
        general,
        ..
    } = scene();
    let random = world.public(ann, "random");
    let elsewhere = world.post(ann, random, "elsewhere").ts;
    let gone = world.post(ann, general, "oops").ts;
    world.delete(ann, general, gone).unwrap();
    for ts in [1, elsewhere, gone, u64::MAX] {
        let marks = vec![
            (react(general, ts, "tada", ADD), ErrorCode::MessageNotFound),
            (
                react(general, ts, "tada", REMOVE),
                ErrorCode::MessageNotFound,
            ),
            (pin(general, ts, ADD), ErrorCode::MessageNotFound),
            (pin(general, ts, REMOVE), ErrorCode::NoPin),
            (star(general, ts, ADD), ErrorCode::MessageNotFound),
            (star(general, ts, REMOVE), ErrorCode::NotStarred),
        ];
        refused(&mut world, ann, marks);
    }
    // 0 is the channel itself, which is starred and nothing else.
    let marks = [react(general, 0, "tada", ADD), pin(general, 0, ADD)];
    refused(&mut world, ann, each(marks, ErrorCode::MessageNotFound));
}

#[test]
fn a_pin_and_a_star_stay_when_their_message_is_deleted() {
    let Scene {
        mut world,
        ann,
        general,
        ts,
        ..
    } = scene();
    for request in [
        react(general, ts, "tada", ADD),
        pin(general, ts, ADD),
        star(general, ts, ADD),
    ] {
        done(&mut world, ann, &request);
    }
    world.delete(ann, general, ts).unwrap();
    let (pins, stars) = (pins(&world, ann, general), stars(&world, ann));
    assert_eq!((pins[0].ts, pins[0].message.as_ref()), (ts, None));
    assert_eq!((stars[0].ts, stars[0].message.as_ref()), (ts, None));

    // They can be taken away, and are not put there again.
    for (remove, add) in [
        (pin(general, ts, REMOVE), pin(general, ts, ADD)),
        (star(general, ts, REMOVE), star(general, ts, ADD)),
    ] {
        done(&mut world, ann, &remove);
        refused(&mut world, ann, vec![(add, ErrorCode::MessageNotFound)]);
    }
}

#[test]
fn where_there_is_no_room_for_another_emoji_one_that_is_there_is_joined() {
    let Scene {
        mut world,
        ann,
        bob,
        general,
        ts,
        ..
    } = scene();
    for n in 0..EMOJI_PER_MESSAGE_MAX {
        done(
            &mut world,
            ann,
            &react(general, ts, &format!("emoji-{n}"), ADD),
        );
    }
    done(&mut world, bob, &react(general, ts, "emoji-0", ADD));
    let another = react(general, ts, "another", ADD);
    refused(&mut world, bob, vec![(another, ErrorCode::TooManyEmoji)]);
}
