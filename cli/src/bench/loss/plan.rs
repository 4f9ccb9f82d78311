//! What is to be done, and what the processes of the bench tell each other about it.

use std::net::SocketAddr;
use std::time::Duration;

use causeway_client::{ClientConfig, Pop, endpoint};
use causeway_protocol::Name;
use causeway_transport::Transport;
use causeway_transport::endpoint::Liveness;
use causeway_transport::tls::Roots;
use serde::{Deserialize, Serialize};

use super::link::End;

/// What is posted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Plan {
    /// Channels, with somebody in each who posts.
    pub channels: u32,
    /// Messages of a channel.
    pub messages_per_second: u32,
    /// How long.
    pub seconds: u32,
    /// Of a message's text.
    pub payload_bytes: usize,
}

impl Plan {
    /// Messages of a channel.
    pub fn messages_each(&self) -> usize {
        self.messages_per_second as usize * self.seconds as usize
    }

    /// Messages of all channels.
    pub fn messages(&self) -> usize {
        self.messages_each() * self.channels as usize
    }

    /// How long they are posted.
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// A side is there, in its own namespace.
#[derive(Debug, Serialize, Deserialize)]
pub struct Here;

/// A side has a device, and may begin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin {
    /// The device's name.
    pub device: String,
    /// What is to be done.
    pub plan: Plan,
}

/// The edge node waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meeting {
    /// Its PoP.
    pub pop: Name,
    /// Where it accepts QUIC.
    pub address: SocketAddr,
    /// Where it accepts WebSockets.
    pub https: SocketAddr,
    /// Who certifies it (PEM).
    pub ca: String,
    /// Who is in all channels.
    pub listener: String,
}

/// All listeners are connected, or posting may begin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready;

/// All is posted, and acknowledged.
#[derive(Debug, Serialize, Deserialize)]
pub struct Posted;

impl Meeting {
    /// How a client connects from an end of the link.
    ///
    /// # Errors
    /// A socket or certificates that cannot be used.
    pub fn config(
        &self,
        from: End,
        token: &str,
        transport: Transport,
    ) -> anyhow::Result<ClientConfig> {
        Ok(ClientConfig {
            pops: vec![Pop {
                name: self.pop.clone(),
                address: self.address,
                https: Some(self.https),
                // The certificate names the PoP, wherever it is.
                server_name: self.pop.to_string(),
            }],
            roots: Roots::from_pem(&self.ca)?,
            token: token.to_owned(),
            client: concat!("causeway-bench/", env!("CARGO_PKG_VERSION")).into(),
            endpoint: endpoint((from.address(), 0).into(), None)?,
            transports: vec![transport],
            liveness: Liveness::CLIENT_PLANE,
            out_of_order: false,
        })
    }
}
