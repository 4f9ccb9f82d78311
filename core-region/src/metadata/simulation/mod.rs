//! Replicas of a shard simulated with seeds: they write, ship, lose, double and
//! reorder; they crash, are wiped or set back, are forgotten or replaced and come
//! back, and have wrong clocks; they collect garbage all the while. Then everything
//! heals, and all must be equal, and what was acknowledged must be there, by the types'
//! rules.
//!
//! What is there to see is judged by a model of its own, which knows of the whole
//! history only who wrote what, knowing of which.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use causeway_protocol::NodeId;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::metadata::actor::{Actor, Dot};
use crate::metadata::hybrid::{HybridClock, HybridTime};
use crate::metadata::item::Item;
use crate::metadata::peers::{Counted, PeerReport};
use crate::metadata::pull::Missing;
use crate::metadata::rebirth::Reissued;
use crate::metadata::replica::{Anew, Left, Replica};
use crate::metadata::rows::{MemoryRows, Rows};
use crate::metadata::shard::Intent;
use crate::metadata::tables;
use crate::metadata::types::{Change, Kind, Mark};
use crate::metadata_wire::{self as wire, Refused};
use crate::store::keys::Key;

mod model;

use model::{Fate, Written, model, shown};

const NODES: u64 = 4;
/// With those that were replaced.
const NODES_MAX: usize = 6;
const DAWN_US: u64 = 1_700_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;
const CHANNELS: u32 = 2;
const USERS: u32 = 3;
/// Bytes of an answer to a pull: few, so that there are many.
const PULL_BYTES: usize = 200;

struct Node {
    id: NodeId,
    rows: MemoryRows,
    on_disk: MemoryRows,
    /// Which operations have really been applied to these rows.
    truth: HashSet<Dot>,
    truth_on_disk: HashSet<Dot>,
    /// A copy of the disk from before.
    backup: Option<(MemoryRows, HashSet<Dot>, u64)>,
    /// The disk was set back to that, and the replica has yet to begin anew.
    was_set_back: bool,
    clock: HybridClock,
    reserved: HybridTime,
    reserved_on_disk: HybridTime,
    offset_us: i64,
    replica: Replica,
    is_up: bool,
    /// The directory's record, as far as the node has heard.
    counted: Counted,
    /// The epoch since which its rows have been going on, as on its disk.
    since: u64,
    /// Another has taken its place.
    is_replaced: bool,
}

enum Parcel {
    Ops {
        from: NodeId,
        to: NodeId,
        theirs: PeerReport,
        actor: Actor,
        ops: Vec<wire::Op>,
    },
    Report {
        from: NodeId,
        to: NodeId,
        report: PeerReport,
    },
}

struct World {
    seed: u64,
    rng: SmallRng,
    now_us: u64,
    nodes: Vec<Node>,
    directory: Counted,
    parcels: Vec<Parcel>,
    history: Vec<Written>,
    cut: BTreeSet<(NodeId, NodeId)>,
    last_node: u64,
    collected: usize,
    released: usize,
}

impl Node {
    fn start(
        id: NodeId,
        rows: MemoryRows,
        reserved: HybridTime,
        (life, since): (u64, u64),
        counted: Counted,
    ) -> Self {
        Self {
            id,
            on_disk: rows.clone(),
            truth: HashSet::new(),
            truth_on_disk: HashSet::new(),
            backup: None,
            was_set_back: false,
            replica: Replica::open(&rows, id, life, since).unwrap(),
            rows,
            clock: HybridClock::after(reserved),
            reserved,
            reserved_on_disk: reserved,
            offset_us: 0,
            is_up: true,
            counted,
            since,
            is_replaced: false,
        }
    }

    fn now_us(&self, now_us: u64) -> u64 {
        now_us.saturating_add_signed(self.offset_us)
    }

    fn sync(&mut self) {
        self.on_disk = self.rows.clone();
        self.truth_on_disk = self.truth.clone();
        self.reserved_on_disk = self.reserved;
        let version = self.replica.version().clone();
        self.replica.synced(&version);
    }

