//! What a channel is called, what is said of it, whether it is archived, who is in
//! it, and how far they have read.

use causeway_protocol::client::{Said, SetChannel};

use super::*;

fn said(text: &str, user: UserId, ts: u64) -> Option<Said> {
    Some(Said {
        text: text.into(),
        user: user.0,
        ts,
    })
}

fn name(world: &World, user: UserId, channel: ChannelId) -> String {
    world.channel(user, channel).unwrap().name
}

#[test]
fn topic_and_purpose_tell_who_has_set_them_and_when() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ..
    } = scene();
    done(&mut world, ann, &set_topic(general, "lunch"));
    let topic = said("lunch", ann, world.now_us);
    done(&mut world, bob, &set_purpose(general, "to eat"));
    let purpose = said("to eat", bob, world.now_us);
    in_vain(&mut world, ann, &set_topic(general, "lunch"));
    in_vain(&mut world, bob, &set_purpose(general, "to eat"));
    let shown = world.channel(cid, general).unwrap();
    assert_eq!((shown.topic, shown.purpose), (topic, purpose));

    // In the words of another, it is said anew.
    done(&mut world, bob, &set_topic(general, "lunch"));
    let topic = said("lunch", bob, world.now_us);
    done(&mut world, ann, &set_purpose(general, ""));
    let purpose = said("", ann, world.now_us);
    let shown = world.channel(cid, general).unwrap();
    assert_eq!((shown.topic, shown.purpose), (topic, purpose));
    assert!(shown.other_purposes.is_empty());
}

#[test]
fn something_of_a_channel_is_to_be_set() {
    let Scene {
        mut world,
        ann,
        cid,
        general,
        ..
    } = scene();
    let nothing = Question::SetChannel(SetChannel {
        channel: general.0,
        field: None,
    });
    for (user, code) in [
        (ann, ErrorCode::InvalidArguments),
        (cid, ErrorCode::NotInChannel),
    ] {
        refused(&mut world, user, vec![(nothing.clone(), code)]);
    }
}

#[test]
fn a_channel_is_renamed_by_its_creator_or_an_admin_in_it() {
    let Scene {
        mut world,
        ann,
        bob,
        general,
        ..
    } = scene();
    let root = world.admin("root");
    done(&mut world, ann, &set_name(general, "lobby"));
    in_vain(&mut world, ann, &set_name(general, "lobby"));
    assert_eq!(name(&world, bob, general), "lobby");
    for (user, code) in [
        (bob, ErrorCode::NotAllowed),
        (root, ErrorCode::NotInChannel),
    ] {
        refused(&mut world, user, vec![(set_name(general, "hall"), code)]);
    }
    world.join(root, general).unwrap();
    done(&mut world, root, &set_name(general, "hall"));
    assert_eq!(name(&world, bob, general), "hall");

    // What the platform has made, no user has created.
    let news = world.ensure_channel("news", &[ann, root]).unwrap();
    let rename = set_name(ChannelId(news.id), "old-news");
    refused(
        &mut world,
        ann,
        vec![(rename.clone(), ErrorCode::NotAllowed)],
    );
    done(&mut world, root, &rename);
}

#[test]
fn no_channel_is_given_the_name_of_another() {
    let Scene {
        mut world,
        ann,
        general,
        ..
    } = scene();
    let random = world.public(ann, "random");
    world.private(ann, "secret");
    done(&mut world, ann, &set_name(random, "chat"));
    // The name with which a channel was created stays taken.
    let taken = ["chat", "random", "secret"];
    let renames = taken.map(|name| set_name(general, name));
    refused(&mut world, ann, each(renames, ErrorCode::NameTaken));
    for name in taken {
        let created = world.create(ann, name, false);
        assert_eq!(created.unwrap_err(), ErrorCode::NameTaken);
    }
    // Abroad, it is free.
    let eve = world.user_in(ABROAD, "eve", false);
    let theirs = world.public(eve, "general");
    done(&mut world, eve, &set_name(theirs, "chat"));

    // A channel takes its own back, and gives up what it was called meanwhile.
    done(&mut world, ann, &set_name(random, "random"));
    done(&mut world, ann, &set_name(general, "chat"));
    let names = [random, general].map(|channel| name(&world, ann, channel));
    assert_eq!(names, ["random", "chat"]);
}

#[test]
fn in_an_archived_channel_nothing_is_set_and_nobody_joins() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ts,
    } = scene();
    for request in [react(general, ts, "tada", ADD), pin(general, ts, ADD)] {
        done(&mut world, ann, &request);
    }
    // Any member may archive it.
    done(&mut world, bob, &set_archived(general, true));
    assert!(world.channel(cid, general).unwrap().archived);
    let closed = vec![
        react(general, ts, "+1", ADD),
        react(general, ts, "tada", REMOVE),
        pin(general, ts, ADD),
        pin(general, ts, REMOVE),
        set_topic(general, "lunch"),
        set_purpose(general, "to eat"),
        set_name(general, "food"),
        invite(general, cid),
        join(general),
    ];
    refused(&mut world, ann, each(closed, ErrorCode::IsArchived));
    let again = (set_archived(general, true), ErrorCode::AlreadyArchived);
    refused(&mut world, ann, vec![again]);
    let outside = vec![
        (join(general), ErrorCode::IsArchived),
        (react(general, ts, "+1", ADD), ErrorCode::NotInChannel),
        (set_archived(general, false), ErrorCode::NotInChannel),
    ];
    refused(&mut world, cid, outside);
    for thread in [0, ts] {
        let sent = world.reply(ann, general, thread, "anybody here?");
        assert_eq!(sent, Err(ErrorCode::IsArchived));
    }
}

