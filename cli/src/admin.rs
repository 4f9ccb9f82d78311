//! `causeway admin`: what an operator does to a world.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use causeway_protocol::{Name, UserId, WorkspaceId};
use clap::{Args, Subcommand};

use crate::operator::Operator;
use crate::output::say;
use crate::status;
use crate::world::World;

/// A world that runs answers by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Regions, nodes and cells at a glance
    Status,
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
/// The world's refusal, or that no core node answers.
pub async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let world = World::load(args.world.as_deref())?;
    let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
    match args.what {
        Admin::Status => {
            let statuses = operator.statuses().await;
            say(&status::render(&statuses).context("no core node tells its status")?);
        }
        Admin::Workspace(WorkspaceCommand::Create { name, home }) => {
            let workspace = operator.near(&home).create_workspace(&name, &home).await?;
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
            say(&UserId(user.id).to_string());
        }
        Admin::Channel(ChannelCommand::Create {
            name,
            workspace,
            private,
            members,
        }) => {
            let channel = operator
                .ensure_channel(workspace, &name, private, &members)
                .await?;
            say(&causeway_protocol::ChannelId(channel.id).to_string());
        }
        Admin::Token(TokenCommand::Issue { user }) => {
            say(&operator.issue_token(user).await?);
        }
    }
    Ok(())
}
