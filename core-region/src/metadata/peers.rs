//! What the other replicas of a shard have, as they have told, and what every
//! replica that counts therefore has: the causally stable point. What is settled
//! there can be forgotten.
//!
//! A replica that is told "all have the departure" must not be surprised later by
//! a join whose writer did not know of it. So a peer's report counts only once
//! this replica has all that the peer had written by then, and all that it has of
//! lives that are over; and only if both go by the same record of the directory:
//! so that the peer takes nothing more from replicas that are not counted, and
//! gives nothing to one that this replica does not count yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use causeway_protocol::NodeId;
use causeway_protocol::backbone::Cell as CellRecord;

use super::actor::{Actor, Dot};
use super::version::Version;
use crate::directory::returning;

/// Reports of a peer that may wait until they count. The first are kept, since under a
/// steady stream of operations the last would never count; and the last, since it may
/// not be told again.
const WAITING_MAX: usize = 16;

/// What a peer has on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerReport {
    /// Who writes there.
    pub me: Actor,
    /// Its operations.
    pub version: Version,
    /// What it believed the one it tells this to have, when that began its present
    /// life: if it had it not, it had lost it.
    pub believed: Version,
    /// Of the directory's record that it goes by.
    pub epoch: u64,
    /// The epoch since which its rows have been going on.
    pub since: u64,
}

/// Who counts, by the directory's record of the cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// All replicas, this one included, and those that hand back what they had, with
    /// the epoch since which each has been counted: whoever joined later, or came
    /// back, begins with another's rows.
    pub nodes: BTreeMap<NodeId, u64>,
    /// Those of them that only hand back.
    pub returning: BTreeSet<NodeId>,
    /// Of the record.
    pub epoch: u64,
}

impl Counted {
    /// By the directory's record.
    pub fn of(record: &CellRecord) -> Self {
        let replicas = record.replicas.iter().filter(|replica| !replica.forgotten);
        let counted = replicas.chain(returning(record));
        Self {
            nodes: counted
                .map(|replica| (NodeId(replica.node_id), replica.counted_since))
                .collect(),
            returning: returning(record).map(|r| NodeId(r.node_id)).collect(),
            epoch: record.epoch,
        }
    }

    /// Whether a replica counts whose rows have been going on since this epoch.
    pub fn has(&self, node: NodeId, since: u64) -> bool {
        self.nodes.get(&node) == Some(&since)
    }
}

/// What this replica is and has.
#[derive(Debug, Clone, Copy)]
pub struct Us<'a> {
    /// Who writes here.
    pub me: Actor,
    /// All that it has.
    pub version: &'a Version,
    /// What of it is on its disk.
    pub durable: &'a Version,
}

#[derive(Debug, Clone)]
struct Peer {
    counts: Option<PeerReport>,
    waiting: VecDeque<PeerReport>,
    /// The last one, whether it counts or not.
    last: PeerReport,
    /// What it was believed to have when a later life took the place of one that had
    /// been heard of: by then, the log had been truncated so far.
    believed: Version,
}

/// All peers of a shard.
#[derive(Debug, Clone, Default)]
pub struct Peers(BTreeMap<NodeId, Peer>);

impl Peers {
    /// A peer has told what it has; this replica's log begins after `truncated`.
    pub fn hear(&mut self, node: NodeId, report: PeerReport, truncated: &Version) {
        let peer = self.0.entry(node).or_insert_with(|| Peer {
            counts: None,
            waiting: VecDeque::new(),
            last: report.clone(),
            believed: Version::default(),
        });
        if report.me < peer.last.me {
            return;
        }
        if report.me > peer.last.me {
            // What it said in another life need not be so any more.
            peer.counts = None;
            peer.waiting.clear();
            peer.believed = truncated.clone();
        }
        peer.last = report.clone();
        if peer.waiting.len() >= WAITING_MAX {
            peer.waiting.pop_back();
        }
        peer.waiting.push_back(report);
    }

    /// What a peer has told last.
    pub fn last(&self, node: NodeId) -> Option<&Version> {
        Some(&self.0.get(&node)?.last.version)
    }

    /// What `node` was believed to have, when its present life was first heard of;
    /// nothing, if the one before had not been heard of.
    pub fn believed(&self, node: NodeId) -> Version {
        let peer = self.0.get(&node);
        peer.map(|peer| peer.believed.clone()).unwrap_or_default()
    }

