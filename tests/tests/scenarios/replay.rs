//! A conversation crosses the world: every message once, in order, everywhere.

use crate::export;
use crate::world::{Site, assert_clean};

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
    let status = world.run(&["admin", "status"]);
    // Three voters at home, a learner in each other region.
    let cell = status
        .lines()
        .find(|line| line.trim_start().starts_with("1 "));
    let cell = cell.expect("cell 1");
    assert_eq!(cell.matches("(learner)").count(), 2, "{status}");
    assert_eq!(cell.matches("ap-northeast-").count(), 4, "{status}");

    assert_clean(&world.replay(&path, &["--home", "ap-northeast"]));
}
