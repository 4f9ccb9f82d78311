//! Feeds: what changes of a workspace's metadata, told to the edge nodes that have
//! subscribed to it here, in order and encoded once.

mod subscribers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::backbone::{
    MetadataFacts, MetadataPublish, MetadataSubscribe, MetadataSubscribed, MetadataUnsubscribe,
};
use causeway_protocol::limits::PAGE_BYTES_MAX;
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, NodeId, WorkspaceId, client, frame};
use causeway_transport::backbone::{Backbone, Lanes, PeerEvent, Services};
use causeway_transport::tls::Role;
use parking_lot::Mutex;
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::subscribers::{Subscribers, Subscription};
use crate::cell::Cell;
use crate::cell::metadata::facts::Facts;
use crate::cells::Cells;
use crate::metadata::Told;
use crate::metadata::cell::{Changed, Committed};
use crate::metadata::item::Item;
use crate::metadata::shard::Since;
use crate::metadata::version::Version;

/// Items that a subscriber is told of that was away; of more, its clients ask for
/// themselves.
const DIFFERENCE_MAX: usize = 2_000;
/// Bytes of them.
const DIFFERENCE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Between looks whether what clients were told is lost; next to none are ahead of us.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The feeds of a core node; clones share them.
#[derive(Clone)]
pub struct Feeds(Arc<Inner>);

struct Inner {
    cells: Cells,
    lanes: Lanes,
    subscribers: Mutex<Subscribers>,
    outgoing: Mutex<Outgoing>,
    runtime: Handle,
}

/// Something for the subscribers of a workspace.
#[derive(Debug, PartialEq)]
struct Publish {
    workspace: WorkspaceId,
    /// Facts, and the version that they come with; `None` = a hole.
    news: Option<(Version, Vec<MetadataFacts>)>,
}

/// What is to be published, in order; some of it once a sync is over.
#[derive(Debug, Default)]
struct Outgoing {
    waiting: VecDeque<(Publish, bool)>,
    /// Of the first that waits.
    first: u64,
}

impl Outgoing {
    /// Adds one, and returns its number.
    fn add(&mut self, publish: Publish, is_synced: bool) -> u64 {
        self.waiting.push_back((publish, is_synced));
        self.first + self.waiting.len() as u64 - 1
    }

    /// All that was read for this one is on the disk; so it is for those before.
    fn synced(&mut self, number: u64) {
        let upto = (self.first..=number).zip(&mut self.waiting);
        upto.for_each(|(_, (_, is_synced))| *is_synced = true);
    }

    /// The next that can go.
    fn next(&mut self) -> Option<Publish> {
        self.waiting.front().filter(|(_, is_synced)| *is_synced)?;
        self.first += 1;
        self.waiting.pop_front().map(|(publish, _)| publish)
    }
}

impl Feeds {
    /// Of these cells, over this backbone.
    pub fn new(backbone: Backbone, cells: Cells) -> Self {
        Self(Arc::new(Inner {
            cells,
            lanes: Lanes::new(backbone, Method::MetadataPublish),
            subscribers: Mutex::default(),
            outgoing: Mutex::default(),
            runtime: Handle::current(),
        }))
    }

