//! A conversation crosses the world: every message once, in order, everywhere.

use serde_json::Value;

use crate::export;
use crate::world::{Site, assert_clean, list};

#[test]
fn every_message_reaches_every_member_at_every_pop_once_and_in_order() {
    let site = Site::new();
    let path = site.path("export");
    let messages = export::write(&path, 8, 4, 50);
    let world = site.start(&[]);
    assert!(world.told.contains("3 core nodes in 3 regions, 4 PoPs"));

    let ledger = world.replay(&path, &["--home", "eu-west"]);
    assert_clean(&ledger);
    assert_eq!(ledger["sent"], messages);
    assert_eq!(ledger["disconnects"], 0);
    // From each of the four PoPs to each.
    assert_eq!(ledger["pairs"].as_array().map(Vec::len), Some(16));
    assert!(world.stop().success());
}

#[test]
fn cells_that_survive_a_zone_work_the_same() {
    let site = Site::new();
    let path = site.path("export");
    export::write(&path, 6, 2, 20);
    let world = site.start(&["--zones", "3", "--survive-zone", "--cells", "3"]);
    let status = world.status();
    // Three voters at home, a learner in each other region.
    let cell = list(&status, "cells").iter().find(|cell| cell["id"] == 1);
    let replicas = list(cell.expect("cell 1"), "replicas");
    let (learners, voters): (Vec<_>, Vec<_>) = replicas
        .iter()
        .partition(|replica| replica["learner"] == true);
    assert_eq!(learners.len(), 2, "{status}");
    let at_home = |replica: &&Value| {
        let node = replica["node"].as_str();
        node.is_some_and(|node| node.starts_with("ap-northeast-"))
    };
    assert!(voters.len() == 3 && voters.iter().all(at_home), "{status}");

    assert_clean(&world.replay(&path, &["--home", "ap-northeast"]));
}
