//! Whether all is well again: every cell led at home and placed by the rules,
//! everybody of one mind about who is where, every client up to date.

use std::collections::BTreeSet;

use causeway_core_region::surplus::is_surplus;
use causeway_edge::hub::machine::Placement;
use causeway_protocol::backbone::Cell;
use causeway_protocol::{CellId, NodeId, Topic};

use super::Violation;
use crate::atlas;
use crate::core::Core;
use crate::edge::Edge;
use crate::message::Host;
use crate::raft::Replica;
use crate::world::World;

pub const MEMBERS: &str = "after healing everyone knows who is there";
pub const DIRECTORY: &str = "after healing every node has the same directory";
pub const PLACED: &str = "after healing every cell has the replicas that it should";
pub const RELEASED: &str = "after healing no node goes on with a replica of others";
pub const LED_AT_HOME: &str = "after healing every cell is led at home";
pub const EMPTY: &str = "what is drained gets empty";
pub const EQUAL: &str = "after healing all replicas of a cell are equal";
pub const ROUTED: &str = "after healing every router knows the leaders";
pub const SERVED: &str = "after healing all agree on a topic's channel server";
pub const UP_TO_DATE: &str = "after healing every client has everything";

type Found = Result<(), Violation>;

fn wrong<T>(invariant: &'static str, detail: String) -> Result<T, Violation> {
    Err(Violation { invariant, detail })
}

/// The first thing that is not well; `None` when all is.
pub fn why_not(world: &World) -> Option<Violation> {
    let checks = [
        members,
        directory,
        cells,
        empty,
        routes,
        channel_servers,
        clients,
    ];
    checks.iter().find_map(|check| check(world).err())
}

/// At the end: what was promised and shown is what the logs have.
pub fn check_logs(world: &mut World) {
    for cell in 1..=atlas::CELLS {
        let Ok((_, leader)) = leader(world, CellId(cell)) else {
            continue;
        };
        let state = leader.state().clone();
        world.oracle.check_promises(CellId(cell), &state);
        world.oracle.deliveries.check_log(&state, cell);
    }
}

fn cores(world: &World) -> impl Iterator<Item = (Host, &Core)> {
    atlas::cores().filter_map(|host| Some((host, world.core(host)?)))
}

fn any_core(world: &World) -> Result<&Core, Violation> {
    match cores(world).next() {
        Some((_, core)) => Ok(core),
        None => wrong(MEMBERS, "no core node runs".into()),
    }
}

fn members(world: &World) -> Found {
    let running: BTreeSet<NodeId> = world.running_nodes().into_iter().collect();
    let gossips = cores(world).map(|(host, core)| (host, core.gossip()));
    let edges = atlas::edges().filter_map(|host| Some((host, world.edge(host)?.gossip())));
    for (host, gossip) in gossips.chain(edges) {
        let known: BTreeSet<NodeId> = gossip.membership().iter().map(|m| m.node).collect();
        if known != running {
            return wrong(MEMBERS, format!("host {} knows {known:?}", host.0));
        }
    }
    Ok(())
}

fn directory(world: &World) -> Found {
    let book = any_core(world)?.book();
    for (host, core) in cores(world) {
        if core.book() != book {
            let versions = (core.book().version(), book.version());
            return wrong(DIRECTORY, format!("host {}: {versions:?}", host.0));
        }
    }
    for host in atlas::edges() {
        let version = world
            .edge(host)
            .map(|edge| edge.caller().routes().version());
        if version != Some(book.version()) {
            return wrong(DIRECTORY, format!("edge {}: {version:?}", host.0));
        }
    }
    Ok(())
}

fn cells(world: &World) -> Found {
    let records: Vec<&Cell> = any_core(world)?.book().cells().collect();
    if records.len() != atlas::CELLS as usize + 1 {
        return wrong(DIRECTORY, format!("{} cells are known", records.len()));
    }
    for record in records {
        placed(world, record)?;
        led_at_home(world, record)?;
        equal(world, record)?;
        released(world, record)?;
    }
    Ok(())
}

