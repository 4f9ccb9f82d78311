//! The simulation itself, tested: the same seed is the same run, and every
//! planted fault is found.

use crate::oracle::{self, deliveries, quiet};
use crate::planted::Planted;
use crate::runs::run;

/// A planted fault shows within so many seeds.
const SEEDS: u64 = 300;

#[test]
fn the_same_seed_is_the_same_run_byte_for_byte() {
    for seed in 0..5 {
        let (one, other) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!((one.hash, one.ledger), (other.hash, other.ledger));
        let without_text = run(seed, None, false);
        assert_eq!(one.hash, without_text.hash, "seed {seed}");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    assert_ne!(run(1, None, false).hash, run(2, None, false).hash);
}

/// Some seed shows the planted fault, as one of these.
fn is_found(planted: Planted, as_one_of: &[&str]) {
    let violations = (0..SEEDS).filter_map(|seed| run(seed, Some(planted), false).violation);
    let found = violations.map(|violation| violation.invariant).next();
    let found = found.unwrap_or_else(|| panic!("{planted:?} was not found"));
    assert!(as_one_of.contains(&found), "{planted:?} shows as: {found}");
}

#[test]
fn an_acknowledgement_before_the_quorum_is_found() {
    let shows = [
        oracle::ONE_LOG,
        oracle::COMMITTED_STAYS,
        oracle::ACKNOWLEDGED,
        oracle::FRESH,
    ];
    is_found(Planted::AckBeforeQuorum, &shows);
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    let shows = [
        oracle::ONE_LOG,
        oracle::COMMITTED_STAYS,
        oracle::ACKNOWLEDGED,
        oracle::ONE_LEADER,
    ];
    is_found(Planted::AckBeforeSync, &shows);
}

#[test]
fn two_leaders_in_a_term_are_found() {
    is_found(
        Planted::ForgottenVote,
        &[oracle::ONE_LEADER, oracle::ONE_LOG],
    );
}

#[test]
fn an_answer_without_a_lease_is_found() {
    is_found(Planted::StaleLease, &[oracle::FRESH]);
}

#[test]
fn a_message_that_is_posted_twice_is_found() {
    is_found(Planted::NoDeduplication, &[oracle::ACKNOWLEDGED]);
}

#[test]
fn a_push_that_is_shown_twice_is_found() {
    is_found(Planted::PushesPastInbox, &[deliveries::ONCE_IN_ORDER]);
}

#[test]
fn cursors_that_are_forgotten_are_found() {
    is_found(Planted::ForgottenCursors, &[quiet::UP_TO_DATE]);
}

#[test]
fn a_read_that_goes_back_is_found() {
    is_found(Planted::BehindTheCursor, &[oracle::READS]);
}

#[test]
fn holes_that_stay_are_found() {
    is_found(Planted::HolesStay, &[quiet::UP_TO_DATE]);
}

#[test]
fn replicas_left_on_nodes_that_are_gone_are_found() {
    is_found(Planted::NoReplacement, &[quiet::PLACED]);
}

#[test]
fn replicas_that_are_never_released_are_found() {
    is_found(Planted::NoRelease, &[quiet::RELEASED]);
}

#[test]
fn drained_nodes_that_lead_are_found() {
    is_found(
        Planted::DrainedNodesLead,
        &[quiet::EMPTY, quiet::LED_AT_HOME],
    );
}

#[test]
fn drained_edges_that_keep_their_clients_are_found() {
    is_found(Planted::DrainedEdgesKeepClients, &[quiet::EMPTY]);
}

#[test]
fn moves_that_break_connections_are_found() {
    is_found(Planted::LeavesFirst, &[oracle::NO_ERRORS]);
}

#[test]
fn leaders_away_from_home_are_found() {
    is_found(Planted::NoHomecoming, &[quiet::LED_AT_HOME]);
}

#[test]
fn leaders_that_nobody_hears_of_are_found() {
    is_found(Planted::NoHints, &[quiet::ROUTED]);
}
