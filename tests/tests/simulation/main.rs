//! The product's decisions, composed into whole worlds of nodes, edges and
//! clients, in virtual time: with lost, late, doubled and overtaken messages,
//! crashes, cuts, slow disks and clocks that disagree. What decides is real:
//! routes and the search for leaders, SWIM, the ring, the hub, sessions, inbox,
//! outbox, placement, replacement, succession, homecoming, drains, subscriptions. What
//! needs a disk or tasks is modelled: Raft, and a cell's state.
//!
//! `./x simulate` runs it; with `--seed N` one seed again. [`world`] is the place
//! to begin reading. A fault is a variant of [`plan::Fault`]; what must hold is
//! in [`oracle`].

mod atlas;
mod caller;
mod client;
mod clock;
mod coming_back;
mod core;
mod edge;
mod follower;
mod io;
mod ledger;
mod links;
mod membership;
mod message;
mod network;
mod oracle;
mod plan;
mod planted;
mod raft;
mod runs;
mod self_tests;
mod state;
mod trace;
mod world;

use std::str::FromStr;

/// Seeds of a run without arguments.
const SEEDS: u64 = 1_000;

/// `CAUSEWAY_SIM_SEED` runs one seed alone, `CAUSEWAY_SIM_SEEDS` so many;
/// `CAUSEWAY_SIM_TRACE` is how many lines of a failing one are printed.
#[test]
fn every_invariant_holds_for_every_seed() {
    if let Some(seed) = variable::<u64>("CAUSEWAY_SIM_SEED") {
        let report = runs::run(seed, None, true);
        assert!(report.violation.is_none(), "\n{report}");
        return;
    }
    let seeds = variable("CAUSEWAY_SIM_SEEDS").unwrap_or(SEEDS);
    let summary = runs::run_all(0..seeds);
    tell(&summary.to_string());
    if let Some(seed) = summary.failed.keys().next() {
        let report = runs::run(*seed, None, true);
        panic!("\n{report}\nall that failed: {:?}", summary.failed.keys());
    }
    if seeds >= SEEDS {
        everything_has_happened(&summary);
    }
}

/// A simulation in which nothing happens would hold every invariant.
fn everything_has_happened(summary: &runs::Summary) {
    for (name, count) in summary.ledger.counts() {
        assert!(count > 0, "in {} runs there were no {name}", summary.runs);
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    match value.parse() {
        Ok(value) => Some(value),
        Err(_) => panic!("{name}=`{value}` is not a number"),
    }
}

#[expect(clippy::print_stderr, reason = "the counts of a test run")]
fn tell(text: &str) {
    eprintln!("{text}");
}
