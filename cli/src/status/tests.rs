//! What the status says of nodes that are away, cut off or to be left.

use causeway_protocol::backbone::{
    AwayMember, CellStatus, Drain, DrainScope, EdgeStatus, MemberRecord, NodeStatus, Replica, Role,
};

use super::glance::State;
use super::{Glance, is_settled, render};

/// What is known of a node.
pub fn record(node_id: u64, role: Role, place: &str) -> MemberRecord {
    MemberRecord {
        node_id,
        name: format!("{place}-{node_id}"),
        role: role.into(),
        place: place.into(),
        zone: "a".into(),
        backbone_address: "127.0.0.1:1".into(),
        ..MemberRecord::default()
    }
}

fn us() -> MemberRecord {
    record(1, Role::Core, "us")
}

fn eu() -> MemberRecord {
    record(2, Role::Core, "eu")
}

fn nyc() -> MemberRecord {
    record(3, Role::Edge, "nyc")
}

/// What `me` tells, who sees these members and a cell that eu leads.
fn told(me: MemberRecord, members: Vec<MemberRecord>) -> NodeStatus {
    let replicas = [1, 2].map(|node_id| Replica {
        node_id,
        ..Replica::default()
    });
    NodeStatus {
        self_: Some(me),
        members,
        cells: vec![CellStatus {
            cell: 7,
            leader: 2,
            term: 1,
            applied: 9,
            replicas: replicas.into(),
            ..CellStatus::default()
        }],
        ..NodeStatus::default()
    }
}

fn state(glance: &Glance, name: &str) -> State {
    let node = glance.nodes.iter().find(|node| node.name == name);
    node.unwrap().state
}

#[test]
fn a_node_that_is_away_keeps_its_name_and_place() {
    let away = AwayMember {
        member: Some(us()),
        away_ms: 12_000,
    };
    let status = NodeStatus {
        away: vec![away],
        ..told(eu(), vec![eu(), nyc()])
    };
    let glance = Glance::new(&[status], &[], &[]).unwrap();
    assert_eq!(state(&glance, "us-1"), State::Away);
    assert_eq!(glance.regions[1].state, State::Away);
    let text = glance.to_string();
    assert!(text.contains("away 12 s"), "{text}");
    assert!(text.contains("us-1 away, eu-2"), "{text}");
    // An edge node that does not tell has clients of which nothing is known.
    assert!(text.contains("those of 1 silent edge node"), "{text}");
}

#[test]
fn a_replica_that_its_leader_does_not_reach_does_not_look_well() {
    let away = AwayMember {
        member: Some(us()),
        away_ms: 1_000,
    };
    let majority = NodeStatus {
        away: vec![away],
        ..told(eu(), vec![eu(), nyc()])
    };
    // It answers the operator all the same, and has applied all there is.
    let cut_off = told(us(), vec![us()]);
    let glance = Glance::new(&[cut_off, majority], &[], &[]).unwrap();
    assert_eq!(state(&glance, "us-1"), State::CutOff);
    let replica = &glance.cells[0].replicas[0];
    assert_eq!((replica.behind, replica.away), (Some(0), true));
}

#[test]
fn who_is_to_be_left_is_draining_until_nothing_is_there() {
    let drain = |scope: DrainScope, name: &str| Drain {
        scope: scope.into(),
        name: name.into(),
        permille_per_s: 5,
        active: true,
        ..Drain::default()
    };
    let drains = vec![
        drain(DrainScope::Region, "us"),
        drain(DrainScope::Region, "eu"),
        drain(DrainScope::Pop, "nyc"),
    ];
    let everybody = vec![us(), eu(), nyc()];
    let status = |me| NodeStatus {
        drains: drains.clone(),
        ..told(me, everybody.clone())
    };
    let edge = |sessions| EdgeStatus {
        self_: Some(nyc()),
        sessions,
        ..EdgeStatus::default()
    };
    let statuses = [status(us()), status(eu())];
    let glance = Glance::new(&statuses, &[edge(1)], &[]).unwrap();
    assert_eq!(state(&glance, "us-1"), State::Drained);
    assert_eq!(state(&glance, "eu-2"), State::Draining, "it leads");
    assert_eq!(glance.pops[0].state, State::Draining);
    let text = glance.to_string();
    for part in ["1 leader\n", "1 session\n", "0.5 %/s"] {
        assert!(text.contains(part), "`{part}` is missing in {text}");
    }
    let empty = Glance::new(&statuses, &[edge(0)], &[]).unwrap();
    assert_eq!(empty.pops[0].state, State::Drained);
}

#[test]
fn programs_read_one_object() {
    let status = told(eu(), vec![us(), eu()]);
    let glance = Glance::new(&[status], &[], &[]).unwrap();
    let json = serde_json::to_value(&glance).unwrap();
    assert_eq!(json["nodes"][1]["state"], "silent");
    assert_eq!(json["cells"][0]["leader"], "eu-2");
    assert!(json["cells"][0]["replicas"][0]["behind"].is_null());
}

fn progress(node: u64, applied: u64, leader: u64, term: u64) -> NodeStatus {
    let me = MemberRecord {
        node_id: node,
        name: format!("node-{node}"),
        ..MemberRecord::default()
    };
    let replicas = [1, 2].map(|node_id| Replica {
        node_id,
        ..Replica::default()
    });
    let cell = CellStatus {
        cell: 7,
        term,
        leader,
        applied,
        replicas: replicas.into(),
        ..CellStatus::default()
    };
    NodeStatus {
        self_: Some(me.clone()),
        members: vec![me],
        cells: vec![cell],
        ..NodeStatus::default()
    }
}

#[test]
fn a_world_is_settled_once_every_replica_has_everything() {
    assert!(is_settled(&[progress(1, 9, 1, 1), progress(2, 9, 1, 1)]));
    assert!(!is_settled(&[progress(1, 9, 1, 1), progress(2, 8, 1, 1)]));
    assert!(!is_settled(&[progress(1, 9, 1, 1)]), "one is silent");
}

#[test]
fn the_newest_term_tells_the_leader_and_replicas_tell_their_lag() {
    let text = render(&[progress(1, 9, 1, 1), progress(2, 12, 2, 2)], &[]).expect("a status");
    let cell = text.lines().last().expect("a cell");
    assert!(cell.contains("2  "), "{text}");
    assert!(cell.contains(" -3"), "{text}");
    assert!(render(&[], &[]).is_none());
}

#[test]
fn whoever_hands_back_is_named() {
    let mut status = progress(1, 9, 1, 1);
    status.cells[0].returning = vec![1];
    let name = status.members[0].name.clone();
    let text = render(&[status], &[]).expect("a status");
    let told = format!("{name} (hands back metadata)");
    assert!(text.contains(&told), "{text}");
}
