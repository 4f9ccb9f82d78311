//! The times that the platform is to keep, which `--strict` asks for. They hold on a
//! machine that has nothing else to do, so that a run is judged by them only if somebody
//! wants that.

use super::expectations::Expectation;
use super::metadata::MetadataReport;
use super::scenario::Scenario;
use crate::quantiles::Quantiles;

/// Milliseconds that clients may be kept waiting.
#[derive(Default)]
struct Pauses {
    /// Of those struck.
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
    /// Of all others.
    other_max: Option<f64>,
}

impl Pauses {
    fn of(scenario: Scenario) -> Self {
        match scenario {
            Scenario::KillRegion => Self {
                p50: Some(1_500.0),
                p99: Some(3_000.0),
                other_max: Some(250.0),
                ..Self::default()
            },
            Scenario::KillPop => Self {
                p99: Some(2_500.0),
                ..Self::default()
            },
            Scenario::DrainRegion | Scenario::DrainPop | Scenario::RollingRestart => Self {
                max: Some(500.0),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// Whether clients waited no longer than they may.
pub fn of_pauses(
    scenario: Scenario,
    struck: Option<Quantiles>,
    others: Option<Quantiles>,
) -> Vec<Expectation> {
    let limits = Pauses::of(scenario);
    let asked = [
        ("half of those struck", limits.p50, struck.map(|q| q.p50)),
        ("99 % of those struck", limits.p99, struck.map(|q| q.p99)),
        ("all of those struck", limits.max, struck.map(|q| q.max)),
        ("all others", limits.other_max, others.map(|q| q.max)),
    ];
    let asked = asked
        .into_iter()
        .filter_map(|(who, limit, waited)| Some((who, limit?, waited)));
    asked
        .map(|(who, limit, waited)| within(&format!("{who} waited"), waited, limit))
        .collect()
}

/// Whether metadata was written and told of as soon as it should be.
pub fn of_metadata(report: &MetadataReport) -> Vec<Expectation> {
    let seen = report.seen_over_floor_ms.map(|seen| seen.p50);
    let mut judged = vec![
        within(
            "99 % of writes were acknowledged, beyond the way and one sync,",
            report.ack_over_floor_ms.map(|ack| ack.p99),
            5.0,
        ),
        within("replicas were equal", report.converge_ms, 2_000.0),
        within("clients knew all of it", report.views_ms, 2_000.0),
    ];
    if seen.is_some() {
        judged.push(within(
            "half of the reactions were seen, beyond the way,",
            seen,
            10.0,
        ));
    }
    judged
}

/// What was not measured is not within anything.
fn within(what: &str, measured_ms: Option<f64>, limit_ms: f64) -> Expectation {
    let told = measured_ms.map_or("not measured".into(), |ms| format!("{ms:.1} ms"));
    Expectation {
        what: format!("{what} within {limit_ms:.0} ms ({told})"),
        met: measured_ms.is_some_and(|ms| ms <= limit_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(p50: f64, p99: f64, max: f64) -> Option<Quantiles> {
        Some(Quantiles { p50, p99, max })
    }

    fn unmet(scenario: Scenario, struck: Option<Quantiles>, others: Option<Quantiles>) -> usize {
        let judged = of_pauses(scenario, struck, others);
        judged.iter().filter(|judged| !judged.met).count()
    }

    #[test]
    fn each_time_is_judged_by_its_own_limit() {
        let fine = waited(1_500.0, 3_000.0, 9_000.0);
        let others = waited(1.0, 2.0, 250.0);
        assert_eq!(unmet(Scenario::KillRegion, fine, others), 0);
        assert_eq!(
            unmet(Scenario::KillRegion, waited(1_501.0, 3_001.0, 1.0), others),
            2
        );
        assert_eq!(
            unmet(Scenario::KillRegion, fine, waited(1.0, 2.0, 250.1)),
            1
        );
        assert_eq!(
            unmet(Scenario::DrainPop, waited(1.0, 2.0, 501.0), others),
            1
        );
        assert!(of_pauses(Scenario::Mixed, fine, others).is_empty());
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        assert_eq!(unmet(Scenario::RollingRestart, None, None), 1);
    }
}
