//! Where the time of a failover goes: the world's nodes are asked, from outside
//! of the emulated network, who leads what; clients tell how long they waited.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use causeway_protocol::backbone::NodeStatus;
use causeway_protocol::{ChannelId, Name};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::history::{At, Call, ClientNumber, Operation, Outcome};
use crate::operator::Operator;
use crate::quantiles::{Quantiles, quantiles_of_any};

/// Between looks at the leaders.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The leaders at a time, as far as nodes outside of the region tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: At,
    /// Term and leader's node of each cell, in the latest term known.
    pub leaders: HashMap<u32, (u64, u64)>,
    /// The nodes of the region, as far as they answer.
    pub nodes_of_region: HashSet<u64>,
}

/// Looks at the leaders until `stop`. `region` is the one that will be struck:
/// what its own nodes believe does not count.
pub async fn watch(
    operator: Operator,
    region: Name,
    began: Instant,
    stop: CancellationToken,
) -> Vec<Look> {
    let mut looks = Vec::new();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(statuses) = stop.run_until_cancelled(operator.statuses_now()).await else {
            break;
        };
        let look = look(&statuses, &region, began.elapsed());
        if !look.leaders.is_empty() {
            looks.push(look);
        }
    }
    looks
}

fn look(statuses: &[NodeStatus], region: &Name, at: At) -> Look {
    let inside = |status: &&NodeStatus| {
        let me = status.self_.as_ref();
        me.is_some_and(|me| me.place == region.as_str())
    };
    let mut leaders = HashMap::new();
    for status in statuses.iter().filter(|status| !inside(status)) {
        for cell in &status.cells {
            let known = leaders.entry(cell.cell).or_insert((0, 0));
            // Of two who know of a term, one may not know its leader yet.
            *known = (*known).max((cell.term, cell.leader));
        }
    }
    let members = statuses.iter().flat_map(|status| &status.members);
    let here = members.filter(|member| member.place == region.as_str());
    Look {
        at,
        leaders,
        nodes_of_region: here.map(|member| member.node_id).collect(),
    }
}

/// What came when, after the strike; `None` for what did not come, or was not
/// to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Milestones {
    /// Cells that were led in the region before; `None` if nobody told.
    #[serde(rename = "led_cells")]
    pub led: Option<usize>,
    /// The first election begins.
    pub detect_ms: Option<f64>,
    /// From then on: every cell that was led in the region has a leader outside.
    pub elect_ms: Option<f64>,
    /// From then on: every channel that was written to during the fault has been
    /// acknowledged something.
    pub reroute_ms: Option<f64>,
}

/// Adds up what was seen; `struck` are the channels whose home is the region.
pub fn milestones(
    looks: &[Look],
    strike: At,
    struck: &HashSet<ChannelId>,
    operations: &[Operation],
) -> Milestones {
    let Some(before) = looks.iter().rev().find(|look| look.at < strike) else {
        return Milestones::default();
    };
    let lost: HashMap<u32, u64> = before
        .leaders
        .iter()
        .filter(|(_, (_, leader))| before.nodes_of_region.contains(leader))
        .map(|(cell, (term, _))| (*cell, *term))
        .collect();
    let after = || looks.iter().filter(|look| look.at >= strike);
    let rises = |look: &&Look| {
        let mut lost = lost.iter();
        lost.any(|(cell, term)| look.leaders.get(cell).is_some_and(|(now, _)| now > term))
    };
    let all_led = |look: &&Look| {
        lost.iter().all(|(cell, term)| {
            let now = look.leaders.get(cell);
            now.is_some_and(|(now, leader)| {
                now > term && *leader != 0 && !before.nodes_of_region.contains(leader)
            })
        })
    };
    let led = Some(lost.len());
    if lost.is_empty() {
        return Milestones {
            led,
            ..Milestones::default()
        };
    }
    let detected = after().find(rises).map(|look| look.at);
    let elected = after().find(all_led).map(|look| look.at);
    let served = elected.and_then(|elected| {
        let first = |channel: &ChannelId| first_answer(operations, *channel, strike);
        let last = struck.iter().filter_map(first).max();
        last.map(|last| last.max(elected))
    });
    let step = |from: Option<At>, to: Option<At>| match (from, to) {
        (Some(from), Some(to)) => Some(millis(to.saturating_sub(from))),
        _ => None,
    };
    Milestones {
        led,
        detect_ms: step(Some(strike), detected),
        elect_ms: step(detected, elected),
        reroute_ms: step(elected, served),
    }
}

/// When something that was given to be sent around the strike was acknowledged.
fn first_answer(operations: &[Operation], channel: ChannelId, strike: At) -> Option<At> {
    const AROUND: Duration = Duration::from_secs(2);
    let sends = operations.iter().filter(|operation| {
        let in_time = operation.began >= strike && operation.began < strike + AROUND;
        operation.channel == channel && in_time && matches!(operation.call, Call::Send { .. })
    });
    sends.filter_map(answered).min()
}

