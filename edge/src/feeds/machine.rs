//! One workspace's feed of metadata: where to subscribe, what to pass on, when to ask
//! anew. A state machine over inputs and `now`; it does no IO.
//!
//! What is passed on is in the order of the replica. Nothing is left out without
//! being told: after a hole, or when another replica is nearer, the next
//! subscription brings the difference.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::NodeId;
use causeway_protocol::backbone::{MetadataFacts, MetadataPublish, MetadataSubscribed};

/// A subscription that has no answer by then is asked for again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Between tries while no replica can be had.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// A subscription is renewed this often: what got lost without a trace is noticed by
/// then.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A replica that did not answer, or refused, is passed over for this long, if there is
/// another.
const PASSED_OVER: Duration = Duration::from_secs(30);
/// What is published before the subscription is answered waits, within this bound.
const EARLY_MAX: usize = 256;

/// What the feed wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Subscribe at a replica.
    Subscribe {
        /// Which.
        server: NodeId,
        /// The number of the subscription.
        id: u64,
        /// What clients have been told of.
        version: Bytes,
    },
    /// End the subscription at a replica.
    Unsubscribe(NodeId),
    /// Pass facts on; whoever has them all has this version.
    Deliver {
        /// By topic.
        facts: Vec<MetadataFacts>,
        /// The shard's.
        version: Bytes,
    },
    /// More has changed than can be told: clients ask for themselves.
    TooMuch {
        /// The shard's.
        version: Bytes,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Try at this time.
    Wanted(Instant),
    /// Asked for, no answer yet.
    Asked(NodeId, Instant),
    /// Answered; renew at this time.
    Live(NodeId, Instant),
}

/// The feed.
#[derive(Debug)]
pub struct Feed {
    state: State,
    /// Of the last subscription that was asked for.
    id: u64,
    /// Of the last publish that was taken in.
    seq: u64,
    early: BTreeMap<u64, MetadataPublish>,
    version: Bytes,
    /// Until when replicas are passed over.
    refused: BTreeMap<NodeId, Instant>,
}

impl Feed {
    /// Nothing is subscribed to yet.
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Wanted(now),
            id: 0,
            seq: 0,
            early: BTreeMap::new(),
            version: Bytes::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Which of `replicas`, the nearest first, to subscribe at.
    pub fn choose(&self, replicas: &[NodeId], now: Instant) -> Option<NodeId> {
        let is_open = |node: &&NodeId| self.refused.get(node).is_none_or(|until| *until <= now);
        let open = replicas.iter().find(is_open);
        open.or(replicas.first()).copied()
    }

    /// Does what is due; `nearest` is the replica to ask.
    pub fn tick(&mut self, nearest: Option<NodeId>, now: Instant) -> Vec<Action> {
        let due = match self.state {
            State::Wanted(at) | State::Live(_, at) => at,
            State::Asked(_, since) => since + ANSWER_WITHIN,
        };
        if now < due {
            return Vec::new();
        }
        let Some(server) = nearest else {
            self.state = State::Wanted(now + RETRY_EVERY);
            return Vec::new();
        };
        let mut actions = Vec::new();
        if let Some(present) = self.server().filter(|present| *present != server) {
            actions.push(Action::Unsubscribe(present));
        }
        self.id += 1;
        self.seq = 0;
        self.early.clear();
        self.state = State::Asked(server, now);
        actions.push(Action::Subscribe {
            server,
            id: self.id,
            version: self.version.clone(),
        });
        actions
    }

    /// When something is due.
    pub fn deadline(&self) -> Instant {
        match self.state {
            State::Wanted(at) | State::Live(_, at) => at,
            State::Asked(_, since) => since + ANSWER_WITHIN,
        }
    }