    fn serves(&self) -> bool {
        self.is_up && self.replica.serves(&self.counted)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let directory = Counted {
            nodes: (1..NODES).map(|id| (NodeId(id), 0)).collect(),
            epoch: 1,
            ..Counted::default()
        };
        let nodes = directory.nodes.keys().map(|id| {
            let rows = MemoryRows::default();
            Node::start(*id, rows, HybridTime::default(), (1, 0), directory.clone())
        });
        Self {
            seed,
            rng: SmallRng::seed_from_u64(seed),
            now_us: DAWN_US,
            nodes: nodes.collect(),
            directory: directory.clone(),
            parcels: Vec::new(),
            history: Vec::new(),
            cut: BTreeSet::new(),
            last_node: NODES,
            collected: 0,
            released: 0,
        }
    }

    fn index(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    fn connected(&self, a: NodeId, b: NodeId) -> bool {
        let up = |id| self.index(id).is_some_and(|n| self.nodes[n].is_up);
        up(a) && up(b) && !self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn item(&mut self) -> Item {
        let (channel, user) = (
            self.rng.random_range(1..=CHANNELS),
            self.rng.random_range(1..=USERS),
        );
        match self.rng.random_range(0..8) {
            0 | 1 => Item::Reaction {
                channel,
                ts: self.rng.random_range(1..3),
                emoji: "ok".into(),
                user,
            },
            2 | 3 => Item::Member { channel, user },
            4 => Item::ChannelName { channel },
            5 => Item::ChannelPurpose { channel },
            6 => Item::ReadCursor { user, channel },
            _ => Item::Pin {
                channel,
                ts: self.rng.random_range(1..20),
            },
        }
    }

    fn intent(&mut self, kind: Kind) -> Intent {
        let value = Bytes::from(format!("v{}", self.rng.random_range(0..50)));
        let undo = self.rng.random_bool(0.4);
        match kind {
            Kind::Element if undo => Intent::Remove,
            Kind::Register => Intent::Set(value),
            Kind::Element | Kind::MultiValue => Intent::Put(value),
            Kind::Mark => {
                let seq = self.rng.random_range(1..1_000);
                Intent::Raise(Mark { seq, messages: seq })
            }
            Kind::Membership if undo => Intent::Leave,
            Kind::Membership => Intent::Join,
        }
    }

    fn step(&mut self, storm: bool) {
        self.now_us += self.rng.random_range(0..50_000);
        let at = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..100) {
            0..30 if storm => self.write(at),
            30..45 => self.sync(at),
            45..75 => self.deliver(storm),
            75..81 => self.report(at),
            81..87 => self.pull(at),
            87..93 => self.collect(at),
            93..95 => self.hear_directory(at),
            95 if storm => self.crash_or_start(at),
            96 if storm => self.cut_or_heal(),
            97 if storm && self.rng.random_bool(0.3) => self.forget(at),
            98 if storm && self.rng.random_bool(0.2) => self.replace(at),
            98 if storm && self.rng.random_bool(0.3) => self.back_up_or_set_back(at),
            99 if storm && self.rng.random_bool(0.2) => self.wrong_clock(at),
            _ if self.hand_back(at) => {}
            _ => self.take_rows(at, storm),
        }
    }

    fn write(&mut self, at: usize) {
        let item = self.item();
        let intent = self.intent(item.kind());
        let now_us = self.nodes[at].now_us(self.now_us);
        let node = &mut self.nodes[at];
        if !node.serves() || node.is_replaced {
            return;
        }
        let written = node
            .replica
            .write(&mut node.rows, &mut node.clock, now_us, item, intent);
        node.reserved = node.clock.to_reserve().unwrap_or(node.reserved);
        if let Some(op) = written.unwrap() {
            node.truth.insert(op.dot);
            let by = node.id;
            self.history.push(Written {
                op,
                by,
                acknowledged: false,
                fate: Fate::Stands,
            });
        }
    }

    /// What is written is on the disk, acknowledged, and shipped.
    fn sync(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.is_up {
            return;
        }
        node.sync();
        let id = node.id;
        let fresh: Vec<usize> = (0..self.history.len())
            .filter(|n| {
                let written = &self.history[*n];
                let dot = &written.op.dot;
                !written.acknowledged && written.by == id && node.truth.contains(dot)
            })
            .collect();
        let mut ops = BTreeMap::<Actor, Vec<wire::Op>>::new();
        for n in fresh {
            let written = &mut self.history[n];
            if written.fate == Fate::Stands {
                written.acknowledged = true;
                let run = ops.entry(written.op.dot.actor).or_default();
                run.push(written.op.to_wire());
            }
        }
        let node = &self.nodes[at];
        let theirs = node.replica.report(id, &node.counted);
        let others: Vec<NodeId> = node.counted.nodes.keys().copied().collect();
        for (actor, ops) in ops {
            for to in others.iter().filter(|to| **to != id) {
                self.parcels.push(Parcel::Ops {
                    from: id,
                    to: *to,
                    theirs: theirs.clone(),
                    actor,
                    ops: ops.clone(),
                });
            }
        }
    }

    fn report(&mut self, at: usize) {
        let node = &self.nodes[at];
        if !node.is_up || !node.replica.is_whole() {
            return;
        }
        // Who was replaced asks.
        let ask = self.nodes.iter().filter(|other| other.is_replaced);
        let ask = ask.map(|other| other.id);
        let to: BTreeSet<NodeId> = ask.chain(node.counted.nodes.keys().copied()).collect();
        for to in to.into_iter().filter(|to| *to != node.id) {
            self.parcels.push(Parcel::Report {
                from: node.id,
                to,
                report: node.replica.report(to, &node.counted),
            });
        }
    }

    fn deliver(&mut self, storm: bool) {
        if self.parcels.is_empty() {
            return;
        }
        let n = self.rng.random_range(0..self.parcels.len());
        let parcel = self.parcels.swap_remove(n);
        let (from, to) = match &parcel {
            Parcel::Ops { from, to, .. } | Parcel::Report { from, to, .. } => (*from, *to),
        };
        if !self.connected(from, to) || (storm && self.rng.random_bool(0.2)) {
            return;
        }
        let Some(at) = self.index(to) else {
            return;
        };
        match parcel {
            Parcel::Ops {
                theirs, actor, ops, ..
            } => {
                self.receive(at, from, &theirs, vec![(actor, ops.clone())]);
                if self.rng.random_bool(0.2) {
                    self.receive(at, from, &theirs, vec![(actor, ops)]);
                }
            }
            Parcel::Report { report, .. } => {
                let node = &mut self.nodes[at];
                let admitted = node.replica.admits(from, report.since, &node.counted);
                if admitted.is_ok() {
                    node.replica.hear(from, report, &node.counted);
                }
            }
        }
    }

    fn receive(
        &mut self,
        at: usize,
        from: NodeId,
        theirs: &PeerReport,
        runs: Vec<(Actor, Vec<wire::Op>)>,
    ) {
        let now_us = self.nodes[at].now_us(self.now_us);
        let node = &mut self.nodes[at];
        let admitted = node.replica.admits(from, theirs.since, &node.counted);
        if admitted.is_err() {
            return;
        }
        for (actor, ops) in runs {
            let (rows, clock) = (&mut node.rows, &mut node.clock);
            let before = node.replica.version().clone();
            let received = node
                .replica
                .receive(rows, clock, now_us, actor, ops)
                .unwrap();
            node.reserved = node.clock.to_reserve().unwrap_or(node.reserved);
            for (actor, last) in node.replica.version().iter() {
                let first = before.get(actor).saturating_add(1);
                node.truth
                    .extend((first..=last).map(|n| Dot::new(actor, n)));
            }
            if let Some(refusal) = received.refused {
                assert!(
                    matches!(Refused::from(refusal), Refused::Clock),
                    "{refusal}"
                );
                // Whoever has taken them in is to give them another time.
                self.is_refused(from, at);
                return;
            }
        }
    }

    /// `by` has refused operations that a node has.
    fn is_refused(&mut self, node: NodeId, by: usize) {
        let theirs = self.nodes[by].replica.version().clone();
        if let Some(n) = self.index(node) {
            self.nodes[n].replica.is_refused(theirs);
        }
    }

    fn pull(&mut self, at: usize) {
        let to = self.nodes[at].id;
        let Some(from) = self.peer_of(at) else {
            return;
        };
        let node = &self.nodes[at];
        let have = node.replica.version().clone();
        let us = node.replica.report(to, &node.counted);
        let source = &self.nodes[from];
        let theirs = source.replica.report(to, &source.counted);
        let admitted = source.replica.admits(to, us.since, &source.counted);
        if admitted.is_err() {
            return;
        }
        let missing = source.replica.missing(&source.rows, &have, PULL_BYTES);
        match missing.unwrap() {
            Missing::Truncated => self.nodes[at].replica.is_behind(),
            Missing::Ops { runs, .. } => {
                let from = source.id;
                let node = &mut self.nodes[at];
                node.replica.has_caught_up();
                self.receive(at, from, &theirs, runs);
            }
        }
    }

    /// Somebody to ask.
    fn peer_of(&mut self, at: usize) -> Option<usize> {
        let to = self.nodes[at].id;
        if !self.nodes[at].is_up || !self.nodes[at].replica.is_whole() {
            return None;
        }
        let peers: Vec<usize> = (0..self.nodes.len())
            .filter(|n| *n != at && self.connected(self.nodes[*n].id, to))
            .filter(|n| self.nodes[*n].serves())
            .collect();
        peers.choose(&mut self.rng).copied()
    }

    fn take_rows(&mut self, at: usize, storm: bool) {
        let now_us = self.nodes[at].now_us(self.now_us);
        let node = &mut self.nodes[at];
        if !node.is_up {
            return;
        }
        let looked = node.replica.look_at_clock(&node.rows, now_us);
        looked.unwrap();
        let node = &self.nodes[at];
        let Some(why) = node.replica.must_begin_anew(&node.counted) else {
            return;
        };
        match self.directory == node.counted {
            false => return,
            true if !node.counted.nodes.contains_key(&node.id) => {
                let left = node.replica.left_to_hand_back(&node.counted);
                if node.is_replaced && left != Left::Wanted {
                    return;
                }
                // It asks to be counted again first: from then on nobody forgets
                // what it has yet to learn.
                let id = node.id;
                self.directory.epoch += 1;
                self.directory.nodes.insert(id, self.directory.epoch);
                return;
            }
            true => {}
        }
        let (id, counted) = (node.id, node.counted.clone());
        let Some(since) = node.counted.nodes.get(&id).copied() else {
            return;
        };
        let sources: Vec<usize> = (0..self.nodes.len())
            .filter(|n| *n != at && self.connected(self.nodes[*n].id, id))
            .filter(|n| {
                let source = &self.nodes[*n];
                // Either must count the other, as it is now.
                let is_counted = node.counted.nodes.get(&source.id) == Some(&source.since);
                let counts = source.counted.nodes.get(&id) == Some(&since);
                let gives = source.is_up
                    && source
                        .replica
                        .is_source(why == Anew::Clock, &source.counted);
                gives && counts && is_counted
            })
            .collect();
        let Some(source) = sources.choose(&mut self.rng).copied() else {
            return;
        };
        self.sync(source);
        let info = self.nodes[source].replica.shard().info().to_wire();
        let taken = tables::resynced().map(|table| {
            let source = &self.nodes[source].rows;
            source.first(&table, &table.end(), usize::MAX).unwrap()
        });
        let truth = self.nodes[source].truth.clone();
        let now_us = self.nodes[at].now_us(self.now_us);
        let dies = storm && self.rng.random_bool(0.2);
        let node = &mut self.nodes[at];
        node.replica.begin_resync(&mut node.rows);
        for rows in taken {
            node.replica.take_rows(&mut node.rows, rows).unwrap();
        }
        if dies {
            // What is on the disk is not whole.
            node.truth = HashSet::new();
            node.sync();
            self.crash(at);
            return;
        }
        let (rows, clock) = (&mut node.rows, &mut node.clock);
        if why == Anew::Clock {
            clock.set_back(HybridTime::at_ms(now_us / 1_000));
        }
        let before = node.replica.version().clone();
        let life = self.now_us.max(node.replica.me().life + 1);
        let reissued = node
            .replica
            .end_resync(rows, &info, (life, since, &counted), clock, now_us)
            .unwrap();
        node.reserved = node.clock.to_reserve().unwrap_or(node.reserved);
        node.since = since;
        node.was_set_back = false;
        assert!(before.is_empty());
        node.truth = truth.clone();
        node.truth.extend(reissued.kept.iter().copied());
        node.truth.extend(reissued.ops.iter().map(|(_, op)| op.dot));
        node.sync();
        self.follow_reissue(id, &truth, reissued);
    }

    /// What the model makes of operations that are written again.
    fn follow_reissue(&mut self, id: NodeId, theirs: &HashSet<Dot>, reissued: Reissued) {
        let again: HashSet<Dot> = reissued.ops.iter().map(|(was, _)| *was).collect();
        // The source may have been set back, and will take this from them, too.
        let others = self.nodes.iter().filter(|node| node.id != id);
        let elsewhere: HashSet<Dot> = others
            .flat_map(|n| n.truth_on_disk.iter().copied())
            .collect();
        for written in &mut self.history {
            let dot = &written.op.dot;
            let stands = written.by == id && written.fate == Fate::Stands;
            if !stands || theirs.contains(dot) || reissued.kept.contains(dot) {
                continue;
            }
            written.fate = if again.contains(dot) {
                Fate::Reissued
            } else if reissued.set_aside.contains(dot) {
                assert!(matches!(written.op.change, Change::Join(_)), "{written:?}");
                Fate::SetAside
            } else if elsewhere.contains(dot) {
                Fate::Stands
            } else {
                assert!(!written.acknowledged, "{id} has lost {written:?}");
                Fate::Lost
            };
        }
        for (_, op) in reissued.ops {
            self.history.push(Written {
                by: id,
                acknowledged: true,
                fate: Fate::Stands,
                op,
            });
        }
    }

    fn collect(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.is_up {
            let collected = node.replica.collect(&mut node.rows, &node.counted, 20);
            self.collected += collected.unwrap().rows;
        }
    }

    fn hear_directory(&mut self, at: usize) {
        if self.nodes[at].is_up {
            self.nodes[at].counted = self.directory.clone();
        }
    }

    fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.is_up = false;
        let id = node.id;
        for written in &mut self.history {
            if written.by == id && !written.acknowledged && written.fate == Fate::Stands {
                written.fate = Fate::Lost;
            }
        }
    }

