//! openraft's own suite for storage. Snapshots take the way they take between
//! nodes: what one replica reads, another first receives in chunks.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use causeway_protocol::{CellId, Position};
use futures::Stream;
use futures::future::{FutureExt, LocalBoxFuture};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, StorageError};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{Table, chunks, receive};
use crate::consensus::log_store::LogStore;
use crate::consensus::snapshot::SnapshotData;
use crate::consensus::state_adapter::{Builder, StateAdapter};
use crate::consensus::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};
use crate::state::CellState;
use crate::store::Store;

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotData>;
type OurSuite = Suite<TypeConfig, LogStore, Networked, Cells, ()>;

/// A new cell for each test, all on one disk.
struct Cells {
    store: Store,
    cells: AtomicU32,
    _folder: TempDir,
}

impl Cells {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(folder.path()).unwrap(),
            cells: AtomicU32::new(1),
            _folder: folder,
        }
    }

    fn next(&self) -> (LogStore, Networked) {
        let cell = CellId(self.cells.fetch_add(1, Ordering::Relaxed));
        let state = CellState::open(self.store.clone(), cell).unwrap();
        let adapter = StateAdapter::new(
            state.clone(),
            Arc::new(Table::default()),
            Arc::new(AtomicBool::new(false)),
            watch::Sender::new(Position::default()),
        );
        let log = LogStore::open(self.store.clone(), cell).unwrap();
        let adapter = adapter.unwrap();
        (log, Networked { state, adapter })
    }
}

impl StoreBuilder<TypeConfig, LogStore, Networked> for Cells {
    async fn build(&self) -> Result<((), LogStore, Networked), StorageError<TypeConfig>> {
        let (log, machine) = self.next();
        Ok(((), log, machine))
    }
}

/// A replica that receives what another has read.
struct Networked {
    state: CellState,
    adapter: StateAdapter,
}

impl RaftStateMachine<TypeConfig> for Networked {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.adapter.applied_state().await
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        self.adapter.apply(entries).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.adapter.get_snapshot_builder().await
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> io::Result<()> {
        let received = receive(&self.state, &chunks(data).await);
        self.adapter.install_snapshot(meta, received).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.adapter.get_current_snapshot().await
    }
}

/// The tests of `Suite::test_store`. Some of them wait for a second, in case a
/// log purges in the background: run together, they do so at the same time.
macro_rules! tests {
    ($cells:ident: $($name:ident)*) => {
        [$({
            let (log, machine) = $cells.next();
            (stringify!($name), OurSuite::$name(log, machine).boxed_local())
        }),*]
    };
}

#[tokio::test]
async fn openraft_finds_nothing_wrong() {
    let cells = Cells::new();
    let tests: [(&str, LocalBoxFuture<'_, io::Result<()>>); 44] = tests!(cells:
        last_membership_in_log_initial
        last_membership_in_log
        last_membership_in_log_multi_step
        get_membership_initial
        get_membership_from_log_and_empty_sm
        get_membership_from_empty_log_and_sm
        get_membership_from_log_le_sm_last_applied
        get_membership_from_log_gt_sm_last_applied_1
        get_membership_from_log_gt_sm_last_applied_2
        get_initial_state_without_init
        get_initial_state_membership_from_empty_log_and_sm
        get_initial_state_membership_from_sm_inlog_is_smaller
        get_initial_state_membership_from_log_insm_is_smaller
        get_initial_state_with_state
        get_initial_state_last_log_gt_sm
        get_initial_state_last_log_lt_sm
        get_initial_state_inverted_log_order
        get_initial_state_conflict_at_same_index
        get_initial_state_log_ids
        get_initial_state_re_apply_committed
        save_vote
        get_log_entries
        limited_get_log_entries
        leader_bounded_stream
        entries_stream
        try_get_log_entry
        log_reader_reads_new_entries
        initial_logs
        get_log_state
        get_log_id
        last_id_in_log
        last_applied_state
        purge_logs_upto_0
        purge_logs_upto_5
        purge_logs_upto_20
        delete_logs_after_11
        delete_logs_after_5
        delete_logs_after_0
        delete_logs_after_none
        append_to_log
        snapshot_meta
        snapshot_meta_optional
        apply_single
        apply_multiple
    );
    let runs = tests.map(|(name, test)| async move {
        let run = AssertUnwindSafe(test).catch_unwind().await;
        (name, matches!(run, Ok(Ok(()))))
    });
    let runs = futures::future::join_all(runs).await;
    let failed: Vec<_> = runs.iter().filter(|(_, passed)| !passed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    OurSuite::transfer_snapshot(&cells).await.unwrap();
}
