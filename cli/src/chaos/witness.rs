//! Watches the one node whose disk or clock is at fault: what it leads, what it
//! answers, and, afterwards, whether that was as it should be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use causeway_client::Age;
use causeway_protocol::ApiError;
use causeway_protocol::client::{self, request};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cast::Watched;
use super::expectations::Expectation;
use super::history::{At, History, Outcome};
use super::milestones::Look;
use super::scenario::{Faulty, Scenario};
use crate::operator::Operator;

/// Between looks.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// Looks whose answers have not come; a write may wait for seconds.
const LOOKS_MAX: usize = 256;
/// Leadership has moved by then.
const MOVED_BY: Duration = Duration::from_secs(4);
/// A change of faults has reached the node by then.
const NOTICED_BY: Duration = Duration::from_millis(500);
/// Leadership is home again so long after the end: the disk must have been well
/// for a while.
const HOME_BY: Duration = Duration::from_secs(45);
/// How far a message's time may be from when it was sent: a resend is answered
/// with the time of the first, and an outbox may wait.
const TIME_TOLERANCE: Duration = Duration::from_secs(300);

/// The answer of whoever takes a write of a message that is not there.
const TAKEN: &str = "message_not_found";
/// The answers of a node without a quorum: as a leader, and once it is none.
const REFUSALS: [&str; 2] = ["unavailable", "not_leader"];
/// Who has no quorum says so by then.
const REFUSED_BY: Duration = Duration::from_secs(2);

/// For so long a leader rightly goes on believing that it lacks nothing.
const LEASE: Duration = Duration::from_secs(1);

/// Whom to ask what.
pub struct Witness {
    /// The node at fault, and when.
    pub faulty: Faulty,
    /// Its id.
    pub node_id: u64,
    /// Its address.
    pub address: SocketAddr,
    /// Through which channel it is watched.
    pub watched: Watched,
}

/// One look at the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    at: At,
    what: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// It answered a write with this code.
    Write {
        /// The code.
        code: String,
        /// How long that took.
        took: Duration,
    },
    /// It answered a question, and this is how old that may be; or it did not.
    Read(Option<Age>),
}