fn answered(operation: &Operation) -> Option<At> {
    match operation.outcome {
        Outcome::Acknowledged { at, .. } => Some(at),
        _ => None,
    }
}

/// The longest that each of these clients was kept waiting for an acknowledgement
/// after `from`, beyond what it waits usually. A client sends the messages of a
/// channel one after another: each waits from when the one before is answered. What
/// was never answered has waited to the `end`. `None` if nobody has waited.
pub fn pauses(
    operations: &[Operation],
    (from, end): (At, At),
    counts: impl Fn(ClientNumber) -> bool,
) -> Option<Quantiles> {
    let mut free = HashMap::<(ClientNumber, ChannelId), At>::new();
    let mut calm = HashMap::<ClientNumber, Vec<Duration>>::new();
    let mut longest = HashMap::<ClientNumber, Duration>::new();
    for operation in operations.iter().filter(|o| counts(o.client)) {
        let at = match (&operation.call, &operation.outcome) {
            (Call::Send { .. }, Outcome::Acknowledged { at, .. }) => *at,
            (Call::Send { .. }, Outcome::Unknown) => end,
            _ => continue,
        };
        let free = free
            .entry((operation.client, operation.channel))
            .or_default();
        let began = operation.began.max(*free);
        *free = at.max(*free);
        // What had begun before the fault waited for it only from then on.
        let since = if at < from { began } else { began.max(from) };
        let waited = at.saturating_sub(since);
        if at < from {
            calm.entry(operation.client).or_default().push(waited);
        } else {
            let longest = longest.entry(operation.client).or_default();
            *longest = waited.max(*longest);
        }
    }
    quantiles_of_any(longest.into_iter().map(|(client, longest)| {
        let usual = calm.get_mut(&client).map_or(Duration::ZERO, |waits| {
            waits.sort();
            waits[waits.len() / 2]
        });
        millis(longest.saturating_sub(usual))
    }))
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1;
    const EU: u64 = 2;

    fn at(ms: u64) -> At {
        Duration::from_millis(ms)
    }

    fn seen(ms: u64, leaders: [(u32, (u64, u64)); 2]) -> Look {
        Look {
            at: at(ms),
            leaders: leaders.into(),
            nodes_of_region: [US].into(),
        }
    }

    fn send(client: ClientNumber, began: u64, acknowledged: u64) -> Operation {
        Operation {
            client,
            channel: ChannelId(1),
            call: Call::Send {
                id: "x".into(),
                text: String::new(),
                thread_ts: 0,
            },
            began: at(began),
            outcome: Outcome::Acknowledged {
                at: at(acknowledged),
                seq: 1,
                ts: 1,
            },
        }
    }

    #[test]
    fn a_failover_falls_into_its_parts() {
        let looks = [
            seen(900, [(1, (1, US)), (2, (1, EU))]),
            seen(1_100, [(1, (1, US)), (2, (1, EU))]),
            seen(1_700, [(1, (2, 0)), (2, (1, EU))]),
            seen(2_000, [(1, (2, EU)), (2, (1, EU))]),
        ];
        let operations = [send(0, 1_050, 2_200)];
        let struck = [ChannelId(1)].into();
        let parts = milestones(&looks, at(1_000), &struck, &operations);
        assert_eq!(parts.detect_ms, Some(700.0));
        assert_eq!(parts.elect_ms, Some(300.0));
        assert_eq!(parts.reroute_ms, Some(200.0));
    }

    #[test]
    fn a_pause_is_what_is_unusual() {
        let operations = [
            send(0, 0, 80),
            send(0, 100, 180),
            send(0, 1_000, 2_580),
            send(1, 1_000, 1_900),
        ];
        let pauses = |client| {
            let pauses = pauses(&operations, (at(500), at(3_000)), |c| c == client);
            pauses.map(|pauses| pauses.max)
        };
        assert_eq!(pauses(0), Some(1_500.0));
        assert_eq!(pauses(2), None);
    }

    #[test]
    fn who_is_never_answered_waits_to_the_end() {
        let mut operations = [send(0, 0, 80), send(0, 1_000, 0), send(0, 2_000, 0)];
        for silent in &mut operations[1..] {
            silent.outcome = Outcome::Unknown;
        }
        let pauses = pauses(&operations, (at(500), at(61_000)), |_| true);
        assert_eq!(pauses.map(|pauses| pauses.max), Some(59_920.0));
    }

    #[test]
    fn a_message_waits_for_the_service_once_the_one_before_is_answered() {
        let operations = [
            send(0, 0, 80),
            send(0, 1_000, 1_100),
            send(0, 1_010, 1_200),
            send(0, 1_020, 1_290),
        ];
        let pauses = pauses(&operations, (at(500), at(2_000)), |_| true);
        assert_eq!(pauses.map(|pauses| pauses.max), Some(20.0));
    }
}
