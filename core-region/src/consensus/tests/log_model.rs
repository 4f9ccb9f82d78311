//! The log beside a model of it, under any sequence of what Raft does to a log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_protocol::CellId;
use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::{append, command, id};
use crate::consensus::log_store::LogStore;
use crate::consensus::types::Entry;
use crate::store::Store;

/// What Raft does; places count from the ends of the log as it is then.
#[derive(Debug, Clone)]
enum Act {
    /// Entries of these many bytes.
    Append(Vec<usize>),
    /// A new leader cuts off this many entries.
    CutOff(u64),
    /// The first entries go, perhaps more than there are: a snapshot.
    Purge(u64),
    Read {
        skip: u64,
        count: u64,
    },
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    // The cache in memory holds a megabyte: some entries push others out.
    let bytes = prop_oneof![8 => 0..100usize, 2 => 100_000..700_000usize];
    prop_oneof![
        6 => vec(bytes, 1..5).prop_map(Act::Append),
        3 => (0..6u64).prop_map(Act::CutOff),
        2 => (0..8u64).prop_map(Act::Purge),
        6 => (0..12u64, 0..8u64).prop_map(|(skip, count)| Act::Read { skip, count }),
        1 => Just(Act::Restart),
    ]
}

/// The log, and what it should say.
struct Log {
    store: Store,
    cell: CellId,
    log: LogStore,
    reader: LogStore,
    model: BTreeMap<u64, Entry>,
    purged: u64,
    term: u64,
}

impl Log {
    fn next_index(&self) -> u64 {
        let last = self.model.keys().next_back();
        last.map_or(self.purged, |last| *last) + 1
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Append(sizes) => {
                let first = self.next_index();
                let entries = (first..).zip(sizes).map(|(index, size)| {
                    let fill = u8::try_from(self.term % 251).unwrap();
                    command(self.term, index, vec![fill; *size])
                });
                let entries: Vec<Entry> = entries.collect();
                append(&mut self.log, entries.clone()).await;
                let by_index = entries.into_iter().map(|entry| (entry.log_id.index, entry));
                self.model.extend(by_index);
            }
            Act::CutOff(count) => {
                let kept = self.next_index().saturating_sub(1 + count).max(self.purged);
                let last = (kept > 0).then(|| match self.model.get(&kept) {
                    Some(entry) => entry.log_id,
                    None => id(self.term, kept),
                });
                self.log.truncate_after(last).await.unwrap();
                self.model.retain(|index, _| *index <= kept);
                self.term += 1;
            }
            Act::Purge(count) => {
                self.purged += count;
                if self.purged > 0 {
                    self.log.purge(id(self.term, self.purged)).await.unwrap();
                }
                self.model.retain(|index, _| *index > self.purged);
            }
            Act::Read { skip, count } => {
                let start = self.purged.saturating_sub(2) + skip;
                self.check(start, start + count).await;
            }
            Act::Restart => {
                self.log = LogStore::open(self.store.clone(), self.cell).unwrap();
                self.reader = self.log.get_log_reader().await;
            }
        }
    }

    async fn check(&mut self, start: u64, end: u64) {
        let wanted: Vec<_> = self.model.range(start..end).map(|(_, e)| e).collect();
        let got = self.reader.try_get_log_entries(start..end).await.unwrap();
        assert!(got.iter().eq(wanted.iter().copied()), "{start}..{end}");
        let some = self.reader.limited_get_log_entries(start, end).await;
        let some = some.unwrap();
        assert!(some.len() <= wanted.len() && some.is_empty() == wanted.is_empty());
        assert!(some.iter().eq(wanted.into_iter().take(some.len())));
    }
}

#[test]
fn the_log_says_what_was_written_last() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let cells = AtomicU32::new(1);
    // The same cases in every run, unless the environment names a seed.
    let from_environment = Config::default();
    let rng_seed = match from_environment.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let mut runner = TestRunner::new(Config {
        cases: 64,
        rng_seed,
        failure_persistence: None,
        ..from_environment
    });
    let checked = runner.run(&vec(act(), 1..40), |acts| {
        let cell = CellId(cells.fetch_add(1, Ordering::Relaxed));
        let log = LogStore::open(store.clone(), cell).unwrap();
        let mut log = Log {
            store: store.clone(),
            cell,
            reader: log.clone(),
            log,
            model: BTreeMap::new(),
            purged: 0,
            term: 1,
        };
        runtime.block_on(async {
            for act in &acts {
                log.act(act).await;
            }
            let end = log.next_index() + 3;
            log.check(0, end).await;
            let state = log.log.get_log_state().await.unwrap();
            let last = state.last_log_id.map_or(0, |id| id.index);
            assert_eq!(last + 1, log.next_index());
        });
        Ok(())
    });
    checked.unwrap_or_else(|failed| panic!("{failed}"));
}