/// One voter in each region, on nodes that run, as the group itself has it.
fn placed(world: &World, record: &Cell) -> Found {
    let cell = record.id;
    let regions: BTreeSet<&str> = record.replicas.iter().map(|r| r.region.as_str()).collect();
    if record.replicas.len() != 3 || regions != atlas::REGIONS.into() {
        return wrong(PLACED, format!("cell {cell}: {:?}", record.replicas));
    }
    let running = world.running_nodes();
    let away = |r: &&causeway_protocol::backbone::Replica| !running.contains(&NodeId(r.node_id));
    if let Some(away) = record.replicas.iter().find(away) {
        return wrong(
            PLACED,
            format!("cell {cell} is on {}, which is away", away.node_id),
        );
    }
    let (_, leader) = leader(world, CellId(cell))?;
    let wanted: BTreeSet<NodeId> = record.replicas.iter().map(|r| NodeId(r.node_id)).collect();
    let members = leader.members();
    if members.voters != [wanted] || !members.learners.is_empty() {
        return wrong(PLACED, format!("cell {cell} has the members {members:?}"));
    }
    Ok(())
}

/// The one replica that leads and is ready.
fn leader(world: &World, cell: CellId) -> Result<(NodeId, &Replica), Violation> {
    let replicas = cores(world).filter_map(|(host, core)| {
        let replica = core.replica(cell)?;
        let ready = replica.is_ready(world.instant(host));
        ready.then_some((core.node(), replica))
    });
    let leaders: Vec<_> = replicas.collect();
    match leaders[..] {
        [leader] => Ok(leader),
        _ => wrong(
            LED_AT_HOME,
            format!("cell {cell} has {} leaders", leaders.len()),
        ),
    }
}

/// At home, unless that is drained.
fn led_at_home(world: &World, record: &Cell) -> Found {
    let (node, _) = leader(world, CellId(record.id))?;
    let mut open = record
        .replicas
        .iter()
        .filter(|r| !is_drained(world, r.node_id));
    let home_is_open = open.any(|r| r.region == record.home_region);
    let at = record.replicas.iter().find(|r| r.node_id == node.0);
    let at_home = at.map(|replica| &replica.region) == Some(&record.home_region);
    match at_home || !home_is_open {
        true => Ok(()),
        false => wrong(LED_AT_HOME, format!("cell {} is led by {node}", record.id)),
    }
}

/// What is drained leads nothing and has no clients, where others can.
pub fn empty(world: &World) -> Found {
    for record in any_core(world)?.book().cells() {
        let (node, _) = leader(world, CellId(record.id))?;
        let open = record
            .replicas
            .iter()
            .any(|r| !is_drained(world, r.node_id));
        if open && is_drained(world, node.0) {
            let text = format!("cell {} is led by {node}, which is drained", record.id);
            return wrong(EMPTY, text);
        }
    }
    let edges = || atlas::edges().filter_map(|host| Some((host, world.edge(host)?)));
    let drained = |edge: &Edge| is_drained(world, edge.node().0);
    if edges().all(|(_, edge)| drained(edge)) {
        return Ok(());
    }
    match edges().find(|(_, edge)| drained(edge) && edge.sessions() > 0) {
        Some((host, edge)) => {
            let text = format!("edge {} has {} sessions", host.0, edge.sessions());
            wrong(EMPTY, text)
        }
        None => Ok(()),
    }
}

/// A node that runs, by what the directory says.
fn is_drained(world: &World, node: u64) -> bool {
    let host = world.host_of(NodeId(node));
    let member = host.map(|host| atlas::member(host, NodeId(node), 0));
    let book = any_core(world).map(Core::book);
    let drain = |member| {
        book.ok()
            .and_then(|book| book.drains().of(&member).cloned())
    };
    member.and_then(drain).is_some()
}

fn equal(world: &World, record: &Cell) -> Found {
    let cell = CellId(record.id);
    let (_, leader) = leader(world, cell)?;
    for (host, core) in cores(world) {
        let holds = record.replicas.iter().any(|r| r.node_id == core.node().0);
        let Some(replica) = core.replica(cell) else {
            if holds {
                return wrong(EQUAL, format!("host {} has no cell {cell}", host.0));
            }
            continue;
        };
        if !holds {
            continue;
        }
        let applied = replica.applied().0;
        if applied != leader.last_index() {
            let last = leader.last_index();
            return wrong(
                EQUAL,
                format!("cell {cell}, host {}: {applied} of {last}", host.0),
            );
        }
        if !replica.state().topics().eq(leader.state().topics()) {
            return wrong(EQUAL, format!("cell {cell}, host {}", host.0));
        }
    }
    Ok(())
}

