//! Connections: between nodes, and from clients to edges. Their ends learn that
//! one is over when it has been silent for a while, as QUIC tells them.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_protocol::NodeId;

use crate::clock::Time;
use crate::message::{Connection, Host};

/// What runs on a host: the node, in which of its lives; nothing while it is off.
pub type Running = Option<(NodeId, u32)>;

/// A silent connection between nodes is over after this.
const NODE_IDLE: Duration = Duration::from_millis(600);
/// A silent connection of a client is over after this.
const CLIENT_IDLE: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    /// Who is connected, as long as they are.
    ends: Option<((NodeId, u32), (NodeId, u32))>,
    silent_since: Option<Time>,
}

struct Client {
    ends: (Host, Host),
    lives: (Running, Running),
    silent_since: Option<Time>,
}

/// A change of a connection between two nodes, for both.
pub struct PairChange {
    pub hosts: (Host, Host),
    pub nodes: (NodeId, NodeId),
    pub up: bool,
}

#[derive(Default)]
pub struct Links {
    pairs: BTreeMap<(Host, Host), Pair>,
    clients: BTreeMap<Connection, Client>,
}

impl Links {
    /// What has changed between nodes.
    pub fn check_nodes(
        &mut self,
        now: Time,
        running: impl Fn(Host) -> Running,
        is_cut: impl Fn(Host, Host) -> bool,
    ) -> Vec<PairChange> {
        let mut changes = Vec::new();
        let nodes: Vec<Host> = crate::atlas::nodes().collect();
        for (i, a) in nodes.iter().copied().enumerate() {
            for b in nodes[i + 1..].iter().copied() {
                let ends = running(a).zip(running(b));
                let open = ends.filter(|_| !is_cut(a, b) && !is_cut(b, a));
                let pair = self.pairs.entry((a, b)).or_default();
                changes.extend(pair.check((a, b), open, now));
            }
        }
        changes
    }

    /// A node takes leave: its connections are over at once. Returns who learns.
    pub fn close_all(&mut self, host: Host) -> Vec<(Host, NodeId)> {
        let mut learn = Vec::new();
        for ((a, b), pair) in &mut self.pairs {
            let Some(((node_a, _), (node_b, _))) = pair.ends else {
                continue;
            };
            if *a == host {
                learn.push((*b, node_a));
            } else if *b == host {
                learn.push((*a, node_b));
            } else {
                continue;
            }
            *pair = Pair::default();
        }
        learn
    }

    pub fn open_client(&mut self, id: Connection, ends: (Host, Host), lives: (Running, Running)) {
        let client = Client {
            ends,
            lives,
            silent_since: None,
        };
        self.clients.insert(id, client);
    }

    pub fn has_client(&self, id: Connection) -> bool {
        self.clients.contains_key(&id)
    }

    /// Ends a client's connection; its ends.
    pub fn close_client(&mut self, id: Connection) -> Option<(Host, Host)> {
        Some(self.clients.remove(&id)?.ends)
    }

    /// Clients' connections that are over, and their ends.
    pub fn check_clients(
        &mut self,
        now: Time,
        running: impl Fn(Host) -> Running,
        is_cut: impl Fn(Host, Host) -> bool,
    ) -> Vec<(Connection, (Host, Host))> {
        let mut over = Vec::new();
        for (id, client) in &mut self.clients {
            let (a, b) = client.ends;
            if (running(a), running(b)) == client.lives && !is_cut(a, b) && !is_cut(b, a) {
                client.silent_since = None;
            } else if now - *client.silent_since.get_or_insert(now) >= CLIENT_IDLE {
                over.push((*id, client.ends));
            }
        }
        for (id, _) in &over {
            self.clients.remove(id);
        }
        over
    }
}

impl Pair {
    fn check(
        &mut self,
        hosts: (Host, Host),
        open: Option<((NodeId, u32), (NodeId, u32))>,
        now: Time,
    ) -> Option<PairChange> {
        let change = |ends: ((NodeId, u32), (NodeId, u32)), up| PairChange {
            hosts,
            nodes: (ends.0.0, ends.1.0),
            up,
        };
        match self.ends {
            Some(ends) if open == Some(ends) => {
                self.silent_since = None;
                None
            }
            Some(ends) => {
                let since = *self.silent_since.get_or_insert(now);
                // A node that is back resets what it does not know.
                if now - since < NODE_IDLE && open.is_none() {
                    return None;
                }
                *self = Self::default();
                Some(change(ends, false))
            }
            None => {
                self.ends = open;
                open.map(|ends| change(ends, true))
            }
        }
    }
}
