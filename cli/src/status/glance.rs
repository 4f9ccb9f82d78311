//! What the status shows, for people and for programs alike.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use causeway_gossip::Member;
use causeway_gossip::drains::covers;
use causeway_protocol::NodeId;
use causeway_protocol::backbone::{
    AwayMember, CellStatus, Drain, DrainScope, EdgeStatus, MemberRecord, NodeStatus, Role,
};
use serde::Serialize;

use super::{Progress, drains};
use crate::world::{NodeRole, WorldNode};

/// How a node, region or PoP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does its work.
    Serving,
    /// It is to be left, and something is there yet.
    Draining,
    /// It is to be left, and nothing is there.
    Drained,
    /// The others reach it; it does not answer the operator.
    Silent,
    /// It answers the operator; the others do not reach it, or it not them.
    CutOff,
    /// Nobody reaches it.
    Away,
}

/// A world at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct Glance {
    /// The node that knows most.
    pub seen_by: String,
    /// Sites with core nodes.
    pub regions: Vec<Region>,
    /// All nodes that somebody knows.
    pub nodes: Vec<Node>,
    /// What is to be left.
    pub drains: Vec<ActiveDrain>,
    /// Sites with edge nodes.
    pub pops: Vec<Pop>,
    /// Cells, the directory's first.
    pub cells: Vec<Cell>,
    /// Whose metadata is refused as its clock is too far ahead.
    pub clocks: Vec<Clock>,
}

/// A region.
#[derive(Debug, Clone, Serialize)]
pub struct Region {
    pub name: String,
    pub cores_up: u64,
    pub cores: u64,
    pub leaders: u64,
    pub state: State,
}

/// A node.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    pub name: String,
    /// `core` or `edge`.
    pub role: &'static str,
    /// Region or PoP.
    pub place: String,
    pub zone: String,
    pub address: String,
    pub version: String,
    pub state: State,
    /// For how long it has been away, if anybody knows.
    pub away_s: Option<u64>,
    /// Cells that it leads.
    pub leaders: u64,
    /// Clients at an edge node that tells.
    pub sessions: Option<u64>,
}

/// A drain in force.
#[derive(Debug, Clone, Serialize)]
pub struct ActiveDrain {
    /// `node`, `zone`, `region` or `pop`.
    pub scope: &'static str,
    pub name: String,
    /// Milliseconds since 1970; 0 = not known.
    pub since_ms: u64,
    /// So long ago by the operator's clock.
    pub for_s: Option<u64>,
    pub permille_per_s: u32,
}

/// A PoP.
#[derive(Debug, Clone, Serialize)]
pub struct Pop {
    pub name: String,
    pub edges_up: u64,
    pub edges: u64,
    /// Clients at the edge nodes that tell.
    pub sessions: u64,
    /// Edge nodes that are there and do not tell.
    pub silent: u64,
    pub state: State,
}

/// A cell.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    pub id: u32,
    pub home_region: String,
    pub leader: Option<String>,
    pub term: u64,
    pub epoch: u64,
    /// As far as the furthest replica.
    pub applied: u64,
    pub replicas: Vec<Replica>,
    /// Nodes that were replaced, and hand back metadata that only they have.
    pub returning: Vec<String>,
}

/// A replica of a cell.
#[derive(Debug, Clone, Serialize)]
pub struct Replica {
    pub node: String,
    pub learner: bool,
    pub forgotten: bool,
    /// Entries that it has yet to apply; absent when its node does not tell.
    pub behind: Option<u64>,
    /// The cell's leader does not reach its node.
    pub away: bool,
}

/// A clock that is ahead.
#[derive(Debug, Clone, Serialize)]
pub struct Clock {
    pub node: String,
    pub refused_by: String,
    pub ahead_ms: u64,
    pub ago_ms: u64,
}

impl Glance {
    /// Puts together what nodes tell of themselves, and what the world's file has;
    /// `None` when no core node tells anything.
    pub fn new(statuses: &[NodeStatus], edges: &[EdgeStatus], world: &[WorldNode]) -> Option<Self> {
        // Whoever knows most speaks for all.
        let knows = |status: &&NodeStatus| (status.cells.len(), status.members.len());
        let best = statuses.iter().max_by_key(knows)?;
        let view = View {
            statuses,
            edges,
            best,
            cells: best.cells.iter().map(|c| newest(statuses, c)).collect(),
        };
        let nodes = view.nodes(world);
        Some(Self {
            seen_by: best.self_.as_ref()?.name.clone(),
            regions: regions(&nodes),
            drains: drains(statuses).iter().map(active_drain).collect(),
            pops: pops(&nodes),
            cells: view.cells(),
            clocks: view.clocks(),
            nodes,
        })
    }
}

