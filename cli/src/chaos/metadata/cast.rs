//! Who takes part: a workspace at home in each region, its channels with a few messages,
//! and connected clients, some of them two of one user, in different regions.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use causeway_client::{Client, Event};
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ChannelId, Name, UserId, WorkspaceId};
use causeway_transport::wan::{Wan, WanModel};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::write::RegionNumber;
use crate::actors::{connect, endpoints};
use crate::chaos::progress::Progress;
use crate::chaos::stage::run_id;
use crate::operator::Operator;
use crate::world::World;

/// Channels whose members never change.
const STEADY: usize = 2;
/// Channels that users join and leave.
const OPEN: usize = 2;
/// Messages of each channel.
const POSTS: u64 = 12;
/// Calls and connections under way at a time.
const AT_ONCE: usize = 16;
/// A workspace has two users at least, one of whom stays where the other comes and goes.
const CLIENTS_MIN: usize = 3;

/// Everybody.
pub struct Cast {
    /// The world's regions, in the order of their numbers.
    pub regions: Vec<Name>,
    /// The workspaces.
    pub stages: Vec<Stage>,
    /// The clients.
    pub parts: Vec<Part>,
}

/// A workspace.
#[derive(Debug, Clone)]
pub struct Stage {
    /// It.
    pub workspace: WorkspaceId,
    /// Where it is at home.
    pub home: Name,
    /// Its users. The first has written all messages; all may rename channels.
    pub users: Vec<UserId>,
    /// Channels of which all users are members all the time.
    pub steady: Vec<ChannelId>,
    /// Channels that every other user joins and leaves.
    pub open: Vec<ChannelId>,
    /// A channel that is archived and used again.
    pub shelf: ChannelId,
    /// The messages of each channel.
    pub posts: BTreeMap<ChannelId, Vec<Post>>,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Post {
    /// Its time.
    pub ts: u64,
    /// Its place.
    pub seq: u64,
}

/// A connected client.
pub struct Part {
    /// It.
    pub client: Client,
    /// Its user.
    pub user: UserId,
    /// Its workspace, by number.
    pub stage: usize,
    /// The PoP that it is at.
    pub place: Name,
    /// The region that is nearest to it.
    pub region: RegionNumber,
}

/// What a client is told from now on.
pub type Events = mpsc::Receiver<Event>;

/// A client that is not connected yet.
struct Casting {
    user: UserId,
    token: String,
    stage: usize,
    place: Name,
}

impl Stage {
    /// All its channels.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> + '_ {
        let shelf = std::iter::once(self.shelf);
        self.steady.iter().chain(&self.open).copied().chain(shelf)
    }

    /// Users that join and leave open channels: every other one.
    pub fn wanderers(&self) -> impl Iterator<Item = UserId> + '_ {
        self.users.iter().copied().skip(1).step_by(2)
    }
}

/// Sets the stage for `clients` clients, and returns what each of them is told.
///
/// # Errors
/// The world's refusal, a client that cannot connect, or too few clients.
pub async fn set(
    world: &World,
    operator: &Operator,
    wan: &Wan,
    clients: usize,
    progress: &Progress,
) -> anyhow::Result<(Cast, Vec<Events>)> {
    let count = world.regions.len();
    ensure!(
        clients >= count * CLIENTS_MIN,
        "this takes {} clients or more",
        count * CLIENTS_MIN
    );
    progress.set_message("workspaces, users and channels");
    let model = wan.model().as_ref().clone();
    let regions = &world.regions;
    let run = run_id();
    let stages = regions.iter().enumerate().map(|(n, home)| {
        let size = clients / count + usize::from(n < clients % count);
        let name = format!("metadata-{run:x}-{n}");
        workspace(operator.near(home), name, home, size - size / 3)
    });
    let mut stages: Vec<Stage> = futures::stream::iter(stages)
        .buffered(count)
        .try_collect()
        .await?;
    progress.set_message("connecting");
    progress.set_length(clients as u64);
    let mut castings = Vec::new();
    for (n, stage) in stages.iter().enumerate() {
        let size = clients / count + usize::from(n < clients % count);
        castings.extend(castings_of(n, stage, size, world, &model, operator).await?);
    }
    let connected = connect_all(world, wan, castings, progress).await?;
    let (parts, events): (Vec<Part>, Vec<Events>) = connected.into_iter().unzip();
    progress.set_message("messages");
    for (n, stage) in stages.iter_mut().enumerate() {
        let author = parts.iter().find(|part| part.user == stage.users[0]);
        let author = author.with_context(|| format!("workspace {n} has no author"))?;
        stage.posts = posts(&author.client, stage).await?;
    }
    let cast = Cast {
        regions: regions.clone(),
        stages,
        parts,
    };
    Ok((cast, events))
}