    /// The replica has answered the subscription.
    pub fn subscribed(&mut self, id: u64, answer: MetadataSubscribed, now: Instant) -> Vec<Action> {
        let State::Asked(server, _) = self.state else {
            return Vec::new();
        };
        if id != self.id {
            return Vec::new();
        }
        self.state = State::Live(server, now + RENEW_EVERY);
        let mut actions = Vec::new();
        let version = answer.version;
        if answer.too_much {
            actions.push(Action::TooMuch {
                version: version.clone(),
            });
        } else if !answer.facts.is_empty() || self.version != version {
            actions.push(Action::Deliver {
                facts: answer.facts,
                version: version.clone(),
            });
        }
        self.version = version;
        actions.extend(self.advance(now));
        actions
    }

    /// The replica did not answer, or refuses.
    pub fn failed(&mut self, id: u64, now: Instant) {
        if let State::Asked(server, _) = self.state
            && id == self.id
        {
            self.refused.retain(|_, until| *until > now);
            self.refused.insert(server, now + PASSED_OVER);
            self.state = State::Wanted(now + RETRY_EVERY);
        }
    }

    /// Something has been published.
    pub fn published(&mut self, publish: MetadataPublish, now: Instant) -> Vec<Action> {
        if publish.subscription != self.id || publish.seq <= self.seq {
            return Vec::new();
        }
        if self.early.len() >= EARLY_MAX {
            self.state = State::Wanted(now);
            return Vec::new();
        }
        self.early.insert(publish.seq, publish);
        match self.state {
            State::Live(..) => self.advance(now),
            _ => Vec::new(),
        }
    }

    /// The connection to a node is gone, or has been made anew.
    pub fn server_lost(&mut self, node: NodeId, now: Instant) {
        if self.server() == Some(node) {
            self.state = State::Wanted(now);
        }
    }

    /// Another replica is nearer now, or this one is near again.
    pub fn moves_to(&mut self, nearest: Option<NodeId>, now: Instant) {
        if nearest.is_some() && nearest != self.server() && matches!(self.state, State::Live(..)) {
            self.state = State::Live(self.server().unwrap_or_default(), now);
        }
    }

    /// Where the subscription is, for whoever gives the feed up.
    pub fn server(&self) -> Option<NodeId> {
        match self.state {
            State::Wanted(_) => None,
            State::Asked(server, _) | State::Live(server, _) => Some(server),
        }
    }

    /// The replica that tells, once it has answered.
    pub fn live_at(&self) -> Option<NodeId> {
        match self.state {
            State::Live(server, _) => Some(server),
            State::Wanted(_) | State::Asked(..) => None,
        }
    }

