//! The smaller charts: how long clients paused, and where the time went.

use super::markup::{Element, el};
use super::scale::{Scale, time};
use super::timeline::label;
use crate::chaos::report::ChaosReport;
use crate::quantiles::Quantiles;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = WIDTH - 90.0;
const ROW: f64 = 44.0;
/// A segment that is narrower has its time in the list below alone.
const SEGMENT_LABEL_MIN: f64 = 52.0;

/// From the median to the longest pause, on a logarithmic scale.
pub fn pauses(report: &ChaosReport) -> Element {
    let rows = [
        ("struck", "struck", report.pause_ms),
        ("others", "all others", report.other_pause_ms),
    ];
    let longest = rows
        .iter()
        .filter_map(|(.., pause)| pause.map(|pause| pause.max));
    let most = longest.fold(10.0, f64::max);
    let top = 10f64.powf(most.log10().ceil());
    let x = Scale::log((1.0, top), (LEFT, RIGHT));
    let bottom = 20.0 + ROW * rows.len() as f64;
    let mut drawn = Vec::new();
    for tick in x.ticks(0) {
        let at = x.place(tick);
        let line = [("x1", at), ("x2", at), ("y1", 12.0), ("y2", bottom)];
        drawn.push(el("line").class("grid").at(line));
        drawn.push(label(&time(tick), (at, bottom + 18.0), "tick middle"));
    }
    for (n, (class, name, pause)) in rows.into_iter().enumerate() {
        let y = 20.0 + ROW * (n as f64 + 0.5);
        drawn.push(label(name, (LEFT - 12.0, y + 4.0), "key end"));
        match pause {
            Some(pause) => drawn.extend(range(class, pause, &x, y)),
            None => drawn.push(label("–", (LEFT + 10.0, y + 4.0), "key")),
        }
    }
    chart("Longest pauses of clients", bottom + 30.0).add(drawn)
}

/// A bar from the median to the maximum, and a stroke at each of the three.
fn range(class: &str, pause: Quantiles, x: &Scale, y: f64) -> Vec<Element> {
    let places = [pause.p50, pause.p99, pause.max].map(|ms| x.place(ms.max(1.0)));
    let bar = [
        ("x", places[0]),
        ("y", y - 5.0),
        ("width", (places[2] - places[0]).max(1.0)),
        ("height", 10.0),
        ("rx", 3.0),
    ];
    let mut drawn = vec![el("rect").class(&format!("{class} band")).at(bar)];
    for place in places {
        let stroke = [
            ("x", place - 1.5),
            ("y", y - 10.0),
            ("width", 3.0),
            ("height", 20.0),
            ("rx", 1.5),
        ];
        drawn.push(el("rect").class(class).at(stroke));
    }
    let told = format!("max {}", time(pause.max));
    drawn.push(label(&told, (places[2] + 10.0, y + 4.0), "key"));
    drawn
}

/// The parts of a failover, one after another; `None` if there was none.
pub fn failover(report: &ChaosReport) -> Option<Element> {
    let parts = failover_parts(report);
    let total: f64 = parts.iter().map(|(.., ms)| ms).sum();
    if parts.is_empty() || total <= 0.0 {
        return None;
    }
    let x = Scale::linear((0.0, total), (16.0, WIDTH - 16.0));
    let (mut drawn, mut passed) = (Vec::new(), 0.0);
    for (class, _, _, ms) in &parts {
        let (from, to) = (x.place(passed), x.place(passed + ms));
        let bar = [
            ("x", from),
            ("y", 8.0),
            ("width", (to - from - 2.0).max(1.0)),
            ("height", 36.0),
            ("rx", 3.0),
        ];
        drawn.push(el("rect").class(class).at(bar));
        if to - from >= SEGMENT_LABEL_MIN {
            drawn.push(label(&time(*ms), ((from + to) / 2.0, 31.0), "within"));
        }
        passed += ms;
    }
    for tick in x.ticks(8) {
        drawn.push(label(&time(tick), (x.place(tick), 64.0), "tick middle"));
    }
    Some(chart("Where the time of the failover went", 74.0).add(drawn))
}

/// Class, name, explanation and milliseconds of each part that was measured.
pub fn failover_parts(
    report: &ChaosReport,
) -> Vec<(&'static str, &'static str, &'static str, f64)> {
    let parts = [
        (
            "struck",
            "detect",
            "from the fault to the first election",
            report.milestones.detect_ms,
        ),
        (
            "third",
            "elect",
            "until every cell has a leader elsewhere",
            report.milestones.elect_ms,
        ),
        (
            "others",
            "reroute",
            "until every channel is acknowledged again",
            report.milestones.reroute_ms,
        ),
    ];
    let parts = parts.into_iter();
    parts
        .filter_map(|(class, name, what, ms)| Some((class, name, what, ms?)))
        .collect()
}

fn chart(name: &str, height: f64) -> Element {
    el("svg")
        .with("xmlns", "http://www.w3.org/2000/svg")
        .with("viewBox", format!("0 0 {WIDTH} {height}"))
        .with("role", "img")
        .with("aria-label", name)
        .class("chart")
}
