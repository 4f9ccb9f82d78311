//! The way of calls to cells: the product's search for leaders and its order of
//! replicas, around calls that may be lost.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_gossip::search::{LeaderSearch, Next, TRY_TIMEOUT, reaches_quorum};
use causeway_gossip::{Patience, Routes};
use causeway_protocol::backbone::LeaderHint;
use causeway_protocol::{CellId, ErrorCode, NodeId};

use crate::io::Io;
use crate::message::{Answer, Body, Call, CallId, Host, Link, LinkChange, Message};

enum Way {
    Leader(LeaderSearch),
    /// The replicas that are left to ask, and until when.
    Nearest(VecDeque<NodeId>, Instant),
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    Due,
    Paused(Instant),
    Trying(NodeId, CallId, Instant),
}

struct Task<P> {
    cell: CellId,
    call: Rc<Call>,
    way: Way,
    standing: Standing,
    purpose: P,
}

/// What a cell answered, or why nothing came of it.
pub type Outcome = Result<Body, ErrorCode>;

/// One node's calls; `P` is what each is for.
pub struct Caller<P> {
    me: NodeId,
    routes: Arc<Routes>,
    changes: u64,
    /// Nodes with a connection, and where they are.
    connected: BTreeMap<NodeId, Host>,
    tasks: BTreeMap<u64, Task<P>>,
    next_task: u64,
    next_call: u64,
}

