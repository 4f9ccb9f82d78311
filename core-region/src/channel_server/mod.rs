//! Channel servers: a topic's entries come from the cell's leader to one node of
//! its region, chosen by consistent hashing, and from there as one copy to each
//! edge node with a subscriber. Events, which are not stored, come from edge nodes and go
//! to those that look; and since a user is online whose topic is subscribed to, whoever
//! looks at users hears of that, too.

mod events;
pub mod looks;
pub mod subscriptions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use causeway_gossip::{Gossip, Patience, Repeat, Ring, Router};
use causeway_protocol::backbone::{Head, Heads, Publish as PublishFrame, Subscribe, TopicRef};
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{
    ApiError, CellId, ErrorCode, Method, Name, NodeId, Position, Topic, frame,
};
use causeway_transport::backbone::{Backbone, Lanes, Peer, PeerEvent, Services};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls::Role;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use self::events::came_or_went;
use self::looks::Looks;
use self::subscriptions::Subscriptions;
use crate::cell::{Publish, topic_log};
use crate::cells::Cells;
use crate::consensus::TopicEntry;

/// A leader says by then where its topics end; otherwise the edge asks again.
const HEADS_PATIENCE: Patience = Patience::whatever_happens(Duration::from_secs(1));
/// Edge nodes are told this often who has come and gone.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Topics in one request.
const TOPICS_MAX: usize = 10_000;

/// The channel server of a core node; clones share it.
#[derive(Clone)]
pub struct ChannelServer(Arc<Inner>);

struct Inner {
    me: NodeId,
    region: Name,
    ring: ArcSwap<Ring>,
    subscriptions: Mutex<Subscriptions>,
    looks: Mutex<Looks>,
    lanes: Lanes,
    events: Lanes,
    presence: Lanes,
    router: Router,
    cells: Cells,
}

impl ChannelServer {
    /// For a node in `region`.
    pub fn new(region: Name, backbone: &Backbone, router: Router, cells: Cells) -> Self {
        Self(Arc::new(Inner {
            me: backbone.node(),
            region,
            ring: ArcSwap::default(),
            subscriptions: Mutex::default(),
            looks: Mutex::default(),
            lanes: Lanes::new(backbone.clone(), Method::Publish),
            events: Lanes::new(backbone.clone(), Method::Event),
            presence: Lanes::new(backbone.clone(), Method::Presence),
            router,
            cells,
        }))
    }

