//! `causeway admin`: what an operator does to a world.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use causeway_protocol::backbone::{MemberRecord, NodeStatus, Role};
use causeway_protocol::{Name, NodeId, UserId, WorkspaceId};
use clap::{Args, Subcommand};

use crate::operator::Operator;
use crate::output::say;
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
            let status = operator.status().await?;
            say(&render(&status).context("the node does not know itself yet")?);
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

/// The world as a node sees it, for people.
fn render(status: &NodeStatus) -> Option<String> {
    let seen_by = &status.self_.as_ref()?.name;
    let mut text = format!("as {seen_by} sees it\n\nnodes\n");
    let mut members: Vec<&MemberRecord> = status.members.iter().collect();
    members.sort_by_key(|m| (m.role, m.name.clone()));
    for member in &members {
        let role = match member.role() {
            Role::Core => "core",
            Role::Edge => "edge",
            Role::Unspecified => "?",
        };
        text += &format!(
            "  {:18} {role}  {:14} {:16} {:22} {}\n",
            member.name, member.place, member.zone, member.backbone_address, member.version
        );
    }
    let name = |node: u64| {
        let known = members.iter().find(|m| m.node_id == node);
        known.map_or_else(|| NodeId(node).to_string(), |m| m.name.clone())
    };
    text += "\ncells\n  cell  home           leader             term  epoch  applied  replicas\n";
    for cell in &status.cells {
        let replicas = cell.replicas.iter().map(|r| {
            let learner = if r.learner { " (learner)" } else { "" };
            format!("{}{learner}", name(r.node_id))
        });
        let leader = match cell.leader {
            0 => "nobody".to_owned(),
            node => name(node),
        };
        text += &format!(
            "  {:<4}  {:13}  {leader:17}  {:<4}  {:<5}  {:<7}  {}\n",
            cell.cell,
            cell.home_region,
            cell.term,
            cell.epoch,
            cell.applied,
            replicas.collect::<Vec<_>>().join(" ")
        );
    }
    Some(text)
}
