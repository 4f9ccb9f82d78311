//! A world: hosts, what runs on them, and the loop that takes one event after
//! another, in virtual time, on one thread.

mod drains;
mod faults;
mod founding;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use causeway_protocol::backbone::{Cell, Drain};
use causeway_protocol::{CellId, NodeId};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::atlas;
use crate::client::Client;
use crate::clock::{Clock, Time};
use crate::core::{Core, Disks};
use crate::edge::Edge;
use crate::io::{Io, Output};
use crate::ledger::Ledger;
use crate::links::{Links, Running};
use crate::message::{Connection, Host, Link, LinkChange, Message};
use crate::network::Network;
use crate::oracle::{Oracle, quiet};
use crate::plan::{Fault, HEAL_AT_MS, Plan};
use crate::planted::Planted;
use crate::trace::Trace;

const TICK: Duration = Duration::from_millis(50);
const LINKS_EVERY: Duration = Duration::from_millis(100);
/// After healing, people talk on for a while.
const TALK_ON: Duration = Duration::from_secs(2);
const LOOK_FOR_QUIET_EVERY: Duration = Duration::from_millis(250);
/// What is quiet must stay so for this long.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// By then everything must be well again.
pub const QUIET_WITHIN: Duration = Duration::from_secs(60);

pub enum Process {
    /// Off; what it left on its disk.
    Off(Disks),
    Core(Box<Core>),
    Edge(Box<Edge>),
    Client(Box<Client>),
}

pub struct Machine {
    node: NodeId,
    life: u32,
    clock: Clock,
    pub process: Process,
    /// Never comes back.
    gone: bool,
    stalled_until: Time,
}

enum Event {
    Arrive {
        from: NodeId,
        to: Host,
        /// Unless whatever listens there will do.
        node: Option<NodeId>,
        message: Message,
    },
    Tick(Host, u32),
    Synced(Host, u32, CellId, u64),
    LinkChanged(Host, u32, LinkChange),
    Closed(Host, u32, Connection),
    CheckLinks,
    Fault(Fault),
    /// The operator sees to a drain, until it is in force or undone.
    Operate(Drain, Option<Duration>),
    /// What is drained must be empty by now, if it is yet.
    CheckEmpty(Drain),
    Back(Host),
    Leave(Host, u32, Duration),
    Mend(u64),
    LossEnds,
    Heal,
    LookForQuiet,
}

