//! Users of a world, connected from the places of its PoPs: who acts in a replay
//! or in the chaos suite.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use causeway_client::{Client, ClientConfig, Event, endpoint};
use causeway_protocol::Name;
use causeway_protocol::client::BootData;
use causeway_transport::Transport;
use causeway_transport::wan::Wan;
use quinn::Endpoint;
use tokio::sync::mpsc;

use crate::chat_command::LIVELY;
use crate::world::World;

/// A client is connected by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connected user.
pub struct Actor {
    /// The client.
    pub client: Client,
    /// What it is told from now on.
    pub events: mpsc::Receiver<Event>,
    /// What it was told when it connected.
    pub boot: Box<BootData>,
}

/// One endpoint for all clients of a place.
///
/// # Errors
/// The system's.
pub fn endpoints(world: &World, wan: Option<&Wan>) -> anyhow::Result<HashMap<Name, Endpoint>> {
    let bound = world.pops.iter().map(|pop| {
        let address = world.client_address(pop)?;
        let endpoint = endpoint(address, wan)
            .with_context(|| format!("cannot bind a client's address {address}"))?;
        anyhow::Ok((pop.clone(), endpoint))
    });
    bound.collect()
}

/// Connects a user, and waits until that is done.
///
/// # Errors
/// The refusal, or that it took too long.
pub async fn connect(
    world: &World,
    endpoint: Option<Endpoint>,
    token: &str,
    name: &str,
) -> anyhow::Result<Actor> {
    connect_with(world, endpoint, token, name, Manner::default()).await
}

/// How a user connects.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// What the connection is made of.
    pub transport: Transport,
    /// A planted bug: entries come out of order.
    pub out_of_order: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            transport: Transport::Native,
            out_of_order: false,
        }
    }
}

/// The same, in another manner.
///
/// # Errors
/// As for [`connect`].
pub async fn connect_with(
    world: &World,
    endpoint: Option<Endpoint>,
    token: &str,
    name: &str,
    manner: Manner,
) -> anyhow::Result<Actor> {
    let (client, mut events) = Client::start(ClientConfig {
        pops: world.offered_pops(),
        roots: world.roots()?,
        token: token.to_owned(),
        client: concat!("causeway-cli/", env!("CARGO_PKG_VERSION")).into(),
        endpoint: endpoint.context("a place has no endpoint")?,
        transports: vec![manner.transport],
        liveness: LIVELY,
        out_of_order: manner.out_of_order,
    });
    let connected = async {
        while let Some(event) = events.recv().await {
            match event {
                Event::Connected { boot, .. } => return Ok(boot),
                Event::Stopped(error) => bail!("{name}: {error}"),
                _ => {}
            }
        }
        bail!("{name}: the client has stopped")
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
    let boot = connected.with_context(|| format!("{name} could not connect in time"))??;
    Ok(Actor {
        client,
        events,
        boot,
    })
}
