//! The dashboard shows nothing that nodes do not tell.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// Suffixes of the series that a metric is made of, by its type.
fn series(name: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    let series = suffixes.iter().map(|suffix| format!("{name}{suffix}"));
    series.collect()
}

/// The series that a page has, also those without a value yet.
fn told(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let named = types.filter_map(|line| line.split_once(' '));
    named.flat_map(|(name, kind)| series(name, kind)).collect()
}

/// Our names in a text.
fn named(text: &str, names: &mut BTreeSet<String>) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let ours = words
        .filter(|word| word.starts_with("causeway_edge_") || word.starts_with("causeway_core_"));
    names.extend(ours.map(str::to_owned));
}

/// Our names in every text below.
fn shown(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => named(text, names),
        Value::Array(values) => values.iter().for_each(|value| shown(value, names)),
        Value::Object(fields) => fields.values().for_each(|value| shown(value, names)),
        _ => {}
    }
}

#[test]
fn every_name_on_the_dashboard_is_told_by_some_node() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/grafana/causeway.json");
    let text = std::fs::read_to_string(path).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut names = BTreeSet::new();
    shown(&dashboard, &mut names);
    assert!(names.len() > 50, "{names:?}");
    let mut told = told(&causeway_edge::metrics::example());
    told.extend(self::told(&causeway_core_region::metrics::example()));
    let unknown: Vec<_> = names.difference(&told).collect();
    assert!(unknown.is_empty(), "nobody tells {unknown:?}");
}
