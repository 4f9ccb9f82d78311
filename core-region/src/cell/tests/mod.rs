//! Stories about a cell's state machine, driven directly: no log, no network, and
//! a clock that moves only when it is told to.

mod boot;
mod channels;
mod dedup;
mod edits;
mod flannel;
mod history;
mod laws;
mod lists;
mod metadata;
mod order;
mod permissions;
mod threads;
mod topic_logs;
mod unread;
mod world;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Checks `law` for many inputs. They are the same in every run, unless the
/// environment has a `PROPTEST_RNG_SEED`.
fn for_all<S: Strategy>(cases: u32, inputs: &S, law: impl Fn(S::Value)) {
    let from_environment = Config::default();
    let rng_seed = match from_environment.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let mut runner = TestRunner::new(Config {
        cases,
        rng_seed,
        failure_persistence: None,
        ..from_environment
    });
    let checked = runner.run(inputs, |input| {
        law(input);
        Ok(())
    });
    checked.unwrap_or_else(|failed| panic!("{failed}"));
}