    fn advance(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(publish) = self.early.remove(&(self.seq + 1)) {
            self.seq = publish.seq;
            self.version = publish.version.clone();
            actions.push(Action::Deliver {
                facts: publish.facts,
                version: publish.version,
            });
        }
        if !self.early.is_empty() {
            // They come in order: what is missing will not come.
            self.state = State::Wanted(now);
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: NodeId = NodeId(1);
    const FAR: NodeId = NodeId(2);

    fn version(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[n])
    }

    fn facts(n: u8) -> Vec<MetadataFacts> {
        vec![MetadataFacts {
            topic: None,
            push: version(n),
        }]
    }

    fn publish(subscription: u64, seq: u64, n: u8) -> MetadataPublish {
        MetadataPublish {
            workspace: 1,
            subscription,
            seq,
            version: version(n),
            facts: facts(n),
        }
    }

    fn deliver(n: u8) -> Action {
        Action::Deliver {
            facts: facts(n),
            version: version(n),
        }
    }

    fn answer(n: u8) -> MetadataSubscribed {
        MetadataSubscribed {
            version: version(n),
            ..MetadataSubscribed::default()
        }
    }

    /// A feed that is live at [`NEAR`], with version 5.
    fn live(now: Instant) -> Feed {
        let mut feed = Feed::new(now);
        let subscribe = Action::Subscribe {
            server: NEAR,
            id: 1,
            version: Bytes::new(),
        };
        assert_eq!(feed.tick(Some(NEAR), now), [subscribe]);
        let began = Action::Deliver {
            facts: Vec::new(),
            version: version(5),
        };
        assert_eq!(feed.subscribed(1, answer(5), now), [began]);
        feed
    }

    #[test]
    fn what_is_published_is_passed_on_in_order() {
        let now = Instant::now();
        let mut feed = live(now);
        assert_eq!(feed.published(publish(1, 1, 6), now), [deliver(6)]);
        assert_eq!(feed.published(publish(1, 1, 6), now), [], "twice");
        assert_eq!(feed.published(publish(0, 2, 7), now), [], "of another");
        assert_eq!(feed.published(publish(1, 2, 7), now), [deliver(7)]);
    }

    #[test]
    fn what_comes_before_the_answer_waits_for_it() {
        let now = Instant::now();
        let mut feed = Feed::new(now);
        feed.tick(Some(NEAR), now);
        assert_eq!(feed.published(publish(1, 1, 6), now), []);
        let actions = feed.subscribed(1, answer(5), now);
        assert_eq!(actions.last(), Some(&deliver(6)));
    }

    #[test]
    fn after_a_hole_the_difference_is_asked_for() {
        let now = Instant::now();
        let mut feed = live(now);
        feed.published(publish(1, 1, 6), now);
        assert_eq!(feed.published(publish(1, 3, 8), now), []);
        let again = Action::Subscribe {
            server: NEAR,
            id: 2,
            version: version(6),
        };
        assert_eq!(feed.tick(Some(NEAR), now), [again]);
        let difference = MetadataSubscribed {
            facts: facts(8),
            ..answer(8)
        };
        assert_eq!(feed.subscribed(2, difference, now), [deliver(8)]);
        let too_much = MetadataSubscribed {
            too_much: true,
            ..answer(9)
        };
        feed.server_lost(NEAR, now);
        feed.tick(Some(NEAR), now);
        let version = version(9);
        assert_eq!(
            feed.subscribed(3, too_much, now),
            [Action::TooMuch { version }]
        );
    }

    #[test]
    fn a_replica_that_is_gone_is_replaced_and_a_nearer_one_preferred() {
        let now = Instant::now();
        let mut feed = live(now);
        assert_eq!(feed.tick(Some(NEAR), now), []);
        feed.server_lost(NEAR, now);
        let at = |server, id| Action::Subscribe {
            server,
            id,
            version: version(5),
        };
        assert_eq!(feed.tick(Some(FAR), now), [at(FAR, 2)]);
        feed.subscribed(2, answer(5), now);
        feed.moves_to(Some(NEAR), now);
        let moves = [Action::Unsubscribe(FAR), at(NEAR, 3)];
        assert_eq!(feed.tick(Some(NEAR), now), moves);
        feed.failed(3, now);
        assert_eq!(feed.tick(Some(NEAR), now), []);
        let later = now + RETRY_EVERY;
        assert_eq!(feed.tick(Some(NEAR), later), [at(NEAR, 4)]);
        // An answer that does not come is given up.
        assert_eq!(feed.tick(Some(NEAR), later), []);
        assert_eq!(feed.deadline(), later + ANSWER_WITHIN);
        let given_up = feed.tick(Some(NEAR), later + ANSWER_WITHIN);
        assert_eq!(given_up, [at(NEAR, 5)]);
    }

    #[test]
    fn a_replica_that_refuses_is_passed_over_while_there_is_another() {
        let now = Instant::now();
        let mut feed = Feed::new(now);
        let both = [NEAR, FAR];
        assert_eq!(feed.choose(&both, now), Some(NEAR));
        feed.tick(Some(NEAR), now);
        feed.failed(1, now);
        assert_eq!(feed.choose(&both, now), Some(FAR));
        assert_eq!(feed.choose(&[NEAR], now), Some(NEAR));
        assert_eq!(feed.choose(&both, now + PASSED_OVER), Some(NEAR));
    }

    #[test]
    fn a_subscription_is_renewed_without_a_word_if_nothing_was_lost() {
        let now = Instant::now();
        let mut feed = live(now);
        let later = now + RENEW_EVERY;
        assert_eq!(feed.tick(Some(NEAR), later).len(), 1);
        assert_eq!(feed.subscribed(2, answer(5), later), []);
    }
}
