//! A run made by hand, and what its page must have.

use std::time::Duration;

use causeway_protocol::ChannelId;
use causeway_transport::Transport;

use super::*;
use crate::chaos::expectations::Expectation;
use crate::chaos::history::{Call, Operation, Outcome};
use crate::chaos::milestones::Milestones;
use crate::chaos::terms::Terms;
use crate::ledger::Pair;

fn send(client: ClientNumber, began_ms: u64, waited_ms: u64) -> Operation {
    Operation {
        client,
        channel: ChannelId(1),
        call: Call::Send {
            id: format!("{client}-{began_ms}").into(),
            text: String::new(),
            thread_ts: 0,
        },
        began: Duration::from_millis(began_ms),
        outcome: Outcome::Acknowledged {
            at: Duration::from_millis(began_ms + waited_ms),
            seq: 1,
            ts: 1,
        },
    }
}

/// Client 0 is struck at 10 s, client 1 is not.
fn history() -> History {
    let calm = (0..300).flat_map(|n| [send(0, n * 80, 90), send(1, n * 80, 70)]);
    let struck = |o: &Operation| {
        let ms = o.began.as_millis();
        o.client == 0 && (10_000..11_400).contains(&ms)
    };
    let pause = (0..5).map(|n| send(0, 10_000 + n * 200, 1_420 - n * 200));
    History {
        operations: calm.filter(|o| !struck(o)).chain(pause).collect(),
        ..History::default()
    }
}

fn report() -> ChaosReport {
    let quantiles = |p50, p99, max| Quantiles { p50, p99, max };
    ChaosReport {
        terms: Terms {
            scenario: "kill-region",
            seed: 4_711,
            duration: 16,
            clients: 48,
            rate: 100.0,
            world: None,
            plant: None,
            strict: false,
            transport: Transport::Native,
        },
        sent: 2_345,
        acknowledged: 2_345,
        deliveries: 18_760,
        lost: 0,
        duplicated: 0,
        out_of_order: 0,
        refused: 0,
        errors: 0,
        disconnects: 12,
        added_ms: Some(quantiles(3.4, 21.0, 1_380.0)),
        milestones: Milestones {
            led: Some(4),
            detect_ms: Some(640.0),
            elect_ms: Some(310.0),
            reroute_ms: Some(170.0),
        },
        pause_ms: Some(quantiles(1_120.0, 1_410.0, 1_420.0)),
        other_pause_ms: Some(quantiles(4.0, 35.0, 61.0)),
        pairs: vec![Pair {
            from: "nyc".parse().unwrap(),
            to: "nrt".parse().unwrap(),
            deliveries: 812,
            latency_ms: quantiles(151.0, 190.0, 1_500.0),
            floor_ms: 148.0,
        }],
        violations: Vec::new(),
        expectations: vec![Expectation {
            what: "us-east-1 leads again".into(),
            met: true,
        }],
    }
}

fn with(report: &ChaosReport, history: &History, show: &dyn Fn(&Run<'_>) -> String) -> String {
    let acts = [
        (Duration::from_secs(10), "kill us-east-1".to_owned()),
        (
            Duration::from_secs(18),
            "start <us-east-1> & \"wait\"".to_owned(),
        ),
    ];
    show(&Run {
        report,
        history,
        acts: &acts,
        struck: &|client| client == 0,
    })
}

fn page(report: &ChaosReport, history: &History) -> String {
    with(report, history, &|run| run.page())
}

/// Every tag that is opened is closed, in order, and what looks like a tag is one.
fn assert_well_formed(text: &str) {
    let mut open = Vec::new();
    let mut rest = text.strip_prefix("<!doctype html>").unwrap_or(text);
    while let Some((before, tag)) = rest.split_once('<') {
        assert!(
            !before.contains('>') || open.last() == Some(&"style"),
            "{before}"
        );
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        let name = tag
            .split([' ', '/'])
            .find(|word| !word.is_empty())
            .expect("a name");
        assert!(
            name.chars().all(|sign| sign.is_ascii_alphanumeric()),
            "{name}"
        );
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        rest = after;
    }
    assert_eq!(open, [""; 0], "these are never closed");
    assert!(!text.contains("NaN") && !text.contains("inf"), "no number");
}

#[test]
fn a_page_is_whole_and_has_its_numbers() {
    let page = page(&report(), &history());
    assert_well_formed(&page);
    for wanted in [
        "chaos kill-region",
        "seed 4711 · 48 clients · 24 s",
        "<dt>sent</dt><dd class=\"right\">2,345</dd>",
        "<dd class=\"right\">18,760</dd>",
        "Nothing acknowledged is lost",
        "max 1.42 s",
        ">640 ms<",
        ">310 ms<",
        ">1.12 s<",
        "kill us-east-1",
        "class=\"met\">us-east-1 leads again",
        "nyc → nrt",
        "chaos kill-region --seed 4711 --duration 16 --clients 48 --rate 100",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing");
    }
    // Nothing is loaded, nothing runs.
    for unwanted in ["<script", "<link", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(unwanted), "{unwanted}");
    }
}

#[test]
fn what_is_wrong_stands_out_and_is_escaped() {
    let mut report = report();
    report.lost = 3;
    report.violations = vec!["lost: <img onerror='x'> & more".into()];
    report.expectations[0].met = false;
    let page = page(&report, &history());
    assert_well_formed(&page);
    assert!(page.contains("The promise is broken"));
    assert!(page.contains("<dd class=\"wrong\">3</dd>"));
    assert!(page.contains("lost: &lt;img onerror=&#39;x&#39;&gt; &amp; more"));
    assert!(page.contains("class=\"unmet\">us-east-1 leads again"));
    assert!(page.contains("start &lt;us-east-1&gt; &amp; &quot;wait&quot;"));
}

#[test]
fn a_run_in_which_nothing_happened_is_a_page_too() {
    let mut report = report();
    report.milestones = Milestones::default();
    (report.pause_ms, report.other_pause_ms) = Default::default();
    (report.pairs, report.expectations) = Default::default();
    let page = page(&report, &History::default());
    assert_well_formed(&page);
    assert!(page.contains("nothing was acknowledged"));
    assert!(!page.contains("Failover"));
    assert!(page.contains("No violations"));
}

#[test]
fn the_name_of_the_file_tells_what_is_written() {
    let (report, history) = (report(), history());
    let folder = tempfile::tempdir().unwrap();
    for (name, begins) in [("run.html", "<!doctype html>"), ("run.SVG", "<svg xmlns=")] {
        let file = folder.path().join(name);
        std::fs::write(&file, "an earlier page ".repeat(10_000)).unwrap();
        with(&report, &history, &|run| {
            Page::open(&file).unwrap().write(run).unwrap();
            String::new()
        });
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(begins), "{text:.80}");
        assert_well_formed(&text);
    }
    assert!(Page::open(folder.path()).is_err(), "a folder is no file");
}
