//! The birth of a world: cells are placed by the product's own rules, every core
//! node has the disks that go with it, and everything starts.

use std::time::Instant;

use causeway_core_region::assignment;
use causeway_core_region::directory::Placement;
use causeway_protocol::backbone::{Cell, Replica, Survive};
use causeway_protocol::{CellId, NodeId};
use rand::RngExt;

use super::{Machine, Process, World};
use crate::atlas;
use crate::clock::{Clock, Time};
use crate::core::Disks;
use crate::message::Host;
use crate::planted::Planted;
use crate::raft::Remains;
use crate::raft::message::Members;
use crate::state::State;

impl World {
    pub(super) fn found(&mut self) {
        let base = Instant::now();
        let members = atlas::cores().map(|host| atlas::member(host, first_node(host), 1));
        let directory = directory_record();
        let mut placement = Placement::new(members, [&directory]);
        let cells = placement
            .spread(1, atlas::CELLS, Survive::Region)
            .expect("three regions have nodes");
        let cells: Vec<Cell> = std::iter::once(directory).chain(cells).collect();
        let deduplicates = self.deduplicates();
        let all = atlas::nodes().chain(atlas::clients());
        for host in all {
            let node = first_node(host);
            let clock = Clock {
                base,
                drift_ppm: self.rng.random_range(0..1_000),
                wall_offset_us: self.rng.random_range(0..3_600_000_000),
            };
            self.machines.push(Machine {
                node,
                life: 0,
                clock,
                process: Process::Off(disks(node, &cells, deduplicates)),
                gone: false,
                stalled_until: Time::default(),
            });
        }
        self.cells = cells;
        for host in atlas::nodes().chain(atlas::clients()) {
            self.start(host);
        }
    }

    pub(super) fn deduplicates(&self) -> bool {
        self.planted != Some(Planted::NoDeduplication)
    }
}

pub(super) fn first_node(host: Host) -> NodeId {
    NodeId(host.0 as u64 + 1)
}

/// The directory's own record: a voter in each region.
fn directory_record() -> Cell {
    let replicas = atlas::cores().step_by(2).map(|host| Replica {
        node_id: first_node(host).0,
        region: atlas::region(host).to_string(),
        zone: atlas::member(host, first_node(host), 1).zone.to_string(),
        ..Replica::default()
    });
    Cell {
        id: CellId::DIRECTORY.0,
        home_region: atlas::REGIONS[0].into(),
        survive: Survive::Region.into(),
        replicas: replicas.collect(),
        epoch: 1,
        ..Cell::default()
    }
}

/// What a core node's disk holds when its world has just been founded.
pub(super) fn disks(node: NodeId, cells: &[Cell], deduplicates: bool) -> Disks {
    let mut disks = Disks::default();
    for record in cells {
        let cell = CellId(record.id);
        let voters = assignment::voters(record).collect();
        let members = Members {
            voters: vec![voters],
            ..Members::default()
        };
        let held = members.votes(node);
        if held || cell == CellId::DIRECTORY {
            let state = State::founded(cell, cells, deduplicates);
            let remains = Remains::founded(held.then_some(members), state);
            disks.replicas.insert(cell, remains);
        }
    }
    disks
}
