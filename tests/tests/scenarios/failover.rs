//! A region dies, or loses its disk, in the middle of a conversation.

use std::collections::HashSet;

use crate::export;
use crate::world::{Site, assert_clean, until};

#[test]
fn a_killed_home_region_loses_nothing_and_clients_stay_connected() {
    let site = Site::new();
    let path = site.path("export");
    let messages = export::write(&path, 8, 4, 60);
    let world = site.start(&[]);

    let replaying = world.start_replay(&path, &["--home", "us-east"]);
    // In the middle: the replay's workspace has taken some of its messages.
    until("the conversation is under way", || {
        let status = world.run(&["admin", "status"]);
        let applied = status.lines().filter(|line| line.contains("us-east  "));
        let applied = applied.filter_map(|line| line.split_whitespace().nth(5)?.parse().ok());
        applied.max().filter(|applied: &u64| *applied > 60)
    });
    world.run(&["chaos", "kill", "us-east-1"]);
    until("another region leads", || {
        let status = world.run(&["admin", "status"]);
        (!status.contains(" us-east-1  ")).then_some(())
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
        let status = world.run(&["admin", "status"]);
        let home = cells_of(&status).filter(|cell| cell[1] == "us-east");
        let leaders: HashSet<&str> = home.map(|cell| cell[2]).collect();
        (leaders == HashSet::from(["us-east-1"])).then_some(())
    });
}

/// The rows of cells: id, home, leader, term, epoch, entries applied, replicas.
fn cells_of(status: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = status.lines().skip_while(|line| *line != "cells");
    let rows = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|words| words.first().is_some_and(|id| id.parse::<u32>().is_ok()))
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
        let status = world.run(&["admin", "status"]);
        let cells: Vec<Vec<&str>> = cells_of(&status).collect();
        // Given to it in a second epoch: the first is that of the id it had.
        let anew = !cells.is_empty() && cells.iter().all(|cell| cell[4] == "2");
        let mut home = cells.iter().filter(|cell| cell[1] == "ap-northeast");
        let home = home.all(|cell| cell[2] == "ap-northeast-1");
        // Everywhere with a vote, and nothing left to catch up on.
        let waits = ["silent", " -", "(learner)"].map(|sign| status.contains(sign));
        (anew && home && waits == [false; 3]).then_some(())
    });

    // It has all that was acknowledged, and counts when another is lost.
    world.run(&["chaos", "kill", "us-east-1"]);
    let ledger = world.replay(&path, &["--home", "ap-northeast"]);
    assert_clean(&ledger);
    assert_eq!(ledger["already_there"], ledger["sent"]);
}