/// What is known, and from whom.
struct View<'a> {
    statuses: &'a [NodeStatus],
    edges: &'a [EdgeStatus],
    best: &'a NodeStatus,
    cells: Vec<CellStatus>,
}

impl View<'_> {
    fn nodes(&self, world: &[WorldNode]) -> Vec<Node> {
        let members = self.best.members.iter();
        let mut nodes: Vec<Node> = members.map(|m| self.node(m, None)).collect();
        let mut away: Vec<&AwayMember> = self.best.away.iter().collect();
        away.sort_by_key(|away| away.away_ms);
        for away in away {
            let Some(member) = &away.member else {
                continue;
            };
            if nodes.iter().all(|node| node.name != member.name) {
                nodes.push(self.node(member, Some(Some(away.away_ms / 1_000))));
            }
        }
        for known in world {
            if nodes.iter().all(|node| node.name != known.name.as_str()) {
                nodes.push(self.node(&record(known), Some(None)));
            }
        }
        nodes.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
        nodes
    }

    /// `away`: the others do not reach it, for so many seconds if that is known.
    fn node(&self, record: &MemberRecord, away: Option<Option<u64>>) -> Node {
        let edge = self.edges.iter().find(|e| is(e.self_.as_ref(), record));
        let core = self.statuses.iter().find(|s| is(s.self_.as_ref(), record));
        let led = self.cells.iter().filter(|c| c.leader == record.node_id);
        let leaders = led.filter(|c| c.leader != 0).count() as u64;
        let sessions = edge.map(|edge| edge.sessions);
        let empty = leaders == 0 && (record.role() == Role::Core || sessions == Some(0));
        let state = match (away, edge.is_some() || core.is_some()) {
            (Some(_), true) => State::CutOff,
            (Some(_), false) => State::Away,
            _ if edge.is_some_and(|edge| edge.cut_off) => State::CutOff,
            (None, told) if self.is_drained(record) => match empty && told {
                true => State::Drained,
                false => State::Draining,
            },
            (None, false) => State::Silent,
            (None, true) => State::Serving,
        };
        Node {
            name: record.name.clone(),
            role: match record.role() {
                Role::Core => "core",
                Role::Edge => "edge",
                Role::Unspecified => "?",
            },
            place: record.place.clone(),
            zone: record.zone.clone(),
            address: record.backbone_address.clone(),
            version: record.version.clone(),
            state,
            away_s: away.flatten(),
            leaders,
            sessions,
        }
    }

    fn is_drained(&self, record: &MemberRecord) -> bool {
        let member = Member::from_wire(record);
        let mut drains = drains(self.statuses).iter();
        member.is_some_and(|member| drains.any(|drain| covers(drain, &member)))
    }

    fn cells(&self) -> Vec<Cell> {
        let progress = Progress::of(self.statuses);
        let cells = self.cells.iter();
        cells.map(|cell| self.cell(cell, &progress)).collect()
    }

    fn cell(&self, cell: &CellStatus, progress: &Progress) -> Cell {
        // The leader knows best whom it reaches.
        let leader = self.statuses.iter().find(|status| {
            let me = status.self_.as_ref();
            me.is_some_and(|me| me.node_id == cell.leader)
        });
        let reached: BTreeSet<u64> = (leader.unwrap_or(self.best).members.iter())
            .map(|member| member.node_id)
            .collect();
        let replicas = cell.replicas.iter().map(|replica| Replica {
            node: match self.name_of(replica.node_id) {
                Some(name) => name,
                None => format!("{} ({})", NodeId(replica.node_id), replica.region),
            },
            learner: replica.learner,
            forgotten: replica.forgotten,
            behind: progress.lag(cell.cell, replica.node_id),
            away: !reached.contains(&replica.node_id),
        });
        let named = |node| (self.name_of(node)).unwrap_or_else(|| NodeId(node).to_string());
        Cell {
            id: cell.cell,
            home_region: cell.home_region.clone(),
            leader: (cell.leader != 0).then(|| named(cell.leader)),
            term: cell.term,
            epoch: cell.epoch,
            applied: progress.furthest(cell.cell),
            replicas: replicas.collect(),
            returning: cell.returning.iter().copied().map(named).collect(),
        }
    }

    /// A node's name, also of one that is away, if anybody remembers.
    fn name_of(&self, node: u64) -> Option<String> {
        let mut told = self.statuses.iter().flat_map(|status| {
            let away = status.away.iter().filter_map(|away| away.member.as_ref());
            status.members.iter().chain(away)
        });
        let found = told.find(|member| member.node_id == node);
        found.map(|member| member.name.clone())
    }

    fn clocks(&self) -> Vec<Clock> {
        let told = self.statuses.iter().flat_map(|status| {
            let by = status.self_.as_ref().map_or("?", |me| &me.name);
            status.clock_refusals.iter().map(move |told| (by, told))
        });
        told.map(|(by, refusal)| Clock {
            node: (self.name_of(refusal.node_id))
                .unwrap_or_else(|| NodeId(refusal.node_id).to_string()),
            refused_by: by.to_owned(),
            ahead_ms: refusal.ahead_ms,
            ago_ms: refusal.ago_ms,
        })
        .collect()
    }
}

