//! Setting the stage for a replay: the workspace, its users and channels, and a
//! connected client for every user, spread over all PoPs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, bail};
use causeway_client::{Client, ClientConfig, Event, endpoint};
use causeway_protocol::{ChannelId, Name, UserId, WorkspaceId};
use causeway_transport::wan::Wan;
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use quinn::Endpoint;
use tokio::sync::mpsc;

use super::export::Export;
use super::ledger::ClientNumber;
use crate::chat_command::LIVELY;
use crate::operator::Operator;
use crate::world::World;

/// Operator's calls under way at a time.
const CALLS: usize = 16;
/// Clients that connect at a time.
const CONNECTS: usize = 16;
/// A client is connected by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connected user.
pub struct Actor {
    /// The client.
    pub client: Client,
    /// What it is told.
    pub events: mpsc::Receiver<Event>,
}

/// Everything a replay plays with.
pub struct Stage {
    /// One for each user of the export.
    pub actors: Vec<Actor>,
    /// The place of each actor.
    pub places: Vec<Name>,
    /// The actor of each user of the export.
    pub by_user: HashMap<String, ClientNumber>,
    /// The channel of each channel of the export.
    pub channels: Vec<ChannelId>,
    /// The actors in each channel.
    pub members: HashMap<ChannelId, Vec<ClientNumber>>,
}

/// Creates workspace, users and channels, where they are not there yet, and
/// connects everybody.
///
/// # Errors
/// The world's refusal, or a client that cannot connect.
pub async fn set(
    world: &World,
    operator: &Operator,
    wan: Option<&Wan>,
    export: &Export,
    workspace: &str,
    home: &Name,
    progress: &ProgressBar,
) -> anyhow::Result<Stage> {
    let operator = operator.near(home);
    progress.set_message("workspace");
    let created = operator.create_workspace(workspace, home).await?;
    if created.home_region != home.as_str() {
        bail!(
            "{workspace} is at home in {}, not in {home}",
            created.home_region
        );
    }
    let id = WorkspaceId(created.id);
    progress.set_message("users");
    let users: Vec<(String, UserId, String)> = futures::stream::iter(&export.users)
        .map(|(key, user)| {
            let operator = operator.clone();
            async move {
                let created = operator.ensure_user(id, &user.name, &user.real_name, false);
                let user = UserId(created.await?.id);
                let token = operator.issue_token(user).await?;
                anyhow::Ok((key.clone(), user, token))
            }
        })
        .buffered(CALLS)
        .try_collect()
        .await?;
    progress.set_message("channels");
    let ids: BTreeMap<&str, UserId> = users.iter().map(|(k, id, _)| (k.as_str(), *id)).collect();
    let channels: Vec<ChannelId> = futures::stream::iter(&export.channels)
        .map(|channel| {
            let members = channel.members.iter().filter_map(|m| ids.get(m.as_str()));
            let members: Vec<UserId> = members.copied().collect();
            let operator = operator.clone();
            async move {
                let created = operator
                    .ensure_channel(id, &channel.name, false, &members)
                    .await?;
                anyhow::Ok(ChannelId(created.id))
            }
        })
        .buffered(CALLS)
        .try_collect()
        .await?;

    progress.set_message("clients");
    progress.set_length(users.len() as u64);
    let places: Vec<Name> = world
        .pops
        .iter()
        .cycle()
        .take(users.len())
        .cloned()
        .collect();
    let endpoints = endpoints(world, wan)?;
    let actors = futures::stream::iter(users.iter().zip(&places))
        .map(|((name, _, token), place)| {
            let endpoint = endpoints.get(place).cloned();
            connect(world, endpoint, token, name, progress)
        })
        .buffered(CONNECTS)
        .try_collect()
        .await?;
    let by_user = users
        .iter()
        .enumerate()
        .map(|(n, (key, ..))| (key.clone(), n));
    let by_user: HashMap<String, ClientNumber> = by_user.collect();
    let members = export.channels.iter().zip(&channels).map(|(channel, id)| {
        let members = channel
            .members
            .iter()
            .filter_map(|m| by_user.get(m).copied());
        (*id, members.collect())
    });
    Ok(Stage {
        actors,
        places,
        members: members.collect(),
        by_user,
        channels,
    })
}

/// One endpoint for all clients of a place.
fn endpoints(world: &World, wan: Option<&Wan>) -> anyhow::Result<HashMap<Name, Endpoint>> {
    let bound = world.pops.iter().map(|pop| {
        let address = world.client_address(pop)?;
        let endpoint = endpoint(address, wan)
            .with_context(|| format!("cannot bind a client's address {address}"))?;
        anyhow::Ok((pop.clone(), endpoint))
    });
    bound.collect()
}

async fn connect(
    world: &World,
    endpoint: Option<Endpoint>,
    token: &str,
    name: &str,
    progress: &ProgressBar,
) -> anyhow::Result<Actor> {
    let (client, mut events) = Client::start(ClientConfig {
        pops: world.offered_pops(),
        roots: world.roots()?,
        token: token.to_owned(),
        client: concat!("causeway-replay/", env!("CARGO_PKG_VERSION")).into(),
        endpoint: endpoint.context("a place has no endpoint")?,
        liveness: LIVELY,
    });
    let connected = async {
        while let Some(event) = events.recv().await {
            match event {
                Event::Connected { .. } => return Ok(()),
                Event::Stopped(error) => bail!("{name}: {error}"),
                _ => {}
            }
        }
        bail!("{name}: the client has stopped")
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
    connected.with_context(|| format!("{name} could not connect in time"))??;
    progress.inc(1);
    Ok(Actor { client, events })
}