    fn crash_or_start(&mut self, at: usize) {
        if self.nodes[at].is_up {
            self.crash(at);
        } else {
            self.start(at);
        }
    }

    fn start(&mut self, at: usize) {
        let node = &self.nodes[at];
        // Lives are times.
        let life = self.now_us.max(node.replica.me().life + 1);
        let (id, since) = (node.id, node.since);
        let (rows, reserved) = (node.on_disk.clone(), node.reserved_on_disk);
        let offset_us = node.offset_us;
        let counted = node.counted.clone();
        let truth = node.truth_on_disk.clone();
        self.nodes[at] = Node {
            offset_us,
            backup: self.nodes[at].backup.take(),
            was_set_back: self.nodes[at].was_set_back,
            is_replaced: self.nodes[at].is_replaced,
            truth_on_disk: truth.clone(),
            truth,
            ..Node::start(id, rows, reserved, (life, since), counted)
        };
    }

    fn cut_or_heal(&mut self) {
        let (a, b) = (
            self.rng.random_range(0..self.nodes.len()),
            self.rng.random_range(0..self.nodes.len()),
        );
        let (a, b) = (self.nodes[a].id, self.nodes[b].id);
        let pair = (a.min(b), a.max(b));
        if !self.cut.remove(&pair) {
            self.cut.insert(pair);
        }
    }

