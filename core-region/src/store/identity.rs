//! Who this node is: an id that is drawn when a disk is first used, and goes
//! with the disk. A wiped disk comes back as another node.

use causeway_protocol::NodeId;
use rand::RngExt;

use super::{Family, Store, StoreError, keys};

/// A disk's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The node that lives on this disk.
    pub node: NodeId,
}

impl Identity {
    /// Reads the identity, and draws it when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails, or holds what is no identity.
    pub async fn of(store: &Store) -> Result<Self, StoreError> {
        if let Some(bytes) = store.get(Family::Node, &keys::identity())? {
            let bytes: [u8; 8] = bytes
                .try_into()
                .map_err(|_| StoreError::Record("the node's identity".into()))?;
            return Ok(Self {
                node: NodeId(u64::from_be_bytes(bytes)),
            });
        }
        let node = NodeId(rand::rng().random_range(1..=u64::MAX));
        let mut batch = store.batch();
        batch.put(Family::Node, &keys::identity(), &node.0.to_be_bytes());
        batch.write()?;
        let synced = store.flusher().synced().await;
        synced.map_err(|e| StoreError::Record(e.to_string()))?;
        Ok(Self { node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_identity_goes_with_the_disk() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let of = async |path| Identity::of(&Store::open(path).unwrap()).await.unwrap();
        let first = of(one.path()).await;
        assert_eq!(of(one.path()).await, first);
        assert_ne!(of(other.path()).await, first);
    }
}
