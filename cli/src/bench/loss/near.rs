//! The near side: a world of its own, whose edge node listens at this end of the
//! link, and the users who post.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use causeway_client::{Client, Event, Outgoing};
use causeway_protocol::{ChannelId, UserId, WorkspaceId};
use causeway_transport::Transport;
use futures::future::try_join_all;
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::link::End;
use super::network;
use super::plan::{Begin, Here, Meeting, Plan, Posted, Ready};
use super::side::Parent;
use super::tally::Mark;
use crate::operator::Operator;
use crate::world::dev::{DevArgs, start_world_with};
use crate::world::{World, WorldNode};

const PORT: u16 = 7443;
/// A core node answers by then.
const OPERATOR_TIMEOUT: Duration = Duration::from_secs(10);
/// Somebody who posts is connected by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The last messages are acknowledged by then.
const POSTED_TIMEOUT: Duration = Duration::from_secs(30);
const ID_BYTES: usize = 16;

/// Somebody who posts to one channel.
struct Poster {
    channel: ChannelId,
    client: Client,
    events: mpsc::Receiver<Event>,
}

/// Does what it is told until `gone`.
///
/// # Errors
/// What went wrong.
pub async fn run(parent: &mut Parent, gone: &CancellationToken) -> anyhow::Result<()> {
    parent.tell(&Here)?;
    let Begin { device, plan } = parent.hear().await?;
    network::set_up(&device, End::Near.address()).await?;
    let folder = tempfile::Builder::new()
        .prefix("causeway-loss-")
        .tempdir()?;
    let path = folder.path().join("world");
    let dev = DevArgs::for_bench();
    let started = tokio::select! {
        () = gone.cancelled() => return Ok(()),
        started = start_world_with(&path, &dev, move_edge) => started,
    };
    let (world, processes) = started?;
    let acted = tokio::select! {
        () = gone.cancelled() => Ok(()),
        acted = act(parent, &world, plan) => acted,
    };
    if acted.is_ok() {
        gone.cancelled().await;
    }
    processes.stop().await;
    acted
}

/// The first edge node listens where the link ends.
fn move_edge(nodes: &mut [WorldNode]) {
    let edge = nodes.iter_mut().find(|node| node.client.is_some());
    if let Some(node) = edge {
        let address = SocketAddr::from((End::Near.address(), PORT));
        (node.client, node.http) = (Some(address), address);
        for key in ["clients.listen", "http.listen"] {
            let set = ["--set".to_owned(), format!("{key}={address}")];
            node.command.extend(set);
        }
    }
}

async fn act(parent: &mut Parent, world: &World, plan: Plan) -> anyhow::Result<()> {
    let (meeting, posters) = set_stage(world, plan).await?;
    let connected = posters.into_iter().map(|(channel, token)| {
        let meeting = &meeting;
        async move { Poster::connect(meeting, channel, &token).await }
    });
    let posters = try_join_all(connected).await?;
    parent.tell(&meeting)?;
    let Ready = parent.hear().await?;
    let began = Instant::now();
    let posting = posters
        .into_iter()
        .enumerate()
        .map(|(index, poster)| poster.post(index, plan, began));
    let posted = timeout(plan.time() + POSTED_TIMEOUT, try_join_all(posting)).await;
    posted.context("messages are not acknowledged in time")??;
    parent.tell(&Posted)
}

/// A workspace with all channels, in each somebody who posts and the listener.
async fn set_stage(
    world: &World,
    plan: Plan,
) -> anyhow::Result<(Meeting, Vec<(ChannelId, String)>)> {
    let operator = Operator::connect(world, OPERATOR_TIMEOUT).await?;
    let home = world.regions.first().context("the world has no region")?;
    let workspace = operator.create_workspace("loss", home).await?;
    let workspace = WorkspaceId(workspace.id);
    let listener = user(&operator, workspace, "listener").await?;
    let channels = (0..plan.channels).map(|n| {
        let operator = &operator;
        async move {
            let poster = user(operator, workspace, &format!("poster-{n}")).await?;
            let name = format!("busy-{n}");
            let channel = operator
                .ensure_channel(workspace, &name, false, &[listener, poster])
                .await?;
            let token = operator.issue_token(poster).await?;
            anyhow::Ok((ChannelId(channel.id), token))
        }
    });
    let posters = try_join_all(channels).await?;
    let edge = world.edges().next();
    let edge = edge.context("the world has no edge node")?;
    let meeting = Meeting {
        pop: edge.place.clone(),
        address: edge.client.context("the edge node takes no clients")?,
        https: edge.http,
        ca: std::fs::read_to_string(&world.ca)?,
        listener: operator.issue_token(listener).await?,
    };
    Ok((meeting, posters))
}

async fn user(operator: &Operator, workspace: WorkspaceId, name: &str) -> anyhow::Result<UserId> {
    let user = operator.ensure_user(workspace, name, name, false).await?;
    Ok(UserId(user.id))
}

impl Poster {
    async fn connect(meeting: &Meeting, channel: ChannelId, token: &str) -> anyhow::Result<Self> {
        let config = meeting.config(End::Near, token, Transport::Native)?;
        let (client, mut events) = Client::start(config);
        let connected = timeout(CONNECT_TIMEOUT, super::connected(&mut events)).await;
        connected.context("somebody who posts could not connect in time")??;
        Ok(Self {
            channel,
            client,
            events,
        })
    }

    /// Posts all of its messages, each when it is due, and waits until they are
    /// acknowledged.
    async fn post(mut self, index: usize, plan: Plan, began: Instant) -> anyhow::Result<()> {
        let count = plan.messages_each();
        let period = Duration::from_secs(1) / plan.messages_per_second;
        // Channels take turns.
        let first = began + period.mul_f64(index as f64 / f64::from(plan.channels));
        let mut due = interval_at(first, period);
        let (mut posted, mut settled) = (0, 0);
        while settled < count {
            tokio::select! {
                _ = due.tick(), if posted < count => {
                    let mark = Mark::now(index * count + posted);
                    self.send(mark.text(plan.payload_bytes)).await?;
                    posted += 1;
                }
                event = self.events.recv() => match event {
                    Some(Event::Sent { result, .. }) => {
                        result.context("a message was refused")?;
                        settled += 1;
                    }
                    Some(Event::Stopped(error)) => return Err(error.into()),
                    Some(_) => {}
                    None => bail!("a client has stopped"),
                },
            }
        }
        Ok(())
    }

    async fn send(&self, text: String) -> anyhow::Result<()> {
        let mut id = [0; ID_BYTES];
        rand::rng().fill_bytes(&mut id);
        let message = Outgoing {
            channel: self.channel,
            client_msg_id: id.to_vec().into(),
            text,
            thread: None,
        };
        Ok(self.client.send(message).await?)
    }
}
