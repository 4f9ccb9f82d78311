//! Which replicas go to other nodes because theirs stay away: a pure decision of
//! the directory's leader.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use causeway_gossip::Member;
use causeway_protocol::NodeId;
use causeway_protocol::backbone::{Cell, Replica};

use super::Placement;
use super::returning::remember_forgotten;

/// Since when nodes that hold replicas have been away.
#[derive(Debug, Default)]
pub struct Absence(HashMap<NodeId, Instant>);

impl Absence {
    /// Takes in who is alive at `now`, of all that hold replicas of `cells`.
    pub fn update(&mut self, cells: &[Cell], alive: &HashSet<NodeId>, now: Instant) {
        let returning = cells.iter().flat_map(|cell| &cell.returning);
        let replicas = cells.iter().flat_map(|cell| &cell.replicas);
        let holders = replicas.chain(returning).map(|r| NodeId(r.node_id));
        let holders: HashSet<NodeId> = holders.collect();
        self.0
            .retain(|node, _| holders.contains(node) && !alive.contains(node));
        for node in holders.difference(alive) {
            self.0.entry(*node).or_insert(now);
        }
    }

    fn is_over(&self, node: NodeId, after: Duration, now: Instant) -> bool {
        let since = self.0.get(&node);
        since.is_some_and(|since| now.duration_since(*since) >= after)
    }
}

/// The records of the cells that get a replica in the place of one whose node
/// has been away for `after`: on a node of the same region that has none of the
/// cell yet, in the same zone if there is one. One replica of a cell at a time,
/// and only where the others can agree to it. Nodes that were handing back and have
/// been away for as long hold nothing back any more, either.
pub fn replacements(
    cells: &[Cell],
    cores: &[Member],
    absence: &Absence,
    after: Duration,
    now: Instant,
) -> Vec<Cell> {
    let alive: HashSet<u64> = cores.iter().map(|core| core.node.0).collect();
    let mut placement = Placement::new(cores.iter().cloned(), cells);
    let away = |r: &Replica| absence.is_over(NodeId(r.node_id), after, now);
    let mut changed = Vec::new();
    for cell in cells.iter().filter(|cell| has_quorum(cell, &alive)) {
        let mut next = cell.clone();
        next.epoch += 1;
        // What they had not handed back by now stays with them, until they are back.
        next.returning
            .retain(|returning| returning.forgotten || !away(returning));
        if let Some((place, replica)) = substitute(&mut placement, cell, away) {
            next.replicas[place] = take_over(&mut next, replica);
            remember_forgotten(&mut next, &cell.replicas[place]);
        }
        if (&next.replicas, &next.returning) != (&cell.replicas, &cell.returning) {
            changed.push(next);
        }
    }
    changed
}

/// The first replica that is away, if another node can take its place.
fn substitute(
    placement: &mut Placement,
    cell: &Cell,
    away: impl Fn(&Replica) -> bool,
) -> Option<(usize, Replica)> {
    let mut replicas = cell.replicas.iter().enumerate();
    let (place, away) = replicas.find(|(_, replica)| away(replica))?;
    Some((place, placement.substitute(cell, away)?))
}

/// The replica on a node that begins with another's metadata, unless it is counted
/// already.
fn take_over(cell: &mut Cell, replica: Replica) -> Replica {
    let is_it = |returning: &Replica| returning.node_id == replica.node_id;
    let returning = cell.returning.iter().position(is_it);
    match returning.map(|place| cell.returning.remove(place)) {
        Some(returning) => Replica {
            counted_since: returning.counted_since,
            forgotten: returning.forgotten,
            ..replica
        },
        None => Replica {
            counted_since: cell.epoch,
            ..replica
        },
    }
}

fn has_quorum(cell: &Cell, alive: &HashSet<u64>) -> bool {
    let voters = || cell.replicas.iter().filter(|r| !r.learner);
    let there = voters().filter(|r| alive.contains(&r.node_id)).count();
    there > voters().count() / 2
}

#[cfg(test)]
mod tests {
    use causeway_gossip::Role;
    use causeway_gossip::member::MemberInfo;
    use causeway_protocol::backbone::Survive;

    use super::*;
    use crate::directory::returning::admit;

    const AFTER: Duration = Duration::from_secs(60);

    fn core(node: u64, region: &str, zone: &str) -> Member {
        Member::new(MemberInfo {
            node: NodeId(node),
            incarnation: 1,
            name: format!("core-{node}").parse().unwrap(),
            role: Role::Core,
            place: region.parse().unwrap(),
            zone: zone.parse().unwrap(),
            backbone: ([127, 0, 0, 1], 1).into(),
            client: None,
            http: None,
            version: String::new(),
        })
    }