impl Witness {
    /// Looks until `stop`. Writes are tried without waiting for each other: a
    /// leader refuses for no longer than it takes to give its cells away.
    pub async fn watch(
        self: &Arc<Self>,
        operator: &Operator,
        began: Instant,
        stop: CancellationToken,
    ) -> Vec<Sight> {
        let (mut sights, mut looks) = (Vec::new(), JoinSet::new());
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if looks.len() < LOOKS_MAX {
                let (witness, operator) = (Arc::clone(self), operator.clone());
                looks.spawn(async move { witness.look(&operator, began).await });
            }
            while let Some(Ok(seen)) = looks.try_join_next() {
                sights.extend(seen);
            }
        }
        sights.sort_by_key(|sight| sight.at);
        sights
    }

    /// Looks until the node leads again.
    pub async fn sees_it_lead(&self, operator: &Operator) -> bool {
        let home = async {
            while !self.leads(operator).await {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(HOME_BY, home).await.is_ok()
    }

    async fn look(&self, operator: &Operator, began: Instant) -> Vec<Sight> {
        let at = began.elapsed();
        let (write, read) = tokio::join!(self.write(operator), self.read(operator));
        let seen = [write, Some(Seen::Read(read))];
        let seen = seen.into_iter().flatten();
        seen.map(|what| Sight { at, what }).collect()
    }

    async fn leads(&self, operator: &Operator) -> bool {
        let status = operator.status_at(self.address).await;
        let cells = status.map(|status| status.cells).unwrap_or_default();
        cells.iter().any(|cell| cell.leader == self.node_id)
    }

    async fn read(&self, operator: &Operator) -> Option<Age> {
        let Watched {
            cell,
            channel,
            user,
            ..
        } = self.watched;
        let read = request::Body::ReadHistory(client::ReadHistory {
            channel: channel.0,
            limit: 1,
            ..client::ReadHistory::default()
        });
        let read = operator.response_of(self.address, cell, user, read).await;
        read.ok().map(|response| Age::from_wire(response.age_ms))
    }

    /// A write that is refused wherever it is taken, as there is no such message.
    async fn write(&self, operator: &Operator) -> Option<Seen> {
        let Watched {
            cell,
            channel,
            user,
            ..
        } = self.watched;
        let write = request::Body::EditMessage(client::EditMessage {
            channel: channel.0,
            ts: 1,
            text: "nothing".into(),
        });
        let began = Instant::now();
        let answer = operator.ask_replica(self.address, cell, user, write).await;
        let error = answer.err()?.downcast::<ApiError>().ok()?;
        Some(Seen::Write {
            code: error.code.to_string(),
            took: began.elapsed(),
        })
    }
}

/// What had to be so in this scenario. Who leads is for the other nodes to say:
/// one whose disk stalls has yet to write down that it does not any more.
pub fn expectations(
    scenario: Scenario,
    witness: &Witness,
    sights: &[Sight],
    looks: &[Look],
) -> Vec<Expectation> {
    let faulty = &witness.faulty;
    let node = &faulty.node;
    let between = |from: At, to: At| {
        let sights = sights.iter().filter(move |s| s.at >= from && s.at < to);
        sights.map(|sight| &sight.what)
    };
    let expect = |what: String, met: bool| Expectation { what, met };
    let led = |from: At, to: At| {
        let mut looks = looks
            .iter()
            .filter(move |look| look.at >= from && look.at < to);
        looks.any(|look| {
            look.leaders
                .values()
                .any(|(_, leader)| *leader == witness.node_id)
        })
    };
    let moved = expect(
        format!("{node} led cells, and gave them to others"),
        led(At::ZERO, faulty.from) && !led(faulty.from + MOVED_BY, faulty.to),
    );
    let mut answers = between(faulty.from, faulty.to).filter_map(|seen| match seen {
        Seen::Read(age) => Some(age.is_some()),
        Seen::Write { .. } => None,
    });
    let reads = expect(
        format!("{node} could be read from all the time"),
        answers.next() == Some(true) && answers.all(|answered| answered),
    );
    let calm = expect(
        "cells that others led kept their leaders".into(),
        others_are_calm(faulty, looks),
    );
    match scenario {
        Scenario::DiskStall => vec![moved, calm, reads],
        Scenario::DiskFull => vec![refuses_for_room(witness, sights), moved, calm, reads],
        Scenario::PartitionRegion => {
            vec![
                refuses_alone(witness, sights),
                tells_its_age(witness, sights),
                reads,
            ]
        }
        _ => Vec::new(),
    }
}

/// How often each code was the answer to a write, from `from` to the fault's end.
fn codes(witness: &Witness, sights: &[Sight], from: At) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    for sight in sights {
        if let Seen::Write { code, .. } = &sight.what
            && (from..witness.faulty.to).contains(&sight.at)
        {
            *codes.entry(code.clone()).or_default() += 1;
        }
    }
    codes
}

fn told(codes: &BTreeMap<String, u64>) -> String {
    let told: Vec<_> = codes
        .iter()
        .map(|(code, n)| format!("{code} × {n}"))
        .collect();
    match told.is_empty() {
        true => "no answer at all".into(),
        false => told.join(", "),
    }
}

/// A full disk takes no writes, and says so as long as it leads.
fn refuses_for_room(witness: &Witness, sights: &[Sight]) -> Expectation {
    let Faulty { node, from, .. } = &witness.faulty;
    let codes_of = |from: At| codes(witness, sights, from);
    let (during, noticed) = (codes_of(*from), codes_of(*from + NOTICED_BY));
    let refused = during.get("storage_full").copied().unwrap_or(0);
    let taken = noticed.contains_key(TAKEN);
    let told = told(&noticed);
    Expectation {
        what: match witness.watched.led {
            true => format!(
                "{node} refused writes with storage_full (× {refused}), and took none ({told})"
            ),
            false => format!("{node}, which follows, took no writes ({told})"),
        },
        met: (refused > 0 || !witness.watched.led) && !taken && !during.is_empty(),
    }
}

