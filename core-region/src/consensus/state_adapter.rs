//! openraft's view of a cell's state: applies entries through the [`Machine`],
//! and moves state and applied index in the same write.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_protocol::Position;
use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;

use super::snapshot::{self, SnapshotData};
use super::types::{Command, LogId, SnapshotMeta, StoredMembership, TypeConfig};
use super::{Applied, Machine, Outcome, TopicEntry, wire};
use crate::state::{CellState, ReadState, Tx};
use crate::state_records::Applied as AppliedRecord;
use crate::store::keys::Key;
use crate::store::{StoreError, record};

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// Commands applied in one write, at most.
const BATCH_COMMANDS_MAX: usize = 256;
/// Rows changed in one write, about.
const BATCH_ROWS_MAX: usize = 4_096;

/// The row of the applied log id; tables of machines begin at 1.
fn applied_key() -> Key {
    Key::default().u8(0).u8(0)
}

/// The row of the last applied membership.
fn membership_key() -> Key {
    Key::default().u8(0).u8(1)
}

/// Reads the applied log id by way of `get`.
pub(super) fn read_applied(
    get: impl Fn(&Key) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<Option<LogId>, StoreError> {
    let Some(bytes) = get(&applied_key())? else {
        return Ok(None);
    };
    let applied: AppliedRecord = record::decode(&bytes)?;
    Ok(Some(LogId::new_term_index(applied.term, applied.index)))
}

/// Reads the last applied membership by way of `get`.
pub(super) fn read_membership(
    get: impl Fn(&Key) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<StoredMembership, StoreError> {
    let Some(bytes) = get(&membership_key())? else {
        return Ok(StoredMembership::default());
    };
    Ok(wire::read_stored_membership(&record::decode(&bytes)?))
}

/// One replica's state, as openraft sees it.
pub struct StateAdapter {
    state: CellState,
    machine: Arc<dyn Machine>,
    leading: Arc<AtomicBool>,
    applied: watch::Sender<Position>,
}

impl StateAdapter {
    /// `leading` is kept up to date by the group; `applied` is told by this.
    pub fn new(
        state: CellState,
        machine: Arc<dyn Machine>,
        leading: Arc<AtomicBool>,
        applied: watch::Sender<Position>,
    ) -> Result<Self, StoreError> {
        let last = read_applied(|key| state.view().get(key))?;
        applied.send_replace(Position(last.map_or(0, |id| id.index)));
        Ok(Self {
            state,
            machine,
            leading,
            applied,
        })
    }

    /// Writes a batch, then tells everybody.
    fn commit(&self, batch: Unwritten<'_>) -> Result<(), StoreError> {
        let Unwritten {
            mut tx,
            last,
            entries,
            answers,
        } = batch;
        let Some(last) = last else {
            return Ok(());
        };
        let applied = AppliedRecord {
            term: last.leader_id.term,
            index: last.index,
        };
        tx.put(applied_key(), &applied);
        tx.into_batch().write()?;
        let leading = self.leading.load(Ordering::Acquire);
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        let position = Position(last.index);
        self.machine.reached(position, leading, entries);
        self.applied.send_replace(position);
        Ok(())
    }
}

/// Entries applied to a transaction that is not written yet.
struct Unwritten<'a> {
    tx: Tx<'a>,
    last: Option<LogId>,
    entries: Vec<TopicEntry>,
    answers: Vec<(openraft::storage::ApplyResponder<TypeConfig>, Outcome)>,
}

impl<'a> Unwritten<'a> {
    fn new(state: &'a CellState) -> Self {
        Self {
            tx: state.tx(),
            last: None,
            entries: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.answers.len() >= BATCH_COMMANDS_MAX || self.tx.len() >= BATCH_ROWS_MAX
    }

    fn apply(
        &mut self,
        machine: &dyn Machine,
        (entry, responder): EntryResponder<TypeConfig>,
    ) -> Result<(), StoreError> {
        let Applied { outcome, entries } = match entry.payload {
            EntryPayload::Blank => Outcome::Done.into(),
            EntryPayload::Normal(Command(command)) => machine.apply(&mut self.tx, command)?,
            EntryPayload::Membership(membership) => {
                let stored = StoredMembership::new(Some(entry.log_id), membership);
                self.tx
                    .put(membership_key(), &wire::stored_membership(&stored));
                Outcome::Done.into()
            }
        };
        self.last = Some(entry.log_id);
        self.entries.extend(entries);
        self.answers.extend(responder.map(|r| (r, outcome)));
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateAdapter {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let view = self.state.view();
        Ok((
            read_applied(|key| view.get(key))?,
            read_membership(|key| view.get(key))?,
        ))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batch = Unwritten::new(&self.state);
        while let Some(entry) = entries.next().await {
            batch.apply(self.machine.as_ref(), entry?)?;
            if batch.is_full() {
                let full = std::mem::replace(&mut batch, Unwritten::new(&self.state));
                self.commit(full)?;
            }
        }
        Ok(self.commit(batch)?)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder(self.state.clone())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> io::Result<()> {
        let SnapshotData::Staged(staging) = data else {
            // Our own state, offered back to us at start-up: it is in place.
            return Ok(());
        };
        staging.install()?;
        self.state.store().flusher().synced().await?;
        self.machine.replaced();
        let position = Position(meta.last_log_id.map_or(0, |id| id.index));
        self.applied.send_replace(position);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let (meta, snapshot) = snapshot::read(self.state.clone()).await?;
        Ok(meta.last_log_id.map(|_| Snapshot { meta, snapshot }))
    }
}

/// Builds a snapshot of the state as it is: the state is on disk already, so
/// nothing is written.
pub struct Builder(CellState);

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (meta, snapshot) = snapshot::read(self.0.clone()).await?;
        Ok(Snapshot { meta, snapshot })
    }
}