    /// Two nodes in each of three regions, and cells on some of them.
    fn world() -> (Vec<Member>, Vec<Cell>) {
        let regions = ["us", "us", "eu", "eu", "ap", "ap"];
        let cores: Vec<Member> = (1..7).zip(regions).map(|(n, r)| core(n, r, r)).collect();
        let mut placement = Placement::new(cores.clone(), []);
        let cells = placement.spread(1, 6, Survive::Region).unwrap();
        (cores, cells)
    }

    /// What is decided when these nodes have been away for so long.
    fn decide(away: &[u64], seconds: u64) -> (Vec<Cell>, Vec<Cell>) {
        let (cores, cells) = world();
        let there = |core: &Member| !away.contains(&core.node.0);
        let cores: Vec<Member> = cores.into_iter().filter(there).collect();
        let alive = cores.iter().map(|core| core.node).collect();
        let start = Instant::now();
        let mut absence = Absence::default();
        absence.update(&cells, &alive, start);
        let now = start + Duration::from_secs(seconds);
        absence.update(&cells, &alive, now);
        let changed = replacements(&cells, &cores, &absence, AFTER, now);
        (cells, changed)
    }

    #[test]
    fn nobody_is_replaced_before_the_time() {
        assert!(decide(&[1], 59).1.is_empty());
        assert!(decide(&[], 1_000).1.is_empty());
    }

    #[test]
    fn the_other_node_of_the_region_takes_over() {
        let (cells, changed) = decide(&[1], 60);
        let held = |cell: &&Cell| cell.replicas.iter().any(|r| r.node_id == 1);
        assert_eq!(changed.len(), cells.iter().filter(held).count());
        for cell in &changed {
            let regions: HashSet<&str> = cell.replicas.iter().map(|r| r.region.as_str()).collect();
            assert_eq!(regions.len(), 3);
            assert!(cell.replicas.iter().all(|r| r.node_id != 1));
            assert_eq!(cell.epoch, 2);
        }
    }

    /// The cells' next records when `returning` hands back to one that node 1 holds, and
    /// these have been away for long.
    fn decide_amid_a_return(away: &[u64], returning: u64) -> (Cell, Vec<Cell>) {
        let (cores, cells) = world();
        let held = |cell: &&Cell| cell.replicas.iter().any(|r| r.node_id == 1);
        let cell = cells.iter().find(held).expect("a cell of node 1");
        let cell = admit(cell, NodeId(returning)).unwrap().expect("a change");
        let there = |core: &Member| !away.contains(&core.node.0);
        let cores: Vec<Member> = cores.into_iter().filter(there).collect();
        let alive = cores.iter().map(|core| core.node).collect();
        let start = Instant::now();
        let mut absence = Absence::default();
        let cells = [cell];
        absence.update(&cells, &alive, start);
        let changed = replacements(&cells, &cores, &absence, AFTER, start + AFTER);
        let [cell] = cells;
        (cell, changed)
    }

    #[test]
    fn whoever_hands_back_and_stays_away_is_dropped() {
        let (cell, changed) = decide_amid_a_return(&[9], 9);
        assert_eq!(changed[0].epoch, cell.epoch + 1);
        assert_eq!(changed[0].replicas, cell.replicas);
        assert!(changed[0].returning.is_empty());
    }

    #[test]
    fn whoever_hands_back_and_takes_over_goes_on_being_counted() {
        let (cell, changed) = decide_amid_a_return(&[1], 2);
        let replica = changed[0].replicas.iter().find(|r| r.node_id == 2);
        let counted_since = replica.expect("it takes over").counted_since;
        assert_eq!(counted_since, cell.returning[0].counted_since);
        assert!(changed[0].returning.is_empty());
    }

    #[test]
    fn a_region_without_another_node_waits() {
        assert!(decide(&[1, 2], 1_000).1.is_empty());
    }

    #[test]
    fn a_cell_without_a_quorum_is_left_alone() {
        let (_, changed) = decide(&[1, 3], 1_000);
        for cell in &changed {
            let away = cell.replicas.iter().filter(|r| [1, 3].contains(&r.node_id));
            assert_eq!(away.count(), 0, "it had another replica away");
        }
    }

    #[test]
    fn whoever_returns_in_time_is_forgotten() {
        let (cores, cells) = world();
        let all: HashSet<NodeId> = cores.iter().map(|core| core.node).collect();
        let others: HashSet<NodeId> = all.iter().copied().filter(|n| n.0 != 1).collect();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut absence = Absence::default();
        absence.update(&cells, &others, at(0));
        absence.update(&cells, &all, at(50));
        absence.update(&cells, &others, at(55));
        assert!(replacements(&cells, &cores, &absence, AFTER, at(100)).is_empty());
    }
}