    /// Follows the membership of the region, what is drained of it, and the
    /// coming and going of edges.
    pub async fn run(self, gossip: Gossip, backbone: Backbone, stop: CancellationToken) {
        let mut membership = gossip.watch();
        let mut routes = self.0.router.routes().watch();
        let mut events = backbone.events();
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ring = {
                let (routes, members) =
                    (routes.borrow_and_update(), membership.borrow_and_update());
                routes.rings(&members).remove(&self.0.region)
            };
            self.0.ring.store(Arc::new(ring.unwrap_or_default()));
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = membership.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    changed = routes.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    _ = ticks.tick() => self.tell_presence(),
                    event = events.recv() => match event {
                        Ok(PeerEvent::Down { peer, .. }) => self.disconnected(&peer),
                        Ok(PeerEvent::Up(_)) => {}
                        Err(RecvError::Lagged(_)) => self.keep_connected(&backbone),
                        Err(RecvError::Closed) => return,
                    }
                }
            }
        }
    }

    /// Serves edges, and leaders of the region.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let (subscribe, unsubscribe, heads, publish) =
            (self.clone(), self.clone(), self.clone(), self.clone());
        let services = self.register_events(services);
        services
            .call(Method::Subscribe, &[Role::Edge], move |peer, body| {
                let server = subscribe.clone();
                async move { server.subscribe(peer, body).await }
            })
            .call(Method::Unsubscribe, &[Role::Edge], move |peer, body| {
                let server = unsubscribe.clone();
                async move { server.unsubscribe(&peer, body) }
            })
            .call(Method::Heads, &[Role::Core, Role::Edge], move |_, body| {
                let server = heads.clone();
                async move { server.heads_of_leader(body).await }
            })
            .one_way(Method::Publish, &[Role::Core], move |_, recv| {
                let server = publish.clone();
                async move { server.relay(recv).await }
            })
    }

    fn disconnected(&self, peer: &Peer) {
        let mut subscriptions = self.0.subscriptions.lock();
        let unwanted = subscriptions.disconnected(peer.node, peer.connection);
        drop(subscriptions);
        let mut looks = self.0.looks.lock();
        looks.disconnected(peer.node, peer.connection);
        came_or_went(&mut looks, unwanted);
    }

    /// Word of connections that are gone may have been missed.
    fn keep_connected(&self, backbone: &Backbone) {
        let is_connected = |edge| backbone.connection(edge).is_some();
        let unwanted = self.0.subscriptions.lock().keep(is_connected);
        let mut looks = self.0.looks.lock();
        looks.keep(is_connected);
        came_or_went(&mut looks, unwanted);
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.0.subscriptions.lock().len()
    }

    /// On which entries go out.
    pub fn lanes(&self) -> &Lanes {
        &self.0.lanes
    }

    async fn subscribe(&self, peer: Peer, body: Bytes) -> Result<Bytes, ApiError> {
        let topics = read_topics(body)?;
        let (mut wanted_now, mut has_room) = (Vec::new(), true);
        {
            let mut subscriptions = self.0.subscriptions.lock();
            for (_, topic) in &topics {
                let is_new = !subscriptions.is_wanted(*topic);
                has_room = subscriptions.add(peer.node, peer.connection, *topic);
                if !has_room {
                    break;
                }
                wanted_now.extend(is_new.then_some(*topic));
            }
        }
        // Those before the one too many are subscribed to all the same.
        came_or_went(&mut self.0.looks.lock(), wanted_now);
        if !has_room {
            return Err(too_many_topics());
        }
        // After the subscription: what comes later than these heads is pushed.
        let heads = self.heads(&topics).await;
        Ok(Heads { heads }.encode_to_vec().into())
    }

    fn unsubscribe(&self, peer: &Peer, body: Bytes) -> Result<Bytes, ApiError> {
        let (topics, mut unwanted) = (read_topics(body)?, Vec::new());
        {
            let mut subscriptions = self.0.subscriptions.lock();
            for (_, topic) in topics {
                subscriptions.remove(peer.node, topic);
                if !subscriptions.is_wanted(topic) {
                    unwanted.push(topic);
                }
            }
        }
        came_or_went(&mut self.0.looks.lock(), unwanted);
        Ok(Bytes::new())
    }

    /// Where topics end, asked of the leaders of their cells.
    async fn heads(&self, topics: &[(CellId, Topic)]) -> Vec<Head> {
        let mut by_cell = BTreeMap::<CellId, Vec<usize>>::new();
        for (i, (cell, _)) in topics.iter().enumerate() {
            by_cell.entry(*cell).or_default().push(i);
        }
        let asked = by_cell.into_iter().map(|(cell, indices)| async move {
            let wanted: Vec<Topic> = indices.iter().map(|i| topics[*i].1).collect();
            (indices, self.heads_of_cell(cell, &wanted).await)
        });
        let mut heads = vec![Head::default(); topics.len()];
        for (indices, found) in futures::future::join_all(asked).await {
            for (i, head) in indices.into_iter().zip(found.unwrap_or_default()) {
                heads[i] = head;
            }
        }
        heads
    }

    async fn heads_of_cell(&self, cell: CellId, topics: &[Topic]) -> Option<Vec<Head>> {
        if let Some(heads) = self.heads_here(cell, topics) {
            return Some(heads);
        }
        let topics = topics.iter().map(|topic| TopicRef {
            cell: cell.0,
            topic: Some(topic.to_wire()),
        });
        let ask = Subscribe {
            topics: topics.collect(),
        };
        let body = ask.encode_to_vec().into();
        let router = &self.0.router;
        let answer = router.call_leader(cell, Method::Heads, body, Repeat::Safe, HEADS_PATIENCE);
        Some(Heads::decode(answer.await.ok()?).ok()?.heads)
    }

    /// Where topics end, if this node leads their cell and knows it.
    fn heads_here(&self, cell: CellId, topics: &[Topic]) -> Option<Vec<Head>> {
        let cell = self.0.cells.get(cell)?;
        if !cell.consensus().leadership().borrow().ready {
            return None;
        }
        let view = cell.state().view();
        let head = |topic: &Topic| {
            let head = topic_log::head(&view, *topic).ok()?;
            Some(Head {
                known: true,
                seq: head.seq,
                messages: head.messages,
            })
        };
        topics.iter().map(head).collect()
    }

    /// A question for the leader of one cell.
    async fn heads_of_leader(&self, body: Bytes) -> Result<Bytes, ApiError> {
        let topics = read_topics(body)?;
        let Some((cell, _)) = topics.first() else {
            return Ok(crate::routed::answer(Heads::default().encode_to_vec()));
        };
        if topics.iter().any(|(of, _)| of != cell) {
            let text = "topics of one cell at a time";
            return Err(ApiError::new(ErrorCode::InvalidArguments, text));
        }
        let wanted: Vec<Topic> = topics.iter().map(|(_, topic)| *topic).collect();
        if let Some(held) = self.0.cells.get(*cell) {
            // One that has just been elected is ready soon; what it says when it
            // is not is said below.
            let _ = held.consensus().turn().await;
        }
        match self.heads_here(*cell, &wanted) {
            Some(heads) => Ok(crate::routed::answer(Heads { heads }.encode_to_vec())),
            None => Ok(self.0.cells.not_leader(*cell)),
        }
    }

    /// Entries from a leader of this region, on to the edges.
    async fn relay(&self, mut recv: FrameReader) {
        while let Ok(Some(body)) = recv.next().await {
            let Ok(publish) = PublishFrame::decode(body) else {
                return;
            };
            if let Some(topic) = Topic::from_wire(publish.topic.as_ref()) {
                self.fan_out(topic, &frame::encode(&publish));
            }
        }
    }

    /// A topic keeps to its lane.
    fn send(&self, node: NodeId, topic: Topic, publish: Bytes) {
        let [.., low] = topic.key();
        self.0.lanes.send(node, low, publish);
    }

    fn fan_out(&self, topic: Topic, publish: &Bytes) {
        let subscriptions = self.0.subscriptions.lock();
        for edge in subscriptions.edges(topic) {
            self.send(*edge, topic, publish.clone());
        }
    }
}