    /// Whether another replica than this has all that there is: without one,
    /// none may be given up.
    fn can_do_without(&self, at: usize) -> bool {
        let mut others = self.nodes.iter().enumerate().filter(|(n, _)| *n != at);
        others.any(|(_, other)| {
            let counts = self.directory.nodes.get(&other.id) == Some(&other.since);
            counts && other.serves() && !other.was_set_back
        })
    }

    fn forget(&mut self, at: usize) {
        let id = self.nodes[at].id;
        if self.can_do_without(at) && self.directory.nodes.remove(&id).is_some() {
            self.directory.epoch += 1;
        }
    }

    /// What is lost with a disk is had if anybody else has it.
    fn lose_disk(&mut self, at: usize) {
        self.crash(at);
        let id = self.nodes[at].id;
        for written in &mut self.history {
            if written.by == id && written.fate == Fate::Stands {
                written.acknowledged = false;
            }
        }
    }

    fn back_up_or_set_back(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some((rows, truth, since)) = node.backup.take() else {
            let rows = node.on_disk.clone();
            node.backup = Some((rows, node.truth_on_disk.clone(), node.since));
            return;
        };
        if self.can_do_without(at) {
            self.lose_disk(at);
            let node = &mut self.nodes[at];
            (node.on_disk, node.truth_on_disk, node.since) = (rows, truth, since);
            node.was_set_back = true;
        }
    }