/// A replica of a later term than the leader's cannot be told by it; the next
/// election ends that.
fn released(world: &World, record: &Cell) -> Found {
    let cell = CellId(record.id);
    let (_, leader) = leader(world, cell)?;
    let term = |host, replica: &Replica| replica.leadership(world.instant(host)).term;
    for (host, core) in cores(world) {
        let replica = core
            .replica(cell)
            .filter(|_| is_surplus(record, core.node()));
        if replica.is_some_and(|replica| term(host, replica) <= term(host, leader)) {
            return wrong(RELEASED, format!("host {} has cell {cell}", host.0));
        }
    }
    Ok(())
}

fn routes(world: &World) -> Found {
    let of_cores = cores(world).map(|(host, core)| (host, core.caller().routes()));
    let of_edges =
        atlas::edges().filter_map(|host| Some((host, world.edge(host)?.caller().routes())));
    for (host, routes) in of_cores.chain(of_edges) {
        for cell in (0..=atlas::CELLS).map(CellId) {
            let (node, _) = leader(world, cell)?;
            let known = routes.cell(cell).and_then(|route| route.leader);
            if known.map(|leader| leader.node) != Some(node) {
                let text = format!("host {}: cell {cell} led by {known:?}, not {node}", host.0);
                return wrong(ROUTED, text);
            }
        }
    }
    Ok(())
}

fn channel_servers(world: &World) -> Found {
    for host in atlas::edges() {
        let Some(edge) = world.edge(host) else {
            continue;
        };
        for (cell, topic) in edge.topics() {
            served(world, host, edge, cell, topic)?;
        }
    }
    Ok(())
}

/// The edge is subscribed at the node to which the leader's node publishes.
fn served(
    world: &World,
    host: Host,
    edge: &crate::edge::Edge,
    cell: CellId,
    topic: Topic,
) -> Found {
    let (leader, _) = leader(world, cell)?;
    let publisher = cores(world).find(|(_, core)| core.node() == leader);
    let owner = publisher.and_then(|(_, core)| core.server().owner(topic));
    let wanted = edge.places().server(cell, topic).map(|server| server.node);
    if wanted != owner {
        let text = format!("{topic}: edge {} says {wanted:?}, leader {owner:?}", host.0);
        return wrong(SERVED, text);
    }
    let region = publisher.map(|(host, _)| atlas::site(host));
    let mut others = cores(world).filter(|(host, _)| Some(atlas::site(*host)) == region);
    if let Some((other, _)) = others.find(|(_, core)| core.server().owner(topic) != owner) {
        return wrong(SERVED, format!("{topic}: host {} disagrees", other.0));
    }
    let server = cores(world).find(|(_, core)| Some(core.node()) == owner);
    match server.is_some_and(|(_, core)| core.server().has(edge.node(), topic)) {
        true => Ok(()),
        false => wrong(
            SERVED,
            format!("{topic}: edge {} is not subscribed", host.0),
        ),
    }
}

fn clients(world: &World) -> Found {
    for host in atlas::clients() {
        let Some(client) = world.client(host) else {
            continue;
        };
        if !client.is_settled() {
            return wrong(UP_TO_DATE, format!("client {} is not settled", host.0));
        }
        let user = client.user();
        let (_, leader) = leader(world, CellId(user.workspace().0))?;
        let state = leader.state();
        for topic in topics_of(user, state) {
            let seen = world
                .oracle
                .deliveries
                .of(host)
                .find(|(of, _)| *of == topic);
            let head = state.head(topic).0;
            if seen.map(|(_, seq)| seq) != Some(head) {
                let text = format!("client {}, {topic}: {seen:?} of {head}", host.0);
                return wrong(UP_TO_DATE, text);
            }
        }
    }
    Ok(())
}

fn topics_of(
    user: causeway_protocol::UserId,
    state: &crate::state::State,
) -> impl Iterator<Item = Topic> {
    let workspace = user.workspace();
    let channels = atlas::channels(workspace).filter(move |c| state.is_member(*c, user));
    let own = [Topic::User(user), Topic::Workspace(workspace)];
    channels.map(Topic::Channel).chain(own)
}
