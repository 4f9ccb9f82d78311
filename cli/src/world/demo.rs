//! Workspaces to play with, one at home in each region.

use causeway_protocol::{ChannelId, Name, UserId, WorkspaceId};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::World;
use crate::operator::Operator;

const WORKSPACES: [&str; 3] = ["harbor", "lighthouse", "sakura"];
const USERS: [(&str, &str); 4] = [
    ("ada", "Ada Okafor"),
    ("bo", "Bo Lindqvist"),
    ("chen", "陈晨"),
    ("dora", "Dora Martins"),
];
const CHANNELS: [&str; 2] = ["general", "random"];

/// A workspace, as written in `world.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorldWorkspace {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its home region.
    pub home_region: Name,
    /// Its users.
    pub users: Vec<WorldUser>,
    /// Its channels, of which all users are members.
    pub channels: Vec<WorldChannel>,
}

/// A user, with a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorldUser {
    /// The name.
    pub name: String,
    /// The id.
    pub id: String,
    /// What lets the user in.
    pub token: String,
}

/// A channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorldChannel {
    /// The name.
    pub name: String,
    /// The id.
    pub id: String,
}

/// Creates the demonstration workspaces, all at the same time.
///
/// # Errors
/// The operator's.
pub async fn create(world: &World, operator: &Operator) -> anyhow::Result<Vec<WorldWorkspace>> {
    let homes = world.regions.iter().zip(WORKSPACES);
    try_join_all(homes.map(|(home, name)| workspace(operator, name, home))).await
}

async fn workspace(operator: &Operator, name: &str, home: &Name) -> anyhow::Result<WorldWorkspace> {
    let operator = operator.near(home);
    let created = operator.create_workspace(name, home).await?;
    let id = WorkspaceId(created.id);
    let users = USERS
        .iter()
        .map(|(user, real_name)| operator.ensure_user(id, user, real_name, *user == "ada"));
    let users = try_join_all(users).await?;
    let members: Vec<UserId> = users.iter().map(|user| UserId(user.id)).collect();
    let channels = CHANNELS
        .iter()
        .map(|channel| operator.ensure_channel(id, channel, false, &members));
    let tokens = members.iter().map(|user| operator.issue_token(*user));
    let (channels, tokens) = tokio::try_join!(try_join_all(channels), try_join_all(tokens))?;
    let users = users
        .into_iter()
        .zip(tokens)
        .map(|(user, token)| WorldUser {
            id: UserId(user.id).to_string(),
            name: user.name,
            token,
        });
    let channels = channels.into_iter().map(|channel| WorldChannel {
        id: ChannelId(channel.id).to_string(),
        name: channel.name,
    });
    Ok(WorldWorkspace {
        name: name.to_owned(),
        id: id.to_string(),
        home_region: home.clone(),
        users: users.collect(),
        channels: channels.collect(),
    })
}
