//! A client that starts, with a watch in its hand.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ApiError, ErrorCode, frame};
use prost::Message;
use quinn::{Connection, Endpoint};

use super::swarm::{answer, ask};

/// A client is let in by then, or it is not counted as served.
const WITHIN: Duration = Duration::from_secs(60);

/// Where clients connect to, and how.
#[derive(Clone)]
pub struct Door {
    /// Where they come from.
    pub endpoint: Endpoint,
    /// How.
    pub config: quinn::ClientConfig,
    /// The edge node.
    pub address: SocketAddr,
}

/// How a client was let in.
pub struct Greeted {
    /// Its connection.
    pub connection: Connection,
    /// The bytes of the welcome.
    pub bytes: usize,
    /// Until the connection was there.
    pub handshake: Duration,
    /// Until all was there that the first screen needs.
    pub first_screen: Duration,
}

impl Door {
    /// Connects once and says hello.
    ///
    /// # Errors
    /// The refusal, or a connection that breaks.
    pub async fn greet(&self, token: &str) -> anyhow::Result<Greeted> {
        let began = Instant::now();
        let name = self.address.ip().to_string();
        let connecting = self
            .endpoint
            .connect_with(self.config.clone(), self.address, &name)?;
        let connection = connecting.await?;
        let handshake = began.elapsed();
        let hello = client::Hello {
            token: token.to_owned(),
            client: "causeway-bench".into(),
            ..client::Hello::default()
        };
        let response = answer(&connection, request::Body::Hello(hello)).await?;
        let first_screen = began.elapsed();
        let bytes = frame::HEADER_BYTES + response.encoded_len();
        match response.result {
            Some(response::Result::Welcome(_)) => Ok(Greeted {
                connection,
                bytes,
                handshake,
                first_screen,
            }),
            Some(response::Result::Error(error)) => Err(ApiError::from_wire(error).into()),
            _ => bail!("a hello was not answered with a welcome"),
        }
    }

    /// The same, again and again where that may help. The watch does not stop meanwhile.
    ///
    /// # Errors
    /// The refusal that no retry helps, or the last one.
    pub async fn insist(&self, token: &str) -> anyhow::Result<Greeted> {
        let began = Instant::now();
        loop {
            let tried = Instant::now();
            let error = match self.greet(token).await {
                Ok(greeted) => {
                    let before = tried.duration_since(began);
                    return Ok(Greeted {
                        handshake: before + greeted.handshake,
                        first_screen: before + greeted.first_screen,
                        ..greeted
                    });
                }
                Err(error) => error,
            };
            let refusal = error.downcast_ref::<ApiError>();
            let is_final = refusal.is_some_and(|refusal| !refusal.code.is_retryable());
            if is_final || began.elapsed() > WITHIN {
                return Err(error);
            }
            let pause = refusal.map_or(0, |refusal| refusal.retry_after_ms).max(50);
            tokio::time::sleep(Duration::from_millis(pause.into())).await;
        }
    }
}

impl Greeted {
    /// The time of one request that the edge node answers by itself.
    ///
    /// # Errors
    /// A connection that breaks.
    pub async fn round_trip(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        match ask(&self.connection, request::Body::Ping(client::Ping {})).await? {
            response::Result::Pong(_) => Ok(began.elapsed()),
            _ => Err(ApiError::from(ErrorCode::InternalError).into()),
        }
    }
}
