//! Who sees everything: each step tells it what was done, and it checks what
//! must hold, then and at the end.

pub mod deliveries;
pub mod quiet;

use std::collections::BTreeMap;
use std::rc::Rc;

use causeway_client::Outgoing;
use causeway_protocol::client::{Sent, entry::Kind};
use causeway_protocol::{CellId, ChannelId, NodeId, Position, Topic, UserId};

use self::deliveries::Deliveries;
use crate::message::Host;
use crate::raft::message::Entry;
use crate::state::State;

/// What must hold, named by the sentence that was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

pub const ONE_LEADER: &str = "at most one leader in a term";
pub const ONE_LOG: &str = "all replicas apply the same log";
pub const COMMITTED_STAYS: &str = "what is committed is never replaced";
pub const FRESH: &str = "a leader answers as fresh only what is the latest";
pub const ACKNOWLEDGED: &str = "an acknowledged message is in the log exactly once";
pub const NO_ERRORS: &str = "when nothing is wrong but a drain, no client notices";
pub const READS: &str = "reads with a cursor never go back";

/// A message that its sender was told is posted.
struct Promise {
    channel: ChannelId,
    seq: u64,
}

#[derive(Default)]
pub struct Oracle {
    /// Nothing is wrong but a drain.
    pub expects_no_errors: bool,
    violation: Option<Violation>,
    leaders: BTreeMap<(CellId, u64), NodeId>,
    last_leader: BTreeMap<CellId, NodeId>,
    logs: BTreeMap<CellId, Vec<Rc<Entry>>>,
    answered: BTreeMap<CellId, u64>,
    promises: BTreeMap<(UserId, Vec<u8>), Promise>,
    pub deliveries: Deliveries,
}

impl Oracle {
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref().or(self.deliveries.violation())
    }

    pub fn violated(&mut self, invariant: &'static str, detail: String) {
        self.violation
            .get_or_insert(Violation { invariant, detail });
    }

    /// Returns whether leadership went from one node to another.
    pub fn elected(&mut self, cell: CellId, term: u64, node: NodeId) -> bool {
        let known = *self.leaders.entry((cell, term)).or_insert(node);
        if known != node {
            self.two_leaders(cell, term, known, node);
        }
        let before = self.last_leader.insert(cell, node);
        before.is_some_and(|before| before != node)
    }

    pub fn two_leaders(&mut self, cell: CellId, term: u64, one: NodeId, other: NodeId) {
        let detail = format!("cell {cell}, term {term}: {one} and {other}");
        self.violated(ONE_LEADER, detail);
    }

    pub fn committed_is_replaced(&mut self, cell: CellId, node: NodeId, index: u64) {
        let detail = format!("cell {cell}: {node} replaces entry {index}");
        self.violated(COMMITTED_STAYS, detail);
    }

    pub fn applied(&mut self, cell: CellId, index: u64, entry: &Rc<Entry>) {
        let log = self.logs.entry(cell).or_default();
        let slot = usize::try_from(index - 1).expect("a short log");
        match log.get(slot) {
            None if slot == log.len() => log.push(Rc::clone(entry)),
            // The entries that found a group are equal, and not the same.
            Some(known) if Rc::ptr_eq(known, entry) || entry.term == 0 => {}
            _ => self.violated(ONE_LOG, format!("cell {cell}, entry {index}")),
        }
    }

    /// A client noticed that something is wrong.
    pub fn client_noticed(&mut self, host: Host, what: &str) {
        if self.expects_no_errors {
            self.violated(NO_ERRORS, format!("client {}: {what}", host.0));
        }
    }

    /// A leader has answered a command.
    pub fn answered(&mut self, cell: CellId, position: Position) {
        let answered = self.answered.entry(cell).or_default();
        *answered = (*answered).max(position.0);
    }

    /// A leader says that `latest` holds all that was answered so far.
    pub fn answers_as_fresh(&mut self, cell: CellId, node: NodeId, latest: u64) {
        let answered = self.answered.get(&cell).copied().unwrap_or(0);
        if latest < answered {
            let detail = format!("cell {cell}: {node} knows {latest} of {answered}");
            self.violated(FRESH, detail);
        }
    }

    pub fn acknowledged(&mut self, user: UserId, message: &Outgoing, sent: &Sent) {
        let key = (user, message.client_msg_id.to_vec());
        let promise = self.promises.entry(key).or_insert(Promise {
            channel: message.channel,
            seq: sent.seq,
        });
        if promise.seq != sent.seq {
            let detail = format!("`{}`: {} and {}", message.text, promise.seq, sent.seq);
            self.violated(ACKNOWLEDGED, detail);
        }
    }

    pub fn read_back(
        &mut self,
        user: UserId,
        channel: ChannelId,
        known: u64,
        read: u64,
        position: u64,
    ) {
        if read < known {
            let detail = format!("{user}, {channel}: {read} at {position}, but knew {known}");
            self.violated(READS, detail);
        }
    }

    /// At the end: every promise was kept, by this cell.
    pub fn check_promises(&mut self, cell: CellId, state: &State) {
        let mut found = BTreeMap::<(UserId, Vec<u8>), Vec<(Topic, u64)>>::new();
        for (topic, log) in state.topics() {
            for entry in log {
                if let Some(Kind::Posted(message)) = &entry.kind {
                    let key = (UserId(message.user), message.client_msg_id.to_vec());
                    found.entry(key).or_default().push((topic, entry.seq));
                }
            }
        }
        let mut wrong = Vec::new();
        for ((user, id), promise) in &self.promises {
            if user.workspace() != crate::atlas::workspace(cell.0) {
                continue;
            }
            let places = found
                .get(&(*user, id.clone()))
                .map_or(&[][..], Vec::as_slice);
            if places != [(Topic::Channel(promise.channel), promise.seq)] {
                wrong.push(format!("{user} was told {}, but: {places:?}", promise.seq));
            }
        }
        if let Some(twice) = found.iter().find(|(_, places)| places.len() > 1) {
            wrong.push(format!("posted twice: {twice:?}"));
        }
        if let Some(first) = wrong.into_iter().next() {
            self.violated(ACKNOWLEDGED, first);
        }
    }
}