fn is(told: Option<&MemberRecord>, record: &MemberRecord) -> bool {
    told.is_some_and(|me| me.node_id == record.node_id)
}

/// A node as the world's file has it.
fn record(node: &WorldNode) -> MemberRecord {
    let role = match node.role {
        NodeRole::Core => Role::Core,
        NodeRole::Edge => Role::Edge,
    };
    MemberRecord {
        name: node.name.to_string(),
        role: role.into(),
        place: node.place.to_string(),
        zone: node.zone.to_string(),
        backbone_address: node.backbone.to_string(),
        ..MemberRecord::default()
    }
}

/// What the nodes tell of a cell, as of the latest term.
fn newest(statuses: &[NodeStatus], cell: &CellStatus) -> CellStatus {
    let told = statuses.iter().flat_map(|status| &status.cells);
    let told = told.filter(|told| told.cell == cell.cell);
    let newest = told.max_by_key(|told| (told.term, told.leader != 0, told.applied));
    newest.unwrap_or(cell).clone()
}

fn active_drain(drain: &Drain) -> ActiveDrain {
    ActiveDrain {
        scope: match drain.scope() {
            DrainScope::Node => "node",
            DrainScope::Zone => "zone",
            DrainScope::Region => "region",
            DrainScope::Pop => "pop",
            DrainScope::Unspecified => "?",
        },
        name: drain.name.clone(),
        since_ms: drain.since_ms,
        for_s: (drain.since_ms > 0).then(|| now_ms().saturating_sub(drain.since_ms) / 1_000),
        permille_per_s: drain.permille_per_s,
    }
}

fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn by_place<'a>(nodes: &'a [Node], role: &str) -> BTreeMap<&'a str, Vec<&'a Node>> {
    let mut places = BTreeMap::<&str, Vec<&Node>>::new();
    for node in nodes.iter().filter(|node| node.role == role) {
        places.entry(&node.place).or_default().push(node);
    }
    places
}

fn is_up(node: &&&Node) -> bool {
    !matches!(node.state, State::Away | State::CutOff)
}

/// A place serves as long as one of its nodes does.
fn state_of(nodes: &[&Node]) -> State {
    let any = |state| nodes.iter().any(|node| node.state == state);
    let order = [
        State::Serving,
        State::Draining,
        State::Drained,
        State::Silent,
        State::CutOff,
    ];
    order.into_iter().find(|s| any(*s)).unwrap_or(State::Away)
}

fn regions(nodes: &[Node]) -> Vec<Region> {
    let places = by_place(nodes, "core").into_iter();
    let regions = places.map(|(name, nodes)| Region {
        name: name.to_owned(),
        cores_up: nodes.iter().filter(is_up).count() as u64,
        cores: nodes.len() as u64,
        leaders: nodes.iter().map(|node| node.leaders).sum(),
        state: state_of(&nodes),
    });
    regions.collect()
}

fn pops(nodes: &[Node]) -> Vec<Pop> {
    let places = by_place(nodes, "edge").into_iter();
    let pops = places.map(|(name, nodes)| Pop {
        name: name.to_owned(),
        edges_up: nodes.iter().filter(is_up).count() as u64,
        edges: nodes.len() as u64,
        sessions: nodes.iter().filter_map(|node| node.sessions).sum(),
        silent: nodes
            .iter()
            .filter(|n| n.sessions.is_none())
            .filter(is_up)
            .count() as u64,
        state: state_of(&nodes),
    });
    pops.collect()
}