impl<P> Caller<P> {
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            routes: Arc::default(),
            changes: 0,
            connected: BTreeMap::new(),
            tasks: BTreeMap::new(),
            next_task: 0,
            next_call: 0,
        }
    }

    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// How often the routes have changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Changes the routes; `change` tells whether it did.
    pub fn update(&mut self, change: impl FnOnce(&mut Routes) -> bool) {
        self.changes += u64::from(change(Arc::make_mut(&mut self.routes)));
    }

    pub fn hint(&mut self, hints: &[LeaderHint]) {
        self.update(|routes| {
            let news = hints.iter().map(|hint| routes.apply_hint(hint));
            news.fold(false, |any, news| any | news)
        });
    }

    pub fn link(&mut self, change: LinkChange) {
        match change.link {
            Link::Up => self.connected.insert(change.peer, change.host),
            Link::Silent | Link::Stopped => self.connected.remove(&change.peer),
        };
    }

    pub fn connected(&self) -> impl Iterator<Item = NodeId> {
        self.connected.keys().copied()
    }

    pub fn is_connected(&self, node: NodeId) -> bool {
        node == self.me || self.connected.contains_key(&node)
    }

    /// The round trip as this node measures it.
    pub fn round_trip(&self, node: NodeId, here: Host) -> Option<Duration> {
        let host = self.connected.get(&node)?;
        Some(crate::atlas::delay(here, *host) * 2)
    }

    pub fn call_id(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    /// Asks the leader of a cell, wherever it is.
    pub fn ask_leader(
        &mut self,
        cell: CellId,
        call: Call,
        patience: Patience,
        purpose: P,
        io: &Io<'_>,
    ) {
        let search = LeaderSearch::new(cell, &self.routes, patience, io.instant());
        self.add(cell, call, Way::Leader(search), purpose);
    }

    /// Asks the nearest replica that answers.
    pub fn ask_nearest(
        &mut self,
        cell: CellId,
        call: Call,
        budget: Duration,
        purpose: P,
        io: &Io<'_>,
    ) {
        let nodes = match self.routes.cell(cell) {
            Some(route) => route.by_distance(|node| match node == self.me {
                true => Some(Duration::ZERO),
                false => self.round_trip(node, io.host),
            }),
            None => Vec::new(),
        };
        let way = Way::Nearest(nodes.into(), io.instant() + budget);
        self.add(cell, call, way, purpose);
    }

    fn add(&mut self, cell: CellId, call: Call, way: Way, purpose: P) {
        self.next_task += 1;
        let task = Task {
            cell,
            call: Rc::new(call),
            way,
            standing: Standing::Due,
            purpose,
        };
        self.tasks.insert(self.next_task, task);
    }

    /// A cell's node has answered. Returns the end of a task, if this is it.
    pub fn answered(
        &mut self,
        id: CallId,
        answer: &Answer,
        io: &mut Io<'_>,
    ) -> Option<(P, Outcome)> {
        let Answer::Routed(result, hint) = answer else {
            return None;
        };
        if let Some(hint) = hint {
            self.hint(&[*hint]);
        }
        let is_this =
            |task: &Task<P>| matches!(task.standing, Standing::Trying(_, call, _) if call == id);
        let key = *self.tasks.iter().find(|(_, task)| is_this(task))?.0;
        let task = self.tasks.get_mut(&key)?;
        let (me, connected) = (self.me, &self.connected);
        let is_connected = |node: NodeId| node == me || connected.contains_key(&node);
        let reaches_quorum = reaches_quorum(&self.routes, task.cell, is_connected);
        let asks_on = match (&task.way, result) {
            (Way::Leader(_), Err(ErrorCode::NotLeader)) => {
                io.ledger.redirects += 1;
                true
            }
            (Way::Nearest(..), Err(ErrorCode::NotLeader | ErrorCode::Unavailable)) => true,
            (Way::Leader(_), Err(ErrorCode::Unavailable)) => reaches_quorum,
            _ => false,
        };
        if asks_on {
            if let (Way::Leader(search), Standing::Trying(node, ..), Err(ErrorCode::Unavailable)) =
                (&mut task.way, task.standing, result)
            {
                search.lost_quorum(node);
            }
            task.failed();
            return None;
        }
        let task = self.tasks.remove(&key)?;
        Some((task.purpose, result.clone()))
    }

    /// Goes on with every task. Returns those that have failed.
    pub fn poll(&mut self, io: &mut Io<'_>) -> Vec<(P, Outcome)> {
        let mut failed = Vec::new();
        let keys: Vec<u64> = self.tasks.keys().copied().collect();
        for key in keys {
            if !self.step(key, io)
                && let Some(task) = self.tasks.remove(&key)
            {
                failed.push((task.purpose, Err(ErrorCode::Unavailable)));
            }
        }
        failed
    }

    /// Goes on with a task; false when it is to be given up.
    fn step(&mut self, key: u64, io: &mut Io<'_>) -> bool {
        let Some(task) = self.tasks.get_mut(&key) else {
            return true;
        };
        let now = io.instant();
        match task.standing {
            Standing::Due => {}
            Standing::Paused(until) if now < until => return true,
            Standing::Paused(_) => {}
            Standing::Trying(node, _, until) => {
                let is_over = match &task.way {
                    Way::Leader(search) => search.is_over(
                        &self.routes,
                        |node| node == self.me || self.connected.contains_key(&node),
                        now,
                    ),
                    Way::Nearest(..) => false,
                };
                if is_over {
                    return false;
                }
                let outdated = match &task.way {
                    Way::Leader(search) => search.is_led_by_another(&self.routes, node),
                    Way::Nearest(..) => false,
                };
                if outdated {
                    io.ledger.calls_given_up_for_a_new_leader += 1;
                } else if now >= until {
                    task.failed();
                } else {
                    return true;
                }
            }
        }
        let (me, connected) = (self.me, &self.connected);
        let is_connected = |node: NodeId| node == me || connected.contains_key(&node);
        let (node, timeout) = match &mut task.way {
            Way::Leader(search) => match search.next(&self.routes, is_connected, now) {
                Next::Try(node, timeout) => (node, timeout),
                Next::Pause(pause) => {
                    task.standing = Standing::Paused(now + pause);
                    return true;
                }
                Next::GiveUp => return false,
            },
            Way::Nearest(nodes, deadline) => match nodes.pop_front() {
                Some(node) => (
                    node,
                    TRY_TIMEOUT.min(deadline.saturating_duration_since(now)),
                ),
                None => return false,
            },
        };
        self.next_call += 1;
        let id = CallId(self.next_call);
        task.standing = Standing::Trying(node, id, now + timeout);
        let cell = task.cell;
        io.note(id.0, |line| {
            line.push_str(&format!("asks {} for cell {cell}", node.0))
        });
        io.send(node, Message::Call(id, Rc::clone(&task.call)));
        true
    }
}

impl<P> Task<P> {
    fn failed(&mut self) {
        if let (Way::Leader(search), Standing::Trying(node, ..)) = (&mut self.way, self.standing) {
            search.failed(node);
        }
        self.standing = Standing::Due;
    }
}
