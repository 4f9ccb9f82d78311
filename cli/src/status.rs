//! A world at a glance, put together from what each core node tells of itself.

use std::collections::{BTreeMap, HashMap};

use causeway_gossip::Member;
use causeway_gossip::drains::covers;
use causeway_protocol::NodeId;
use causeway_protocol::backbone::{
    CellStatus, Drain, EdgeStatus, MemberRecord, NodeStatus, Replica, Role,
};

/// How far each node's replica of each cell has applied the cell's log.
struct Progress(HashMap<(u32, u64), u64>);

impl Progress {
    fn of(statuses: &[NodeStatus]) -> Self {
        let mut applied = HashMap::new();
        for status in statuses {
            let node = status.self_.as_ref().map_or(0, |me| me.node_id);
            for cell in &status.cells {
                if cell.replicas.iter().any(|replica| replica.node_id == node) {
                    applied.insert((cell.cell, node), cell.applied);
                }
            }
        }
        Self(applied)
    }

    fn furthest(&self, cell: u32) -> u64 {
        let of_cell = self.0.iter().filter(|((id, _), _)| *id == cell);
        of_cell.map(|(_, applied)| *applied).max().unwrap_or(0)
    }

    /// Entries that a replica has yet to apply; `None` when its node is silent.
    fn lag(&self, cell: u32, node: u64) -> Option<u64> {
        let applied = self.0.get(&(cell, node))?;
        Some(self.furthest(cell) - applied)
    }
}

/// Whether every replica is there and has applied all there is.
pub fn is_settled(statuses: &[NodeStatus]) -> bool {
    have_caught_up(statuses, |_| true)
}

/// Whether the replicas on these nodes are there and have applied all there is.
pub fn have_caught_up(statuses: &[NodeStatus], counts: impl Fn(u64) -> bool) -> bool {
    let progress = Progress::of(statuses);
    let mut cells = statuses.iter().flat_map(|status| &status.cells);
    cells.all(|cell| {
        let replicas = cell.replicas.iter().map(|replica| replica.node_id);
        let mut replicas = replicas.filter(|node| counts(*node));
        replicas.all(|node| progress.lag(cell.cell, node) == Some(0))
    })
}

/// The world for people; `None` when no node tells anything.
pub fn render(statuses: &[NodeStatus], edges: &[EdgeStatus]) -> Option<String> {
    // Whoever knows most speaks for all.
    let knows = |status: &&NodeStatus| (status.cells.len(), status.members.len());
    let best = statuses.iter().max_by_key(knows)?;
    let progress = Progress::of(statuses);
    let mut members: Vec<&MemberRecord> = best.members.iter().collect();
    members.sort_by_key(|m| (m.role, m.name.clone()));
    let seen_by = &best.self_.as_ref()?.name;
    let mut text = format!("as {seen_by} sees it\n\nnodes\n");
    for member in &members {
        text += &node_line(member, drains(statuses), edges);
    }
    text += &pops(&members, edges);
    text += "\ncells\n  cell  home           leader             term  epoch  applied  replicas (entries behind)\n";
    for cell in &best.cells {
        text += &cell_line(&newest(statuses, cell), &members, &progress);
    }
    text += &clocks(statuses, &members);
    Some(text)
}

/// Whose metadata is refused as its clock is too far ahead, and by whom.
fn clocks(statuses: &[NodeStatus], members: &[&MemberRecord]) -> String {
    let mut text = String::new();
    for status in statuses {
        let by = status.self_.as_ref().map_or("?", |me| &me.name);
        for refusal in &status.clock_refusals {
            text += &format!(
                "  {by} refuses the metadata of {}: its clock was {} s ahead, {} s ago\n",
                name_of(refusal.node_id, members),
                refusal.ahead_ms / 1_000,
                refusal.ago_ms / 1_000
            );
        }
    }
    match text.is_empty() {
        true => text,
        false => format!("\nclocks\n{text}"),
    }
}

fn name_of(node: u64, members: &[&MemberRecord]) -> String {
    let known = members.iter().find(|m| m.node_id == node);
    known.map_or_else(|| NodeId(node).to_string(), |m| m.name.clone())
}

/// The drains in force, as the nodes tell.
pub fn drains(statuses: &[NodeStatus]) -> &[Drain] {
    let newest = statuses.iter().max_by_key(|status| {
        let versions = status.drains.iter().map(|drain| drain.version);
        versions.max()
    });
    newest.map_or(&[], |status| &status.drains)
}

