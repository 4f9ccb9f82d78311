//! Who takes part: workspaces at home in every region, their channels, and a
//! connected client for each user.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use causeway_protocol::{ChannelId, Name, UserId, WorkspaceId};
use causeway_transport::wan::Wan;
use futures::{StreamExt, TryStreamExt};

use super::progress::Progress;
use crate::actors::{Actor, Manner, connect_with, endpoints};
use crate::operator::Operator;
use crate::world::World;

/// Workspaces of each region; they come to lie in different cells.
const WORKSPACES: usize = 2;
/// Members of a channel.
const MEMBERS: usize = 8;
/// Public channels of each workspace that nobody belongs to at first.
const OPEN: usize = 2;
/// Calls and connections under way at a time.
const AT_ONCE: usize = 16;

/// A connected client.
pub struct Part {
    /// It, and what it is told.
    pub actor: Actor,
    /// Its user.
    pub user: UserId,
    /// Where it is.
    pub place: Name,
    /// Where its workspace is at home.
    pub home: Name,
    /// The channels that it is a member of.
    pub channels: Vec<ChannelId>,
    /// Public ones that it may join.
    pub open: Vec<ChannelId>,
}

/// A user who is not connected yet.
struct Casting {
    name: String,
    user: UserId,
    token: String,
    home: Name,
    channels: Vec<ChannelId>,
    open: Vec<ChannelId>,
}

/// Sets the stage for `clients` clients, all connected in this manner.
///
/// # Errors
/// The world's refusal, or a client that cannot connect.
pub async fn set(
    world: &World,
    operator: &Operator,
    wan: Option<&Wan>,
    (clients, manner): (usize, Manner),
    progress: &Progress,
) -> anyhow::Result<Vec<Part>> {
    progress.set_message("workspaces, users and channels");
    let run = run_id();
    let count = world.regions.len() * WORKSPACES;
    let homes = world.regions.iter().cycle().take(count).enumerate();
    let workspaces = homes.map(|(n, home)| {
        let size = clients / count + usize::from(n < clients % count);
        workspace(
            operator.near(home),
            format!("chaos-{run:x}-{n}"),
            home,
            size,
        )
    });
    let castings: Vec<Vec<Casting>> = futures::stream::iter(workspaces)
        .buffered(count)
        .try_collect()
        .await?;
    progress.set_message("connecting");
    progress.set_length(clients as u64);
    let endpoints = endpoints(world, wan)?;
    // Clients of one workspace are spread over all PoPs.
    let places = world.pops.iter().cycle();
    let parts = castings.into_iter().flatten().zip(places);
    let parts = parts.map(|(casting, place)| {
        let endpoint = endpoints.get(place).cloned();
        async move {
            let (token, name) = (&casting.token, &casting.name);
            let actor = connect_with(world, endpoint, token, name, manner).await?;
            progress.inc(1);
            anyhow::Ok(Part {
                actor,
                user: casting.user,
                place: place.clone(),
                home: casting.home,
                channels: casting.channels,
                open: casting.open,
            })
        }
    });
    futures::stream::iter(parts)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn workspace(
    operator: Operator,
    name: String,
    home: &Name,
    size: usize,
) -> anyhow::Result<Vec<Casting>> {
    let created = operator.create_workspace(&name, home).await?;
    let id = WorkspaceId(created.id);
    let names = (0..size).map(|n| format!("user-{n}"));
    let users: Vec<(String, UserId)> = futures::stream::iter(names)
        .map(|name| {
            let operator = operator.clone();
            async move {
                let user = operator.ensure_user(id, &name, &name, false).await?;
                anyhow::Ok((name, UserId(user.id)))
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let ids: Vec<UserId> = users.iter().map(|(_, id)| *id).collect();
    let mut channels = HashMap::<UserId, Vec<ChannelId>>::new();
    for (n, members) in circles(&ids).into_iter().enumerate() {
        let name = format!("circle-{n}");
        let channel = operator
            .ensure_channel(id, &name, n % 4 == 3, &members)
            .await?;
        for member in members {
            channels
                .entry(member)
                .or_default()
                .push(ChannelId(channel.id));
        }
    }
    let mut open = Vec::new();
    for n in 0..OPEN {
        let channel = operator
            .ensure_channel(id, &format!("open-{n}"), false, &[])
            .await?;
        open.push(ChannelId(channel.id));
    }
    let castings = users.into_iter().map(|(name, user)| {
        let (operator, home, open) = (operator.clone(), home.clone(), open.clone());
        let channels = channels.remove(&user).unwrap_or_default();
        async move {
            let token = operator.issue_token(user).await?;
            anyhow::Ok(Casting {
                name,
                user,
                token,
                home,
                channels,
                open,
            })
        }
    });
    let castings: Vec<_> = castings.collect();
    let castings = futures::stream::iter(castings)
        .buffered(AT_ONCE)
        .try_collect();
    castings.await.context("no tokens")
}

/// Overlapping circles: each user is in two, half of one is in the next.
fn circles(users: &[UserId]) -> Vec<Vec<UserId>> {
    let starts = (0..users.len()).step_by(MEMBERS / 2);
    let circle = |start: usize| {
        let members = users.iter().cycle().skip(start);
        members.take(MEMBERS.min(users.len())).copied().collect()
    };
    starts.map(circle).collect()
}

/// Different for each run, so that a world can see many, also at the same time: in
/// its upper half the second, so that the order of runs can be told; in its lower
/// one what no other process of that second has.
pub fn run_id() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since_epoch.map_or(0, |d| d.as_secs());
    (seconds << 32) | u64::from(std::process::id() ^ rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_second_are_told_apart() {
        let ids: std::collections::HashSet<u64> = (0..100).map(|_| run_id()).collect();
        assert_eq!(ids.len(), 100);
        // A workspace's name has all of it.
        assert!(format!("chaos-{:x}-99", u64::MAX).len() <= 80);
    }

    #[test]
    fn everybody_is_in_two_circles() {
        let users: Vec<UserId> = (0..32).map(UserId).collect();
        let circles = circles(&users);
        assert_eq!(circles.len(), 8);
        for user in &users {
            let count = circles.iter().filter(|c| c.contains(user)).count();
            assert_eq!(count, 2);
        }
        assert_eq!(super::circles(&users[..3]), [users[..3].to_vec()]);
    }
}
