//! The timeline: what was acknowledged, how long it took at the worst, and what
//! was done when.

use super::Run;
use super::markup::{Element, el};
use super::scale::{Scale, count, nice, time};
use super::series::{Bucket, Series};

const WIDTH: f64 = 960.0;
/// Left of the panels stand the labels of their axes.
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 16.0;
/// Each panel, from top to bottom.
const RATE: (f64, f64) = (52.0, 182.0);
const WAITS: (f64, f64) = (228.0, 378.0);
/// Below the time axis stands what was done, one line each.
const LEGEND: f64 = 436.0;
const LINE: f64 = 20.0;
/// Signs of a line of the legend.
const ACT_CHARS_MAX: usize = 110;
/// Marks that are nearer than this share a label's place.
const MARK_WIDTH: f64 = 18.0;

/// Draws it; an image of its own.
pub fn draw(run: &Run<'_>) -> Element {
    let last_act = run.acts.iter().map(|(at, _)| *at).max().unwrap_or_default();
    let series = Series::new(run.history, last_act, run.struck);
    let x = Scale::linear((0.0, series.length_s()), (LEFT, RIGHT));
    let height = LEGEND + run.acts.len() as f64 * LINE + 12.0;
    let summary = format!(
        "Acknowledged messages a second and longest waits over {:.0} s, with {} acts",
        series.length_s(),
        run.acts.len()
    );
    el("svg")
        .with("xmlns", "http://www.w3.org/2000/svg")
        .with("viewBox", format!("0 0 {WIDTH} {height}"))
        .with("role", "img")
        .with("aria-label", summary)
        .class("chart")
        .style(include_str!("chart.css"))
        .add([
            el("rect")
                .class("ground")
                .at([("width", WIDTH), ("height", height)]),
            key(),
        ])
        .add(rate(&series, &x))
        .add(waits(&series, &x))
        .add(time_axis(&x))
        .add(acts(run, &x))
}

/// Which colour is whose.
fn key() -> Element {
    let names = [
        ("struck", LEFT, "struck: home or PoP is at fault"),
        ("others", LEFT + 230.0, "all others"),
    ];
    el("g").add(names.into_iter().flat_map(|(class, x, name)| {
        let patch = [
            ("x", x),
            ("y", 8.0),
            ("width", 12.0),
            ("height", 12.0),
            ("rx", 2.0),
        ];
        [
            el("rect").class(class).at(patch),
            label(name, (x + 18.0, 18.0), "key"),
        ]
    }))
}

/// Acknowledgements, those of one group above the other's.
fn rate(series: &Series, x: &Scale) -> Vec<Element> {
    let most = nice(series.rate_max().max(1.0));
    let y = Scale::linear((0.0, most), (RATE.1, RATE.0));
    let mut drawn = vec![label(
        "acknowledged a second",
        (LEFT, RATE.0 - 10.0),
        "title",
    )];
    for tick in y.ticks(4) {
        drawn.extend(grid(y.place(tick), &number(tick)));
    }
    let of = |bucket: &Bucket| f64::from(bucket.acknowledged) / series.bucket_s;
    let both = series.struck.iter().zip(&series.others).enumerate();
    for (n, (struck, others)) in both {
        let (low, high) = (of(others), of(others) + of(struck));
        for (class, from, to) in [("others", 0.0, low), ("struck", low, high)] {
            if to > from {
                drawn.push(column(class, series, x, n, (y.place(from), y.place(to))));
            }
        }
    }
    drawn
}

/// One bar of a bucket.
fn column(class: &str, series: &Series, x: &Scale, n: usize, y: (f64, f64)) -> Element {
    let from = x.place(n as f64 * series.bucket_s);
    let to = x.place((n + 1) as f64 * series.bucket_s);
    let gap = if to - from > 4.0 { 1.0 } else { 0.0 };
    el("rect").class(class).at([
        ("x", from),
        ("y", y.1),
        ("width", to - from - gap),
        ("height", y.0 - y.1),
    ])
}

/// The longest waits, on a logarithmic scale: a pause is a hundred times longer
/// than what is usual.
fn waits(series: &Series, x: &Scale) -> Vec<Element> {
    let title = "longest wait for an acknowledgement, by when the message was sent";
    let mut drawn = vec![label(title, (LEFT, WAITS.0 - 10.0), "title")];
    let Some((least, most)) = series.waits_ms() else {
        let nothing = "nothing was acknowledged";
        drawn.push(label(nothing, (LEFT + 8.0, WAITS.0 + 24.0), "tick"));
        return drawn;
    };
    let power = |ms: f64, up: f64| 10f64.powf((ms.max(1.0).log10() + up).floor());
    let y = Scale::log((power(least, 0.0), power(most, 1.0)), (WAITS.1, WAITS.0));
    for tick in y.ticks(0) {
        drawn.extend(grid(y.place(tick), &time(tick)));
    }
    for (class, buckets) in [("others", &series.others), ("struck", &series.struck)] {
        drawn.push(band(class, buckets, series.bucket_s, x, &y));
    }
    if let Some(longest) = longest(series) {
        let (at, ms) = (x.place(longest.0), longest.1);
        let anchor = if at > RIGHT - 90.0 { "key end" } else { "key" };
        let shift = if at > RIGHT - 90.0 { -8.0 } else { 8.0 };
        let dot = [("cx", at), ("cy", y.place(ms)), ("r", 4.0)];
        drawn.push(el("circle").class("dot").at(dot));
        let place = (at + shift, y.place(ms) + 4.0);
        drawn.push(label(&format!("max {}", time(ms)), place, anchor));
    }
    drawn
}

