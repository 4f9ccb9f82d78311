//! A region dies, or loses its disk, in the middle of a conversation.

use serde_json::Value;

use crate::export;
use crate::world::{Site, assert_clean, list, until};

#[test]
fn a_killed_home_region_loses_nothing_and_clients_stay_connected() {
    let site = Site::new();
    let path = site.path("export");
    let messages = export::write(&path, 8, 4, 60);
    let world = site.start(&[]);

    let replaying = world.start_replay(&path, &["--home", "us-east"]);
    // In the middle: the replay's workspace has taken some of its messages.
    until("the conversation is under way", || {
        let status = world.status();
        let home = led_from(&status, "us-east").map(|cell| cell["applied"].as_u64());
        home.max().flatten().filter(|applied| *applied > 60)
    });
    world.run(&["chaos", "kill", "us-east-1"]);
    until("another region leads", || {
        let status = world.status();
        let mut cells = list(&status, "cells").iter();
        let led = cells.all(|cell| !cell["leader"].is_null() && cell["leader"] != "us-east-1");
        led.then_some(())
    });
    world.run(&["chaos", "start", "us-east-1"]);

    let ledger = replaying.ledger();
    assert_clean(&ledger);
    assert_eq!(ledger["sent"], messages);
    assert_eq!(ledger["disconnects"], 0, "clients stay with their PoPs");
    assert!(
        ledger["pause_ms"]["max"]
            .as_f64()
            .is_some_and(|ms| ms > 0.0)
    );

    // Leadership goes home again.
    until("home leads its cells", || {
        let status = world.status();
        let mut home = led_from(&status, "us-east");
        home.all(|cell| cell["leader"] == "us-east-1").then_some(())
    });
}

/// The cells whose home is this region.
fn led_from<'a>(status: &'a Value, region: &str) -> impl Iterator<Item = &'a Value> {
    let cells = list(status, "cells").iter();
    cells.filter(move |cell| cell["home_region"] == region)
}

#[test]
fn a_node_whose_disk_was_wiped_is_given_replicas_anew() {
    let site = Site::new();
    let path = site.path("export");
    export::write(&path, 6, 2, 20);
    let world = site.start_with(&[], &[("CAUSEWAY_PLACEMENT_REPLACE_AFTER_MS", "1000")]);
    assert_clean(&world.replay(&path, &["--home", "ap-northeast"]));

    let wiped = world.node("ap-northeast-1").data_dir.clone();
    world.run(&["chaos", "kill", "ap-northeast-1"]);
    std::fs::remove_dir_all(wiped).expect("removable");
    world.run(&["chaos", "start", "ap-northeast-1"]);
    until("it leads its cells again, under a new id", || {
        let status = world.status();
        let cells = list(&status, "cells");
        // Given to it in a second epoch: the first is that of the id it had.
        let anew = !cells.is_empty() && cells.iter().all(|cell| cell["epoch"] == 2);
        let mut home = led_from(&status, "ap-northeast");
        let home = home.all(|cell| cell["leader"] == "ap-northeast-1");
        // Everywhere with a vote, and nothing left to catch up on.
        let mut replicas = cells.iter().flat_map(|cell| list(cell, "replicas"));
        let there = replicas.all(|r| r["learner"] == false && r["behind"] == 0);
        (anew && home && there).then_some(())
    });

    // It has all that was acknowledged, and counts when another is lost.
    world.run(&["chaos", "kill", "us-east-1"]);
    let ledger = world.replay(&path, &["--home", "ap-northeast"]);
    assert_clean(&ledger);
    assert_eq!(ledger["already_there"], ledger["sent"]);
}
