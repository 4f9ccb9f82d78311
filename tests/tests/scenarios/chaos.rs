//! Short runs of the chaos suite: under faults, every message is accounted for.

use std::io::Write;

use serde_json::Value;

use crate::world::{Site, causeway};

/// Runs a scenario in a world of its own; it fails when the promise is broken.
fn run(scenario: &str, seed: &str, seconds: &str) -> Value {
    // Waits for its turn; the suite has its own folder.
    let _site = Site::new();
    // Of metadata, each kind is to be written in each region.
    let rate = match scenario.starts_with("metadata-") {
        true => "300",
        false => "40",
    };
    let run = causeway()
        .args(["chaos", scenario, "--json", "--seed", seed])
        .args(["--duration", seconds, "--clients", "16", "--rate", rate])
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success(),
        "{scenario}, seed {seed}: {told}{errors}"
    );
    serde_json::from_str(&told).expect("one JSON object")
}

/// A seed that nobody has chosen, told also when the test passes.
fn any_seed() -> usize {
    std::process::id() as usize
}

/// Runs a scenario with such a seed.
fn run_any(scenario: &str, seconds: &str) -> Value {
    let seed = any_seed().to_string();
    // What is printed by macros is shown only when a test fails.
    let _ = writeln!(
        std::io::stderr(),
        "causeway chaos {scenario} runs with --seed {seed}"
    );
    run(scenario, &seed, seconds)
}

/// What the scenario itself asks for, beyond the promise.
fn assert_expected(report: &Value, at_least: usize) {
    let expectations = report["expectations"].as_array().expect("a list");
    assert!(expectations.len() >= at_least, "{report}");
    assert!(expectations.iter().all(|e| e["met"] == true), "{report}");
}

#[test]
fn a_region_dies() {
    let report = run("kill-region", "1", "9");
    assert_eq!(report["lost"], 0);
    assert_eq!(report["violations"].as_array().map(Vec::len), Some(0));
    assert!(report["acknowledged"].as_u64().is_some_and(|n| n > 300));
    // It was there and was noticed.
    assert!(report["detect_ms"].as_f64().is_some_and(|ms| ms > 100.0));
    assert!(report["elect_ms"].is_number() && report["reroute_ms"].is_number());
    assert_eq!(report["disconnects"], 0);
}

#[test]
fn a_region_is_cut_off() {
    let report = run("partition-region", "2", "9");
    assert!(report["acknowledged"].as_u64().is_some_and(|n| n > 300));
}

#[test]
fn a_disk_is_full() {
    assert_expected(&run("disk-full", "5", "9"), 5);
}

#[test]
fn the_power_fails_everywhere() {
    let report = run("power-failure", "8", "10");
    assert!(report["acknowledged"].as_u64().is_some_and(|n| n > 100));
}

/// One of these a time, as all together take long.
#[test]
fn one_thing_or_another_happens() {
    const SCENARIOS: [(&str, &str); 5] = [
        ("kill-pop", "9"),
        ("freeze-node", "9"),
        ("disk-stall", "15"),
        ("clock-jump", "9"),
        ("storm", "12"),
    ];
    let (scenario, seconds) = SCENARIOS[any_seed() % SCENARIOS.len()];
    let report = run_any(scenario, seconds);
    assert_expected(&report, 3);
    let disconnects = report["disconnects"].as_u64().expect("a number");
    match scenario {
        "kill-pop" => assert!(disconnects > 0),
        // Four clients found their PoP dead; when it was stopped, they had been told.
        "storm" => assert!(disconnects >= 4),
        // Nobody noticed.
        "clock-jump" => assert_eq!(disconnects, 0),
        _ => {}
    }
}

#[test]
fn whatever_may_come() {
    run_any("mixed", "10");
}

#[test]
fn regions_write_metadata_alone_and_agree() {
    let report = run("metadata-split", "1", "6");
    assert_eq!(report["lost"], 0);
    assert_eq!(report["diverged"], 0);
    assert!(report["acknowledged"].as_u64().is_some_and(|n| n > 200));
    assert!(report["converge_ms"].is_number() && report["views_ms"].is_number());
}

#[test]
fn metadata_outlives_cores_disks_and_clocks() {
    const SCENARIOS: [&str; 4] = [
        "metadata-kill",
        "metadata-wipe",
        "metadata-forget",
        "metadata-clock",
    ];
    let scenario = SCENARIOS[any_seed() % SCENARIOS.len()];
    assert_expected(&run_any(scenario, "12"), 2);
}
