//! The data with which a client starts.

use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{Boot, BootData};
use causeway_protocol::{Topic, UserId};

use super::world::{ABROAD, HOME, World};

fn boot(world: &World, user: UserId) -> BootData {
    match world.ask(user, Question::Boot(Boot {})) {
        Ok(Answer::Boot(data)) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_starts_with_itself_its_workspace_and_its_channels() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let eve = world.user_in(ABROAD, "eve", false);
    let general = world.public(ann, "general");
    let secret = world.private(bob, "secret");
    world.public(ann, "random");
    world.public(eve, "general");
    world.join(bob, general).unwrap();
    world.post(ann, general, "hello");

    let data = boot(&world, bob);
    assert_eq!(data.self_.map(|user| user.id), Some(bob.0));
    assert_eq!(data.workspace.map(|w| w.id), Some(HOME.0));
    let channels: Vec<_> = data.channels.iter().map(|c| (c.id, c.unread)).collect();
    assert_eq!(channels, [(general.0, 1), (secret.0, 0)]);
    assert!(data.channels.iter().all(|channel| channel.is_member));
    let own = world.channel(bob, general).unwrap();
    assert_eq!(data.channels[0], own);
}

#[test]
fn the_heads_of_its_topics_tell_where_to_go_on() {
    let mut world = World::new();
    let ann = world.user("ann");
    assert_eq!(boot(&world, ann).user_seq, 0);
    let general = world.public(ann, "general");
    world.leave(ann, general).unwrap();
    let data = boot(&world, ann);
    assert!(data.channels.is_empty());
    for (topic, seq) in [
        (Topic::User(ann), data.user_seq),
        (Topic::Workspace(HOME), data.workspace_seq),
    ] {
        assert_eq!(world.log(ann, topic).len() as u64, seq);
    }
}