    /// Serves edges.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        const EDGES: &[Role] = &[Role::Edge];
        let (subscribe, unsubscribe) = (self.clone(), self.clone());
        services
            .call(Method::MetadataSubscribe, EDGES, move |peer, body| {
                let feeds = subscribe.clone();
                async move { feeds.subscribe(peer.node, body) }
            })
            .call(Method::MetadataUnsubscribe, EDGES, move |peer, body| {
                let feeds = unsubscribe.clone();
                async move { feeds.unsubscribe(peer.node, body) }
            })
    }

    /// Follows the coming and going of edges.
    pub async fn run(self, backbone: Backbone, stop: CancellationToken) {
        let mut events = backbone.events();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {
                    self.look_for_lost();
                    continue;
                }
                event = events.recv() => event,
            };
            let mut subscribers = self.0.subscribers.lock();
            match event {
                Ok(PeerEvent::Down { peer, .. }) => subscribers.remove_edge(peer.node),
                Ok(PeerEvent::Up(_)) => {}
                // Word of those that are gone may have been missed.
                Err(RecvError::Lagged(_)) => {
                    let edges = subscribers.edges.keys().copied();
                    let gone = edges.filter(|edge| backbone.connection(*edge).is_none());
                    for edge in gone.collect::<Vec<_>>() {
                        subscribers.remove_edge(edge);
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        let subscribers = self.0.subscribers.lock();
        subscribers.workspaces.values().map(HashMap::len).sum()
    }

    /// On which changes go out.
    pub fn lanes(&self) -> &Lanes {
        &self.0.lanes
    }

    fn subscribe(&self, edge: NodeId, body: Bytes) -> Result<Bytes, ApiError> {
        let ask = MetadataSubscribe::decode(body).map_err(|e| malformed(&e))?;
        let have = Version::from_bytes(&ask.version);
        let have = have.ok_or_else(|| malformed(&"the version is not one of ours"))?;
        let workspace = WorkspaceId(ask.workspace);
        let unavailable = |text: &str| ApiError::new(ErrorCode::Unavailable, text);
        let cell = self.0.cells.get(CellId(ask.cell));
        let cell = cell.ok_or_else(|| unavailable("no replica of the cell is here"))?;
        if !cell.serves_metadata(workspace)? {
            return Err(unavailable("this replica is being renewed"));
        }
        // Before anything is read: what changes meanwhile is published.
        let ahead = cell.metadata_ahead(workspace, &have)?;
        let mut subscribers = self.0.subscribers.lock();
        let subscription = Subscription {
            id: ask.subscription,
            cell: cell.id(),
            last_seq: 0,
            ahead,
        };
        let added = subscribers.add(edge, workspace, subscription);
        drop(subscribers);
        if !added {
            let text = "this edge node has too many workspaces here";
            return Err(ApiError::new(ErrorCode::Ratelimited, text));
        }
        let subscribed = match have.is_empty() {
            true => MetadataSubscribed {
                version: cell.metadata_version(workspace)?.to_bytes(),
                ..MetadataSubscribed::default()
            },
            false => difference(&cell, workspace, &have)?,
        };
        Ok(subscribed.encode_to_vec().into())
    }

    fn unsubscribe(&self, edge: NodeId, body: Bytes) -> Result<Bytes, ApiError> {
        let ask = MetadataUnsubscribe::decode(body).map_err(|e| malformed(&e))?;
        let workspace = WorkspaceId(ask.workspace);
        self.0.subscribers.lock().remove(edge, workspace);
        Ok(Bytes::new())
    }

    /// Sends what is on the disk, in order.
    fn flush(&self) {
        let mut outgoing = self.0.outgoing.lock();
        while let Some(publish) = outgoing.next() {
            match publish.news {
                Some((version, facts)) => self.publish(publish.workspace, &version, &facts),
                None => self.skip_one(publish.workspace),
            }
        }
    }

    fn publish(&self, workspace: WorkspaceId, version: &Version, facts: &[MetadataFacts]) {
        let shared = version.to_bytes();
        let mut subscribers = self.0.subscribers.lock();
        let Some(edges) = subscribers.workspaces.get_mut(&workspace) else {
            return;
        };
        for (edge, subscription) in edges {
            subscription.last_seq += 1;
            let told = subscription.told(version);
            let publish = frame::encode(&MetadataPublish {
                workspace: workspace.0,
                subscription: subscription.id,
                seq: subscription.last_seq,
                version: told.map_or_else(|| shared.clone(), |told| told.to_bytes()),
                facts: facts.to_vec(),
            });
            self.send(*edge, workspace, publish);
        }
    }

    fn send(&self, edge: NodeId, workspace: WorkspaceId, frame: Bytes) {
        let [.., low] = workspace.0.to_be_bytes();
        self.0.lanes.send(edge, low, frame);
    }

    fn has_listeners(&self, workspace: WorkspaceId) -> bool {
        self.0
            .subscribers
            .lock()
            .workspaces
            .contains_key(&workspace)
    }

    /// A hole, so that subscribers ask what has changed.
    fn skip_one(&self, workspace: WorkspaceId) {
        let mut subscribers = self.0.subscribers.lock();
        let edges = subscribers.workspaces.get_mut(&workspace);
        for (edge, subscription) in edges.into_iter().flatten() {
            let hole = subscription.skip(workspace);
            self.send(*edge, workspace, hole);
        }
    }

    /// Tells edges whose clients know what nobody has any more: it is undone.
    fn look_for_lost(&self) {
        let ahead = self.0.subscribers.lock().ahead();
        for (workspace, edge, subscription) in ahead {
            let cell = self.0.cells.get(subscription.cell);
            let is_lost = cell.map(|cell| cell.metadata_is_lost(workspace, &subscription.ahead));
            if matches!(is_lost, Some(Ok(true)))
                && let Some(hole) =
                    (self.0.subscribers.lock()).give_up(edge, workspace, &subscription)
            {
                self.send(edge, workspace, hole);
            }
        }
    }

    fn changed(&self, cell: CellId, workspace: WorkspaceId, version: &Version, items: &[Item]) {
        let Some(cell) = self.0.cells.get(cell) else {
            return;
        };
        match self.read(&cell, workspace, version, items) {
            Ok(()) => self.flush(),
            Err(error) => {
                tracing::error!(%workspace, %error, "a change cannot be told of");
                self.skip(workspace);
            }
        }
    }

    /// Reads facts to be published. They may tell of later changes that are not on the
    /// disk yet, and could be lost: then they wait for that.
    fn read(
        &self,
        cell: &Cell,
        workspace: WorkspaceId,
        version: &Version,
        items: &[Item],
    ) -> Result<(), ApiError> {
        let facts = encoded(cell.facts(workspace, items)?);
        let is_synced = cell.metadata_version(workspace)? == *version;
        let publish = Publish {
            workspace,
            news: Some((version.clone(), facts)),
        };
        let number = self.0.outgoing.lock().add(publish, is_synced);
        if !is_synced {
            let feeds = self.clone();
            cell.after_metadata_sync(move || {
                feeds.0.outgoing.lock().synced(number);
                // Not on the thread that syncs: others wait for that.
                let runtime = feeds.0.runtime.clone();
                runtime.spawn(async move { feeds.flush() });
            })?;
        }
        Ok(())
    }
}

impl Told for Feeds {
    fn skip(&self, workspace: WorkspaceId) {
        let news = None;
        (self.0.outgoing.lock()).add(Publish { workspace, news }, true);
        self.flush();
    }

    /// Changes of one workspace that come together are told together.
    fn tell(&self, committed: &[Committed]) {
        let mut together = BTreeMap::<WorkspaceId, (&Committed, Vec<Item>)>::new();
        for committed in committed {
            let workspace = committed.workspace;
            if !self.has_listeners(workspace) {
                continue;
            }
            match &committed.changed {
                Changed::Items(items) => {
                    let (last, all) = together
                        .entry(workspace)
                        .or_insert_with(|| (committed, Vec::new()));
                    *last = committed;
                    all.extend_from_slice(items);
                }
                Changed::Everything => self.skip(workspace),
            }
        }
        for (workspace, (last, items)) in together {
            self.changed(last.cell.cell(), workspace, &last.version, &items);
        }
    }
}

/// What has changed since the edge's version.
fn difference(
    cell: &Cell,
    workspace: WorkspaceId,
    have: &Version,
) -> Result<MetadataSubscribed, ApiError> {
    Ok(
        match cell.metadata_since(workspace, have, DIFFERENCE_MAX)? {
            Since::Items {
                items,
                upto,
                more: false,
            } => told(upto.to_bytes(), encoded(cell.facts(workspace, &items)?)),
            Since::Items { .. } | Since::TooLong => MetadataSubscribed {
                version: cell.metadata_version(workspace)?.to_bytes(),
                too_much: true,
                ..MetadataSubscribed::default()
            },
        },
    )
}

fn told(version: Bytes, facts: Vec<MetadataFacts>) -> MetadataSubscribed {
    let bytes: usize = facts.iter().map(|facts| facts.push.len()).sum();
    let too_much = bytes > DIFFERENCE_BYTES_MAX;
    MetadataSubscribed {
        version,
        facts: if too_much { Vec::new() } else { facts },
        too_much,
    }
}

fn encoded(facts: Facts) -> Vec<MetadataFacts> {
    let pushes = facts
        .into_iter()
        .flat_map(|(topic, facts)| in_frames(facts).into_iter().map(move |f| (topic, f)));
    let facts = pushes.map(|(topic, facts)| {
        let push = client::MetadataPush {
            topic: Some(topic.to_wire()),
            facts,
            ..client::MetadataPush::default()
        };
        MetadataFacts {
            topic: Some(topic.to_wire()),
            push: push.encode_to_vec().into(),
        }
    });
    facts.collect()
}

/// A topic's facts, as many together as a frame should hold.
fn in_frames(facts: Vec<client::Fact>) -> Vec<Vec<client::Fact>> {
    let (mut frames, mut bytes) = (vec![Vec::new()], 0);
    for fact in facts {
        bytes += fact.encoded_len();
        if bytes > PAGE_BYTES_MAX {
            bytes = fact.encoded_len();
            frames.push(Vec::new());
        }
        frames.last_mut().expect("one at least").push(fact);
    }
    frames
}

fn malformed(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Malformed, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_disk_is_overtaken_by_nothing() {
        let hole = |n| Publish {
            workspace: WorkspaceId(n),
            news: None,
        };
        let mut outgoing = Outgoing::default();
        outgoing.add(hole(1), true);
        let second = outgoing.add(hole(2), false);
        let third = outgoing.add(hole(3), false);
        outgoing.add(hole(4), true);
        assert_eq!(outgoing.next(), Some(hole(1)));
        assert_eq!(outgoing.next(), None);
        outgoing.synced(second);
        assert_eq!(outgoing.next(), Some(hole(2)));
        assert_eq!(outgoing.next(), None);
        outgoing.synced(third);
        outgoing.synced(second);
        let rest = std::iter::from_fn(|| outgoing.next());
        assert_eq!(rest.collect::<Vec<_>>(), [hole(3), hole(4)]);
    }
}
