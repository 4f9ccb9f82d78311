//! Events at a channel server, and who is online: what edge nodes look at, and are told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::backbone::{EventRelay, Looked, PresenceChanges};
use causeway_protocol::{ApiError, Method, Topic, UserId, frame};
use causeway_transport::backbone::{Peer, Services};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls::Role;
use prost::Message;

use super::looks::Looks;
use super::{ChannelServer, read_topics, too_many_topics};

/// An event that has waited for the way to an edge node for so long is dropped.
const WAIT_MAX: Duration = Duration::from_secs(1);

impl ChannelServer {
    /// Serves edges.
    pub(super) fn register_events(&self, services: Services) -> Services {
        let (look, look_away, event) = (self.clone(), self.clone(), self.clone());
        services
            .call(Method::Look, &[Role::Edge], move |peer, body| {
                let server = look.clone();
                async move { server.look(&peer, body) }
            })
            .call(Method::LookAway, &[Role::Edge], move |peer, body| {
                let server = look_away.clone();
                async move { server.look_away(&peer, body) }
            })
            .one_way(Method::Event, &[Role::Edge], move |_, recv| {
                let server = event.clone();
                async move { server.relay_events(recv).await }
            })
    }

    /// How much edge nodes look at, and how many events were dropped.
    pub fn event_counts(&self) -> (usize, u64) {
        let looks = self.0.looks.lock();
        let dropped = looks.held_back() + self.0.events.dropped();
        (looks.len(), dropped)
    }

    fn look(&self, peer: &Peer, body: Bytes) -> Result<Bytes, ApiError> {
        let topics = read_topics(body)?;
        {
            let mut looks = self.0.looks.lock();
            for (_, topic) in &topics {
                if !looks.begin(peer.node, peer.connection, *topic) {
                    return Err(too_many_topics());
                }
            }
        }
        // After that: whoever comes or goes later is told of.
        let subscriptions = self.0.subscriptions.lock();
        let online = topics.into_iter().filter_map(|(_, topic)| match topic {
            Topic::User(user) => subscriptions.is_wanted(topic).then_some(user.0),
            Topic::Channel(_) | Topic::Workspace(_) => None,
        });
        let online = online.collect();
        Ok(Looked { online }.encode_to_vec().into())
    }

    fn look_away(&self, peer: &Peer, body: Bytes) -> Result<Bytes, ApiError> {
        let topics = read_topics(body)?;
        let mut looks = self.0.looks.lock();
        for (_, topic) in topics {
            looks.end(peer.node, topic);
        }
        Ok(Bytes::new())
    }

    /// Tells edge nodes who has come and gone.
    pub(super) fn tell_presence(&self) {
        let due = self.0.looks.lock().due();
        for (edge, users) in due {
            let subscriptions = self.0.subscriptions.lock();
            let is_online = |user: &UserId| subscriptions.is_wanted(Topic::User(*user));
            let (online, offline): (Vec<UserId>, Vec<UserId>) =
                users.into_iter().partition(is_online);
            let ids = |users: Vec<UserId>| users.into_iter().map(|user| user.0).collect();
            let changes = PresenceChanges {
                online: ids(online),
                offline: ids(offline),
            };
            // One lane, so that what comes later is right.
            self.0.presence.send(edge, 0, frame::encode(&changes));
        }
    }

    /// Events from an edge node, on to those that look.
    async fn relay_events(&self, mut recv: FrameReader) {
        while let Ok(Some(body)) = recv.next().await {
            let Ok(relay) = EventRelay::decode(body.clone()) else {
                return;
            };
            let Some(topic) = Topic::from_wire(relay.topic.as_ref()) else {
                return;
            };
            let good_for = Duration::from_millis(relay.good_for_ms.into());
            let (framed, now) = (frame::with_header(&body), Instant::now());
            let until = now + WAIT_MAX.min(good_for);
            let [.., low] = topic.key();
            for edge in self.0.looks.lock().pass(topic, now) {
                self.0.events.send_until(*edge, low, framed.clone(), until);
            }
        }
    }
}

/// Whoever looks at these users is to hear of them.
pub(super) fn came_or_went(looks: &mut Looks, topics: Vec<Topic>) {
    for topic in topics {
        if let Topic::User(user) = topic {
            looks.came_or_went(user);
        }
    }
}
