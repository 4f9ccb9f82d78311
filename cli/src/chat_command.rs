//! `causeway chat`: finds the world, the user and the PoP, and opens the
//! terminal client.

use std::path::PathBuf;

use anyhow::Context;
use causeway_client::{Client, ClientConfig, endpoint};
use causeway_protocol::Name;
use causeway_transport::Transport;
use causeway_transport::endpoint::Liveness;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::chat::{self, ChatIdentity};
use crate::world::World;

/// A terminal notices a PoP that is gone quickly; it has no battery to save.
pub const LIVELY: Liveness = Liveness {
    idle_timeout: std::time::Duration::from_millis(1_500),
    keep_alive: std::time::Duration::from_millis(350),
};

/// Flags of `causeway chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// The world's file [default: the world started last]
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// The workspace's name
    #[arg(long, default_value = "harbor")]
    workspace: String,
    /// The user's name
    #[arg(long, default_value = "ada")]
    user: String,
    /// A token, for a user who is not in the world's file
    #[arg(long, env = "CAUSEWAY_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where you are; the nearest PoP serves you
    #[arg(long, value_name = "PLACE", default_value = "nyc")]
    at: Name,
    /// What the connection is made of: native, webtransport or websocket; may be repeated
    /// [default: each, in this order; an emulated network carries the first two]
    #[arg(long = "transport", value_name = "TRANSPORT")]
    transports: Vec<Transport>,
}

impl ChatArgs {
    /// What connections may be made of. A WebSocket would lead around the faults of an
    /// emulated network, which carries UDP alone.
    fn transports(&self, is_emulated: bool) -> Vec<Transport> {
        if !self.transports.is_empty() {
            return self.transports.clone();
        }
        let all = Transport::ALL.into_iter();
        all.filter(|transport| !is_emulated || *transport != Transport::WebSocket)
            .collect()
    }
}

/// Opens the terminal client.
///
/// # Errors
/// No such world, workspace, user or place; a terminal that cannot be used.
pub async fn run(args: ChatArgs) -> anyhow::Result<()> {
    let world = World::load(args.world.as_deref())?;
    let token = match &args.token {
        Some(token) => token.clone(),
        None => demo_token(&world, &args)?,
    };
    let stop = CancellationToken::new();
    let wan = world.follow_wan(&stop)?;
    let address = world.client_address(&args.at)?;
    let (client, events) = Client::start(ClientConfig {
        out_of_order: false,
        pops: world.offered_pops(),
        roots: world.roots()?,
        token,
        client: concat!("causeway-chat/", env!("CARGO_PKG_VERSION")).into(),
        endpoint: endpoint(address, wan.as_ref())?,
        transports: args.transports(wan.is_some()),
        liveness: LIVELY,
    });
    let me = ChatIdentity {
        user: args.user,
        workspace: args.workspace,
        place: args.at.to_string(),
    };
    let result = chat::run(client, events, me).await;
    stop.cancel();
    result
}

fn demo_token(world: &World, args: &ChatArgs) -> anyhow::Result<String> {
    let workspace = world.workspaces.iter().find(|w| w.name == args.workspace);
    let workspace = workspace.with_context(|| {
        let known: Vec<_> = world.workspaces.iter().map(|w| w.name.as_str()).collect();
        format!("no workspace `{}`; there are {known:?}", args.workspace)
    })?;
    let user = workspace.users.iter().find(|u| u.name == args.user);
    let user = user.with_context(|| {
        let known: Vec<_> = workspace.users.iter().map(|u| u.name.as_str()).collect();
        format!(
            "no user `{}` in {}; there are {known:?}",
            args.user, workspace.name
        )
    })?;
    Ok(user.token.clone())
}