/// Sessions by PoP; of an edge node that is silent they are not known.
fn pops(members: &[&MemberRecord], edges: &[EdgeStatus]) -> String {
    let mut places = BTreeMap::<&str, (u64, usize)>::new();
    for member in members.iter().filter(|m| m.role() == Role::Edge) {
        let (sessions, silent) = places.entry(&member.place).or_default();
        match sessions_of(member, edges) {
            Some(here) => *sessions += here,
            None => *silent += 1,
        }
    }
    let mut text = "\nPoPs\n  PoP             sessions\n".to_owned();
    for (place, (sessions, silent)) in places {
        let silent = match silent {
            0 => String::new(),
            silent => format!("  and those of {silent} silent edge nodes"),
        };
        text += &format!("  {place:14}  {sessions}{silent}\n");
    }
    text
}

fn sessions_of(member: &MemberRecord, edges: &[EdgeStatus]) -> Option<u64> {
    let is_it = |edge: &&EdgeStatus| {
        let told = edge.self_.as_ref();
        told.is_some_and(|me| me.node_id == member.node_id)
    };
    edges.iter().find(is_it).map(|edge| edge.sessions)
}

fn node_line(member: &MemberRecord, drains: &[Drain], edges: &[EdgeStatus]) -> String {
    let role = match member.role() {
        Role::Core => "core",
        Role::Edge => "edge",
        Role::Unspecified => "?",
    };
    let member_of = Member::from_wire(member);
    let is_drained = |m: &Member| drains.iter().any(|drain| covers(drain, m));
    let drained = match member_of.is_some_and(|m| is_drained(&m)) {
        true => "  draining",
        false => "",
    };
    let sessions = sessions_of(member, edges);
    let sessions = sessions.map_or_else(String::new, |n| format!("  {n} sessions"));
    format!(
        "  {:18} {role}  {:14} {:16} {:22} {}{sessions}{drained}\n",
        member.name, member.place, member.zone, member.backbone_address, member.version
    )
}

/// What the nodes tell of a cell, as of the latest term.
fn newest(statuses: &[NodeStatus], cell: &CellStatus) -> CellStatus {
    let told = statuses.iter().flat_map(|status| &status.cells);
    let told = told.filter(|told| told.cell == cell.cell);
    let newest = told.max_by_key(|told| (told.term, told.leader != 0, told.applied));
    newest.unwrap_or(cell).clone()
}

fn cell_line(cell: &CellStatus, members: &[&MemberRecord], progress: &Progress) -> String {
    let name = |node: u64| name_of(node, members);
    let replica = |replica: &Replica| {
        let learner = if replica.learner { " (learner)" } else { "" };
        let forgotten = if replica.forgotten {
            " (forgotten)"
        } else {
            ""
        };
        let lag = match progress.lag(cell.cell, replica.node_id) {
            Some(0) => String::new(),
            Some(behind) => format!(" -{behind}"),
            None => " silent".to_owned(),
        };
        format!("{}{learner}{forgotten}{lag}", name(replica.node_id))
    };
    let replicas: Vec<String> = cell.replicas.iter().map(replica).collect();
    let leader = match cell.leader {
        0 => "nobody".to_owned(),
        node => name(node),
    };
    format!(
        "  {:<4}  {:13}  {leader:17}  {:<4}  {:<5}  {:<7}  {}\n",
        cell.cell,
        cell.home_region,
        cell.term,
        cell.epoch,
        progress.furthest(cell.cell),
        replicas.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(node: u64, applied: u64, leader: u64, term: u64) -> NodeStatus {
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
        assert!(is_settled(&[status(1, 9, 1, 1), status(2, 9, 1, 1)]));
        assert!(!is_settled(&[status(1, 9, 1, 1), status(2, 8, 1, 1)]));
        assert!(!is_settled(&[status(1, 9, 1, 1)]), "one is silent");
    }

    #[test]
    fn the_newest_term_tells_the_leader_and_replicas_tell_their_lag() {
        let text = render(&[status(1, 9, 1, 1), status(2, 12, 2, 2)], &[]).expect("a status");
        let cell = text.lines().last().expect("a cell");
        assert!(cell.contains("2  "), "{text}");
        assert!(cell.contains(" -3"), "{text}");
        assert!(render(&[], &[]).is_none());
    }
}
