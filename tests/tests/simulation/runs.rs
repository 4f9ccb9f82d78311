//! Runs of seeds: one, or many on all processors, and what is printed of them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::Ledger;
use crate::oracle::Violation;
use crate::planted::Planted;
use crate::world::World;

/// Lines of the trace that are printed of a failing seed, unless told.
const TAIL: usize = 60;

const NO_PANIC: &str = "nothing panics";

/// How a run ended.
pub struct Report {
    pub seed: u64,
    pub violation: Option<Violation>,
    pub ledger: Ledger,
    pub hash: u64,
    pub trace: Vec<String>,
    /// Virtual time from healing until all was well.
    pub healed_in_ms: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(violation) = &self.violation else {
            return write!(f, "seed {}: every invariant held", self.seed);
        };
        let tail = crate::variable("CAUSEWAY_SIM_TRACE").unwrap_or(TAIL);
        let from = self.trace.len().saturating_sub(tail);
        for line in &self.trace[from..] {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {}: broken: {}", self.seed, violation.invariant)?;
        writeln!(f, "  {}", violation.detail)?;
        write!(f, "again with: ./x simulate --seed {}", self.seed)
    }
}

pub fn run(seed: u64, planted: Option<Planted>, with_text: bool) -> Report {
    let mut world = World::new(seed, planted, with_text);
    // Which seed it was must be told then, too.
    if catch_unwind(AssertUnwindSafe(|| world.run())).is_err() {
        world.oracle.violated(NO_PANIC, "see above".into());
    }
    Report {
        seed,
        violation: world.oracle.violation().cloned(),
        healed_in_ms: world.now().millis().saturating_sub(crate::plan::HEAL_AT_MS),
        ledger: world.ledger,
        hash: world.trace.hash(),
        trace: world.trace.into_lines(),
    }
}

/// All runs of a range together.
#[derive(Default)]
pub struct Summary {
    pub ledger: Ledger,
    pub failed: BTreeMap<u64, Violation>,
    pub healed_in_ms_max: u64,
    pub runs: u64,
}

impl Summary {
    fn add(&mut self, report: Report) {
        self.runs += 1;
        self.ledger.add(&report.ledger);
        self.healed_in_ms_max = self.healed_in_ms_max.max(report.healed_in_ms);
        if let Some(violation) = report.violation {
            self.failed.insert(report.seed, violation);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs, {} failed", self.runs, self.failed.len())?;
        writeln!(
            f,
            "{:>12} ms until well again, at the most",
            self.healed_in_ms_max
        )?;
        for (name, count) in self.ledger.counts() {
            writeln!(f, "{count:>12} {}", name.replace('_', " "))?;
        }
        Ok(())
    }
}

/// Runs these seeds on all processors.
pub fn run_all(seeds: Range<u64>) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(seed, None, false);
                    let mut summary = summary.lock().expect("no other run has panicked");
                    summary.add(report);
                    show_progress(&summary, seeds.end - seeds.start);
                }
            });
        }
    });
    summary.into_inner().expect("no run has panicked")
}

fn show_progress(summary: &Summary, of: u64) {
    let mut out = std::io::stderr();
    if out.is_terminal() && (summary.runs.is_multiple_of(10) || summary.runs == of) {
        let end = if summary.runs == of { "\n" } else { "" };
        let failed = summary.failed.len();
        // A progress line that cannot be written is not missed.
        let _ = write!(
            out,
            "\r{} of {of} seeds, {failed} failed{end}",
            summary.runs
        );
        let _ = out.flush();
    }
}
