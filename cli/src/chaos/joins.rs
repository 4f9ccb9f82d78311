//! Joins of public channels: who was told that they are in is in, for themselves and
//! for every replica. Who is in a public channel is metadata, so no log tells of it.

use std::time::{Duration, Instant};

use anyhow::bail;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ChannelId, UserId};
use futures::future::join_all;

use super::history::{Call, ClientNumber, History, Outcome};
use super::readback::Source;
use crate::operator::Operator;

/// Replicas have told each other what they have by then.
const SPREAD_BY: Duration = Duration::from_secs(15);
/// Between looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Members of a page.
const PAGE: u32 = 200;

/// Who is in a channel, as a replica has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The node's name.
    pub node: String,
    /// The channel.
    pub channel: ChannelId,
    /// Its members, or why they are not known.
    pub members: Result<Vec<UserId>, String>,
}

/// Joins that were acknowledged.
pub fn acknowledged(history: &History) -> impl Iterator<Item = (ClientNumber, ChannelId)> {
    let joins = history.operations.iter().filter(|operation| {
        let is_done = matches!(operation.outcome, Outcome::Done { .. });
        is_done && operation.call == Call::Join
    });
    joins.map(|join| (join.client, join.channel))
}

/// Reads the members of each channel that somebody joined, from each of these
/// replicas, once they have all of `wanted`; or as they are when that takes too long.
pub async fn read(
    operator: &Operator,
    sources: &[Source],
    wanted: &[(ChannelId, UserId)],
) -> Vec<Roster> {
    let was_joined =
        |source: &&Source| wanted.iter().any(|(channel, _)| *channel == source.channel);
    let asked: Vec<&Source> = sources.iter().filter(was_joined).collect();
    let deadline = Instant::now() + SPREAD_BY;
    loop {
        let rosters = join_all(asked.iter().map(|source| roster(operator, source))).await;
        let complete = rosters.iter().all(|roster| {
            let mut wanted = wanted
                .iter()
                .filter(|(channel, _)| *channel == roster.channel);
            wanted.all(|(_, user)| lists(roster, *user))
        });
        if complete || Instant::now() > deadline {
            return rosters;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn lists(roster: &Roster, user: UserId) -> bool {
    let members = roster.members.as_ref();
    members.is_ok_and(|members| members.contains(&user))
}

async fn roster(operator: &Operator, source: &Source) -> Roster {
    let members = members(operator, source).await;
    Roster {
        node: source.node.clone(),
        channel: source.channel,
        members: members.map_err(|error| format!("{error:#}")),
    }
}

async fn members(operator: &Operator, source: &Source) -> anyhow::Result<Vec<UserId>> {
    let (mut members, mut cursor) = (Vec::new(), String::new());
    loop {
        let list = request::Body::ListMembers(client::ListMembers {
            channel: source.channel.0,
            cursor,
            limit: PAGE,
        });
        let answer = operator.ask_replica(source.address, source.cell, source.reader, list);
        let response::Result::Members(page) = answer.await? else {
            bail!("an unexpected answer");
        };
        members.extend(page.users.into_iter().map(UserId));
        if page.next_cursor.is_empty() {
            return Ok(members);
        }
        cursor = page.next_cursor;
    }
}

/// Joins that were acknowledged and came to nothing, in words.
pub fn lost(history: &History, users: &[UserId], rosters: &[Roster]) -> Vec<String> {
    let mut lost = Vec::new();
    for (client, channel) in acknowledged(history) {
        let join =
            format!("join_lost: client {client}'s join of channel {channel} was acknowledged");
        let mut memberships = history.memberships.iter();
        if !memberships.any(|m| (m.client, m.channel) == (client, channel)) {
            lost.push(format!("{join}; the client was never told that it is in"));
        }
        let user = users[client];
        let without = rosters
            .iter()
            .filter(|roster| roster.channel == channel && !lists(roster, user));
        lost.extend(without.map(|roster| {
            let node = &roster.node;
            match &roster.members {
                Ok(_) => format!("{join}; {node} does not list it among the members"),
                Err(error) => format!("{join}; {node} does not tell the members: {error}"),
            }
        }));
    }
    lost
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;

    use super::*;
    use crate::chaos::history::{Membership, Operation};

    #[test]
    fn a_join_is_there_for_its_client_and_on_every_replica() {
        let channel = ChannelId(5);
        let user = UserId::new(WorkspaceId(1), 7);
        let join = Operation {
            client: 0,
            channel,
            call: Call::Join,
            began: Duration::ZERO,
            outcome: Outcome::Done { at: Duration::ZERO },
        };
        let membership = Membership {
            client: 0,
            channel,
            from_seq: 3,
            joined: true,
        };
        let mut history = History {
            operations: vec![join],
            memberships: vec![membership],
            ..History::default()
        };
        let roster = |members: &[UserId]| Roster {
            node: "us-1".into(),
            channel,
            members: Ok(members.to_vec()),
        };
        let lost = |history: &History, members: &[UserId]| {
            lost(history, &[user], &[roster(members)]).len()
        };
        assert_eq!(lost(&history, &[user]), 0);
        assert_eq!(lost(&history, &[]), 1);
        history.memberships.clear();
        assert_eq!(lost(&history, &[]), 2);
        // Nobody knows what came of it.
        history.operations[0].outcome = Outcome::Unknown;
        assert_eq!(lost(&history, &[]), 0);
    }
}
