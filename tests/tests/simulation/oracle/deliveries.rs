//! What each client was shown: every entry of its channels, once and in order.

use std::collections::BTreeMap;

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::{ChannelId, Topic, UserId};

use super::Violation;
use crate::message::Host;
use crate::state::State;

pub const ONCE_IN_ORDER: &str = "a client sees each entry of its topics once, in order";
pub const AS_IN_THE_LOG: &str = "what clients see is what the log has";

#[derive(Default)]
struct Shown {
    /// The last entry of each topic that the client is in.
    last: BTreeMap<Topic, u64>,
    /// The last entry ever shown, or passed by as older than the boot data, also
    /// of channels that it has left.
    ever: BTreeMap<Topic, u64>,
}

impl Shown {
    /// A topic that is new begins after `last`, or after what was shown of it
    /// before it was left.
    fn begin(&mut self, topic: Topic, last: u64) {
        let ever = self.ever.get(&topic).copied().unwrap_or(0);
        self.last.entry(topic).or_insert(last.max(ever));
    }

    fn end(&mut self, topic: Topic) {
        if let Some(last) = self.last.remove(&topic) {
            let ever = self.ever.entry(topic).or_default();
            *ever = last.max(*ever);
        }
    }
}

#[derive(Default)]
pub struct Deliveries {
    violation: Option<Violation>,
    clients: BTreeMap<Host, Shown>,
    shown: BTreeMap<(Topic, u64), u64>,
}

impl Deliveries {
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The client was told which channels it is in. New ones begin there.
    pub fn booted(&mut self, host: Host, user: UserId, boot: &client::BootData) {
        let channels = boot.channels.iter();
        let mut begin: BTreeMap<Topic, u64> = channels
            .map(|c| (Topic::Channel(ChannelId(c.id)), c.last_seq))
            .collect();
        begin.insert(Topic::User(user), boot.user_seq);
        begin.insert(Topic::Workspace(user.workspace()), boot.workspace_seq);
        let shown = self.clients.entry(host).or_default();
        let left: Vec<Topic> = shown.last.keys().copied().collect();
        for topic in left.into_iter().filter(|topic| !begin.contains_key(topic)) {
            shown.end(topic);
        }
        for (topic, seq) in begin {
            shown.begin(topic, seq);
        }
    }

    pub fn delivered(&mut self, host: Host, topic: Topic, entry: &client::Entry) {
        let shown = self.clients.entry(host).or_default();
        let last = shown.last.get(&topic).copied();
        let ever = shown.ever.entry(topic).or_default();
        if last.map(|last| last + 1) != Some(entry.seq) || *ever >= entry.seq {
            let detail = format!(
                "host {}, {topic}: {} after {last:?}, {ever}",
                host.0, entry.seq
            );
            self.violated(ONCE_IN_ORDER, detail);
            return;
        }
        *ever = entry.seq;
        shown.last.insert(topic, entry.seq);
        match &entry.kind {
            Some(Kind::ChannelJoined(channel)) => {
                let joined = Topic::Channel(ChannelId(channel.id));
                shown.begin(joined, channel.last_seq);
            }
            Some(Kind::ChannelLeft(channel)) => {
                shown.end(Topic::Channel(ChannelId(*channel)));
            }
            _ => {}
        }
        let known = *self.shown.entry((topic, entry.seq)).or_insert(entry.ts);
        if known != entry.ts {
            self.violated(AS_IN_THE_LOG, format!("{topic} {}", entry.seq));
        }
    }

    /// The topics that a client is in, and how far it is.
    pub fn of(&self, host: Host) -> impl Iterator<Item = (Topic, u64)> {
        let shown = self.clients.get(&host).into_iter();
        shown.flat_map(|shown| shown.last.iter().map(|(topic, seq)| (*topic, *seq)))
    }

    /// At the end: nothing was shown that this cell's log does not have.
    pub fn check_log(&mut self, state: &State, cell: u32) {
        let of_cell = |topic: &Topic| topic.workspace() == crate::atlas::workspace(cell);
        let wrong = self.shown.iter().find(|((topic, seq), ts)| {
            let index = usize::try_from(*seq - 1).expect("a short log");
            of_cell(topic) && state.log(*topic).get(index).map(|entry| entry.ts) != Some(**ts)
        });
        if let Some(((topic, seq), _)) = wrong {
            let detail = format!("{topic} {seq} was shown");
            self.violated(AS_IN_THE_LOG, detail);
        }
    }

    fn violated(&mut self, invariant: &'static str, detail: String) {
        self.violation
            .get_or_insert(Violation { invariant, detail });
    }
}