    /// A node stays away, and another comes in its place. Its disk may be lost.
    fn replace(&mut self, at: usize) {
        let id = self.nodes[at].id;
        if !self.directory.nodes.contains_key(&id) || !self.can_do_without(at) {
            return;
        }
        self.directory.epoch += 1;
        self.directory.nodes.remove(&id);
        let was_replaced = self.nodes[at].is_replaced;
        if self.nodes.len() < NODES_MAX && self.rng.random() {
            self.crash(at);
            self.nodes[at].is_replaced = true;
        } else {
            self.lose_disk(at);
            self.nodes.remove(at);
        }
        if !was_replaced {
            self.add_node();
        }
    }

    fn add_node(&mut self) {
        self.last_node += 1;
        let fresh = NodeId(self.last_node);
        self.directory.nodes.insert(fresh, self.directory.epoch);
        let (rows, reserved) = (MemoryRows::default(), HybridTime::default());
        let counted = self.directory.clone();
        self.nodes
            .push(Node::start(fresh, rows, reserved, (1, 0), counted));
    }

    /// A node that was replaced counts no more once the others have what it had; then it
    /// goes. Returns whether it has.
    fn hand_back(&mut self, at: usize) -> bool {
        let node = &self.nodes[at];
        let knows = node.is_up && node.counted == self.directory;
        if !node.is_replaced || !knows {
            return false;
        }
        let id = node.id;
        match node.replica.left_to_hand_back(&node.counted) {
            Left::Wanted | Left::Waiting => false,
            Left::Done => {
                self.directory.nodes.remove(&id);
                self.directory.epoch += 1;
                false
            }
            Left::Nothing => {
                self.crash(at);
                self.nodes.remove(at);
                self.released += 1;
                true
            }
        }
    }

