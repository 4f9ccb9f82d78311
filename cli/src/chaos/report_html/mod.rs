//! `--report FILE`: a run as a page that can be handed around: one file, without
//! scripts and without anything from elsewhere.

mod bars;
mod markup;
mod scale;
mod series;
mod timeline;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::markup::{Element, el};
use self::scale::{count, time};
use super::history::{At, ClientNumber, History};
use super::report::{ChaosReport, WORDS};
use crate::quantiles::Quantiles;

/// What a page tells of.
pub struct Run<'a> {
    /// The run, added up.
    pub report: &'a ChaosReport,
    /// What clients saw.
    pub history: &'a History,
    /// What was done, and when.
    pub acts: &'a [(At, String)],
    /// Whether the fault was at a client's home or PoP.
    pub struck: &'a dyn Fn(ClientNumber) -> bool,
}

/// The file of a page, opened before there is one: nobody likes to hear after a long
/// run that it cannot be written.
pub struct Page {
    path: PathBuf,
    file: File,
}

impl Page {
    /// Opens it; a page that is there already stays until the new one is written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("--report: cannot write {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes the page; in a file whose name ends in `.svg`, the timeline alone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(mut self, run: &Run<'_>) -> anyhow::Result<()> {
        let ends = self.path.extension();
        let is_image = ends.is_some_and(|end| end.eq_ignore_ascii_case("svg"));
        let text = match is_image {
            true => run.image(),
            false => run.page(),
        };
        let written = self.file.set_len(0);
        let written = written.and_then(|()| self.file.write_all(text.as_bytes()));
        let path = self.path.display();
        written.with_context(|| format!("the report was not written to {path}"))
    }
}

impl Run<'_> {
    /// The timeline alone.
    pub fn image(&self) -> String {
        format!("{}\n", timeline::draw(self))
    }

    /// Everything.
    pub fn page(&self) -> String {
        let report = self.report;
        let title = format!("chaos {}", report.terms.scenario);
        let head = el("head").add([
            el("meta").with("charset", "utf-8"),
            el("meta")
                .with("name", "viewport")
                .with("content", "width=device-width, initial-scale=1"),
            el("title").text(format!("{title}, seed {}", report.terms.seed)),
        ]);
        let head = head.style(include_str!("page.css"));
        let end = self
            .history
            .operations
            .iter()
            .map(|operation| operation.began);
        let seconds = end.max().unwrap_or_default().as_secs_f64();
        let facts = format!(
            "seed {} · {} clients · {seconds:.0} s of operations",
            report.terms.seed, report.terms.clients
        );
        let main = el("main")
            .add([
                el("h1").text(title),
                el("p").class("facts").text(facts),
                verdict(report),
                section("Ledger").add([ledger(report)]),
                section("Timeline").add([timeline::draw(self)]),
                pauses(report),
            ])
            .add(failover(report))
            .add([findings(report), pairs(report)])
            .add([el("footer").text(format!("Run again with: {}", report.terms.command()))]);
        let page = el("html")
            .with("lang", "en")
            .add([head, el("body").add([main])]);
        format!("<!doctype html>\n{page}\n")
    }
}

fn section(name: &str) -> Element {
    el("section").add([el("h2").text(name)])
}

fn verdict(report: &ChaosReport) -> Element {
    let (class, text) = match report.is_clean() {
        true => (
            "verdict kept",
            "✓ Nothing acknowledged is lost, doubled or out of order; all replicas are equal.",
        ),
        false => ("verdict broken", "✗ The promise is broken."),
    };
    el("p").class(class).text(text)
}

fn ledger(report: &ChaosReport) -> Element {
    let must_be_none = ["lost", "duplicated", "out of order"];
    let rows = report.counts().into_iter().flat_map(|(name, value)| {
        let wrong = value > 0 && must_be_none.contains(&name);
        let shown = el("dd").class(if wrong { "wrong" } else { "right" });
        [el("div").add([el("dt").text(name), shown.text(count(value))])]
    });
    el("dl").add(rows)
}

fn pauses(report: &ChaosReport) -> Element {
    let rows = [
        ("struck", "longest pause, of those struck", report.pause_ms),
        ("others", "of all others", report.other_pause_ms),
        ("none", "delivery, added to the floor", report.added_ms),
    ];
    let rows = rows.map(|(class, name, q)| {
        let swatch = el("span").class(&format!("swatch {class}"));
        let name = el("td").add([swatch]).text(name);
        el("tr").add([name]).add(quantile_cells(q))
    });
    let table = table(&["", "p50", "p99", "max"], rows);
    let words = WORDS.map(|(word, meaning)| {
        let told = format!("{word}: {meaning}");
        el("p").class("word").text(told)
    });
    section("Pauses: the longest wait of each client, beyond its usual one")
        .add([bars::pauses(report), table])
        .add(words)
}

fn failover(report: &ChaosReport) -> Option<Element> {
    let chart = bars::failover(report)?;
    let parts = bars::failover_parts(report);
    let total = parts.iter().map(|(.., ms)| ms).sum();
    let rows = parts.into_iter().map(|(class, name, what, ms)| {
        let swatch = el("span").class(&format!("swatch {class}"));
        el("tr").add([
            el("td").add([swatch]).text(name),
            el("td").class("words").text(what),
            el("td").text(time(ms)),
        ])
    });
    let sum = el("tr").add([
        el("td").text("in all"),
        el("td").class("words"),
        el("td").text(time(total)),
    ]);
    let table = table(&["", "", "time"], rows.chain([sum]));
    Some(section("Failover: where each millisecond went").add([chart, table]))
}

/// What was asked for beyond the promise, and what was found wrong.
fn findings(report: &ChaosReport) -> Element {
    let expected = report.expectations.iter().map(|expectation| {
        let class = if expectation.met { "met" } else { "unmet" };
        el("li").class(class).text(&expectation.what)
    });
    let violations = report.violations.iter();
    let violations = violations.map(|violation| el("li").class("unmet").text(violation));
    let found: Vec<Element> = violations.chain(expected).collect();
    let list = match found.is_empty() {
        true => el("p").text("No violations."),
        false => el("ul").add(found),
    };
    section("Violations and expectations").add([list])
}

/// Latencies by place, for those who open them.
fn pairs(report: &ChaosReport) -> Element {
    let rows = report.pairs.iter().map(|pair| {
        el("tr")
            .add([
                el("td").text(format!("{} → {}", pair.from, pair.to)),
                el("td").text(count(pair.deliveries as u64)),
                el("td").text(time(pair.floor_ms)),
            ])
            .add(quantile_cells(Some(pair.latency_ms)))
    });
    let head = ["from → to", "deliveries", "floor", "p50", "p99", "max"];
    el("section").add([el("details").add([
        el("summary").text("Deliveries by place"),
        table(&head, rows),
    ])])
}

fn quantile_cells(q: Option<Quantiles>) -> [Element; 3] {
    let cells = q.map(|q| [q.p50, q.p99, q.max].map(time));
    cells
        .unwrap_or_else(|| ["–"; 3].map(str::to_owned))
        .map(|text| el("td").text(text))
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Element>) -> Element {
    let head = head.iter().map(|name| el("th").text(name));
    el("table").add([el("thead").add([el("tr").add(head)]), el("tbody").add(rows)])
}
