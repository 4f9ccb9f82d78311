//! A core node: thin shells around the product's decisions, and the modelled
//! Raft below them.

mod api;
mod cells;
mod channel_server;
mod keeper;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use causeway_core_region::directory::{Absence, Book};
use causeway_core_region::homecoming::{Pace, Presence};
use causeway_protocol::{CellId, Epoch, Name, NodeId};

use self::api::{Poll, Question};
use self::cells::Campaigning;
pub use self::channel_server::push_frame;
use self::channel_server::{ChannelServer, Subscriber};
use crate::atlas;
use crate::caller::Caller;
use crate::follower::Follower;
use crate::io::Io;
use crate::membership::Gossip;
use crate::message::{Answer, Link, LinkChange, Message};
use crate::raft::{Remains, Replica};

/// What of a node lasts: its replicas.
#[derive(Debug, Clone, Default)]
pub struct Disks {
    pub replicas: BTreeMap<CellId, Remains>,
    /// Of cells that went to other nodes: when their leaders said so.
    released: BTreeMap<CellId, Epoch>,
}

pub struct Core {
    me: NodeId,
    region: Name,
    gossip: Gossip,
    caller: Caller<Subscriber>,
    follower: Follower,
    book: Book,
    replicas: BTreeMap<CellId, Replica>,
    /// Of cells that the directory has given to other nodes.
    idle: BTreeMap<CellId, Remains>,
    released: BTreeMap<CellId, Epoch>,
    /// Who led a cell when this node last looked: term, leader, ready.
    known: BTreeMap<CellId, (u64, Option<NodeId>, bool)>,
    campaigns: Vec<Campaigning>,
    /// Replicas that have just started, and when they ask for an election.
    starting: Vec<(CellId, Instant)>,
    present: Presence,
    pace: Pace,
    absence: Absence,
    server: ChannelServer,
    questions: Vec<Question>,
    polls: Vec<Poll>,
    look_at: Option<Instant>,
    announce_at: Option<Instant>,
}

/// Between looks at homecoming, members and placement.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between announcements of leaders.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);

impl Core {
    /// Starts from what its disk holds.
    pub fn start(me: NodeId, disks: Disks, io: &mut Io<'_>) -> Self {
        let mut core = Self {
            me,
            region: atlas::region(io.host),
            gossip: Gossip::start(me, io),
            caller: Caller::new(me),
            follower: Follower::default(),
            book: Book::default(),
            replicas: BTreeMap::new(),
            idle: disks.replicas,
            released: disks.released,
            known: BTreeMap::new(),
            campaigns: Vec::new(),
            starting: Vec::new(),
            present: Presence::default(),
            pace: Pace::default(),
            absence: Absence::default(),
            server: ChannelServer::default(),
            questions: Vec::new(),
            polls: Vec::new(),
            look_at: None,
            announce_at: None,
        };
        core.start_directory(io);
        core.follow_ring();
        core
    }

    /// Pulls the plug. Returns what lasts, and how many entries do not.
    pub fn crash(self) -> (Disks, u64) {
        let mut replicas = self.idle;
        let mut lost = 0;
        for (cell, replica) in self.replicas {
            let (remains, entries) = replica.crash();
            replicas.insert(cell, remains);
            lost += entries;
        }
        let released = self.released;
        (Disks { replicas, released }, lost)
    }

    pub fn node(&self) -> NodeId {
        self.me
    }

    pub fn book(&self) -> &Book {
        &self.book
    }

    pub fn caller(&self) -> &Caller<Subscriber> {
        &self.caller
    }

    pub fn gossip(&self) -> &Gossip {
        &self.gossip
    }

    pub fn replica(&self, cell: CellId) -> Option<&Replica> {
        self.replicas.get(&cell)
    }

    pub fn server(&self) -> &ChannelServer {
        &self.server
    }

