//! Who may do what, and what others get to hear of it.

use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::{GetUser, ListMembers};
use causeway_protocol::{ChannelId, ErrorCode, Topic, UserId, WorkspaceId};

use super::world::{ABROAD, HOME, World};

/// Everything that can be asked of a channel, as `user`: what it leads to.
fn attempts(world: &mut World, user: UserId, channel: ChannelId, ts: u64) -> Vec<ErrorCode> {
    let members = Question::ListMembers(ListMembers {
        channel: channel.0,
        ..ListMembers::default()
    });
    let refusals = [
        world.reply(user, channel, 0, "let me in").err(),
        world.reply(user, channel, ts, "let me in").err(),
        world.edit(user, channel, ts, "mine now").err(),
        world.delete(user, channel, ts).err(),
        world.join(user, channel).err(),
        world.leave(user, channel).err(),
        world.invite(user, channel, user).err(),
        world.mark_read(user, channel, 1).err(),
        world.channel(user, channel).err(),
        world.history(user, channel).err(),
        world.thread(user, channel, ts).err(),
        world.read_log(user, Topic::Channel(channel), 1, 0).err(),
        world.ask(user, members).err(),
    ];
    let all = refusals.into_iter().enumerate();
    all.map(|(n, code)| code.unwrap_or_else(|| panic!("attempt {n} was let through")))
        .collect()
}

#[test]
fn a_foreign_channel_does_not_exist() {
    let mut world = World::new();
    let ann = world.user("ann");
    let mallory = world.user_in(ABROAD, "mallory", true);
    let general = world.public(ann, "general");
    let theirs = world.public(mallory, "general");
    let ts = world.post(ann, general, "ours").ts;
    let rows = world.rows();
    for code in attempts(&mut world, mallory, general, ts) {
        assert_eq!(code, ErrorCode::ChannelNotFound);
    }
    // Nor do people cross over by invitation.
    let invited = world.invite(mallory, theirs, ann);
    assert_eq!(invited.unwrap_err(), ErrorCode::UserNotFound);
    let added = world.ensure_channel("general", &[mallory]);
    assert_eq!(added.unwrap_err(), ErrorCode::UserNotFound);
    let asked = world.ask(mallory, Question::GetUser(GetUser { user: ann.0 }));
    assert_eq!(asked, Err(ErrorCode::UserNotFound));
    assert_eq!(world.rows(), rows);
}

#[test]
fn a_private_channel_does_not_exist_for_others() {
    let mut world = World::new();
    let (ann, root) = (world.user("ann"), world.admin("root"));
    let secret = world.private(ann, "secret");
    let ts = world.post(ann, secret, "ours").ts;
    let rows = world.rows();
    // Admins are no exception.
    for code in attempts(&mut world, root, secret, ts) {
        assert_eq!(code, ErrorCode::ChannelNotFound);
    }
    let unknown = ChannelId::new(HOME, 99);
    for code in attempts(&mut world, root, unknown, ts) {
        assert_eq!(code, ErrorCode::ChannelNotFound);
    }
    assert_eq!(world.rows(), rows);

    world.invite(ann, secret, root).unwrap();
    assert_eq!(world.texts(root, secret), ["ours"]);
    world.leave(root, secret).unwrap();
    assert_eq!(world.history(root, secret), Err(ErrorCode::ChannelNotFound));
}

#[test]
fn a_public_channel_is_read_by_all_and_written_by_members() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    let ts = world.post(ann, general, "welcome").ts;
    assert_eq!(world.texts(bob, general), ["welcome"]);
    assert_eq!(world.thread(bob, general, ts).unwrap().len(), 1);
    assert!(!world.channel(bob, general).unwrap().is_member);

    let outside = Err(ErrorCode::NotInChannel);
    assert_eq!(world.reply(bob, general, 0, "hi"), outside);
    assert_eq!(world.reply(bob, general, ts, "hi"), outside);
    assert_eq!(world.edit(bob, general, ts, "hi"), outside);
    assert_eq!(world.delete(bob, general, ts), outside);
    assert_eq!(world.leave(bob, general), Err(ErrorCode::NotInChannel));
    assert_eq!(
        world.mark_read(bob, general, 1),
        Err(ErrorCode::NotInChannel)
    );
    let invited = world.invite(bob, general, bob);
    assert_eq!(invited.unwrap_err(), ErrorCode::NotInChannel);

    world.join(bob, general).unwrap();
    world.post(bob, general, "hi");
    assert_eq!(world.texts(ann, general), ["welcome", "hi"]);
}

