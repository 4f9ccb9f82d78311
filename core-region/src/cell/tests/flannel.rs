//! What edge nodes keep of a workspace.

use causeway_protocol::backbone::flannel_ask::What;
use causeway_protocol::backbone::{
    FlannelAnswer, FlannelChannels, FlannelMembers, FlannelRows, FlannelShelves, Shelf, ShelfAsk,
};
use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{self, Boot, BootData, Channel};
use causeway_protocol::{ChannelId, ErrorCode, NodeId, UserId};

use super::world::{ABROAD, World};
use crate::metadata::actor::{Actor, Dot};
use crate::metadata::version::{Version, dot_to_bytes};

fn told(world: &World, what: What) -> FlannelAnswer {
    world.flannel(&Version::default(), what).unwrap()
}

fn ask(user: UserId) -> ShelfAsk {
    ShelfAsk {
        user: user.0,
        ..ShelfAsk::default()
    }
}

fn shelves(world: &World, version: &Version, asks: Vec<ShelfAsk>) -> Vec<Shelf> {
    let what = What::Shelves(FlannelShelves { users: asks });
    world.flannel(version, what).unwrap().shelves
}

fn boot(world: &World, user: UserId) -> BootData {
    match world.ask(user, Question::Boot(Boot {})) {
        Ok(Answer::Boot(data)) => data,
        other => panic!("{other:?}"),
    }
}

fn rows(after: u64) -> FlannelRows {
    FlannelRows { after }
}

/// Ann and bob with public and private channels; eve is of another workspace.
fn story() -> (World, [UserId; 3]) {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let eve = world.user_in(ABROAD, "eve", false);
    world.public(eve, "elsewhere");
    let general = world.public(ann, "general");
    let secret = world.private(bob, "secret");
    world.join(bob, general).unwrap();
    for text in ["one", "two", "three"] {
        world.post(ann, general, text);
    }
    world.post(bob, secret, "mine");
    world.mark_read(bob, general, 2).unwrap();
    world.post(bob, general, "four");
    let preference = client::SetPreference {
        name: "theme".into(),
        value: "dark".into(),
    };
    world
        .change(bob, &Question::SetPreference(preference))
        .unwrap();
    (world, [ann, bob, eve])
}

#[test]
fn a_shelf_and_the_channels_are_what_a_user_boots_with() {
    let (world, [ann, bob, _]) = story();
    let channels = told(&world, What::Channels(rows(0)));
    assert_eq!(channels.next, 0);
    for (user, shelf) in [ann, bob].into_iter().zip(shelves(
        &world,
        &Version::default(),
        vec![ask(ann), ask(bob)],
    )) {
        let whole = boot(&world, user);
        let own = shelf.channels.iter().map(|head| {
            let known = channels.channels.iter().find(|c| c.id == head.channel);
            Channel {
                last_seq: head.last_seq,
                last_ts: head.last_ts,
                members: head.members,
                is_member: true,
                read_seq: head.read_seq,
                unread: head.unread,
                ..known.unwrap().clone()
            }
        });
        assert_eq!(own.collect::<Vec<_>>(), whole.channels);
        assert_eq!(shelf.self_, whole.self_);
        assert_eq!(shelf.preferences, whole.preferences);
        assert_eq!(shelf.user_seq, whole.user_seq);
        assert_eq!(channels.workspace_seq, whole.workspace_seq);
        assert_eq!(channels.workspace, whole.workspace);
        assert!(!shelf.behind);
    }
}

#[test]
fn lists_have_all_of_the_workspace_and_nothing_of_another() {
    let (world, [ann, bob, eve]) = story();
    let users = told(&world, What::Users(rows(0)));
    let ids: Vec<u64> = users.users.iter().map(|user| user.id).collect();
    assert_eq!((ids, users.next), (vec![ann.0, bob.0], 0));
    assert!(users.users.iter().all(|user| user.profile.is_some()));
    let after = told(&world, What::Users(rows(ann.0)));
    assert_eq!(after.users.len(), 1);
    let channels = told(&world, What::Channels(rows(0))).channels;
    let names: Vec<_> = channels.iter().map(|c| (&*c.name, c.private)).collect();
    assert_eq!(names, [("general", false), ("secret", true)]);
    let elsewhere = told(&world, What::Channels(rows(ABROAD_ID.0))).channels;
    assert!(elsewhere.is_empty());
    let some = What::SomeChannels(FlannelChannels {
        channels: vec![channels[1].id, ABROAD_ID.0, 7],
    });
    assert_eq!(told(&world, some).channels, channels[1..]);
    let members = |channel: u64, after| What::Members(FlannelMembers { channel, after });
    assert_eq!(
        told(&world, members(channels[0].id, 0)).members,
        [ann.0, bob.0]
    );
    assert_eq!(
        told(&world, members(channels[0].id, ann.0)).members,
        [bob.0]
    );
    assert_eq!(told(&world, members(channels[1].id, 0)).members, [bob.0]);
    let refused = world.flannel(&Version::default(), members(ABROAD_ID.0, 0));
    assert_eq!(refused, Err(ErrorCode::ChannelNotFound));
    let stranger = shelves(&world, &Version::default(), vec![ask(eve), ask(ann)]);
    let refusal = stranger[0].refusal.clone().unwrap();
    assert_eq!(
        (refusal.code.as_str(), &stranger[0].self_),
        ("user_not_found", &None)
    );
    assert!(
        stranger[1].refusal.is_none(),
        "others are not refused with them"
    );
}

/// The channel that is not theirs.
const ABROAD_ID: ChannelId = ChannelId(2 << 32 | 1);

#[test]
fn each_user_is_told_whether_what_they_know_is_in_it() {
    let (world, [ann, bob, _]) = story();
    let actor = Actor {
        node: NodeId(1),
        life: 1,
    };
    let mut version = Version::default();
    version.add(&Dot::new(actor, 5));
    let mut later = version.clone();
    later.add(&Dot::new(actor, 6));
    let knows = |user: UserId, wrote: u64, version: &Version| ShelfAsk {
        user: user.0,
        wrote: dot_to_bytes(&Dot::new(actor, wrote)),
        metadata_version: version.to_bytes(),
    };
    let asks = vec![
        knows(ann, 5, &version),
        knows(bob, 6, &version),
        knows(ann, 5, &later),
        ShelfAsk {
            wrote: vec![1, 2, 3].into(),
            ..ask(bob)
        },
    ];
    let shelves = shelves(&world, &version, asks);
    let behind: Vec<bool> = shelves.iter().map(|shelf| shelf.behind).collect();
    assert_eq!(behind, [false, true, true, false]);
    let refusal = shelves[3].refusal.clone().unwrap();
    assert_eq!(refusal.code, "invalid_arguments");
}