    pub fn on_message(&mut self, from: NodeId, message: Message, io: &mut Io<'_>) {
        match message {
            Message::Gossip(bytes) => {
                let changed = self.gossip.receive(&bytes, io);
                self.after_gossip(changed);
            }
            Message::Raft(cell, message) => {
                if let Some(replica) = self.replicas.get_mut(&cell) {
                    replica.on_message(from, &message, io);
                }
            }
            Message::Hints(hints) => {
                self.caller.hint(&hints);
            }
            Message::AskWord(cell) => self.give_word(from, cell, io),
            Message::Word(cell, word) => self.release(cell, word, io),
            Message::Publish(publish) => self.server.fan_out(&publish, io),
            Message::Call(id, call) => self.on_call(from, id, &call, io),
            Message::Answer(id, answer) => self.on_answer(id, &answer, io),
            _ => {}
        }
        self.go_on(io);
    }

    pub fn on_synced(&mut self, cell: CellId, operation: u64, io: &mut Io<'_>) {
        if let Some(replica) = self.replicas.get_mut(&cell) {
            replica.on_synced(operation, io);
        }
        self.go_on(io);
    }

    pub fn on_link(&mut self, change: LinkChange, io: &mut Io<'_>) {
        self.caller.link(change);
        let changed = self.gossip.link(change, io);
        self.after_gossip(changed);
        match change.link {
            Link::Up => self.announce_to(&[change.peer], io),
            Link::Silent | Link::Stopped => {
                self.server.remove_edge(change.peer);
                self.campaign_against(change.peer, io);
            }
        }
        self.go_on(io);
    }

    pub fn tick(&mut self, io: &mut Io<'_>) {
        let changed = self.gossip.tick(io);
        self.after_gossip(changed);
        for replica in self.replicas.values_mut() {
            replica.tick(io);
        }
        self.tick_campaigns(io);
        let now = io.instant();
        if self.look_at.is_none_or(|at| now >= at) {
            self.look_at = Some(now + LOOK_EVERY);
            self.look_home(io);
            self.ask_about_surplus(io);
            self.look_after_placement(io);
        }
        if self.announce_at.is_none_or(|at| now >= at) {
            self.announce_at = Some(now + ANNOUNCE_EVERY);
            self.announce(io);
        }
        let version = self.book.version();
        let members = self.gossip.membership();
        self.follower
            .poll(self.me, version, &mut self.caller, members, io);
        self.refuse_overdue(io);
        self.go_on(io);
    }

    /// The node is asked to stop: leaders hand over, then it says good-bye.
    pub fn prepare_to_stop(&mut self, io: &mut Io<'_>) {
        self.hand_over_all(io);
    }

    pub fn leave(&mut self, io: &mut Io<'_>) {
        self.gossip.leave(io);
    }

    fn after_gossip(&mut self, changed: bool) {
        if changed {
            self.follow_ring();
        }
    }

    fn follow_ring(&mut self) {
        let (routes, members) = (self.caller.routes(), self.gossip.membership());
        self.server.follow(routes, members, &self.region);
    }

    /// Does whatever a step has made possible.
    fn go_on(&mut self, io: &mut Io<'_>) {
        self.take_applied(io);
        self.follow_leadership(io);
        self.answer_questions(io);
        for (subscriber, outcome) in self.caller.poll(io) {
            self.answer_subscriber(subscriber, outcome, io);
        }
    }

    fn on_answer(&mut self, id: crate::message::CallId, answer: &Answer, io: &mut Io<'_>) {
        if let Answer::Directory(directory) = answer {
            if self.follower.answered(id) && self.book.apply(directory) {
                self.book_changed(io);
            }
        } else if let Some((subscriber, outcome)) = self.caller.answered(id, answer, io) {
            self.answer_subscriber(subscriber, outcome, io);
        }
    }

    fn start_directory(&mut self, io: &mut Io<'_>) {
        let cell = CellId::DIRECTORY;
        let remains = self.idle.remove(&cell);
        let remains = remains.expect("every core node has the directory's disk");
        self.replicas
            .insert(cell, Replica::start(cell, self.me, remains));
        self.copy_directory(io);
        self.asks_to_lead(cell, io);
    }
}
