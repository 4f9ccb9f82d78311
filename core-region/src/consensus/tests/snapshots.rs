//! A cell's state on its way to another replica.

use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;

use super::{CELL, Replica, chunks, id, membership, receive, set};
use crate::consensus::snapshot::Staging;
use crate::store::Family;
use crate::store::keys::{self, Generation};

/// Rows of [`value`]: they take several chunks.
const ROWS: u64 = 300;

/// Four kilobytes that tell rows apart.
fn value(row: u64) -> Vec<u8> {
    row.to_be_bytes().repeat(512)
}

/// A replica whose state takes several chunks.
async fn full() -> Replica {
    let mut replica = Replica::new();
    replica.apply([membership(1, 1, &[1, 2, 3])]).await;
    replica
        .apply((0..ROWS).map(|row| set(1, row + 2, row, &value(row))))
        .await;
    replica
}

#[tokio::test]
async fn a_snapshot_makes_another_replica_equal_to_the_byte() {
    let mut from = full().await;
    let snapshot = from.adapter.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(snapshot.meta.last_log_id, Some(id(1, ROWS + 1)));
    let chunks = chunks(snapshot.snapshot).await;
    assert!(chunks.len() >= 4);
    let (last, others) = chunks.split_last().unwrap();
    assert!(last.last && others.iter().all(|chunk| !chunk.last));

    // The other one had a state of its own, which goes.
    let mut to = Replica::new();
    to.apply([set(1, 1, 7_000, b"old"), set(1, 2, 7, b"old")])
        .await;
    let received = receive(&to.state, &chunks);
    let installed = to.adapter.install_snapshot(&snapshot.meta, received).await;
    installed.unwrap();
    assert_eq!(to.rows(), from.rows());
    assert_eq!(to.state.generation(), Generation(1));
    assert_eq!(to.rows_on_disk(), from.rows_on_disk());
    assert_eq!(
        to.adapter.applied_state().await.unwrap(),
        from.adapter.applied_state().await.unwrap()
    );
    assert_eq!(to.applied.borrow().0, ROWS + 1);
    assert_eq!(
        to.machine
            .replaced
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );

    // It goes on from there, also after a restart.
    let mut to = to.restarted();
    assert_eq!(to.applied.borrow().0, ROWS + 1);
    for replica in [&mut from, &mut to] {
        replica.apply([set(2, ROWS + 2, 3, b"new")]).await;
    }
    assert_eq!(to.rows(), from.rows());
}

#[tokio::test]
async fn each_snapshot_takes_the_place_of_the_one_before() {
    let mut from = full().await;
    let mut to = Replica::new();
    for round in 1..4 {
        let snapshot = from.adapter.get_current_snapshot().await.unwrap().unwrap();
        let received = receive(&to.state, &chunks(snapshot.snapshot).await);
        let installed = to.adapter.install_snapshot(&snapshot.meta, received).await;
        installed.unwrap();
        assert_eq!(to.state.generation(), Generation(round));
        assert_eq!(to.rows(), from.rows());
        assert_eq!(to.rows_on_disk(), from.rows_on_disk());
        let next = ROWS + 1 + u64::from(round);
        from.apply([set(1, next, next, b"more")]).await;
    }
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment() {
    let mut from = full().await;
    let rows = from.rows();
    let mut builder = from
        .adapter
        .try_create_snapshot_builder(true)
        .await
        .unwrap();
    let snapshot = builder.build_snapshot().await.unwrap();
    // It is on its way while the replica goes on.
    from.apply([
        set(1, ROWS + 2, 0, b"later"),
        set(1, ROWS + 3, 9_999, b"later"),
    ])
    .await;
    assert_eq!(snapshot.meta.last_log_id, Some(id(1, ROWS + 1)));

    let mut to = Replica::new();
    let received = receive(&to.state, &chunks(snapshot.snapshot).await);
    let installed = to.adapter.install_snapshot(&snapshot.meta, received).await;
    installed.unwrap();
    assert_eq!(to.rows(), rows);
}

#[tokio::test]
async fn a_replica_without_a_state_has_no_snapshot() {
    let mut replica = Replica::new();
    let snapshot = replica.adapter.get_current_snapshot().await.unwrap();
    assert!(snapshot.is_none());
}

#[tokio::test]
async fn the_state_in_use_is_not_touched_before_all_has_come() {
    let mut from = full().await;
    let snapshot = from.adapter.get_current_snapshot().await.unwrap().unwrap();
    let chunks = chunks(snapshot.snapshot).await;
    let mut to = Replica::new();
    to.apply([set(1, 1, 7, b"mine")]).await;
    let rows = to.rows();

    let staging = Staging::begin(&to.state);
    staging.add(&chunks[0].rows).unwrap();
    assert_eq!(to.rows(), rows);
    to.apply([set(1, 2, 8, b"mine, too")]).await;
    assert_eq!(to.rows().len(), rows.len() + 1);
}

#[tokio::test]
async fn a_snapshot_that_does_not_arrive_leaves_nothing_behind() {
    let mut from = full().await;
    let snapshot = from.adapter.get_current_snapshot().await.unwrap().unwrap();
    let chunks = chunks(snapshot.snapshot).await;
    let mut to = Replica::new();
    to.apply([set(1, 1, 7, b"mine")]).await;
    let on_disk = to.rows_on_disk();

    // The connection breaks half way.
    let staging = Staging::begin(&to.state);
    staging.add(&chunks[0].rows).unwrap();
    assert!(to.rows_on_disk() > on_disk);
    drop(staging);
    assert_eq!(to.rows_on_disk(), on_disk);

    // All has come, and Raft no longer wants it.
    drop(receive(&to.state, &chunks));
    assert_eq!(to.rows_on_disk(), on_disk);
    assert_eq!(to.state.generation(), Generation(0));
}

#[tokio::test]
async fn a_snapshot_that_is_given_up_takes_nothing_of_the_next() {
    let mut from = full().await;
    let snapshot = from.adapter.get_current_snapshot().await.unwrap().unwrap();
    let chunks = chunks(snapshot.snapshot).await;
    let mut to = Replica::new();
    // Raft lets go of the first one only when the second is already there.
    let first = receive(&to.state, &chunks[..1]);
    let second = receive(&to.state, &chunks);
    drop(first);
    let installed = to.adapter.install_snapshot(&snapshot.meta, second).await;
    installed.unwrap();
    assert_eq!(to.rows(), from.rows());
    assert_eq!(to.rows_on_disk(), from.rows_on_disk());
}

#[tokio::test]
async fn what_a_crash_has_left_of_a_snapshot_is_removed_at_the_next_start() {
    let mut to = Replica::new();
    to.apply([set(1, 1, 7, b"mine")]).await;
    let (rows, on_disk) = (to.rows(), to.rows_on_disk());
    // As if the node had died while it received these.
    let mut batch = to.state.store().batch();
    for generation in [1, 2] {
        let row = keys::state(CELL, Generation(generation)).u64(9);
        batch.put(Family::State, &row, b"half");
    }
    batch.write().unwrap();
    assert_eq!(to.rows_on_disk(), on_disk + 2);

    let to = to.restarted();
    assert_eq!(to.rows_on_disk(), on_disk);
    assert_eq!(to.rows(), rows);
}