    fn hand_all_back(&mut self) {
        let mut at = 0;
        while at < self.nodes.len() {
            if !self.hand_back(at) {
                at += 1;
            }
        }
    }

    fn wrong_clock(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.offset_us = match node.offset_us {
            0 if self.rng.random() => HOUR_US,
            0 => -HOUR_US,
            _ => 0,
        };
    }

    fn heal(&mut self) {
        self.cut.clear();
        for at in 0..self.nodes.len() {
            self.nodes[at].offset_us = 0;
            if !self.nodes[at].is_up {
                self.start(at);
            }
        }
    }

    fn settle(&mut self) {
        self.heal();
        for _ in 0..40 {
            for at in 0..self.nodes.len() {
                self.hear_directory(at);
                self.take_rows(at, false);
                self.sync(at);
                self.report(at);
                self.nodes[at].replica.expire_early();
                for _ in 0..30 {
                    self.pull(at);
                }
            }
            for _ in 0..200 {
                self.deliver(false);
            }
            self.hand_all_back();
        }
    }

    /// All garbage goes: what is left is what there is to see.
    fn collect_all(&mut self) {
        for _ in 0..8 {
            for at in 0..self.nodes.len() {
                self.sync(at);
                self.report(at);
            }
            while !self.parcels.is_empty() {
                self.deliver(false);
            }
            for at in 0..self.nodes.len() {
                (0..100).for_each(|_| self.collect(at));
                self.hear_directory(at);
            }
            self.hand_all_back();
        }
        let seed = self.describe();
        for node in &self.nodes {
            let rows = |table: Key| node.rows.first(&table, &table.end(), usize::MAX).unwrap();
            assert_eq!(rows(tables::logs()).len(), 0, "{seed}{}'s log", node.id);
            let there = shown(&node.rows).len();
            assert_eq!(
                rows(tables::rows()).len(),
                there,
                "{seed}{}'s rows",
                node.id
            );
            let version = node.replica.version();
            let lives: BTreeSet<NodeId> = version.iter().map(|(actor, _)| actor.node).collect();
            assert_eq!(
                version.iter().count(),
                lives.len(),
                "{seed}{}'s lives",
                node.id
            );
        }
    }

