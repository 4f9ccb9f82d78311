//! Nodes come and go, and the others notice.

use std::time::{Duration, Instant};

use crate::world::{Running, Site, list, until};

/// The nodes that are there.
fn members(world: &Running) -> Vec<String> {
    let status = world.status();
    let there = list(&status, "nodes").iter();
    let there = there.filter(|node| node["state"] != "away");
    there.map(|node| node["name"].to_string()).collect()
}

fn knows(world: &Running, node: &str) -> bool {
    let status = world.status();
    let mut nodes = list(&status, "nodes").iter();
    nodes.any(|known| known["name"] == node && known["state"] != "away")
}

#[test]
fn a_killed_node_is_missed_and_a_started_one_is_known_again() {
    let site = Site::new();
    let world = site.start(&[]);
    until("everybody is known", || {
        (members(&world).len() == 7).then_some(())
    });

    world.run(&["chaos", "kill", "fra-1"]);
    let killed = Instant::now();
    until("it is missed", || (!knows(&world, "fra-1")).then_some(()));
    // Not a measurement, on a machine that others use: three seconds, with room.
    assert!(killed.elapsed() < Duration::from_secs(10));

    world.run(&["chaos", "start", "fra-1"]);
    until("it is known again", || knows(&world, "fra-1").then_some(()));
}

#[test]
fn the_world_file_describes_every_process_and_stopping_ends_them_all() {
    let site = Site::new();
    let world = site.start(&[]);
    let nodes = world.world.nodes.clone();
    assert_eq!(nodes.len(), 7);
    for node in &nodes {
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", node.pid));
        let command = command.expect("the process runs");
        assert!(command.contains(node.config.to_str().expect("UTF-8")));
        assert!(node.data_dir.parent().expect("a parent").is_dir());
    }
    for workspace in &world.world.workspaces {
        assert!(world.world.regions.contains(&workspace.home_region));
        assert!(workspace.users.iter().all(|user| !user.token.is_empty()));
    }
    assert!(world.stop().success());
    for node in &nodes {
        assert!(!std::path::Path::new(&format!("/proc/{}", node.pid)).exists());
    }
}