#[test]
fn a_deactivated_user_can_do_nothing() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    world.join(bob, general).unwrap();
    let ts = world.post(bob, general, "bye").ts;
    world.deactivate(bob);

    let rows = world.rows();
    for code in attempts(&mut world, bob, general, ts) {
        assert_eq!(code, ErrorCode::AccountInactive);
    }
    let created = world.create(bob, "bobs-corner", false);
    assert_eq!(created.unwrap_err(), ErrorCode::AccountInactive);
    let invited = world.invite(ann, general, bob);
    assert_eq!(invited.unwrap_err(), ErrorCode::AccountInactive);
    let ensured = world.ensure_channel("general", &[ann, bob]);
    assert_eq!(ensured.unwrap_err(), ErrorCode::AccountInactive);
    assert_eq!(world.rows(), rows);
    // What was said stays.
    assert_eq!(world.texts(ann, general), ["bye"]);
}

#[test]
fn nobody_acts_for_a_user_who_does_not_exist() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let ts = world.post(ann, general, "hello").ts;
    for nobody in [UserId::new(HOME, 99), UserId::new(WorkspaceId(9), 1)] {
        for code in attempts(&mut world, nobody, general, ts) {
            assert_eq!(code, ErrorCode::UserNotFound, "{nobody}");
        }
        let created = world.create(nobody, "limbo", false);
        assert_eq!(created.unwrap_err(), ErrorCode::UserNotFound);
    }
    let invited = world.invite(ann, general, UserId::new(HOME, 99));
    assert_eq!(invited.unwrap_err(), ErrorCode::UserNotFound);
}

#[test]
fn a_message_is_edited_by_its_author_and_deleted_by_an_admin_too() {
    let mut world = World::new();
    let (ann, bob, root) = (world.user("ann"), world.user("bob"), world.admin("root"));
    let general = world.public(ann, "general");
    world.join(bob, general).unwrap();
    world.join(root, general).unwrap();
    let ts = world.post(ann, general, "mine").ts;

    for other in [bob, root] {
        let edited = world.edit(other, general, ts, "theirs");
        assert_eq!(edited, Err(ErrorCode::CantUpdateMessage));
    }
    let deleted = world.delete(bob, general, ts);
    assert_eq!(deleted, Err(ErrorCode::CantDeleteMessage));
    assert_eq!(world.texts(ann, general), ["mine"]);

    world.delete(root, general, ts).unwrap();
    assert!(world.texts(ann, general).is_empty());
}

#[test]
fn the_platform_reads_every_log_of_its_workspace_and_nothing_else() {
    let mut world = World::new();
    let ann = world.user("ann");
    let secret = world.private(ann, "secret");
    let ts = world.post(ann, secret, "ours").ts;
    let (here, abroad) = (UserId::platform(HOME), UserId::platform(ABROAD));
    for topic in [
        Topic::Channel(secret),
        Topic::User(ann),
        Topic::Workspace(HOME),
    ] {
        assert!(!world.log(here, topic).is_empty());
        let foreign = world.read_log(abroad, topic, 1, 0);
        assert_eq!(foreign, Err(ErrorCode::ChannelNotFound));
    }
    let rows = world.rows();
    assert_eq!(world.history(here, secret), Err(ErrorCode::UserNotFound));
    assert_eq!(
        world.reply(here, secret, 0, "hi"),
        Err(ErrorCode::UserNotFound)
    );
    assert_eq!(world.delete(here, secret, ts), Err(ErrorCode::UserNotFound));
    assert_eq!(world.rows(), rows);
}

#[test]
fn logs_of_users_and_workspaces_are_for_their_own() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let eve = world.user_in(ABROAD, "eve", true);
    world.private(bob, "secret");
    for (user, topic) in [
        (ann, Topic::User(bob)),
        (eve, Topic::User(bob)),
        (ann, Topic::Workspace(ABROAD)),
        (eve, Topic::Workspace(HOME)),
    ] {
        let log = world.read_log(user, topic, 1, 0);
        assert_eq!(log, Err(ErrorCode::ChannelNotFound), "{user} {topic}");
    }
    assert!(!world.log(bob, Topic::User(bob)).is_empty());
    assert!(!world.log(ann, Topic::Workspace(HOME)).is_empty());
}
