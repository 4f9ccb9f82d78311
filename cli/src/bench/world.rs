//! A world of real processes to measure an edge node in: it runs as `causeway dev`
//! does, without emulated distances, and the measured node has one core for itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use causeway_protocol::token::{Claims, Signer};
use causeway_protocol::{ChannelId, Name, UserId, WorkspaceId};
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{cpu, progress};
use crate::operator::Operator;
use crate::output::say;
use crate::world::dev::{DevArgs, start_world_with};
use crate::world::processes::Processes;
use crate::world::{World, WorldNode};

/// Requests of the operator under way at a time.
pub const AT_A_TIME: usize = 64;
/// A world that runs answers by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Tokens are good for so long.
const TOKEN_LIFETIME_S: u64 = 24 * 3_600;

/// Measures in a world that is started for it, and tells what came out.
///
/// # Errors
/// A world that does not start, and whatever the measuring fails with.
pub async fn measure<A, R: Serialize>(
    json: bool,
    args: &A,
    measuring: impl AsyncFnOnce(&BenchWorld, &A, &ProgressBar) -> anyhow::Result<R>,
    page: impl Fn(&R) -> String,
) -> anyhow::Result<()> {
    let bar = progress::spinner("starting a world");
    let world = BenchWorld::start().await?;
    let measured = measuring(&world, args, &bar).await;
    world.stop().await;
    bar.finish_and_clear();
    let report = measured?;
    match json {
        true => say(&serde_json::to_string(&report)?),
        false => say(&page(&report)),
    }
    Ok(())
}

/// A world for one run.
pub struct BenchWorld {
    /// What it is.
    pub world: World,
    operator: Operator,
    processes: Processes,
    signer: Signer,
    measured_core: usize,
    _folder: tempfile::TempDir,
}

/// A workspace with users and a channel of which all are members.
pub struct Crowd {
    /// Its users.
    pub users: Vec<UserId>,
    /// The channel.
    pub channel: ChannelId,
}

impl BenchWorld {
    /// Starts one. The edge node of the first PoP has one core, all others share the
    /// rest; so does this process from now on.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("causeway-bench-")
            .tempdir()?;
        let args = DevArgs::for_bench();
        let cores = Cores(cpu::cores()?);
        let measured_core = *cores.0.first().context("no core to run on")?;
        cores.leave_measured()?;
        let (world, processes) = start_world_with(&folder.path().join("world"), &args, |nodes| {
            let mut edges = 0;
            for node in nodes {
                let is_measured = node.client.is_some() && edges == 0;
                edges += usize::from(node.client.is_some());
                cores.assign(node, is_measured);
            }
        })
        .await?;
        let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
        let keys = std::fs::read(world.data_dir.join("tokens.key"))
            .context("the world has no keys for tokens")?;
        Ok(Self {
            signer: Signer::from_pem(&keys)?,
            measured_core,
            world,
            operator,
            processes,
            _folder: folder,
        })
    }

    /// The core on which the measured node runs.
    pub fn measured_core(&self) -> usize {
        self.measured_core
    }

    /// The measured edge node.
    ///
    /// # Errors
    /// Never, in a world that has started.
    pub fn measured(&self) -> anyhow::Result<&WorldNode> {
        self.world.edges().next().context("the world has no edge")
    }

    /// An edge node that is not measured.
    ///
    /// # Errors
    /// Never, in a world that has started.
    pub fn other(&self) -> anyhow::Result<&WorldNode> {
        self.world.edges().nth(1).context("the world has one edge")
    }

    /// An edge node at a third PoP.
    ///
    /// # Errors
    /// Never, in a world that has started.
    pub fn third(&self) -> anyhow::Result<&WorldNode> {
        let edge = self.world.edges().nth(2);
        edge.context("the world has two edges")
    }

    /// Creates a workspace with so many users, all in one channel.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn crowd(&self, users: usize, bar: &ProgressBar) -> anyhow::Result<Crowd> {
        let (id, users) = self.people(users, bar).await?;
        let channel = self.channel(id, "crowd", &users).await?;
        Ok(Crowd { users, channel })
    }

    /// Creates a workspace with so many users.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn people(
        &self,
        users: usize,
        bar: &ProgressBar,
    ) -> anyhow::Result<(WorkspaceId, Vec<UserId>)> {
        let created = progress::steps(bar, "users", users);
        let home: &Name = self.world.regions.first().context("no region")?;
        let operator = self.operator.near(home);
        let workspace = operator.create_workspace("bench", home).await?;
        let id = WorkspaceId(workspace.id);
        let users: Vec<UserId> = futures::stream::iter(0..users)
            .map(|n| {
                let operator = operator.clone();
                async move {
                    let (name, real_name) = (format!("user-{n}"), format!("User No. {n}"));
                    let user = operator.ensure_user(id, &name, &real_name, false).await?;
                    anyhow::Ok(UserId(user.id))
                }
            })
            .buffer_unordered(AT_A_TIME)
            .inspect_ok(|_| created())
            .try_collect()
            .await?;
        Ok((id, users))
    }

    /// Creates a public channel with these members.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn channel(
        &self,
        workspace: WorkspaceId,
        name: &str,
        members: &[UserId],
    ) -> anyhow::Result<ChannelId> {
        let home: &Name = self.world.regions.first().context("no region")?;
        let operator = self.operator.near(home);
        let channel = operator.ensure_channel(workspace, name, false, members);
        Ok(ChannelId(channel.await?.id))
    }

    /// Creates more channels of which all of the crowd are members.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn channels(&self, crowd: &Crowd, count: usize) -> anyhow::Result<Vec<ChannelId>> {
        let workspace = crowd.users.first().context("nobody")?.workspace();
        let channels = (0..count).map(|n| async move {
            let name = format!("channel-{n}");
            self.channel(workspace, &name, &crowd.users).await
        });
        futures::future::try_join_all(channels).await
    }

    /// Tokens of these users, in their order.
    ///
    /// # Errors
    /// A key that cannot sign.
    pub fn tokens(&self, users: &[UserId]) -> anyhow::Result<Vec<String>> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let token = |user: &UserId| {
            let claims = Claims {
                user: *user,
                issued_at_s: now_s,
                expires_at_s: now_s + TOKEN_LIFETIME_S,
            };
            Ok(self.signer.sign(&claims)?)
        };
        users.iter().map(token).collect()
    }

    /// Stops its processes.
    pub async fn stop(self) {
        self.processes.stop().await;
    }
}

/// The cores of this machine: the first is the measured node's, if there are more.
struct Cores(Vec<usize>);

impl Cores {
    /// Starts the node on its core, or on those of the others.
    fn assign(&self, node: &mut WorldNode, is_measured: bool) {
        let cores = match (&self.0[..], is_measured) {
            ([] | [_], _) => return,
            ([first, ..], true) => std::slice::from_ref(first),
            ([_, others @ ..], false) => others,
        };
        let list: Vec<String> = cores.iter().map(usize::to_string).collect();
        let taskset = ["taskset".into(), "-c".into(), list.join(",")];
        node.command.splice(0..0, taskset);
    }

    /// Keeps this process off the measured node's core.
    fn leave_measured(&self) -> anyhow::Result<()> {
        match &self.0[..] {
            [_, others @ ..] if !others.is_empty() => cpu::pin(std::process::id(), others),
            _ => Ok(()),
        }
    }
}
