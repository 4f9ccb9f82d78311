//! The log on disk, and the entries that are kept in memory beside it.

use std::ops::Range;

use causeway_protocol::CellId;
use openraft::storage::RaftLogStorage;
use openraft::{LogState, RaftLogReader};
use tempfile::TempDir;

use super::{CELL, append, blank, command, id, membership};
use crate::consensus::log_store::LogStore;
use crate::consensus::types::{Entry, Vote};
use crate::store::Store;

fn open(folder: &TempDir, cell: CellId) -> LogStore {
    LogStore::open(Store::open(folder.path()).unwrap(), cell).unwrap()
}

async fn read(log: &mut LogStore, range: Range<u64>) -> Vec<Entry> {
    log.try_get_log_entries(range).await.unwrap()
}

fn blanks(term: u64, range: Range<u64>) -> Vec<Entry> {
    range.map(|index| blank(term, index)).collect()
}

#[tokio::test]
async fn the_log_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    let entries = [
        blank(1, 1),
        membership(1, 2, &[1, 2, 3]),
        command(2, 3, "hello"),
        command(2, 4, ""),
    ];
    append(&mut log, entries.clone()).await;
    log.purge(id(1, 1)).await.unwrap();
    let before = log.get_log_state().await.unwrap();
    drop(log);

    let mut log = open(&folder, CELL);
    assert_eq!(read(&mut log, 0..9).await, entries[1..]);
    assert_eq!(log.get_log_state().await.unwrap(), before);
    let state = LogState {
        last_purged_log_id: Some(id(1, 1)),
        last_log_id: Some(id(2, 4)),
    };
    assert_eq!(before, state);
}

#[tokio::test]
async fn the_vote_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    assert_eq!(log.read_vote().await.unwrap(), None);
    for vote in [Vote::new(3, 7), Vote::new_committed(3, 7), Vote::new(4, 1)] {
        log.save_vote(&vote).await.unwrap();
        // Every reader hears of it, not only after a restart.
        let mut reader = log.get_log_reader().await;
        assert_eq!(reader.read_vote().await.unwrap(), Some(vote));
        drop((log, reader));
        log = open(&folder, CELL);
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
    }
}

#[tokio::test]
async fn what_was_cut_off_is_never_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    append(&mut log, blanks(1, 1..6)).await;
    let mut reader = log.get_log_reader().await;
    assert_eq!(read(&mut reader, 1..9).await, blanks(1, 1..6));

    log.truncate_after(Some(id(1, 2))).await.unwrap();
    assert_eq!(read(&mut reader, 1..9).await, blanks(1, 1..3));
    assert!(read(&mut reader, 3..6).await.is_empty());

    // The new leader's entries take the places of the old one's.
    append(&mut log, blanks(2, 3..5)).await;
    let wanted = [blanks(1, 1..3), blanks(2, 3..5)].concat();
    assert_eq!(read(&mut reader, 1..9).await, wanted);
    assert_eq!(read(&mut reader, 3..9).await, blanks(2, 3..5));

    drop((log, reader));
    let mut log = open(&folder, CELL);
    assert_eq!(read(&mut log, 1..9).await, wanted);
}

#[tokio::test]
async fn what_was_purged_is_never_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    append(&mut log, blanks(1, 1..6)).await;
    log.purge(id(1, 3)).await.unwrap();
    assert_eq!(read(&mut log, 0..9).await, blanks(1, 4..6));
    assert!(read(&mut log, 1..4).await.is_empty());

    // A snapshot may lead beyond the end of the log.
    log.purge(id(2, 20)).await.unwrap();
    assert!(read(&mut log, 0..30).await.is_empty());
    append(&mut log, blanks(2, 21..23)).await;
    assert_eq!(read(&mut log, 0..30).await, blanks(2, 21..23));
}

