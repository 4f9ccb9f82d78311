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
        write(store, &keys::identity(), node.0).await?;
        Ok(Self { node })
    }
}

/// The incarnation of a life that begins at `now_us`: later than all before, also
/// when the clock has been set back, as the others take the later life.
///
/// # Errors
/// [`StoreError`].
pub async fn next_incarnation(store: &Store, now_us: u64) -> Result<u64, StoreError> {
    let last = store.get(Family::Node, &keys::life())?;
    let last = last.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    let next = last.map_or(now_us, |last| now_us.max(last + 1));
    write(store, &keys::life(), next).await?;
    Ok(next)
}

async fn write(store: &Store, key: &[u8], value: u64) -> Result<(), StoreError> {
    let mut batch = store.batch();
    batch.put(Family::Node, key, &value.to_be_bytes());
    batch.write()?;
    let synced = store.flusher().synced().await;
    synced.map_err(|e| StoreError::Record(e.to_string()))
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

    #[tokio::test]
    async fn a_later_life_is_told_apart_also_when_the_clock_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut lives = Vec::new();
        for now_us in [5_000, 9_000, 2_000, 2_000, 20_000] {
            lives.push(next_incarnation(&store, now_us).await.unwrap());
        }
        assert_eq!(lives, [5_000, 9_000, 9_001, 9_002, 20_000]);
    }
}