async fn workspace(
    operator: Operator,
    name: String,
    home: &Name,
    size: usize,
) -> anyhow::Result<Stage> {
    let workspace = WorkspaceId(operator.create_workspace(&name, home).await?.id);
    let users = (0..size).map(|n| {
        let operator = operator.clone();
        async move {
            let name = format!("user-{n}");
            let user = operator.ensure_user(workspace, &name, &name, true).await?;
            anyhow::Ok(UserId(user.id))
        }
    });
    let users: Vec<UserId> = futures::stream::iter(users)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let residents: Vec<UserId> = users.iter().copied().step_by(2).collect();
    let mut channels = Vec::new();
    for n in 0..=STEADY + OPEN {
        let (name, members) = match n {
            n if n < STEADY => (format!("steady-{n}"), &users),
            n if n < STEADY + OPEN => (format!("open-{n}"), &residents),
            _ => ("shelf".to_owned(), &users),
        };
        let channel = operator
            .ensure_channel(workspace, &name, false, members)
            .await?;
        channels.push(ChannelId(channel.id));
    }
    let shelf = channels.pop().context("a workspace without channels")?;
    let open = channels.split_off(STEADY);
    Ok(Stage {
        workspace,
        home: home.clone(),
        users,
        steady: channels,
        open,
        shelf,
        posts: BTreeMap::new(),
    })
}

/// A client for each user, at all PoPs in turns; the first users have a second one, at a
/// PoP of another region.
async fn castings_of(
    number: usize,
    stage: &Stage,
    clients: usize,
    world: &World,
    model: &WanModel,
    operator: &Operator,
) -> anyhow::Result<Vec<Casting>> {
    let operator = operator.near(&stage.home);
    let pops = &world.pops;
    let first = |n: usize| (number + n) % pops.len();
    let second = |n: usize| {
        let region = |pop: usize| nearest(model, &world.regions, &pops[pop % pops.len()]);
        let other = (1..pops.len()).find(|step| region(first(n) + step) != region(first(n)));
        (first(n) + other.unwrap_or(0)) % pops.len()
    };
    let users = stage.users.len();
    let mut castings = Vec::new();
    for n in 0..clients {
        let (user, pop) = match n < users {
            true => (stage.users[n], first(n)),
            false => (stage.users[n - users], second(n - users)),
        };
        castings.push(Casting {
            user,
            token: operator.issue_token(user).await?,
            stage: number,
            place: pops[pop].clone(),
        });
    }
    Ok(castings)
}

async fn connect_all(
    world: &World,
    wan: &Wan,
    castings: Vec<Casting>,
    progress: &Progress,
) -> anyhow::Result<Vec<(Part, Events)>> {
    let endpoints = endpoints(world, Some(wan))?;
    let model = wan.model().as_ref().clone();
    let parts = castings.into_iter().map(|casting| {
        let endpoint = endpoints.get(&casting.place).cloned();
        let region = nearest(&model, &world.regions, &casting.place);
        async move {
            let name = casting.user.to_string();
            let actor = connect(world, endpoint, &casting.token, &name).await?;
            progress.inc(1);
            let part = Part {
                client: actor.client,
                user: casting.user,
                stage: casting.stage,
                place: casting.place,
                region,
            };
            anyhow::Ok((part, actor.events))
        }
    });
    let parts: Vec<_> = parts.collect();
    futures::stream::iter(parts)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// The region that a PoP is nearest to.
pub fn nearest(model: &WanModel, regions: &[Name], pop: &Name) -> RegionNumber {
    let way = |region: &Name| model.one_way(pop, region).unwrap_or_default();
    let numbers = 0..regions.len();
    numbers.min_by_key(|n| way(&regions[*n])).unwrap_or(0)
}

async fn posts(author: &Client, stage: &Stage) -> anyhow::Result<BTreeMap<ChannelId, Vec<Post>>> {
    let channels = stage.channels().map(|channel| async move {
        let mut posts = Vec::new();
        for n in 0..POSTS {
            posts.push(post(author, channel, n).await?);
        }
        anyhow::Ok((channel, posts))
    });
    let channels: Vec<_> = channels.collect();
    futures::future::try_join_all(channels)
        .await
        .map(|posts| posts.into_iter().collect())
}

async fn post(author: &Client, channel: ChannelId, n: u64) -> anyhow::Result<Post> {
    let send = client::SendMessage {
        channel: channel.0,
        client_msg_id: format!("post-{n}-{channel}").into(),
        text: format!("message {n}"),
        thread_ts: 0,
    };
    match author.request(request::Body::SendMessage(send)).await? {
        response::Result::Sent(sent) => Ok(Post {
            ts: sent.ts,
            seq: sent.seq,
        }),
        _ => bail!("an unexpected answer to a message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(users: u32) -> Stage {
        let workspace = WorkspaceId(1);
        let channel = |n| ChannelId::new(workspace, n);
        Stage {
            workspace,
            home: "us".parse().unwrap(),
            users: (1..=users).map(|n| UserId::new(workspace, n)).collect(),
            steady: vec![channel(1), channel(2)],
            open: vec![channel(3), channel(4)],
            shelf: channel(5),
            posts: BTreeMap::new(),
        }
    }

    #[test]
    fn every_other_user_wanders() {
        let stage = stage(5);
        let wanderers: Vec<u32> = stage.wanderers().map(UserId::number).collect();
        assert_eq!(wanderers, [2, 4]);
        assert_eq!(stage.channels().count(), 5);
    }
}