/// The longest wait of all: the middle of its bucket in seconds, and how long.
fn longest(series: &Series) -> Option<(f64, f64)> {
    let buckets = series.struck.iter().zip(&series.others).enumerate();
    let middle = |n: usize| (n as f64 + 0.5) * series.bucket_s;
    let waits = buckets.map(|(n, (a, b))| (middle(n), a.longest_ms.max(b.longest_ms)));
    let longest = waits.max_by(|a, b| a.1.total_cmp(&b.1));
    longest.filter(|(_, ms)| *ms > 0.0)
}

/// The waits of one group, as steps above the axis. A bucket in which nothing was
/// sent leaves a gap.
fn band(class: &str, buckets: &[Bucket], bucket_s: f64, x: &Scale, y: &Scale) -> Element {
    let (mut area, mut line, mut open) = (String::new(), String::new(), None);
    let close = |area: &mut String, open: &mut Option<f64>| {
        if let Some(end) = open.take() {
            *area += &format!("V{:.1}H{:.1}Z", WAITS.1, end);
        }
    };
    let mut begun = 0.0;
    for (n, bucket) in buckets.iter().enumerate() {
        let (from, to) = (
            x.place(n as f64 * bucket_s),
            x.place((n + 1) as f64 * bucket_s),
        );
        if bucket.longest_ms <= 0.0 {
            close(&mut area, &mut open);
            continue;
        }
        let height = y.place(bucket.longest_ms);
        if open.is_none() {
            begun = from;
            area += &format!("M{from:.1} {:.1}V{height:.1}H{to:.1}", WAITS.1);
            line += &format!("M{from:.1} {height:.1}H{to:.1}");
        } else {
            area += &format!("V{height:.1}H{to:.1}");
            line += &format!("V{height:.1}H{to:.1}");
        }
        open = Some(begun);
    }
    close(&mut area, &mut open);
    el("g").add([
        el("path").class(&format!("{class} band")).with("d", area),
        el("path").class(&format!("{class} line")).with("d", line),
    ])
}

fn time_axis(x: &Scale) -> Vec<Element> {
    let mut drawn = vec![
        el("line")
            .class("axis")
            .at([("x1", LEFT), ("x2", RIGHT), ("y1", RATE.1), ("y2", RATE.1)]),
        el("line").class("axis").at([
            ("x1", LEFT),
            ("x2", RIGHT),
            ("y1", WAITS.1),
            ("y2", WAITS.1),
        ]),
    ];
    for tick in x.ticks(12) {
        let at = x.place(tick);
        drawn.push(label(&number(tick), (at, WAITS.1 + 18.0), "tick middle"));
    }
    drawn.push(label("seconds", (RIGHT, WAITS.1 + 36.0), "tick end"));
    drawn
}

/// A line across each panel for each act, and its words below.
fn acts(run: &Run<'_>, x: &Scale) -> Vec<Element> {
    let mut drawn = Vec::new();
    let mut labelled = f64::NEG_INFINITY;
    for (n, (at, act)) in run.acts.iter().enumerate() {
        let seconds = at.as_secs_f64();
        let place = x.place(seconds);
        // Not across the title between them.
        for (top, bottom) in [RATE, WAITS] {
            let line = [("x1", place), ("x2", place), ("y1", top), ("y2", bottom)];
            drawn.push(el("line").class("mark").at(line));
        }
        // Of acts that follow one another closely, the first has its number.
        if place - labelled >= MARK_WIDTH {
            labelled = place;
            let middle = (place, RATE.1 + 15.0);
            drawn.push(el("circle").class("badge").at([
                ("cx", middle.0),
                ("cy", middle.1),
                ("r", 9.0),
            ]));
            drawn.push(label(
                &(n + 1).to_string(),
                (middle.0, middle.1 + 4.0),
                "number",
            ));
        }
        let y = LEGEND + n as f64 * LINE;
        let words = shortened(act);
        drawn.push(label(&(n + 1).to_string(), (LEFT - 20.0, y), "key end"));
        drawn.push(label(
            &format!("{seconds:.1} s"),
            (LEFT + 40.0, y),
            "tick end",
        ));
        drawn.push(label(&words, (LEFT + 56.0, y), "key"));
    }
    drawn
}

fn shortened(act: &str) -> String {
    match act.chars().count() > ACT_CHARS_MAX {
        true => act.chars().take(ACT_CHARS_MAX - 1).chain(['…']).collect(),
        false => act.to_owned(),
    }
}

/// A line across a panel, and its value at the left.
fn grid(y: f64, value: &str) -> [Element; 2] {
    let line = [("x1", LEFT), ("x2", RIGHT), ("y1", y), ("y2", y)];
    [
        el("line").class("grid").at(line),
        label(value, (LEFT - 8.0, y + 4.0), "tick end"),
    ]
}

/// A text at its place.
pub fn label(text: &str, (x, y): (f64, f64), class: &str) -> Element {
    el("text").class(class).at([("x", x), ("y", y)]).text(text)
}

fn number(value: f64) -> String {
    match value < 1_000.0 {
        true => {
            let text = format!("{value:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        false => count(std::time::Duration::from_secs_f64(value).as_secs()),
    }
}
