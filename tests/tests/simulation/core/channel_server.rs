//! A core node as channel server: the product's ring and subscriptions, around
//! frames that may be lost.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use causeway_core_region::channel_server::subscriptions::Subscriptions;
use causeway_core_region::consensus::TopicEntry;
use causeway_gossip::{Membership, Patience, Ring, Routes};
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{CellId, Name, NodeId, Position, Seq, Topic, frame};

use super::Core;
use crate::caller::Outcome;
use crate::io::Io;
use crate::message::{Answer, Body, Call, CallId, Message, Publish};

/// Here, word that a connection is gone never comes after the next one's first frame.
const CONNECTION: u64 = 1;
/// A leader says by then where its topics end.
const HEADS_PATIENCE: Patience = Patience::whatever_happens(Duration::from_secs(1));

/// An edge that waits for the heads of its topics.
pub struct Subscriber {
    edge: NodeId,
    call: CallId,
    topics: usize,
}

#[derive(Default)]
pub struct ChannelServer {
    ring: Ring,
    subscriptions: Subscriptions,
}

impl ChannelServer {
    pub fn follow(&mut self, routes: &Routes, membership: &Membership, region: &Name) {
        self.ring = routes.rings(membership).remove(region).unwrap_or_default();
    }

    pub fn owner(&self, topic: Topic) -> Option<NodeId> {
        self.ring.owner(&topic.key())
    }

    pub fn has(&self, edge: NodeId, topic: Topic) -> bool {
        self.subscriptions.edges(topic).contains(&edge)
    }

    pub fn remove_edge(&mut self, edge: NodeId) {
        self.subscriptions.disconnected(edge, CONNECTION);
    }

    pub fn unsubscribe(&mut self, edge: NodeId, topics: &[(CellId, Topic)]) {
        for (_, topic) in topics {
            self.subscriptions.remove(edge, *topic);
        }
    }

    pub fn fan_out(&self, publish: &Publish, io: &mut Io<'_>) {
        for edge in self.subscriptions.edges(publish.topic) {
            io.send(*edge, Message::Publish(publish.clone()));
        }
    }
}

impl Core {
    /// Entries that this node has applied as leader, on to the channel servers.
    pub(super) fn publish(&self, position: Position, entries: Vec<TopicEntry>, io: &mut Io<'_>) {
        for TopicEntry { topic, entry } in entries {
            let publish = Publish {
                topic,
                seq: Seq(entry.seq),
                frame: push_frame(topic, position, entry),
            };
            match self.server.owner(topic) {
                Some(owner) if owner != self.me => io.send(owner, Message::Publish(publish)),
                _ => self.server.fan_out(&publish, io),
            }
        }
    }

    /// Subscribes, then asks where the topics end; all of one cell.
    pub(super) fn subscribe(
        &mut self,
        edge: NodeId,
        call: CallId,
        topics: &[(CellId, Topic)],
        io: &mut Io<'_>,
    ) {
        for (_, topic) in topics {
            self.server.subscriptions.add(edge, CONNECTION, *topic);
        }
        let Some((cell, _)) = topics.first() else {
            return;
        };
        let wanted: Vec<Topic> = topics.iter().map(|(_, topic)| *topic).collect();
        let subscriber = Subscriber {
            edge,
            call,
            topics: wanted.len(),
        };
        match self.heads_here(*cell, &wanted, io) {
            Some(heads) => self.answer_subscriber(subscriber, Ok(Body::Heads(heads)), io),
            None => {
                let ask = Call::Heads(*cell, wanted);
                self.caller
                    .ask_leader(*cell, ask, HEADS_PATIENCE, subscriber, io);
            }
        }
    }

    pub(super) fn heads_here(
        &self,
        cell: CellId,
        topics: &[Topic],
        io: &Io<'_>,
    ) -> Option<Vec<Seq>> {
        let replica = self.replicas.get(&cell)?;
        let heads = topics.iter().map(|topic| replica.state().head(*topic));
        replica.is_ready(io.instant()).then(|| heads.collect())
    }

    pub(super) fn answer_subscriber(&self, to: Subscriber, outcome: Outcome, io: &mut Io<'_>) {
        let heads = match outcome {
            Ok(Body::Heads(heads)) => heads.into_iter().map(Some).collect(),
            _ => vec![None; to.topics],
        };
        io.send(
            to.edge,
            Message::Answer(to.call, Rc::new(Answer::Heads(heads))),
        );
    }
}

/// The frame that every client of the topic receives.
pub fn push_frame(topic: Topic, position: Position, entry: client::Entry) -> Bytes {
    frame::encode(&client::ServerFrame {
        body: Some(server_frame::Body::Push(client::Push {
            topic: Some(topic.to_wire()),
            position: position.0,
            entry: Some(entry),
        })),
    })
}
