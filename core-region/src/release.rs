//! How nodes ask leaders whether their surplus replicas can go, and remember the
//! answer. What is decided is in [`surplus`].
//!
//! A released replica's rows stay on the disk. What it has voted for and
//! acknowledged must bind it if the directory gives it the cell again: with an
//! empty disk under the same node id it could vote for a candidate that has yet
//! to hear that others have taken its place.

use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{ApiError, CellId, Epoch, ErrorCode, Method, NodeId};
use causeway_transport::backbone::{Backbone, Services};
use causeway_transport::tls::Role;
use prost::Message;

use crate::cells::Cells;
use crate::directory::SharedBook;
use crate::raft_wire;
use crate::store::{Family, Store, StoreError, keys};
use crate::surplus::{self, OnDisk, Word};

/// A leader that does not answer by then is asked again later.
const ASK_TIMEOUT: Duration = Duration::from_millis(800);

/// Has leaders answer the other core nodes.
#[must_use]
pub fn register(services: Services, cells: Cells, book: SharedBook) -> Services {
    services.call(
        Method::RaftMember,
        &[Role::Core],
        move |peer, body: Bytes| {
            let (cells, book) = (cells.clone(), book.clone());
            async move {
                let asked = raft_wire::MemberRequest::decode(body)
                    .map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
                let cell = CellId(asked.cell);
                let held = cells.get(cell).map(|held| held.consensus().status());
                let word = held.and_then(|status| {
                    let book = book.get();
                    surplus::word(book.cell(cell)?, &status, peer.node)
                });
                let word = word.ok_or_else(|| ApiError::from(ErrorCode::NotLeader))?;
                let answer = raft_wire::MemberResponse {
                    term: word.term,
                    epoch: word.epoch.0,
                    counts: word.counts,
                };
                Ok(answer.encode_to_vec().into())
            }
        },
    )
}

/// Asks the leader of a cell whether its group counts this node; `None` without
/// an answer.
pub async fn ask(backbone: &Backbone, leader: NodeId, cell: CellId) -> Option<Word> {
    let request = raft_wire::MemberRequest { cell: cell.0 };
    let body = request.encode_to_vec().into();
    let answer = backbone.call(leader, Method::RaftMember, body, ASK_TIMEOUT);
    let answer = raft_wire::MemberResponse::decode(answer.await.ok()?).ok()?;
    Some(Word {
        term: answer.term,
        epoch: Epoch(answer.epoch),
        counts: answer.counts,
    })
}

/// What the disk has of a cell.
///
/// # Errors
/// [`StoreError`].
pub fn on_disk(store: &Store, cell: CellId) -> Result<OnDisk, StoreError> {
    let log = keys::log(cell);
    let first = store.range(Family::Log, &log, &log.end()).next();
    let released_in = match store.get(Family::Node, &keys::released(cell))? {
        Some(bytes) => {
            let bytes: [u8; 8] = (bytes.try_into())
                .map_err(|_| StoreError::Record(format!("the release of cell {cell}")))?;
            Some(Epoch(u64::from_be_bytes(bytes)))
        }
        None => None,
    };
    Ok(OnDisk {
        has_rows: first.transpose()?.is_some(),
        released_in,
    })
}

/// Remembers that the replica of a cell was released, or with `None` that it runs
/// again. If a crash undoes the first, the leader is asked again; the second comes
/// before all that the replica writes.
///
/// # Errors
/// [`StoreError`].
pub fn remember(store: &Store, cell: CellId, released_in: Option<Epoch>) -> Result<(), StoreError> {
    let key = keys::released(cell);
    let mut batch = store.batch();
    match released_in {
        Some(epoch) => batch.put(Family::Node, &key, &epoch.0.to_be_bytes()),
        None => batch.delete(Family::Node, &key),
    }
    batch.write()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_tells_of_replicas_and_of_their_release() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut batch = store.batch();
        batch.put(Family::Log, &keys::vote(CellId(4)), b"");
        batch.write().unwrap();
        let of = |cell| on_disk(&store, CellId(cell)).unwrap();
        assert_eq!(
            [3, 4, 5].map(|cell| of(cell).has_rows),
            [false, true, false]
        );
        assert_eq!(of(4).released_in, None);
        remember(&store, CellId(4), Some(Epoch(7))).unwrap();
        assert_eq!(of(4).released_in, Some(Epoch(7)));
        assert!(of(4).has_rows);
        remember(&store, CellId(4), None).unwrap();
        assert_eq!(of(4).released_in, None);
    }
}
