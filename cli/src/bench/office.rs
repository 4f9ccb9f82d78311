//! A large workspace: many users, many channels, and everybody who starts is in some.

use causeway_protocol::{ChannelId, UserId, WorkspaceId};
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;

use super::progress;
use super::world::{AT_A_TIME, BenchWorld};

/// Channels of each user who starts.
const CHANNELS_OF_A_USER: usize = 20;
/// Users who are connected all the time.
pub const LIVE: usize = 100;

/// The workspace.
pub struct Office {
    /// Users who are connected all the time, in one channel.
    pub live: Vec<UserId>,
    /// Their channel.
    pub channel: ChannelId,
    /// Users who start.
    pub starting: Vec<UserId>,
    /// All channels.
    pub channels: Vec<ChannelId>,
}

impl Office {
    /// Creates one with so many users and channels, `starting` of them with channels of
    /// their own.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn create(
        world: &BenchWorld,
        (users, channels, starting): (usize, usize, usize),
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let users = users.max(LIVE + starting);
        let (workspace, mut users) = world.people(users, bar).await?;
        let live = users.split_off(users.len() - LIVE);
        users.truncate(starting);
        let channel = world.channel(workspace, "live", &live).await?;
        let steps = progress::steps(bar, "channels", channels);
        let all = Self::channels(world, workspace, &users, channels, steps).await?;
        Ok(Self {
            live,
            channel,
            starting: users,
            channels: all,
        })
    }

    async fn channels(
        world: &BenchWorld,
        workspace: WorkspaceId,
        users: &[UserId],
        channels: usize,
        created: impl Fn(),
    ) -> anyhow::Result<Vec<ChannelId>> {
        let members = members(users.len(), channels);
        futures::stream::iter(members.into_iter().enumerate())
            .map(|(n, members)| async move {
                let members: Vec<UserId> = members.into_iter().map(|i| users[i]).collect();
                let name = format!("channel-{n}");
                world.channel(workspace, &name, &members).await
            })
            .buffer_unordered(AT_A_TIME)
            .inspect_ok(|_| created())
            .try_collect()
            .await
    }
}

/// Which users are in each channel: each in as many, and in different ones.
fn members(users: usize, channels: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); channels];
    let places = CHANNELS_OF_A_USER.min(channels);
    for (n, (user, _)) in (0..users)
        .flat_map(|user| (0..places).map(move |place| (user, place)))
        .enumerate()
    {
        members[n % channels].push(user);
    }
    members
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everybody_is_in_as_many_channels_and_in_none_twice() {
        let members = members(50, 30);
        assert_eq!(
            members.iter().map(Vec::len).sum::<usize>(),
            50 * CHANNELS_OF_A_USER
        );
        for channel in &members {
            let distinct: BTreeSet<_> = channel.iter().collect();
            assert_eq!(distinct.len(), channel.len());
        }
        for user in 0..50 {
            let own = members.iter().filter(|channel| channel.contains(&user));
            assert_eq!(own.count(), CHANNELS_OF_A_USER);
        }
        assert_eq!(super::members(3, 2).iter().map(Vec::len).sum::<usize>(), 6);
    }
}
