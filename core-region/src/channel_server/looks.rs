//! What edge nodes look at: of which channels they are sent the events, and of which
//! users they are told that they come and go. A state machine over inputs and `now`.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use causeway_protocol::{NodeId, Topic, UserId};

use super::subscriptions::Subscriptions;

/// Events of one channel that are passed on within a second: nobody reads more.
const EVENTS_PER_S_MAX: u32 = 100;
/// Users that one edge node is told of at a time.
const TELL_MAX: usize = 2_000;

/// Events of a channel within the present second.
#[derive(Debug)]
struct Second {
    since: Instant,
    events: u32,
}

/// What is looked at, and what is yet to be told.
#[derive(Debug, Default)]
pub struct Looks {
    looks: Subscriptions,
    changed: HashMap<NodeId, BTreeSet<UserId>>,
    seconds: HashMap<Topic, Second>,
    held_back: u64,
}

impl Looks {
    /// An edge node looks at a topic, as it says on this connection of its. Returns
    /// false when it looks at too many.
    pub fn begin(&mut self, edge: NodeId, connection: u64, topic: Topic) -> bool {
        self.looks.add(edge, connection, topic)
    }

    /// An edge node looks away.
    pub fn end(&mut self, edge: NodeId, topic: Topic) {
        self.looks.remove(edge, topic);
        self.tidy(topic);
    }

    /// A connection of an edge node is gone.
    pub fn disconnected(&mut self, edge: NodeId, connection: u64) {
        for topic in self.looks.disconnected(edge, connection) {
            self.tidy(topic);
        }
    }

    /// Only edge nodes that are connected look at anything.
    pub fn keep(&mut self, is_connected: impl Fn(NodeId) -> bool) {
        for topic in self.looks.keep(is_connected) {
            self.tidy(topic);
        }
    }

    /// The edge nodes to which an event of a topic goes.
    pub fn pass(&mut self, topic: Topic, now: Instant) -> &[NodeId] {
        let edges = self.looks.edges(topic);
        if edges.is_empty() {
            return &[];
        }
        let second = self.seconds.entry(topic).or_insert(Second {
            since: now,
            events: 0,
        });
        if now.duration_since(second.since) >= Duration::from_secs(1) {
            *second = Second {
                since: now,
                events: 0,
            };
        }
        if second.events >= EVENTS_PER_S_MAX {
            self.held_back += 1;
            return &[];
        }
        second.events += 1;
        edges
    }

    /// A user has come or gone.
    pub fn came_or_went(&mut self, user: UserId) {
        for edge in self.looks.edges(Topic::User(user)) {
            self.changed.entry(*edge).or_default().insert(user);
        }
    }

    /// Whom to tell of which users, who may have come or gone since the last time. Of
    /// more than that, each is told later.
    pub fn due(&mut self) -> Vec<(NodeId, Vec<UserId>)> {
        let mut due = Vec::with_capacity(self.changed.len());
        for (edge, users) in &mut self.changed {
            let mut told = Vec::with_capacity(users.len().min(TELL_MAX));
            while told.len() < TELL_MAX
                && let Some(user) = users.pop_first()
            {
                told.push(user);
            }
            due.push((*edge, told));
        }
        self.changed.retain(|_, users| !users.is_empty());
        due
    }

    /// Events that did not go on, as there were too many of their channel.
    pub fn held_back(&self) -> u64 {
        self.held_back
    }

    /// How much is looked at.
    pub fn len(&self) -> usize {
        self.looks.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.looks.is_empty()
    }

    fn tidy(&mut self, topic: Topic) {
        if self.looks.edges(topic).is_empty() {
            self.seconds.remove(&topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{ChannelId, WorkspaceId};

    use super::*;

    const NEAR: NodeId = NodeId(1);
    const FAR: NodeId = NodeId(2);
    const CHANNEL: Topic = Topic::Channel(ChannelId(5));

    fn user(n: u32) -> UserId {
        UserId::new(WorkspaceId(1), n)
    }

    #[test]
    fn events_go_to_those_who_look_and_not_too_many() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        assert_eq!(looks.pass(CHANNEL, now), []);
        looks.begin(NEAR, 1, CHANNEL);
        looks.begin(FAR, 1, CHANNEL);
        assert_eq!(looks.pass(CHANNEL, now), [NEAR, FAR]);
        looks.end(FAR, CHANNEL);
        for _ in 1..EVENTS_PER_S_MAX {
            assert_eq!(looks.pass(CHANNEL, now), [NEAR]);
        }
        assert_eq!(looks.pass(CHANNEL, now), []);
        assert_eq!(looks.held_back(), 1);
        let next = now + Duration::from_secs(1);
        assert_eq!(looks.pass(CHANNEL, next), [NEAR]);
        looks.disconnected(NEAR, 1);
        assert_eq!(looks.pass(CHANNEL, next), []);
        assert!(looks.is_empty() && looks.seconds.is_empty());
    }

    #[test]
    fn only_those_who_look_at_a_user_are_told_and_once_of_much_to_and_fro() {
        let mut looks = Looks::default();
        looks.begin(NEAR, 1, Topic::User(user(1)));
        looks.begin(FAR, 1, Topic::User(user(2)));
        for _ in 0..5 {
            looks.came_or_went(user(1));
            looks.came_or_went(user(3));
        }
        assert_eq!(looks.due(), [(NEAR, vec![user(1)])]);
        assert_eq!(looks.due(), []);
    }

    #[test]
    fn a_storm_is_told_in_pieces() {
        let mut looks = Looks::default();
        let count = u32::try_from(TELL_MAX).unwrap() + 10;
        for n in 0..count {
            looks.begin(NEAR, 1, Topic::User(user(n)));
            looks.came_or_went(user(n));
        }
        let pieces = [looks.due(), looks.due(), looks.due()];
        let sizes = pieces.map(|due| due.first().map(|(_, users)| users.len()));
        assert_eq!(sizes, [Some(TELL_MAX), Some(10), None]);
    }
}
