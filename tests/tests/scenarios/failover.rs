//! The home region dies in the middle of a conversation.

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
        let mut cells = status.lines().filter(|line| line.contains(" us-east "));
        cells.all(|line| line.contains("us-east-1")).then_some(())
    });
}