#[test]
fn an_archived_channel_is_still_read_tidied_starred_and_left() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ts,
    } = scene();
    let last = world.send(ann, general, "id-1", "bye").unwrap();
    done(&mut world, ann, &set_archived(general, true));
    // A resend still finds what became of the message.
    let again = world.send(ann, general, "id-1", "bye").unwrap();
    assert_eq!((again.seq, again.duplicate), (last.seq, true));
    world.edit(ann, general, last.ts, "farewell").unwrap();
    world.delete(ann, general, ts).unwrap();
    assert_eq!(world.texts(cid, general), ["farewell"]);

    for request in [
        star(general, 0, ADD),
        star(general, last.ts, ADD),
        star(general, 0, REMOVE),
        mark_read(general, last.seq),
    ] {
        done(&mut world, bob, &request);
    }
    assert_eq!(world.channel(bob, general).unwrap().read_seq, last.seq);
    done(&mut world, ann, &kick(general, bob));
    done(&mut world, ann, &leave(general));
    assert_eq!(world.channel(cid, general).unwrap().members, 0);
}

#[test]
fn an_archived_channel_comes_back() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ts,
    } = scene();
    let open = set_archived(general, false);
    refused(
        &mut world,
        ann,
        vec![(open.clone(), ErrorCode::NotArchived)],
    );
    done(&mut world, ann, &set_archived(general, true));
    done(&mut world, bob, &open);
    refused(&mut world, ann, vec![(open, ErrorCode::NotArchived)]);
    assert!(!world.channel(cid, general).unwrap().archived);
    done(&mut world, cid, &join(general));
    done(&mut world, cid, &react(general, ts, "tada", ADD));
    world.post(cid, general, "here again");
}

#[test]
fn a_private_channel_is_archived_as_a_public_one() {
    let Scene { mut world, ann, .. } = scene();
    let secret = world.private(ann, "secret");
    let ts = world.post(ann, secret, "ours").ts;
    done(&mut world, ann, &set_archived(secret, true));
    assert!(world.channel(ann, secret).unwrap().archived);
    let closed = vec![
        react(secret, ts, "tada", ADD),
        pin(secret, ts, ADD),
        set_topic(secret, "lunch"),
        set_name(secret, "plans"),
    ];
    refused(&mut world, ann, each(closed, ErrorCode::IsArchived));
    let sent = world.reply(ann, secret, 0, "anybody here?");
    assert_eq!(sent, Err(ErrorCode::IsArchived));
    in_vain(&mut world, ann, &join(secret));
}

#[test]
fn who_is_in_is_not_added_and_who_is_not_in_is_not_removed() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ts,
    } = scene();
    let eve = world.user_in(ABROAD, "eve", false);
    in_vain(&mut world, bob, &join(general));
    in_vain(&mut world, ann, &invite(general, bob));
    in_vain(&mut world, ann, &invite(general, ann));
    let (nobody, stranger) = (UserId::new(HOME, 99), UserId::new(ABROAD, 99));
    let none = vec![
        (kick(general, cid), ErrorCode::NotInChannel),
        (kick(general, nobody), ErrorCode::NotInChannel),
        (kick(general, stranger), ErrorCode::NotInChannel),
        (invite(general, nobody), ErrorCode::UserNotFound),
        (invite(general, eve), ErrorCode::UserNotFound),
    ];
    refused(&mut world, ann, none);

    done(&mut world, ann, &kick(general, bob));
    let outside = vec![
        leave(general),
        kick(general, ann),
        invite(general, bob),
        react(general, ts, "tada", ADD),
    ];
    refused(&mut world, bob, each(outside, ErrorCode::NotInChannel));
    // Whoever was removed may come back.
    done(&mut world, bob, &join(general));
    done(&mut world, bob, &kick(general, ann));
    assert_eq!(world.channel(cid, general).unwrap().members, 1);
}

#[test]
fn a_mark_moves_forward_for_its_user_alone() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ..
    } = scene();
    let secret = world.private(ann, "secret");
    world.join(cid, general).unwrap();
    for user in [bob, cid] {
        world.invite(ann, secret, user).unwrap();
    }
    for channel in [general, secret] {
        let last = world.post(ann, channel, "news").seq;
        done(&mut world, bob, &mark_read(channel, last));
        for seq in [0, last - 1, last, last + 1, u64::MAX] {
            in_vain(&mut world, bob, &mark_read(channel, seq));
        }
        let [of_bob, of_cid] = [bob, cid].map(|user| world.channel(user, channel).unwrap());
        assert_eq!((of_bob.read_seq, of_bob.unread), (last, 0));
        assert_eq!(of_cid.unread, 1);
    }
}

#[test]
fn a_user_of_another_workspace_is_not_taken_for_one_with_the_same_number() {
    let Scene {
        mut world,
        ann,
        bob,
        general,
        ..
    } = scene();
    let stranger = UserId::new(ABROAD, bob.number());
    let kick = kick(general, stranger);
    refused(&mut world, ann, vec![(kick, ErrorCode::NotInChannel)]);
}
