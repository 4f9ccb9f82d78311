//! Watches the one node whose disk or clock is at fault: what it leads, what it
//! answers, and, afterwards, whether that was as it should be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use causeway_protocol::client::{self, request};
use causeway_protocol::{ApiError, CellId, ChannelId, UserId};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

/// Something that had to be so, beyond what the checker asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// What.
    pub what: String,
    /// Whether it was.
    pub met: bool,
}

/// Whom to ask what.
pub struct Witness {
    /// The node at fault, and when.
    pub faulty: Faulty,
    /// Its id.
    pub node_id: u64,
    /// Its address.
    pub address: SocketAddr,
    /// A cell that is at home there.
    pub cell: CellId,
    /// A channel of it, and a member.
    pub channel: (ChannelId, UserId),
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
    Write(String),
    /// It answered a question, or not.
    Read(bool),
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
        let seen = [write.map(Seen::Write), Some(Seen::Read(read))];
        let seen = seen.into_iter().flatten();
        seen.map(|what| Sight { at, what }).collect()
    }

    async fn leads(&self, operator: &Operator) -> bool {
        let status = operator.status_at(self.address).await;
        let cells = status.map(|status| status.cells).unwrap_or_default();
        cells.iter().any(|cell| cell.leader == self.node_id)
    }

    async fn read(&self, operator: &Operator) -> bool {
        let (channel, user) = self.channel;
        let read = request::Body::ReadHistory(client::ReadHistory {
            channel: channel.0,
            limit: 1,
            ..client::ReadHistory::default()
        });
        let read = operator.ask_replica(self.address, self.cell, user, read);
        read.await.is_ok()
    }

    /// A write that is refused wherever it is taken, as there is no such message.
    async fn write(&self, operator: &Operator) -> Option<String> {
        let (channel, user) = self.channel;
        let write = request::Body::EditMessage(client::EditMessage {
            channel: channel.0,
            ts: 1,
            text: "nothing".into(),
        });
        let answer = operator.ask_replica(self.address, self.cell, user, write);
        let error = answer.await.err()?.downcast::<ApiError>().ok()?;
        Some(error.code.to_string())
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
    let noticed = faulty.from + NOTICED_BY;
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
        Seen::Read(answered) => Some(*answered),
        _ => None,
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
        Scenario::DiskFull => {
            let code = |wanted: &'static str| move |seen: &Seen| matches!(seen, Seen::Write(code) if code == wanted);
            let refused = between(faulty.from, faulty.to).any(code("storage_full"));
            let taken = between(noticed, faulty.to).any(code("message_not_found"));
            vec![
                expect(
                    format!("{node} refused writes with storage_full, and took none"),
                    refused && !taken,
                ),
                moved,
                calm,
                reads,
            ]
        }
        _ => Vec::new(),
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
            cell: CellId(1),
            channel: (ChannelId(1), UserId(1)),
        }
    }

    fn sights(at_s: u64, write: &str) -> [Sight; 2] {
        let at = Duration::from_secs(at_s);
        [Seen::Write(write.into()), Seen::Read(true)].map(|what| Sight { at, what })
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
            (
                Seen::Write("message_not_found".into()),
                [false, true, true, true],
            ),
            (Seen::Read(false), [true, true, true, false]),
        ] {
            let at = Duration::from_secs(16);
            let story = [&story[..], &[Sight { at, what }]].concat();
            assert_eq!(met(Scenario::DiskFull, &story, &looks), met_then);
        }
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
