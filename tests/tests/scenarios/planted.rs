//! Bugs on purpose: a suite that does not catch them would prove nothing.

use serde_json::Value;

use crate::world::{Site, causeway};

/// Runs a scenario with a bug in the world, which must be found, and returns what
/// was found.
fn run(scenario: &str, bug: &str, seconds: &str) -> Vec<String> {
    // Waits for its turn; the suite has its own folder.
    let _site = Site::new();
    let run = causeway()
        .args(["chaos", scenario, "--json", "--seed", "1", "--plant", bug])
        .args(["--duration", seconds, "--clients", "16", "--rate", "40"])
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success(), "{bug} was not noticed: {told}");
    let report: Value = serde_json::from_str(&told)
        .unwrap_or_else(|e| panic!("{bug}: no report but {e}: {told}{errors}"));
    let violations = report["violations"].as_array().expect("a list");
    let texts = violations
        .iter()
        .map(|v| v.as_str().expect("a text").into());
    texts.collect()
}

fn assert_found(violations: &[String], rules: &[&str]) {
    for rule in rules {
        let found = violations.iter().any(|text| text.starts_with(rule));
        assert!(found, "{rule} is not among {violations:?}");
    }
}

#[test]
fn acknowledging_before_the_sync_loses_messages_with_the_power() {
    assert_found(
        &run("power-failure", "ack-before-sync", "12"),
        &["acknowledged_missing"],
    );
}

#[test]
fn forgetting_what_was_sent_doubles_messages() {
    assert_found(&run("none", "skip-dedup", "8"), &["stored_twice"]);
}

#[test]
fn delivering_out_of_order_is_seen_by_clients() {
    assert_found(
        &run("none", "deliver-unordered", "8"),
        &["delivered_out_of_order"],
    );
}
