//! Waiting for what somebody knows, here, and for what was written here, elsewhere.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use causeway_protocol::{NodeId, WorkspaceId};

use super::CellMetadata;
use crate::metadata::actor::Dot;
use crate::metadata::version::Version;
use crate::store::StoreError;

/// What somebody knows of a shard, and expects to find again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Their own last write.
    pub wrote: Option<Dot>,
    /// What they were told.
    pub version: Version,
}

impl Known {
    /// What of it a replica with this version has not.
    fn lacking(&self, version: &Version) -> Vec<Dot> {
        let wrote = self.wrote.filter(|dot| !version.has(dot));
        version.lacking(&self.version).chain(wrote).collect()
    }
}

/// How long something is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// So long.
    pub within: Duration,
    /// What has not come by then, nobody else need wait for soon.
    pub is_enough: bool,
}

impl CellMetadata {
    /// Waits until this replica has what somebody knows, as long as `patience` lasts.
    /// Returns whether it has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn knows(
        &self,
        workspace: WorkspaceId,
        known: &Known,
        patience: Patience,
    ) -> Result<bool, StoreError> {
        let shard = self.shard(workspace)?;
        let lacking = || known.lacking(shard.lock().version());
        let lacks = lacking();
        if lacks.is_empty() {
            return Ok(true);
        }
        if (self.in_vain.lock()).all(workspace, &lacks, Instant::now()) {
            return Ok(false);
        }
        let coming = self.comes_about(|| lacking().is_empty(), patience.within);
        let has_come = coming.await;
        if !has_come && patience.is_enough {
            let lacks = lacking();
            (self.in_vain.lock()).add(workspace, lacks, Instant::now());
        }
        Ok(has_come)
    }

    /// Which other replicas have written what somebody knows, and a shard lacks and may
    /// yet get.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn awaited(
        &self,
        workspace: WorkspaceId,
        known: &Known,
    ) -> Result<BTreeSet<NodeId>, StoreError> {
        let mut told = known.version.clone();
        if let Some(wrote) = &known.wrote {
            told.add(wrote);
        }
        let may_get = self.may_get(workspace, &told)?;
        let counted = self.counted();
        let writers = may_get.iter().map(|(actor, _)| actor.node);
        Ok(writers
            .filter(|node| *node != self.shared.node && counted.nodes.contains_key(node))
            .collect())
    }

    /// Waits until all of `peers` that count have told that they have an operation, as
    /// long as `patience` lasts. Returns whether they have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_spread(
        &self,
        workspace: WorkspaceId,
        dot: &Dot,
        peers: &[NodeId],
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let shard = self.shard(workspace)?;
        let have = move || {
            let (counted, shard) = (self.counted(), shard.lock());
            let mut peers = peers.iter().filter(|peer| counted.nodes.contains_key(peer));
            peers.all(|peer| shard.is_had_by(*peer, dot))
        };
        Ok(self.comes_about(have, patience).await)
    }

    /// Waits until all `peers` that count have told that they have everything that was
    /// written here, as long as `patience` lasts. Returns whether they have.
    pub async fn is_handed_off(&self, peers: impl Fn() -> Vec<NodeId>, patience: Duration) -> bool {
        let have = || {
            let counted = self.counted();
            let peers = peers().into_iter();
            let peers = peers.filter(|peer| counted.nodes.contains_key(peer));
            let peers: Vec<NodeId> = peers.collect();
            let shards: Vec<_> = self.shards.read().values().cloned().collect();
            shards.iter().all(|shard| {
                let shard = shard.lock();
                let last = shard.version().last_of(self.shared.node);
                last.is_none_or(|dot| peers.iter().all(|peer| shard.is_had_by(*peer, &dot)))
            })
        };
        self.comes_about(have, patience).await
    }

    async fn comes_about(&self, is_so: impl Fn() -> bool, patience: Duration) -> bool {
        let mut moved = self.moved.subscribe();
        let waiting = async {
            while !is_so() {
                if moved.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.is_ok()
    }

    /// A peer has told what it has.
    pub fn has_heard(&self) {
        self.moved.send_replace(());
    }
}