impl Publish for ChannelServer {
    fn publish(&self, cell: CellId, position: Position, entries: Vec<TopicEntry>) {
        let ring = self.0.ring.load();
        for TopicEntry { topic, entry } in entries {
            let publish = frame::encode(&PublishFrame {
                cell: cell.0,
                topic: Some(topic.to_wire()),
                seq: entry.seq,
                frame: push_frame(topic, position, entry),
            });
            match ring.owner(&topic.key()) {
                Some(owner) if owner != self.0.me => self.send(owner, topic, publish),
                _ => self.fan_out(topic, &publish),
            }
        }
    }
}

/// The frame that every client of the topic receives, encoded this once.
fn push_frame(topic: Topic, position: Position, entry: client::Entry) -> Bytes {
    frame::encode(&client::ServerFrame {
        body: Some(server_frame::Body::Push(client::Push {
            topic: Some(topic.to_wire()),
            position: position.0,
            entry: Some(entry),
        })),
    })
}

fn too_many_topics() -> ApiError {
    let text = "this edge node has too many topics here";
    ApiError::new(ErrorCode::Ratelimited, text)
}

fn read_topics(body: Bytes) -> Result<Vec<(CellId, Topic)>, ApiError> {
    let malformed = |text: &str| ApiError::new(ErrorCode::Malformed, text);
    let subscribe = Subscribe::decode(body).map_err(|e| malformed(&e.to_string()))?;
    if subscribe.topics.len() > TOPICS_MAX {
        return Err(malformed("too many topics in one request"));
    }
    let read = |topic: &TopicRef| {
        let read = Topic::from_wire(topic.topic.as_ref());
        Some((CellId(topic.cell), read?))
    };
    let topics: Option<Vec<_>> = subscribe.topics.iter().map(read).collect();
    topics.ok_or_else(|| malformed("a topic has no kind"))
}