    /// Whether nobody that counts has the operation, nor will: as far as all have told,
    /// and the life that wrote it is over.
    pub fn have_lost(&self, me: Actor, dot: &Dot, counted: &Counted) -> bool {
        let node = dot.actor.node;
        let others = || counted.nodes.keys().filter(|other| **other != me.node);
        let has_not = |other| self.last(other).is_some_and(|told| !told.has(dot));
        let writes = match node == me.node {
            true => Some(me),
            false => self.0.get(&node).map(|peer| peer.last.me),
        };
        let is_over = match counted.nodes.contains_key(&node) {
            true => writes.is_some_and(|present| present > dot.actor),
            false => true,
        };
        is_over && others().all(|other| has_not(*other))
    }

    /// Forgets who is not counted.
    pub fn keep(&mut self, counted: &Counted) {
        self.0.retain(|node, _| counted.nodes.contains_key(node));
    }

    /// What every replica has that counts; `None` while one of them has not told.
    pub fn stable(&mut self, us: &Us<'_>, counted: &Counted) -> Option<Version> {
        let others = || counted.nodes.keys().filter(|node| **node != us.me.node);
        let told = others().map(|node| Some(self.0.get(node)?.last.me));
        let mut write: BTreeSet<Actor> = told.collect::<Option<_>>()?;
        write.insert(us.me);
        let mut stable = us.durable.clone();
        for node in others() {
            let peer = self.0.get_mut(node)?;
            peer.advance(us.version, &write, counted.epoch);
            stable = stable.common(&peer.counts.as_ref()?.version);
        }
        Some(stable)
    }

    /// Lives that are over, and of which every replica that counts has the same;
    /// and so of all before them of the same node.
    pub fn settled_lives(&self, us: &Us<'_>, stable: &Version, counted: &Counted) -> Vec<Actor> {
        let others = counted.nodes.keys().filter(|node| **node != us.me.node);
        let told: Vec<&PeerReport> = others
            .filter_map(|node| Some(&self.0.get(node)?.last))
            .collect();
        let writes = |actor| actor == us.me || told.iter().any(|report| report.me == actor);
        let mut settled = Vec::<Actor>::new();
        let mut unsettled = BTreeSet::new();
        for (actor, counter) in us.version.iter() {
            let none_has_more = told.iter().all(|report| {
                let had = report.version.get(actor);
                had == counter || had == u64::MAX
            });
            // A node's latest life is kept: it tells that there is a later one.
            let is_over = !writes(actor)
                && us
                    .version
                    .last_of(actor.node)
                    .is_some_and(|last| last.actor > actor);
            let is_settled = is_over && stable.get(actor) >= counter && none_has_more;
            if !is_settled || unsettled.contains(&actor.node) {
                unsettled.insert(actor.node);
            } else {
                settled.push(actor);
            }
        }
        settled
    }
}

impl Peer {
    fn advance(&mut self, own: &Version, write: &BTreeSet<Actor>, epoch: u64) {
        // What was told by another record says nothing by this one.
        self.counts.take_if(|report| report.epoch != epoch);
        while let Some(report) = self.waiting.pop_front() {
            let is_early = report.epoch > epoch || !report.is_caught_up_with(own, write);
            if is_early {
                self.waiting.push_front(report);
                return;
            }
            if report.epoch == epoch {
                self.counts = Some(report);
            }
        }
    }
}

