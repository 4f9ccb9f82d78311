//! Channels and who is in them.

use causeway_protocol::client::entry::Kind;
use causeway_protocol::{ChannelId, ErrorCode, Topic, UserId};

use super::world::{ABROAD, HOME, World};

/// An id within its workspace.
fn number(id: u64) -> u64 {
    id & u64::from(u32::MAX)
}

/// The entries of a log, in two words each.
fn words(world: &World, user: UserId, topic: Topic) -> Vec<String> {
    let log = world.log(user, topic);
    let word = |kind: Kind| match kind {
        Kind::Posted(message) => format!("posted {}", message.text),
        Kind::MemberJoined(user) => format!("joined {}", number(user)),
        Kind::MemberLeft(user) => format!("left {}", number(user)),
        Kind::ChannelJoined(channel) => format!("in {}", channel.name),
        Kind::ChannelLeft(channel) => format!("out of {}", number(channel)),
        Kind::ChannelCreated(channel) => format!("new {}", channel.name),
        Kind::UserAdded(user) => format!("user {}", user.name),
        other => panic!("{other:?}"),
    };
    log.into_iter().map(|e| word(e.kind.unwrap())).collect()
}

fn members(world: &World, user: UserId, channel: ChannelId) -> u32 {
    world.channel(user, channel).unwrap().members
}

#[test]
fn a_channel_begins_with_its_creator() {
    let mut world = World::new();
    let ann = world.user("ann");
    let created = world.create(ann, "general", false).unwrap();
    assert_eq!(created.creator, ann.0);
    assert_eq!(created.created_ts, world.now_us - 1_000, "then Ann joins");
    assert_eq!((created.members, created.unread), (1, 0));
    assert!(created.is_member);
    let general = ChannelId(created.id);
    assert_eq!(general.workspace(), HOME);
    assert_eq!(world.channel(ann, general), Ok(created));
}

#[test]
fn a_name_is_taken_once_in_a_workspace() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let eve = world.user_in(ABROAD, "eve", false);
    world.private(ann, "plans");
    let rows = world.rows();
    for private in [false, true] {
        let again = world.create(bob, "plans", private);
        assert_eq!(again.unwrap_err(), ErrorCode::NameTaken);
    }
    assert_eq!(world.rows(), rows);
    world.create(bob, "plans-2", false).unwrap();
    world.create(eve, "plans", false).unwrap();
}

#[test]
fn joining_and_leaving_is_counted_once_and_told_to_all_whom_it_concerns() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    let secret = world.private(ann, "secret");
    assert!(world.join(bob, general).unwrap().is_member);
    assert_eq!(members(&world, ann, general), 2);

    // Again: nothing happens, and nobody is told.
    let (rows, published) = (world.rows(), world.published.len());
    world.join(bob, general).unwrap();
    world.invite(ann, general, bob).unwrap();
    assert_eq!((world.rows(), world.published.len()), (rows, published));

    world.invite(ann, secret, bob).unwrap();
    world.leave(bob, general).unwrap();
    assert_eq!(members(&world, ann, general), 1);
    let left_again = world.leave(bob, general);
    assert_eq!(left_again, Err(ErrorCode::NotInChannel));

    // Who is in a public channel is metadata, of which the log does not tell.
    let of_secret = words(&world, ann, Topic::Channel(secret));
    assert_eq!(of_secret, ["joined 1", "joined 2"]);
    assert!(words(&world, ann, Topic::Channel(general)).is_empty());
    assert_eq!(words(&world, bob, Topic::User(bob)), ["in secret"]);
    // What is private is not announced.
    assert_eq!(
        words(&world, bob, Topic::Workspace(HOME)),
        ["user ann", "user bob", "new general"]
    );
}

#[test]
fn a_channel_that_all_have_left_can_be_joined_again() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    world.post(ann, general, "echo");
    world.leave(ann, general).unwrap();
    assert_eq!(members(&world, ann, general), 0);
    world.join(ann, general).unwrap();
    assert_eq!(members(&world, ann, general), 1);
    assert_eq!(world.texts(ann, general), ["echo"]);
}

#[test]
fn a_member_removes_another_from_public_and_private_channels() {
    let mut world = World::new();
    let (ann, bob, cid) = (world.user("ann"), world.user("bob"), world.user("cid"));
    let (general, secret) = (world.public(ann, "general"), world.private(ann, "secret"));
    for channel in [general, secret] {
        world.invite(ann, channel, bob).unwrap();
        let stranger = world.kick(cid, channel, bob).unwrap_err();
        let unseen = channel == secret;
        let expected = match unseen {
            true => ErrorCode::ChannelNotFound,
            false => ErrorCode::NotInChannel,
        };
        assert_eq!(stranger, expected);
        world.kick(ann, channel, bob).unwrap();
        assert_eq!(members(&world, ann, channel), 1);
        let again = world.kick(ann, channel, bob);
        assert_eq!(again, Err(ErrorCode::NotInChannel));
    }
    assert_eq!(
        words(&world, bob, Topic::User(bob)),
        ["in secret", "out of 2"]
    );
}

#[test]
fn the_platform_ensures_channels_and_users() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let made = world.ensure_channel("general", &[ann, bob, ann]).unwrap();
    assert_eq!(made.members, 2);

    let rows = world.rows();
    assert_eq!(world.user("ann"), ann);
    assert_eq!(world.admin("ann"), ann);
    let found = world.ensure_channel("general", &[ann]).unwrap();
    assert_eq!(found.id, made.id);
    world.init(HOME);
    assert_eq!(world.rows(), rows);

    let cid = world.user("cid");
    let grown = world.ensure_channel("general", &[cid]).unwrap();
    assert_eq!((grown.id, grown.members), (made.id, 3));
    assert_eq!(world.post(cid, ChannelId(made.id), "hi").seq, 1);
}

#[test]
fn one_bad_member_keeps_all_others_out() {
    let mut world = World::new();
    let ann = world.user("ann");
    let rows = world.rows();
    let nobody = UserId::new(HOME, 99);
    let ensured = world.ensure_channel("general", &[ann, nobody]);
    assert_eq!(ensured.unwrap_err(), ErrorCode::UserNotFound);
    assert_eq!(world.rows(), rows);
}
