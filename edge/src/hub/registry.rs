//! Sessions as the hub reaches them: who there is, and what they are given.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{Seq, Topic, frame};
use tokio_util::sync::CancellationToken;

use super::Hubs;
use super::counting::{Count, Told};
use super::machine::SessionId;
use super::round::Delivery;
use crate::session::notice::{Notice, Notices};
use crate::session::queue::PushQueue;

/// Where the hub reaches a session.
#[derive(Debug)]
pub struct Subscriber {
    /// Pushes.
    pub queue: Arc<PushQueue>,
    /// Everything else. A session that lets it fill up is cut off.
    pub notices: Arc<Notices>,
    /// Cuts the session off.
    pub cut: CancellationToken,
}

impl Subscriber {
    /// Gives a topic's entries, and returns how many there was room for.
    fn give(&self, given: &Delivery) -> usize {
        match given.topic {
            Topic::User(_) => self.give_own(given),
            _ if given.people.is_empty() => self.queue.push(given.topic, &given.entries),
            _ => self.give_introduced(given),
        }
    }

    fn give_own(&self, given: &Delivery) -> usize {
        let taken = given.entries.iter().map(|entry| {
            let known = self.queue.version();
            let taken = self.queue.push(given.topic, std::slice::from_ref(entry));
            self.read_own(&entry.1, known);
            taken
        });
        taken.sum()
    }

    fn give_introduced(&self, given: &Delivery) -> usize {
        let taken = given.entries.iter().map(|entry| {
            if let Some(people) = given.people.get(&entry.0) {
                self.queue.introduce(given.topic, people);
            }
            self.queue.push(given.topic, std::slice::from_ref(entry))
        });
        taken.sum()
    }

    /// Gives facts.
    fn tell(&self, topic: Topic, frame: &Bytes, version: &Bytes) {
        let known = matches!(topic, Topic::User(_)).then(|| self.queue.version());
        self.queue.push_facts(frame.clone(), version);
        if let Some(known) = known {
            self.read_own(frame, known);
        }
    }

    /// A frame of the session's own topic is read by the session, too: channels come and
    /// go with it.
    fn read_own(&self, frame: &Bytes, known: Bytes) {
        let frame = frame.clone();
        let notice = Notice::UserFrame { frame, known };
        if self.notices.put(notice).is_err() {
            self.cut.cancel();
        }
    }
}

impl Hubs {
    /// Takes a session in.
    pub fn join(&self, session: SessionId, subscriber: Subscriber) {
        let subscriber = Arc::new(subscriber);
        let before = self.0.sessions.write().insert(session, subscriber);
        if before.is_none() && !session.is_client() {
            self.0.followers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes out a session that has no topics yet, or has left.
    pub fn forget(&self, session: SessionId) {
        let gone = self.0.sessions.write().remove(&session);
        if gone.is_some() && !session.is_client() {
            self.0.followers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many sessions of clients there are.
    pub fn sessions(&self) -> usize {
        let followers = self.0.followers.load(Ordering::Relaxed);
        self.0.sessions.read().len().saturating_sub(followers)
    }

    /// Every session of a client.
    pub fn ids(&self) -> Vec<SessionId> {
        let sessions = self.0.sessions.read();
        let ids = sessions.keys().copied();
        ids.filter(|session| session.is_client()).collect()
    }

    /// Where a session is reached, if it is still there.
    pub fn subscriber(&self, session: SessionId) -> Option<Arc<Subscriber>> {
        self.0.sessions.read().get(&session).cloned()
    }

    pub(super) fn notify(&self, session: SessionId, notice: Notice) {
        if let Some(subscriber) = self.subscriber(session)
            && subscriber.notices.put(notice).is_err()
        {
            subscriber.cut.cancel();
        }
    }

    /// Gives topics' entries to sessions.
    pub(super) fn deliver(&self, deliveries: &[Delivery]) {
        if deliveries.is_empty() {
            return;
        }
        let table = self.0.sessions.read();
        let (mut delivered, mut dropped) = (0, 0);
        for given in deliveries {
            for subscriber in (given.sessions.iter()).filter_map(|session| table.get(session)) {
                let taken = subscriber.give(given);
                delivered += taken as u64;
                dropped += (given.entries.len() - taken) as u64;
            }
        }
        let counters = &self.0.counters;
        counters.delivered.fetch_add(delivered, Ordering::Relaxed);
        counters.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Tells sessions how far a topic is; most of them the same.
    pub(super) fn tell_count(&self, topic: Topic, count: Count, told: Told) {
        let Topic::Channel(channel) = topic else {
            return;
        };
        let frame_of = |mentioned: Vec<Seq>| {
            let counter = client::Counter {
                channel: channel.0,
                last_seq: count.seq.0,
                messages: count.messages,
                mentioned: mentioned.into_iter().map(|seq| seq.0).collect(),
            };
            frame::encode(&client::ServerFrame {
                body: Some(server_frame::Body::Counters(client::Counters {
                    counters: vec![counter],
                })),
            })
        };
        let common = frame_of(Vec::new());
        let table = self.0.sessions.read();
        for (session, mentioned) in told {
            let Some(subscriber) = table.get(&session) else {
                continue;
            };
            let frame = match mentioned.is_empty() {
                true => common.clone(),
                false => frame_of(mentioned),
            };
            match subscriber.queue.offer(frame) {
                true => self.count(|c| &c.counts),
                // At least how far it is will be told.
                false => subscriber.queue.missed(topic, count.seq),
            }
        }
    }

    pub(super) fn give_facts(
        &self,
        sessions: &[SessionId],
        topic: Topic,
        frame: &Bytes,
        version: &Bytes,
    ) {
        let table = self.0.sessions.read();
        for subscriber in sessions.iter().filter_map(|session| table.get(session)) {
            subscriber.tell(topic, frame, version);
        }
    }
}
