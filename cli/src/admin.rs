//! `causeway admin`: what an operator does to a world.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use causeway_protocol::client::{Channel, User, Workspace};
use causeway_protocol::{ChannelId, Name, UserId, WorkspaceId};
use clap::{Args, Subcommand};

use crate::drain::{self, DrainArgs, UndrainArgs};
use crate::operator::Operator;
use crate::output::say;
use crate::status::Glance;
use crate::world::World;

/// A world that runs answers by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at a world that is watched.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Has a terminal begin anew at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Flags of `causeway admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The world's file [default: the world started last]
    #[arg(long, global = true, value_name = "FILE")]
    world: Option<PathBuf>,
    #[command(subcommand)]
    what: Admin,
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Regions, nodes, cells, PoPs and sessions at a glance
    Status(StatusArgs),
    /// Empty a node, zone, region or PoP: leaders and clients go elsewhere
    Drain(DrainArgs),
    /// Undo a drain: leaders come home, and clients are let in again
    Undrain(UndrainArgs),
    /// Replicas
    #[command(subcommand)]
    Replica(ReplicaCommand),
    /// Workspaces
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Users
    #[command(subcommand)]
    User(UserCommand),
    /// Channels
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

/// How the status is shown.
#[derive(Debug, Args)]
struct StatusArgs {
    /// One JSON object a look
    #[arg(long)]
    json: bool,
    /// Look again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Subcommand)]
enum ReplicaCommand {
    /// Declare a core node gone: the metadata of the others no longer waits for it
    Forget {
        /// Its name, or its id as the status shows it
        node: String,
    },
    /// Count a node again that was forgotten: it begins with another's metadata
    Count {
        /// Its name, or its id as the status shows it
        node: String,
    },
}

#[derive(Debug, Subcommand)]
enum WorkspaceCommand {
    /// Create a workspace in its home region, or find the one with this name
    Create {
        /// The name
        name: String,
        /// The home region
        #[arg(long)]
        home: Name,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Create a user, or find the one with this name
    Create {
        /// The name
        name: String,
        /// The workspace's id
        #[arg(long)]
        workspace: WorkspaceId,
        /// The name in full
        #[arg(long, default_value = "")]
        real_name: String,
        /// May delete other people's messages
        #[arg(long)]
        admin: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ChannelCommand {
    /// Create a channel, or find the one with this name, and add members
    Create {
        /// The name
        name: String,
        /// The workspace's id
        #[arg(long)]
        workspace: WorkspaceId,
        /// By invitation only
        #[arg(long)]
        private: bool,
        /// Users to add
        #[arg(long = "member")]
        members: Vec<UserId>,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Issue a token to a user
    Issue {
        /// The user's id
        user: UserId,
    },
}

/// Carries out an operator's command.
///
/// # Errors
/// The world's refusal, that no core node answers, or that there is one with the
/// name already, and it is not what was asked for.
pub async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let world = World::load(args.world.as_deref())?;
    let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
    match args.what {
        Admin::Status(args) => show_status(&operator, &world, &args).await?,
        Admin::Drain(args) => drain::drain(&operator, &world, args).await?,
        Admin::Undrain(args) => drain::undrain(&operator, &world, args).await?,
        Admin::Replica(command) => recount(&operator, command).await?,
        Admin::Workspace(WorkspaceCommand::Create { name, home }) => {
            let workspace = operator.near(&home).create_workspace(&name, &home).await?;
            as_asked_workspace(&workspace, &home)?;
            say(&WorkspaceId(workspace.id).to_string());
        }
        Admin::User(UserCommand::Create {
            name,
            workspace,
            real_name,
            admin,
        }) => {
            let user = operator
                .ensure_user(workspace, &name, &real_name, admin)
                .await?;
            as_asked_user(&user, &real_name, admin)?;
            say(&UserId(user.id).to_string());
        }
        Admin::Channel(ChannelCommand::Create {
            name,
            workspace,
            private,
            members,
        }) => {
            let channel = create_channel(&operator, workspace, &name, private, &members).await?;
            say(&channel.to_string());
        }
        Admin::Token(TokenCommand::Issue { user }) => {
            say(&operator.issue_token(user).await?);
        }
    }
    Ok(())
}

async fn show_status(operator: &Operator, world: &World, args: &StatusArgs) -> anyhow::Result<()> {
    loop {
        let (statuses, edges) = tokio::join!(operator.statuses(), operator.edge_statuses());
        let glance = Glance::new(&statuses, &edges, &world.nodes);
        let shown = match (&glance, args.json) {
            (Some(glance), true) => serde_json::to_string(glance)?,
            (Some(glance), false) => glance.to_string(),
            (None, _) if args.watch => "no core node tells its status".to_owned(),
            (None, _) => bail!("no core node tells its status"),
        };
        if args.watch && !args.json {
            say(CLEAR);
        }
        say(&shown);
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn recount(operator: &Operator, command: ReplicaCommand) -> anyhow::Result<()> {
    let (node, counted, how) = match command {
        ReplicaCommand::Forget { node } => (node, false, "is forgotten"),
        ReplicaCommand::Count { node } => (node, true, "counts again"),
    };
    match operator.set_counted(&node, counted).await? {
        0 => say(&format!("{node}: nothing to do, it was so before")),
        cells => say(&format!("{node} {how} in {cells} cells")),
    }
    Ok(())
}

/// Members are added once it is sure that this is the channel that was meant:
/// whoever is added to a private channel reads all of it.
async fn create_channel(
    operator: &Operator,
    workspace: WorkspaceId,
    name: &str,
    private: bool,
    members: &[UserId],
) -> anyhow::Result<ChannelId> {
    let channel = operator
        .ensure_channel(workspace, name, private, &[])
        .await?;
    as_asked_channel(&channel, private)?;
    if !members.is_empty() {
        operator
            .ensure_channel(workspace, name, private, members)
            .await?;
    }
    Ok(ChannelId(channel.id))
}

fn as_asked_workspace(found: &Workspace, home: &Name) -> anyhow::Result<()> {
    ensure!(
        found.home_region == home.as_str(),
        "{} exists already, as workspace {} with its home in {}, not in {home}",
        found.name,
        WorkspaceId(found.id),
        found.home_region,
    );
    Ok(())
}

fn as_asked_user(found: &User, real_name: &str, admin: bool) -> anyhow::Result<()> {
    let (name, id) = (&found.name, UserId(found.id));
    match (found.admin, admin) {
        (false, true) => bail!("{name} exists already, as user {id}, who is no admin"),
        (true, false) => bail!("{name} exists already, as user {id}, who is an admin"),
        _ => {}
    }
    ensure!(
        real_name.is_empty() || found.real_name == real_name,
        "{name} exists already, as user {id} with the real name `{}`",
        found.real_name,
    );
    Ok(())
}

fn as_asked_channel(found: &Channel, private: bool) -> anyhow::Result<()> {
    let kind = match found.private {
        true => "private",
        false => "public",
    };
    ensure!(
        found.private == private,
        "{} exists already, as the {kind} channel {}",
        found.name,
        ChannelId(found.id),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: anyhow::Result<()>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_workspace_with_another_home_is_told() {
        let found = Workspace {
            id: 7,
            name: "acme".into(),
            home_region: "eu-west".into(),
        };
        as_asked_workspace(&found, &"eu-west".parse().unwrap()).unwrap();
        let told = told(as_asked_workspace(&found, &"us-east".parse().unwrap()));
        for part in ["acme exists already", "in eu-west", "not in us-east"] {
            assert!(told.contains(part), "`{part}` is missing in: {told}");
        }
    }

    #[test]
    fn a_user_with_other_rights_or_another_real_name_is_told() {
        let user = |admin| User {
            name: "ivy".into(),
            real_name: "Ivy Lee".into(),
            admin,
            ..User::default()
        };
        as_asked_user(&user(false), "", false).unwrap();
        as_asked_user(&user(true), "Ivy Lee", true).unwrap();
        for (result, part) in [
            (as_asked_user(&user(false), "", true), "is no admin"),
            (as_asked_user(&user(true), "", false), "is an admin"),
            (as_asked_user(&user(true), "Ivy", true), "`Ivy Lee`"),
        ] {
            let told = told(result);
            assert!(told.starts_with("ivy exists already, as"), "{told}");
            assert!(told.contains(part), "`{part}` is missing in: {told}");
        }
    }

    #[test]
    fn a_channel_of_the_other_kind_is_told() {
        let channel = |private| Channel {
            name: "secret".into(),
            private,
            ..Channel::default()
        };
        as_asked_channel(&channel(true), true).unwrap();
        let told_public = told(as_asked_channel(&channel(false), true));
        assert!(
            told_public.contains("as the public channel"),
            "{told_public}"
        );
        let told_private = told(as_asked_channel(&channel(true), false));
        assert!(told_private.contains("as the private"), "{told_private}");
    }
}