/// Who is cut off from a quorum takes no writes, and says so soon.
fn refuses_alone(witness: &Witness, sights: &[Sight]) -> Expectation {
    let Faulty { node, from, to, .. } = &witness.faulty;
    let from = *from + NOTICED_BY;
    let codes = codes(witness, sights, from);
    let waits = sights.iter().filter_map(|sight| match &sight.what {
        // What was asked at the end is answered by the world that is whole again.
        Seen::Write { took, .. } if sight.at >= from && sight.at + REFUSED_BY < *to => Some(*took),
        _ => None,
    });
    let longest = waits.max();
    let only = |code: &String| REFUSALS.contains(&code.as_str());
    Expectation {
        what: format!(
            "{node}, cut off, took no writes ({}), and said so within {:.1} s (at the latest \
             after {:.1} s)",
            told(&codes),
            REFUSED_BY.as_secs_f64(),
            longest.unwrap_or_default().as_secs_f64()
        ),
        met: codes.keys().all(only) && longest.is_some_and(|longest| longest <= REFUSED_BY),
    }
}

/// Who is cut off knows since when, and tells readers.
fn tells_its_age(witness: &Witness, sights: &[Sight]) -> Expectation {
    let Faulty { node, from, to, .. } = &witness.faulty;
    let during = sights.iter().filter(|s| s.at >= *from && s.at < *to);
    let ages = during.filter_map(|sight| match sight.what {
        Seen::Read(Some(age)) => Some((sight.at, age)),
        _ => None,
    });
    let ages: Vec<(At, Age)> = ages.collect();
    let cut_for = |at: At| (at - *from).saturating_sub(NOTICED_BY + LEASE);
    let is_told = |(at, age): &(At, Age)| match age {
        Age::Known(age) => *age >= cut_for(*at),
        Age::Unknown => true,
    };
    let untold = ages.iter().filter(|read| !is_told(read)).count();
    Expectation {
        what: match untold {
            0 => format!("reads from {node}, cut off, told how old they were"),
            _ => format!(
                "reads from {node}, cut off, told how old they were ({untold} of {} did not)",
                ages.len()
            ),
        },
        met: untold == 0 && !ages.is_empty(),
    }
}

/// Whether cells that were led elsewhere went through no election.
fn others_are_calm(faulty: &Faulty, looks: &[Look]) -> bool {
    let Some(before) = looks.iter().rev().find(|look| look.at < faulty.from) else {
        return false;
    };
    let led_elsewhere = before
        .leaders
        .iter()
        .filter(|(_, (_, leader))| *leader != 0 && !before.nodes_of_region.contains(leader));
    let during = || {
        looks
            .iter()
            .filter(|l| l.at >= faulty.from && l.at < faulty.to)
    };
    led_elsewhere.into_iter().all(|(cell, (term, _))| {
        during().all(|look| look.leaders.get(cell).is_none_or(|(now, _)| now == term))
    })
}

