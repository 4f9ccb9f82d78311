//! How committed entries become state.

use std::sync::atomic::Ordering;

use causeway_protocol::Position;
use openraft::storage::RaftStateMachine;

use super::{Replica, blank, id, membership, set};

#[tokio::test]
async fn entries_lead_to_the_same_state_however_they_come() {
    let entries = || {
        let commands = (2..1_500).map(|index| set(1, index, index % 100, &index.to_be_bytes()));
        std::iter::once(membership(1, 1, &[1, 2, 3])).chain(commands)
    };
    let (mut at_once, mut one_by_one) = (Replica::new(), Replica::new());
    at_once.apply(entries()).await;
    for entry in entries() {
        one_by_one.apply([entry]).await;
    }
    assert_eq!(at_once.rows(), one_by_one.rows());
    assert_eq!(*at_once.applied.borrow(), Position(1_499));
    assert_eq!(*one_by_one.applied.borrow(), Position(1_499));
}

#[tokio::test]
async fn a_long_run_of_entries_is_written_in_several_steps() {
    let mut replica = Replica::new();
    replica.leading.store(true, Ordering::Relaxed);
    replica
        .apply((1..=10_000).map(|index| set(1, index, index, b"x")))
        .await;
    let reached = replica.machine.reached.lock();
    assert!(reached.len() > 1);
    assert!(reached.is_sorted());
    assert_eq!(*reached.last().unwrap(), (Position(10_000), true));
}

#[tokio::test]
async fn the_state_knows_how_far_it_is_after_a_restart() {
    let mut replica = Replica::new();
    assert_eq!(
        replica.adapter.applied_state().await.unwrap(),
        Default::default()
    );
    replica
        .apply([membership(1, 1, &[1, 2]), blank(1, 2)])
        .await;
    replica.apply([set(2, 3, 1, b"x"), blank(3, 4)]).await;
    let before = replica.adapter.applied_state().await.unwrap();
    assert_eq!(before.0, Some(id(3, 4)));
    assert_eq!(*before.1.log_id(), Some(id(1, 1)));
    let rows = replica.rows();

    let mut replica = replica.restarted();
    assert_eq!(replica.adapter.applied_state().await.unwrap(), before);
    assert_eq!(*replica.applied.borrow(), Position(4));
    assert_eq!(replica.rows(), rows);
}
