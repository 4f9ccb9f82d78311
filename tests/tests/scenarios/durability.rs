//! What was acknowledged is there again after a stop, and after a crash of
//! everything.

use serde_json::Value;

use crate::export;
use crate::world::{Site, assert_clean};

#[test]
fn a_world_goes_on_where_it_stopped_and_a_second_replay_adds_nothing() {
    let site = Site::new();
    let path = site.path("export");
    let messages = export::write(&path, 6, 3, 30);
    let world = site.start(&[]);
    let first = world.replay(&path, &[]);
    assert_clean(&first);
    assert_eq!(first["already_there"], 0);
    assert!(world.stop().success());

    let world = site.start(&[]);
    let second = world.replay(&path, &[]);
    assert_clean(&second);
    assert_eq!(second["already_there"], messages);
    assert_eq!(second["deliveries"], 0);
}

#[test]
fn a_crash_of_every_core_node_at_once_loses_nothing() {
    let site = Site::new();
    let path = site.path("export");
    let messages = export::write(&path, 6, 3, 30);
    let world = site.start(&[]);
    assert_clean(&world.replay(&path, &[]));
    for node in world.world.cores() {
        world.run(&["chaos", "kill", node.name.as_str()]);
    }
    for node in world.world.cores() {
        world.run(&["chaos", "start", node.name.as_str()]);
    }
    let again: Value = world.replay(&path, &[]);
    assert_clean(&again);
    assert_eq!(again["already_there"], messages);
}
