//! What replicas say to one another: operations as they are written, versions now
//! and then, and what is missing when it is missed.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, NodeId, WorkspaceId, frame};
use causeway_transport::backbone::{Backbone, CallError, Lanes, Services};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls::Role;
use parking_lot::Mutex;
use prost::Message;
use quinn::SendStream;
use tokio::sync::mpsc;

use super::actor::Actor;
use super::anew;
use super::cell::{CellMetadata, Changed, Committed, Counters, Durable, Effects};
use super::host::Hosted;
use super::peers::PeerReport;
use super::pull::{Missing, RUN_OPS_MAX};
use super::replica::Anew;
use super::version::Version;
use crate::metadata_wire::{self as wire, Refused};
use crate::store::StoreError;

/// A peer answers by then.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of operations in an answer to a pull, about.
const PULL_BYTES: usize = 512 * 1024;
/// Bytes of reports that are told together, about.
const DIGEST_BYTES: usize = 256 * 1024;
/// Frames of a lane that wait for their sync.
const UNSYNCED_MAX: usize = 1_024;

/// The node's part in it; clones share it.
#[derive(Clone)]
pub struct Exchange(Arc<Inner>);

struct Inner {
    hosted: Hosted,
    backbone: Backbone,
    /// Operations leave as soon as they are on the disk, and reports come back once they
    /// are on the peer's. What is lost is found missing when versions are compared.
    lanes: Lanes,
    /// Pulls under way, one of a shard at a time.
    pulls: Mutex<HashSet<ShardName>>,
    /// What peers have taken in last of each shard's report, as its hash: who has heard
    /// it need not hear it again.
    told: Mutex<HashMap<NodeId, HashMap<ShardName, u64>>>,
}

/// A shard, as messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardName {
    /// The cell.
    pub cell: CellId,
    /// The workspace.
    pub workspace: WorkspaceId,
}

impl Exchange {
    /// For the cells of this node.
    pub fn new(hosted: Hosted, backbone: Backbone) -> Self {
        Self(Arc::new_cyclic(|inner: &Weak<Inner>| {
            let inner = inner.clone();
            let hear = move |node, reports| {
                tokio::spawn(read_reports(inner.clone(), node, reports));
            };
            Inner {
                hosted,
                lanes: Lanes::with_answers(backbone.clone(), Method::MetadataShip, hear),
                backbone,
                pulls: Mutex::default(),
                told: Mutex::default(),
            }
        }))
    }

    /// The cells.
    pub fn hosted(&self) -> &Hosted {
        &self.0.hosted
    }

    /// The connections.
    pub fn backbone(&self) -> &Backbone {
        &self.0.backbone
    }