#[tokio::test]
async fn a_request_is_bounded_in_bytes_and_has_at_least_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    let sizes = [400_000, 400_000, 400_000, 3_000_000, 10, 10];
    let entries = (1..).zip(sizes);
    let entries: Vec<_> = entries
        .map(|(index, size)| command(1, index, vec![7; size]))
        .collect();
    append(&mut log, entries.clone()).await;
    // A megabyte: the first two, the third and none of the next, the large one
    // alone, and all the small ones; from memory as far as it reaches, then from
    // the disk alone.
    for from_disk in [false, true] {
        if from_disk {
            drop(log);
            log = open(&folder, CELL);
        }
        for (start, end, wanted) in [
            (1, 7, 1..3),
            (3, 7, 3..4),
            (4, 7, 4..5),
            (5, 7, 5..7),
            (1, 2, 1..2),
            (6, 6, 6..6),
        ] {
            let got = log.limited_get_log_entries(start, end).await.unwrap();
            let got: Vec<_> = got.iter().map(|entry| entry.log_id.index).collect();
            assert_eq!(got, wanted.collect::<Vec<_>>(), "{start}..{end}");
        }
        // Applying asks for all that there is.
        assert_eq!(read(&mut log, 1..7).await, entries);
    }
}

#[tokio::test]
async fn logs_of_cells_on_one_disk_do_not_touch() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let [mut one, mut two] = [1, 2].map(|n| LogStore::open(store.clone(), CellId(n)).unwrap());
    append(&mut one, blanks(1, 1..6)).await;
    append(&mut two, blanks(9, 1..4)).await;
    one.save_vote(&Vote::new(1, 1)).await.unwrap();
    one.purge(id(1, 2)).await.unwrap();
    one.truncate_after(Some(id(1, 4))).await.unwrap();
    assert_eq!(read(&mut one, 0..9).await, blanks(1, 3..5));

    let mut two = LogStore::open(store, CellId(2)).unwrap();
    assert_eq!(read(&mut two, 0..9).await, blanks(9, 1..4));
    assert_eq!(two.read_vote().await.unwrap(), None);
    let state = LogState {
        last_purged_log_id: None,
        last_log_id: Some(id(9, 3)),
    };
    assert_eq!(two.get_log_state().await.unwrap(), state);
}

#[tokio::test]
async fn a_log_holds_an_entry_of_the_same_term_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    assert!(!log.holds(&id(1, 1)).unwrap());
    append(&mut log, blanks(1, 1..4)).await;
    assert!(log.holds(&id(1, 3)).unwrap());
    assert!(!log.holds(&id(2, 3)).unwrap());
    assert!(!log.holds(&id(1, 4)).unwrap());
    log.purge(id(1, 3)).await.unwrap();
    assert!(!log.holds(&id(1, 3)).unwrap());
}

#[tokio::test]
async fn what_follows_an_entry_is_read_from_memory_and_from_the_disk_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    append(&mut log, blanks(1, 1..5)).await;
    append(&mut log, blanks(2, 5..9)).await;
    let follows = |log: &LogStore, term, index| log.after(&id(term, index)).unwrap();
    let last_two = Some(blanks(2, 7..9));
    assert_eq!(follows(&log, 2, 6), last_two);
    assert_eq!(follows(&log, 2, 8), Some(Vec::new()));
    assert_eq!(follows(&log, 2, 9), None);
    drop(log);
    let log = open(&folder, CELL);
    assert_eq!(follows(&log, 2, 6), last_two);
    assert_eq!(follows(&log, 2, 4), None, "it is of another term");
    assert_eq!(follows(&log, 1, 4), Some(blanks(2, 5..9)));
}

#[tokio::test]
async fn what_a_new_leader_has_written_follows_the_last_entry_of_those_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder, CELL);
    assert_eq!(log.since(1).unwrap(), None);
    append(&mut log, blanks(1, 1..40)).await;
    assert_eq!(log.since(2).unwrap(), Some((id(1, 39), Vec::new())));
    append(&mut log, blanks(2, 40..43)).await;
    let since = Some((id(1, 39), blanks(2, 40..43)));
    assert_eq!(log.since(2).unwrap(), since);
    // Also after a restart, with nothing in memory.
    drop(log);
    let mut log = open(&folder, CELL);
    assert_eq!(log.since(2).unwrap(), since);
    // What is long ago would make a long request.
    append(&mut log, blanks(2, 43..60)).await;
    assert_eq!(log.since(2).unwrap(), None);
}