struct Scheduled {
    at: Time,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub struct World {
    now: Time,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    rng: SmallRng,
    network: Network,
    links: Links,
    machines: Vec<Machine>,
    /// The cells as they were founded.
    cells: Vec<Cell>,
    hosts: BTreeMap<NodeId, Host>,
    pub oracle: Oracle,
    pub ledger: Ledger,
    pub trace: Trace,
    planted: Option<Planted>,
    calm: bool,
    healed_at: Option<Time>,
    quiet_since: Option<Time>,
    done: bool,
}

impl World {
    pub fn new(seed: u64, planted: Option<Planted>, with_text: bool) -> Self {
        let plan = Plan::from_seed(seed);
        let mut world = Self {
            now: Time::default(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            rng: SmallRng::seed_from_u64(seed),
            network: Network::new(plan.weather),
            links: Links::default(),
            machines: Vec::new(),
            cells: Vec::new(),
            hosts: BTreeMap::new(),
            oracle: Oracle::default(),
            ledger: Ledger::default(),
            trace: Trace::with_text(with_text),
            planted,
            calm: plan.calm,
            healed_at: None,
            quiet_since: None,
            done: false,
        };
        world.found();
        for (at, fault) in plan.faults {
            world.at(at, Event::Fault(fault));
        }
        world.at(Time::default(), Event::CheckLinks);
        world.at(Time::from_millis(HEAL_AT_MS), Event::Heal);
        world
    }

    /// Runs to the end: until all is quiet, an invariant is broken, or the time
    /// for quiet is over.
    pub fn run(&mut self) {
        while !self.done && self.oracle.violation().is_none() {
            let Some(Reverse(next)) = self.queue.pop() else {
                return;
            };
            self.now = next.at;
            self.ledger.events += 1;
            self.handle(next.event);
        }
    }

    pub fn now(&self) -> Time {
        self.now
    }

    pub fn core(&self, host: Host) -> Option<&Core> {
        match &self.machines[host.0].process {
            Process::Core(core) => Some(core),
            _ => None,
        }
    }

    pub fn edge(&self, host: Host) -> Option<&Edge> {
        match &self.machines[host.0].process {
            Process::Edge(edge) => Some(edge),
            _ => None,
        }
    }

    pub fn client(&self, host: Host) -> Option<&Client> {
        match &self.machines[host.0].process {
            Process::Client(client) => Some(client),
            _ => None,
        }
    }

    /// Nodes that run.
    pub fn running_nodes(&self) -> Vec<NodeId> {
        let nodes = atlas::nodes().filter_map(|host| self.running(host));
        nodes.map(|(node, _)| node).collect()
    }

    /// Where a node runs, or ran.
    pub fn host_of(&self, node: NodeId) -> Option<Host> {
        self.hosts.get(&node).copied()
    }

    pub fn instant(&self, host: Host) -> Instant {
        self.machines[host.0].clock.instant(self.now)
    }

    fn start(&mut self, host: Host) {
        let machine = &mut self.machines[host.0];
        if machine.gone || !matches!(machine.process, Process::Off(_)) {
            return;
        }
        machine.life += 1;
        if !atlas::is_core(host) {
            // An edge has no disk to keep an id on.
            machine.node = NodeId(founding::first_node(host).0 + u64::from(machine.life) * 1_000);
        }
        let (node, life) = (machine.node, machine.life);
        self.hosts.insert(node, host);
        self.step(host, |process, io| {
            let Process::Off(disks) = std::mem::replace(process, Process::Off(Disks::default()))
            else {
                return;
            };
            *process = match host.0 {
                h if h < atlas::CORES => Process::Core(Box::new(Core::start(node, disks, io))),
                h if h < atlas::CORES + atlas::EDGES => {
                    Process::Edge(Box::new(Edge::start(node, io)))
                }
                _ => Process::Client(Box::new(Client::start(io))),
            };
        });
        let phase = Duration::from_micros(self.rng.random_range(0..50_000));
        self.after(phase, Event::Tick(host, life));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive {
                from,
                to,
                node,
                message,
            } => self.arrive(from, to, node, message),
            Event::Tick(host, life) => self.tick(host, life),
            Event::Synced(host, life, cell, operation) if self.lives(host, life) => {
                self.step(host, |process, io| {
                    if let Process::Core(core) = process {
                        core.on_synced(cell, operation, io);
                    }
                });
            }
            Event::LinkChanged(host, life, change) if self.lives(host, life) => {
                self.step(host, |process, io| match process {
                    Process::Core(core) => core.on_link(change, io),
                    Process::Edge(edge) => edge.on_link(change, io),
                    _ => {}
                });
            }
            Event::Closed(host, life, connection) if self.lives(host, life) => {
                self.step(host, |process, io| match process {
                    Process::Edge(edge) => edge.on_closed(connection, io),
                    Process::Client(client) => client.on_closed(connection, io),
                    _ => {}
                });
            }
            Event::Synced(..) | Event::LinkChanged(..) | Event::Closed(..) => {}
            Event::CheckLinks => self.check_links(),
            Event::Fault(fault) => self.strike(fault),
            Event::Operate(drain, open_after) => self.operate(drain, open_after),
            Event::CheckEmpty(drain) => self.check_empty(&drain),
            Event::Back(host) => self.start(host),
            Event::Leave(host, life, away) if self.lives(host, life) => self.leave(host, away),
            Event::Leave(..) => {}
            Event::Mend(cut) => self.network.mend(cut),
            Event::LossEnds => self.network.lose(None),
            Event::Heal => self.heal(),
            Event::LookForQuiet => self.look_for_quiet(),
        }
    }

    fn arrive(&mut self, from: NodeId, to: Host, node: Option<NodeId>, message: Message) {
        let machine = &self.machines[to.0];
        let off = matches!(machine.process, Process::Off(_));
        let closed = message
            .connection()
            .is_some_and(|c| !self.links.has_client(c));
        if off || closed || node.is_some_and(|node| node != machine.node) {
            return;
        }
        let (key, kind) = message.kind();
        let key = from.0 << 8 | u64::from(key);
        self.trace.note(self.now, to, key, |line| {
            line.push_str(&format!("{kind} from {}", from.0));
        });
        self.step(to, |process, io| match process {
            Process::Core(core) => core.on_message(from, message, io),
            Process::Edge(edge) => edge.on_message(from, message, io),
            Process::Client(client) => client.on_message(from, message, io),
            Process::Off(_) => {}
        });
    }

    fn tick(&mut self, host: Host, life: u32) {
        if !self.lives(host, life) {
            return;
        }
        let talks = self.healed_at.is_none_or(|at| self.now - at < TALK_ON);
        self.step(host, |process, io| match process {
            Process::Core(core) => core.tick(io),
            Process::Edge(edge) => edge.tick(io),
            Process::Client(client) => client.tick(talks, io),
            Process::Off(_) => {}
        });
        self.after(TICK, Event::Tick(host, life));
    }