    /// For whoever looks into a seed that fails.
    fn describe(&self) -> String {
        let mut text = format!("seed {}: {:?}\n", self.seed, self.directory);
        for node in &self.nodes {
            let (id, version) = (node.id, node.replica.version());
            let (up, anew) = (node.is_up, node.replica.must_begin_anew(&node.counted));
            text += &format!("{id}: up {up} anew {anew:?}\n");
            text += &format!(
                "    {version:?}, waiting {:?}\n",
                node.replica.shard().early()
            );
        }
        text
    }

    fn check(&mut self) {
        let seed = self.describe();
        let version = self.nodes[0].replica.version().clone();
        for node in &self.nodes {
            let id = node.id;
            assert!(node.serves(), "{seed}{id} serves");
            let theirs = node.replica.version();
            let equal = theirs.has_all(&version) && version.has_all(theirs);
            assert!(equal, "{seed}{id} differs");
            assert_eq!(node.replica.shard().early().0, 0, "{seed}{id} waits");
        }
        let truth = &self.nodes[0].truth;
        let lost = self.history.iter().find(|written| {
            let stands = written.acknowledged && written.fate == Fate::Stands;
            stands && !truth.contains(&written.op.dot)
        });
        assert!(lost.is_none(), "{seed}lost {lost:?}");
        let model = model(&self.history, truth);
        for node in &self.nodes {
            let shown = shown(&node.rows);
            assert_eq!(shown, model, "{seed}{}", node.id);
        }
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..800 {
        world.step(true);
    }
    world.settle();
    world.check();
    world.collect_all();
    world.check();
    world
}

#[test]
fn replicas_agree_and_nothing_acknowledged_is_lost_for_every_seed() {
    let (mut collected, mut released) = (0, 0);
    for seed in 0..1_000 {
        let world = std::panic::catch_unwind(|| run(seed));
        let world = world.unwrap_or_else(|panic| {
            println!("the seed is {seed}");
            std::panic::resume_unwind(panic)
        });
        collected += world.collected;
        released += world.released;
        assert!(
            world.nodes.iter().all(|node| !node.is_replaced),
            "{}has not handed back",
            world.describe()
        );
    }
    assert!(collected > 1_000, "garbage was collected: {collected}");
    assert!(released > 100, "nodes were replaced: {released}");
}

#[test]
fn a_dot_is_given_once() {
    for seed in 0..50 {
        let world = run(seed);
        let mut dots = BTreeSet::<(Actor, u64)>::new();
        for Written { op, .. } in &world.history {
            let Dot { actor, counter } = op.dot;
            assert!(
                dots.insert((actor, counter)),
                "seed {seed}: {:?} twice",
                op.dot
            );
        }
    }
}
