//! Golden bytes: the wire is a contract, and here is what it looks like.
//!
//! Each message of `proto/*.proto` has an example whose bytes are pinned. A
//! change of these bytes breaks whoever runs another version: old pins are not
//! edited, new fields get new examples. `PROTOCOL.md` shows some of them, and
//! [`document`] holds it to that.

mod backbone;
mod client;
mod corpus;
mod document;
mod events;
mod example;
mod flannel;
mod metadata;
mod shape;

use std::collections::BTreeSet;

use example::{Example, hex};
use shape::Schema;

fn all() -> Vec<Example> {
    [
        client::requests(),
        client::responses(),
        client::frames(),
        client::socket_requests(),
        metadata::requests(),
        metadata::responses(),
        metadata::frames(),
        metadata::feeds(),
        events::requests(),
        events::responses(),
        events::frames(),
        events::relays(),
        flannel::requests(),
        flannel::responses(),
        flannel::pages(),
        backbone::connections(),
        backbone::cells(),
        backbone::directory(),
        backbone::operator(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_example_has_its_pinned_bytes() {
    let schema = Schema::compile();
    let moved: Vec<String> = (all().iter())
        .filter(|example| example.pinned() != hex(&example.bytes))
        .map(|example| format!("{}: {}", example.name, schema.grouped(example)))
        .collect();
    assert!(
        moved.is_empty(),
        "these are encoded otherwise than pinned:\n{}",
        moved.join("\n")
    );
}

#[test]
fn every_example_reads_back() {
    for example in all() {
        assert!(example.reads_back, "{}", example.name);
    }
}

#[test]
fn names_are_distinct() {
    let examples = all();
    let names: BTreeSet<_> = examples.iter().map(|example| example.name).collect();
    assert_eq!(names.len(), examples.len());
}

/// A new field without an example fails here: its bytes would be pinned nowhere.
#[test]
fn every_field_of_every_message_is_in_some_example() {
    let schema = Schema::compile();
    let shown: BTreeSet<String> = (all().iter())
        .flat_map(|example| schema.lines(&example.kind, &example.bytes))
        .map(|line| line.field)
        .collect();
    let missing: Vec<String> = schema.fields().filter(|f| !shown.contains(f)).collect();
    assert_eq!(missing, [""; 0], "no example has these fields");
}