/// Whether the messages' times are those of this machine's clock.
pub fn times_are_right(history: &History, began: Instant) -> Expectation {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let began_at = now.unwrap_or_default().saturating_sub(began.elapsed());
    let far = history.operations.iter().filter_map(|operation| {
        let Outcome::Acknowledged { ts, .. } = operation.outcome else {
            return None;
        };
        let told = Duration::from_micros(ts);
        let early = (began_at + operation.began).saturating_sub(told);
        let late = told.saturating_sub(began_at + operation.began);
        Some(early.max(late))
    });
    let far = far.filter(|far| *far > TIME_TOLERANCE).count();
    Expectation {
        what: format!("every message has the right time ({far} have not)"),
        met: far == 0,
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{CellId, ChannelId, UserId};

    use super::*;

    fn faulty() -> Faulty {
        Faulty {
            node: "us-1".parse().expect("a name"),
            region: "us".parse().expect("a name"),
            from: Duration::from_secs(10),
            to: Duration::from_secs(20),
        }
    }

    fn witness() -> Witness {
        Witness {
            faulty: faulty(),
            node_id: 7,
            address: ([127, 0, 0, 1], 1).into(),
            watched: Watched {
                cell: CellId(1),
                channel: ChannelId(1),
                user: UserId(1),
                led: true,
            },
        }
    }

    fn write(code: &str, took_ms: u64) -> Seen {
        Seen::Write {
            code: code.into(),
            took: Duration::from_millis(took_ms),
        }
    }

    fn read(age_ms: u64) -> Seen {
        Seen::Read(Some(Age::Known(Duration::from_millis(age_ms))))
    }

    fn sights(at_s: u64, code: &str) -> [Sight; 2] {
        let at = Duration::from_secs(at_s);
        [write(code, 5), read(0)].map(|what| Sight { at, what })
    }

    /// Cell 1 is led by the node at fault or by another, cell 2 by another.
    fn look(at_s: u64, first: (u64, u64)) -> Look {
        Look {
            at: Duration::from_secs(at_s),
            leaders: [(1, first), (2, (5, 8))].into(),
            nodes_of_region: [7].into(),
        }
    }

    fn met(scenario: Scenario, sights: &[Sight], looks: &[Look]) -> Vec<bool> {
        let expectations = expectations(scenario, &witness(), sights, looks);
        expectations.iter().map(|e| e.met).collect()
    }

    #[test]
    fn a_full_node_refuses_steps_aside_and_is_read_from() {
        let story = [
            sights(5, "message_not_found"),
            sights(11, "storage_full"),
            sights(15, "not_leader"),
            sights(25, "message_not_found"),
        ];
        let story = story.concat();
        let looks = [look(9, (1, 7)), look(11, (2, 9)), look(15, (2, 9))];
        assert_eq!(met(Scenario::DiskFull, &story, &looks), [true; 4]);
        let mut leads_on = looks.clone();
        leads_on[2].leaders.insert(1, (2, 7));
        let moved = met(Scenario::DiskFull, &story, &leads_on);
        assert_eq!(moved, [true, false, true, true]);
        for (what, met_then) in [
            (write("message_not_found", 5), [false, true, true, true]),
            (Seen::Read(None), [true, true, true, false]),
        ] {
            let at = Duration::from_secs(16);
            let story = [&story[..], &[Sight { at, what }]].concat();
            assert_eq!(met(Scenario::DiskFull, &story, &looks), met_then);
        }
    }

    #[test]
    fn a_follower_with_a_full_disk_has_nothing_to_refuse() {
        let mut witness = witness();
        let story = [sights(11, "not_leader"), sights(15, "not_leader")].concat();
        let refused = refuses_for_room(&witness, &story);
        assert!(!refused.met && refused.what.contains("not_leader × 2"));
        witness.watched.led = false;
        assert!(refuses_for_room(&witness, &story).met);
    }

    #[test]
    fn who_is_cut_off_says_so_and_tells_its_age() {
        let met = |sights: &[Sight]| met(Scenario::PartitionRegion, sights, &[]);
        let seen = |at_s, what| Sight {
            at: Duration::from_secs(at_s),
            what,
        };
        let story = [
            seen(12, write("unavailable", 1_500)),
            seen(12, read(1_800)),
            seen(15, write("not_leader", 3)),
            seen(15, read(4_900)),
        ];
        assert_eq!(met(&story), [true; 3]);
        for (what, met_then) in [
            (write("unavailable", 2_500), [false, true, true]),
            (write("message_not_found", 3), [false, true, true]),
            (read(1_000), [true, false, true]),
            (Seen::Read(None), [true, true, false]),
        ] {
            let story = [&story[..], &[seen(16, what)]].concat();
            assert_eq!(met(&story), met_then);
        }
        assert_eq!(met(&[]), [false; 3]);
    }

    #[test]
    fn an_election_elsewhere_is_noticed() {
        let mut looks = [look(9, (1, 7)), look(12, (2, 9))];
        assert!(others_are_calm(&faulty(), &looks));
        looks[1].leaders.insert(2, (6, 8));
        assert!(!others_are_calm(&faulty(), &looks));
    }

    #[test]
    fn who_has_seen_nothing_vouches_for_nothing() {
        assert_eq!(met(Scenario::DiskStall, &[], &[]), [false; 3]);
    }
}
