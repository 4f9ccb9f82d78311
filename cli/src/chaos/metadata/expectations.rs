//! What a scenario asks for beside the model, so that a fault without effect is noticed.

use std::collections::BTreeMap;

use causeway_protocol::{Name, NodeId};

use super::judge::Outage;
use super::report;
use super::run::Played;
use super::scenario::Scenario;
use super::view::View;
use crate::chaos::expectations::Expectation;

/// Core nodes by name.
pub type Ids = BTreeMap<Name, NodeId>;

/// What had to be so; core nodes are told as they were at first, and as they are now.
pub fn of(
    scenario: Scenario,
    played: &Played<'_>,
    (before, now): (&Ids, &Ids),
) -> Vec<Expectation> {
    let regions = &played.cast.regions;
    let mut expectations = vec![report::all_was_written(&played.writes, regions)];
    if scenario == Scenario::None {
        let back: u64 = played.views.iter().map(|v| v.look(View::went_back)).sum();
        expectations.push(Expectation {
            what: "no client was told a read cursor from before the last".into(),
            met: back == 0,
        });
    }
    if matches!(scenario, Scenario::Kill | Scenario::Clock) {
        expectations.push(came_back(&played.outages, regions));
    }
    let struck = played.plan.struck.as_ref().map(|(core, _)| core);
    let struck = struck.and_then(|core| Some((core, before.get(core)?, now.get(core)?)));
    expectations.extend(struck.and_then(|(core, before, now)| match scenario {
        Scenario::Clock => Some(Expectation {
            what: format!("others refused what {core} wrote in a time to come"),
            met: played.refused.contains(&before.0),
        }),
        Scenario::Wipe => Some(Expectation {
            what: format!("{core} came back as another node"),
            met: before != now,
        }),
        Scenario::Forget => Some(Expectation {
            what: format!("{core} came back as the same node"),
            met: before == now,
        }),
        _ => None,
    }));
    expectations
}

fn came_back(outages: &[Outage], regions: &[Name]) -> Expectation {
    let after = outages.iter().map(|outage| {
        let region = &regions[outage.region];
        match outage.to {
            Some(to) => format!("{region} after {:.1} s", (to - outage.from).as_secs_f64()),
            None => format!("{region} did not"),
        }
    });
    let after: Vec<String> = after.collect();
    Expectation {
        what: format!(
            "whoever was killed answered again while regions were alone: {}",
            after.join(", ")
        ),
        met: !outages.is_empty() && outages.iter().all(|outage| outage.to.is_some()),
    }
}
