//! Setting the stage for a replay: the workspace, its users and channels, and a
//! connected client for every user, spread over all PoPs.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, bail};
use causeway_protocol::{ChannelId, Name, UserId, WorkspaceId};
use causeway_transport::wan::Wan;
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;

use super::export::Export;
use crate::actors::{Actor, connect, endpoints};
use crate::ledger::ClientNumber;
use crate::operator::Operator;
use crate::world::World;

/// Operator's calls under way at a time.
const CALLS: usize = 16;
/// Clients that connect at a time.
const CONNECTS: usize = 16;

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
    let created = operator.create_workspace(workspace, home).await;
    let created = created.with_context(|| format!("workspace `{workspace}`"))?;
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
                let created = created.await;
                let created = created.with_context(|| format!("user {key} `{}`", user.name))?;
                let user = UserId(created.id);
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
                    .await;
                let created = created.with_context(|| format!("channel `{}`", channel.name))?;
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
            async move {
                let actor = connect(world, endpoint, token, name).await?;
                progress.inc(1);
                anyhow::Ok(actor)
            }
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