impl PeerReport {
    /// Whether `own` has all that the reporting life had written by then, and all
    /// that it has of lives that do not write any more.
    fn is_caught_up_with(&self, own: &Version, write: &BTreeSet<Actor>) -> bool {
        let matters = |actor: &Actor| *actor == self.me || !write.contains(actor);
        let mut told = self.version.iter().filter(|(actor, _)| matters(actor));
        told.all(|(actor, counter)| own.get(actor) >= counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(node: u64) -> Actor {
        Actor {
            node: NodeId(node),
            life: 1,
        }
    }

    fn version(dots: &[(u64, u64)]) -> Version {
        let dots = dots.iter().map(|(node, n)| Dot::new(actor(*node), *n));
        dots.collect()
    }

    fn report(of: u64, dots: &[(u64, u64)], epoch: u64) -> PeerReport {
        PeerReport {
            me: actor(of),
            version: version(dots),
            believed: Version::default(),
            epoch,
            since: 0,
        }
    }

    fn counted(nodes: &[u64], epoch: u64) -> Counted {
        Counted {
            nodes: nodes.iter().map(|node| (NodeId(*node), 0)).collect(),
            epoch,
            ..Counted::default()
        }
    }

    fn hear(peers: &mut Peers, report: PeerReport) {
        peers.hear(report.me.node, report, &Version::default());
    }

    fn stable(peers: &mut Peers, own: &Version, counted: &Counted) -> Option<Version> {
        let us = Us {
            me: actor(1),
            version: own,
            durable: own,
        };
        peers.stable(&us, counted)
    }

    #[test]
    fn nothing_is_stable_until_all_have_told() {
        let mut peers = Peers::default();
        let three = counted(&[1, 2, 3], 1);
        let own = version(&[(1, 5), (2, 4)]);
        hear(&mut peers, report(2, &[(1, 3), (2, 4)], 1));
        assert_eq!(stable(&mut peers, &own, &three), None);
        hear(&mut peers, report(3, &[(1, 4), (2, 1)], 1));
        let stable = stable(&mut peers, &own, &three);
        assert_eq!(stable, Some(version(&[(1, 3), (2, 1)])));
    }

    #[test]
    fn a_report_waits_for_what_its_peer_had_written_by_then() {
        let mut peers = Peers::default();
        let two = counted(&[1, 2], 1);
        let own = version(&[(1, 5), (2, 4)]);
        hear(&mut peers, report(2, &[(1, 1), (2, 4)], 1));
        hear(&mut peers, report(2, &[(1, 5), (2, 6)], 1));
        let before = version(&[(1, 1), (2, 4)]);
        assert_eq!(stable(&mut peers, &own, &two), Some(before));
        let own = version(&[(1, 5), (2, 6)]);
        assert_eq!(stable(&mut peers, &own, &two), Some(own));
    }

    #[test]
    fn whoever_is_not_counted_holds_nothing_back_once_all_have_the_same_of_it() {
        let mut peers = Peers::default();
        let two = counted(&[1, 2], 7);
        let own = version(&[(1, 5), (2, 4), (3, 8)]);
        // From before the third was forgotten: more of it may reach the second.
        hear(&mut peers, report(2, &[(1, 5), (2, 4), (3, 8)], 6));
        assert_eq!(stable(&mut peers, &own, &two), None);
        hear(&mut peers, report(2, &[(1, 5), (2, 4), (3, 9)], 7));
        assert_eq!(stable(&mut peers, &own, &two), None);
        let own = version(&[(1, 5), (2, 4), (3, 9)]);
        assert_eq!(stable(&mut peers, &own, &two), Some(own.clone()));
    }

    #[test]
    fn an_operation_is_lost_once_its_life_is_over_and_nobody_has_it() {
        let mut peers = Peers::default();
        let (three, gone) = (counted(&[1, 2, 3], 1), counted(&[1, 3], 2));
        let dot = Dot::new(actor(2), 6);
        hear(&mut peers, report(2, &[(2, 5)], 1));
        assert!(
            !peers.have_lost(actor(1), &dot, &gone),
            "the third has not told"
        );
        hear(&mut peers, report(3, &[(2, 5)], 1));
        assert!(
            !peers.have_lost(actor(1), &dot, &three),
            "it may be on its way"
        );
        assert!(peers.have_lost(actor(1), &dot, &gone), "its writer is gone");
        let later = Actor {
            life: 2,
            ..actor(2)
        };
        let next_life = PeerReport {
            me: later,
            ..report(2, &[(2, 5)], 1)
        };
        hear(&mut peers, next_life);
        assert!(
            peers.have_lost(actor(1), &dot, &three),
            "its writer has lost it"
        );
        assert!(!peers.have_lost(actor(1), &Dot::new(later, 1), &three));
        hear(&mut peers, report(3, &[(2, 6)], 1));
        assert!(!peers.have_lost(actor(1), &dot, &three), "the third has it");
        let (before, now) = (
            Dot::new(actor(1), 9),
            Actor {
                life: 2,
                ..actor(1)
            },
        );
        assert!(
            peers.have_lost(now, &before, &three),
            "of a life of its own"
        );
        assert!(!peers.have_lost(actor(1), &before, &three));
    }

    #[test]
    fn a_peer_is_told_what_was_believed_before_its_life_was_heard_of() {
        let mut peers = Peers::default();
        let (early, late) = (version(&[(1, 3)]), version(&[(1, 9)]));
        peers.hear(NodeId(2), report(2, &[(1, 3)], 1), &early);
        assert!(peers.believed(NodeId(2)).is_empty());
        let next_life = PeerReport {
            me: Actor {
                life: 2,
                ..actor(2)
            },
            ..report(2, &[(1, 1)], 1)
        };
        peers.hear(NodeId(2), next_life, &late);
        assert_eq!(peers.believed(NodeId(2)), late);
    }
}