    /// Runs one step of what is on a host, and does what it asks for.
    fn step(&mut self, host: Host, run: impl FnOnce(&mut Process, &mut Io<'_>)) {
        let machine = &mut self.machines[host.0];
        let mut io = Io {
            now: self.now,
            host,
            clock: machine.clock,
            rng: &mut self.rng,
            oracle: &mut self.oracle,
            ledger: &mut self.ledger,
            trace: &mut self.trace,
            planted: self.planted,
            outputs: Vec::new(),
        };
        run(&mut machine.process, &mut io);
        let outputs = io.outputs;
        for output in outputs {
            self.carry_out(host, output);
        }
    }

    fn carry_out(&mut self, host: Host, output: Output) {
        match output {
            Output::Send(node, message) => {
                if let Some(to) = self.hosts.get(&node).copied() {
                    self.send(host, to, Some(node), message);
                }
            }
            Output::SendTo(to, message) => self.send(host, to, None, message),
            Output::Sync(cell, operation) => {
                let machine = &self.machines[host.0];
                let stalled = machine.stalled_until - self.now;
                let life = machine.life;
                let sync = Duration::from_micros(self.rng.random_range(200..3_000));
                self.after(stalled + sync, Event::Synced(host, life, cell, operation));
            }
            Output::Close(connection) => {
                if let Some(ends) = self.links.close_client(connection) {
                    self.tell_closed(connection, ends);
                }
            }
        }
    }

    fn send(&mut self, from: Host, to: Host, node: Option<NodeId>, message: Message) {
        if let Message::Accepted(connection) = message {
            let lives = (self.running(to), self.running(from));
            self.links.open_client(connection, (to, from), lives);
        }
        let (rng, ledger) = (&mut self.rng, &mut self.ledger);
        let arrivals = self.network.arrivals(from, to, &message, rng, ledger);
        let from = self.machines[from.0].node;
        for delay in arrivals {
            let event = Event::Arrive {
                from,
                to,
                node,
                message: message.clone(),
            };
            self.after(delay, event);
        }
    }

    fn check_links(&mut self) {
        let machines = &self.machines;
        let running = |host: Host| running(&machines[host.0]);
        let is_cut = |from, to| self.network.is_cut(from, to);
        let changes = self.links.check_nodes(self.now, running, is_cut);
        let closed = self.links.check_clients(self.now, running, is_cut);
        for change in changes {
            let ((a, b), (node_a, node_b)) = (change.hosts, change.nodes);
            let link = match change.up {
                true => Link::Up,
                false => Link::Silent,
            };
            for (host, peer, of) in [(a, node_b, b), (b, node_a, a)] {
                self.tell_link(
                    host,
                    LinkChange {
                        peer,
                        host: of,
                        link,
                    },
                );
            }
        }
        for (connection, ends) in closed {
            self.tell_closed(connection, ends);
        }
        self.count_leaderless();
        self.after(LINKS_EVERY, Event::CheckLinks);
    }

    fn count_leaderless(&mut self) {
        let leads = |host: Host, cell| {
            let replica = self.core(host).and_then(|core| core.replica(cell));
            replica.is_some_and(|replica| replica.is_ready(self.instant(host)))
        };
        let cells = (0..=atlas::CELLS).map(CellId);
        let leaderless = cells.filter(|cell| !atlas::cores().any(|host| leads(host, *cell)));
        let leaderless = leaderless.count() as u64;
        let step_ms = u64::try_from(LINKS_EVERY.as_millis()).expect("a short time");
        self.ledger.ms_of_cells_without_a_leader += leaderless * step_ms;
    }

    fn tell_link(&mut self, host: Host, change: LinkChange) {
        let life = self.machines[host.0].life;
        // Less than until the next change: an end learns of all in their order.
        let delay = Duration::from_micros(self.rng.random_range(0..90_000));
        self.after(delay, Event::LinkChanged(host, life, change));
    }

    fn tell_closed(&mut self, connection: Connection, (client, edge): (Host, Host)) {
        for host in [client, edge] {
            let life = self.machines[host.0].life;
            let delay = Duration::from_micros(self.rng.random_range(0..100_000));
            self.after(delay, Event::Closed(host, life, connection));
        }
    }

    fn look_for_quiet(&mut self) {
        let why_not = quiet::why_not(self);
        let healed_at = self.healed_at.unwrap_or(self.now);
        match why_not {
            None => {
                let since = *self.quiet_since.get_or_insert(self.now);
                if self.now - since >= QUIET_FOR {
                    quiet::check_logs(self);
                    self.done = true;
                }
            }
            Some(reason) => {
                self.quiet_since = None;
                if self.now - healed_at >= QUIET_WITHIN {
                    self.oracle.violated(reason.invariant, reason.detail);
                }
            }
        }
        self.after(LOOK_FOR_QUIET_EVERY, Event::LookForQuiet);
    }

    fn running(&self, host: Host) -> Running {
        running(&self.machines[host.0])
    }

    fn lives(&self, host: Host, life: u32) -> bool {
        self.running(host).is_some_and(|(_, now)| now == life)
    }

    fn after(&mut self, time: Duration, event: Event) {
        self.at(self.now + time, event);
    }

    fn at(&mut self, at: Time, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled {
            at,
            number: self.scheduled,
            event,
        }));
    }
}

fn running(machine: &Machine) -> Running {
    match machine.process {
        Process::Off(_) => None,
        _ => Some((machine.node, machine.life)),
    }
}