    /// Serves the replicas of other nodes.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let (ship, digest, pull, rows) = (self.clone(), self.clone(), self.clone(), self.clone());
        const CORES: &[Role] = &[Role::Core];
        services
            .stream(Method::MetadataShip, CORES, move |peer, send, recv| {
                let exchange = ship.clone();
                async move { exchange.take_shipped(peer.node, send, recv).await }
            })
            .call(Method::MetadataDigest, CORES, move |peer, body| {
                let exchange = digest.clone();
                async move { exchange.answer_digest(peer.node, body) }
            })
            .call(Method::MetadataPull, CORES, move |peer, body| {
                let exchange = pull.clone();
                async move { exchange.answer_pull(peer.node, body) }
            })
            .stream(Method::MetadataRows, CORES, move |peer, send, recv| {
                let exchange = rows.clone();
                async move { anew::give(&exchange, peer.node, send, recv).await }
            })
    }

    /// Ships what was written here to every replica that counts.
    pub fn ship(&self, committed: &Committed) {
        let counted = committed.cell.counted();
        let me = self.0.backbone.node();
        let [.., low] = committed.workspace.0.to_be_bytes();
        for ops in committed.ops.chunks(RUN_OPS_MAX) {
            let frame = frame::encode(&wire::Ops {
                cell: committed.cell.cell().0,
                workspace: committed.workspace.0,
                actor: Some(ops[0].dot.actor.to_wire()),
                ops: ops.iter().map(|op| op.to_wire()).collect(),
                since: committed.cell.since(),
            });
            for node in counted.nodes.keys().filter(|node| **node != me) {
                self.0.lanes.send(*node, low, frame.clone());
            }
        }
    }

    /// Operations from a peer, each answered with a report once it is on the disk.
    async fn take_shipped(&self, from: NodeId, mut send: SendStream, mut recv: FrameReader) {
        let (synced, mut syncing) =
            mpsc::channel::<(ShardName, Option<Durable>, Refused)>(UNSYNCED_MAX);
        let exchange = self.clone();
        let reporting = async move {
            while let Some((name, durable, refused)) = syncing.recv().await {
                if let Some(durable) = durable
                    && durable.wait().await.is_err()
                {
                    return;
                }
                let Some(report) = exchange.report(name, from, refused) else {
                    continue;
                };
                if send.write_chunk(frame::encode(&report)).await.is_err() {
                    return;
                }
            }
        };
        let taking = async move {
            while let Ok(Some(ops)) = recv.message::<wire::Ops>().await {
                let name = ShardName::of(ops.cell, ops.workspace);
                let (durable, refused) = match self.take(from, ops) {
                    Ok(durable) => (Some(durable), Refused::Unspecified),
                    Err(refused) => (None, refused),
                };
                if synced.send((name, durable, refused)).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(taking, reporting);
    }

    /// Takes operations of one actor from a peer.
    fn take(&self, from: NodeId, ops: wire::Ops) -> Result<Durable, Refused> {
        let cell = self.0.hosted.get(CellId(ops.cell)).ok_or(Refused::Busy)?;
        let actor = Actor::from_wire(ops.actor.as_ref()).ok_or(Refused::Invalid)?;
        if ops.ops.len() > RUN_OPS_MAX {
            return Err(Refused::Invalid);
        }
        let counters = &cell.shared().counters;
        let taken = cell.step(WorkspaceId(ops.workspace), |step| {
            if let Err(refused) = step.replica.admits(from, ops.since, step.counted) {
                return Ok((Some(refused), Effects::default()));
            }
            let (rows, clock) = (&mut *step.rows, &mut *step.clock);
            let received = step
                .replica
                .receive(rows, clock, step.now_us, actor, ops.ops)?;
            Counters::count(&counters.received, received.items.len());
            let refused = received.refused.map(|refusal| {
                cell.count_refusal(from, &refusal);
                Refused::from(refusal)
            });
            let effects = Effects {
                changed: Changed::Items(received.items),
                ops: Vec::new(),
            };
            Ok((refused, effects))
        });
        match self.no_disk(taken)? {
            (None, durable) => Ok(durable),
            (Some(refused), _) => {
                if refused == Refused::NotCounted {
                    Counters::count(&counters.refused_not_counted, 1);
                }
                Err(refused)
            }
        }
    }

    /// The disk has failed: the node is about to end, and says nothing more.
    fn no_disk<T>(&self, result: Result<T, StoreError>) -> Result<T, Refused> {
        result.map_err(|error| {
            tracing::error!(%error, "metadata");
            Refused::Busy
        })
    }

    /// What this replica tells a peer of a shard.
    pub fn report(&self, name: ShardName, to: NodeId, refused: Refused) -> Option<wire::Report> {
        let cell = self.0.hosted.get(name.cell)?;
        let shard = self.no_disk(cell.shard(name.workspace)).ok()?;
        let report = {
            let counted = cell.counted();
            shard.lock().report(to, &counted)
        };
        Some(wire::Report {
            cell: name.cell.0,
            workspace: name.workspace.0,
            version: Some(report.version.to_wire()),
            epoch: report.epoch,
            refused: refused.into(),
            me: Some(report.me.to_wire()),
            since: report.since,
            believed: Some(report.believed.to_wire()),
        })
    }

    /// A peer has told what it has; what this replica lacks is pulled. Returns whether
    /// it lacks something.
    pub fn hear(&self, from: NodeId, report: wire::Report) -> bool {
        let name = ShardName::of(report.cell, report.workspace);
        let refused = report.refused();
        let Some((cell, report)) = self.0.hosted.get(name.cell).zip(read_report(&report)) else {
            return false;
        };
        let Ok(shard) = self.no_disk(cell.shard(name.workspace)) else {
            return false;
        };
        let (lacks, anew) = {
            let counted = cell.counted();
            let mut replica = shard.lock();
            if refused == Refused::Clock {
                replica.is_refused(report.version.clone());
            }
            let lacks = replica.hear(from, report, &counted);
            cell.has_heard();
            (lacks, replica.must_begin_anew(&counted))
        };
        if lacks {
            // Should it not come, the next comparison asks again.
            if let Some(told) = self.0.told.lock().get_mut(&from) {
                told.remove(&name);
            }
            if !matches!(anew, Some(Anew::NotWhole | Anew::Forgotten)) {
                self.pull(from, name);
            }
        }
        lacks
    }

    /// Has a shard's missing operations sent by a peer, unless that is under way.
    fn pull(&self, from: NodeId, name: ShardName) {
        if !self.0.pulls.lock().insert(name) {
            return;
        }
        let exchange = self.clone();
        tokio::spawn(async move {
            if let Err(error) = exchange.pull_all(from, name).await {
                tracing::debug!(%from, cell = %name.cell, %error, "operations were not pulled");
            }
            exchange.0.pulls.lock().remove(&name);
        });
    }

    async fn pull_all(&self, from: NodeId, name: ShardName) -> Result<(), ApiError> {
        loop {
            let Some(cell) = self.0.hosted.get(name.cell) else {
                return Ok(());
            };
            let have = cell.version(name.workspace).map_err(internal)?;
            let ask = wire::Pull {
                cell: name.cell.0,
                workspace: name.workspace.0,
                have: Some(have.to_wire()),
                since: cell.since(),
            };
            let body = ask.encode_to_vec().into();
            let answer = (self.0.backbone)
                .call(from, Method::MetadataPull, body, CALL_TIMEOUT)
                .await;
            let answer =
                answer.map_err(|e| ApiError::new(ErrorCode::Unavailable, e.to_string()))?;
            let pulled = wire::Pulled::decode(answer).map_err(|e| malformed(&e))?;
            if pulled.refused() != Refused::Unspecified {
                return Ok(());
            }
            let shard = cell.shard(name.workspace).map_err(internal)?;
            if pulled.truncated {
                // What came meanwhile may be what was truncated.
                let mut replica = shard.lock();
                if *replica.version() == have {
                    replica.is_behind();
                }
                return Ok(());
            }
            shard.lock().has_caught_up();
            for ops in pulled.ops {
                // A report of what was taken follows with the next digest.
                if let Err(refused) = self.take(from, ops) {
                    self.tell_refused(from, name, refused).await;
                    return Ok(());
                }
            }
            let now = cell.version(name.workspace).map_err(internal)?;
            if !pulled.more || now == have {
                return Ok(());
            }
        }
    }

    /// Tells a peer that what it has was not taken, and why.
    async fn tell_refused(&self, peer: NodeId, name: ShardName, refused: Refused) {
        let digest = wire::Digest {
            reports: self.report(name, peer, refused).into_iter().collect(),
        };
        let body = digest.encode_to_vec().into();
        let told = (self.0.backbone)
            .call(peer, Method::MetadataDigest, body, CALL_TIMEOUT)
            .await;
        if let Err(error) = told {
            // As long as the peer has it, it is asked for again.
            tracing::debug!(%peer, %error, "a peer does not know that it is refused");
        }
    }

    fn answer_pull(&self, from: NodeId, body: Bytes) -> Result<Bytes, ApiError> {
        let ask = wire::Pull::decode(body).map_err(|e| malformed(&e))?;
        let name = ShardName::of(ask.cell, ask.workspace);
        let refused = |refused: Refused| wire::Pulled {
            refused: refused.into(),
            ..wire::Pulled::default()
        };
        let pulled = match self.0.hosted.get(name.cell) {
            Some(cell) => self.pulled(&cell, from, &ask).map_err(internal)?,
            None => refused(Refused::Busy),
        };
        Ok(pulled.encode_to_vec().into())
    }

    fn pulled(
        &self,
        cell: &CellMetadata,
        from: NodeId,
        ask: &wire::Pull,
    ) -> Result<wire::Pulled, StoreError> {
        let workspace = WorkspaceId(ask.workspace);
        let shard = cell.shard(workspace)?;
        let replica = shard.lock();
        let counted = cell.counted();
        if let Err(refused) = replica.admits(from, ask.since, &counted) {
            return Ok(wire::Pulled {
                refused: refused.into(),
                ..wire::Pulled::default()
            });
        }
        let have = Version::from_wire(ask.have.as_ref());
        let missing = replica.missing(&cell.rows(workspace), &have, PULL_BYTES)?;
        let Missing::Ops { runs, more } = missing else {
            return Ok(wire::Pulled {
                truncated: true,
                ..wire::Pulled::default()
            });
        };
        let ops = runs.into_iter().map(|(actor, ops)| wire::Ops {
            cell: ask.cell,
            workspace: ask.workspace,
            actor: Some(actor.to_wire()),
            ops,
            since: cell.since(),
        });
        Ok(wire::Pulled {
            ops: ops.collect(),
            more,
            ..wire::Pulled::default()
        })
    }

    /// Compares versions with a peer, of all shards that both may hold and of which
    /// there is something new to tell.
    pub async fn compare(&self, peer: NodeId) {
        for (names, digest) in self.news_for(peer) {
            if self.compare_some(peer, names, digest).await.is_err() {
                return;
            }
        }
    }

    async fn compare_some(
        &self,
        peer: NodeId,
        names: HashMap<ShardName, u64>,
        digest: wire::Digest,
    ) -> Result<(), CallError> {
        let body = digest.encode_to_vec().into();
        let answer = (self.0.backbone)
            .call(peer, Method::MetadataDigest, body, CALL_TIMEOUT)
            .await?;
        let answer = wire::Digest::decode(answer).unwrap_or_default();
        for report in answer.reports {
            let name = ShardName::of(report.cell, report.workspace);
            let was_heard = report.refused() == Refused::Unspecified;
            let lacks = self.hear(peer, report);
            // Whoever has something that is lacking here is asked until it has come.
            if was_heard
                && !lacks
                && let Some(hash) = names.get(&name)
            {
                let mut told = self.0.told.lock();
                told.entry(peer).or_default().insert(name, *hash);
            }
        }
        Ok(())
    }

    /// The peer may have forgotten what it was told.
    pub fn tell_all_again(&self, peer: NodeId) {
        self.0.told.lock().remove(&peer);
    }

    fn answer_digest(&self, from: NodeId, body: Bytes) -> Result<Bytes, ApiError> {
        let told = wire::Digest::decode(body).map_err(|e| malformed(&e))?;
        let mut answer = wire::Digest::default();
        for report in told.reports {
            let name = ShardName::of(report.cell, report.workspace);
            // The answer is from before the report is heard: a peer that has lost
            // something learns what it was believed to have.
            let refused = self.refuses(name, from, report.since);
            answer.reports.extend(self.report(name, from, refused));
            self.hear(from, report);
        }
        Ok(answer.encode_to_vec().into())
    }

    fn refuses(&self, name: ShardName, from: NodeId, since: u64) -> Refused {
        let Some(cell) = self.0.hosted.get(name.cell) else {
            return Refused::Busy;
        };
        let counted = cell.counted();
        let shard = self.no_disk(cell.shard(name.workspace));
        let admitted = shard.and_then(|shard| shard.lock().admits(from, since, &counted));
        admitted.err().unwrap_or_default()
    }

    /// Reports that the peer has not heard yet, a message's worth together, and their
    /// hashes.
    fn news_for(&self, peer: NodeId) -> Vec<(HashMap<ShardName, u64>, wire::Digest)> {
        let counts = |cell: &Arc<CellMetadata>| cell.counted().nodes.contains_key(&peer);
        let cells = self.0.hosted.all().into_iter().filter(counts);
        let names = cells.flat_map(|cell| {
            let (cell, workspaces) = (cell.cell(), cell.workspaces());
            let workspaces = workspaces.into_iter();
            workspaces.map(move |workspace| ShardName { cell, workspace })
        });
        let (mut news, mut bytes) = (Vec::new(), DIGEST_BYTES);
        for name in names {
            let Some(report) = self.report(name, peer, Refused::Unspecified) else {
                continue;
            };
            let mut hasher = DefaultHasher::new();
            let encoded = report.encode_to_vec();
            encoded.hash(&mut hasher);
            let hash = hasher.finish();
            let told = self.0.told.lock();
            let heard = told.get(&peer).and_then(|told| told.get(&name));
            if heard == Some(&hash) {
                continue;
            }
            if bytes >= DIGEST_BYTES {
                news.push((HashMap::new(), wire::Digest::default()));
                bytes = 0;
            }
            bytes += encoded.len();
            if let Some((names, digest)) = news.last_mut() {
                names.insert(name, hash);
                digest.reports.push(report);
            }
        }
        news
    }
}

impl ShardName {
    /// As messages have it.
    pub fn of(cell: u32, workspace: u32) -> Self {
        Self {
            cell: CellId(cell),
            workspace: WorkspaceId(workspace),
        }
    }
}

/// Ends with the stream.
async fn read_reports(inner: Weak<Inner>, node: NodeId, mut reports: FrameReader) {
    while let Ok(Some(report)) = reports.message::<wire::Report>().await {
        let Some(inner) = inner.upgrade() else {
            return;
        };
        Exchange(inner).hear(node, report);
    }
}

fn read_report(report: &wire::Report) -> Option<PeerReport> {
    Some(PeerReport {
        me: Actor::from_wire(report.me.as_ref())?,
        version: Version::from_wire(report.version.as_ref()),
        believed: Version::from_wire(report.believed.as_ref()),
        epoch: report.epoch,
        since: report.since,
    })
}

fn malformed(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Malformed, error.to_string())
}

fn internal(error: StoreError) -> ApiError {
    tracing::error!(%error, "metadata");
    ErrorCode::InternalError.into()
}
