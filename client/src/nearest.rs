//! Finding the nearest PoP: by the round trip as measured, not as promised.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_transport::endpoint::{Streams, bind, client_transport};
use causeway_transport::tls::{self, TlsError};
use causeway_transport::wan::Wan;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use quinn::{Connection, Endpoint};

use crate::{ClientConfig, Pop};

/// A PoP that does not answer by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Binds an endpoint for clients, on an emulated network if there is one.
///
/// # Errors
/// The system's, such as an address that is not this machine's.
pub fn endpoint(local: SocketAddr, wan: Option<&Wan>) -> io::Result<Endpoint> {
    bind(local, None, wan)
}

/// Settings of a connection to a PoP.
pub(crate) fn quinn_config(config: &ClientConfig) -> Result<quinn::ClientConfig, TlsError> {
    let tls = tls::client_plane_client(&config.roots)?;
    let mut quinn = quinn::ClientConfig::new(Arc::new(tls));
    let transport = client_transport(config.liveness, Streams::CLIENT);
    quinn.transport_config(Arc::new(transport));
    Ok(quinn)
}

/// Connects to the PoP that answers first: every one is asked at the same time,
/// and a handshake takes one round trip. The others are let go.
pub(crate) async fn connect(
    config: &ClientConfig,
    quinn: &quinn::ClientConfig,
) -> Result<(Pop, Connection, Duration), String> {
    let start = Instant::now();
    let mut handshakes: FuturesUnordered<_> = (config.pops.iter())
        .map(|pop| handshake(config, quinn, pop))
        .collect();
    let mut last = "no PoP was offered".to_owned();
    while let Some(result) = handshakes.next().await {
        match result {
            Ok((pop, connection)) => return Ok((pop, connection, start.elapsed())),
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

async fn handshake(
    config: &ClientConfig,
    quinn: &quinn::ClientConfig,
    pop: &Pop,
) -> Result<(Pop, Connection), String> {
    let reason = |text: String| format!("{}: {text}", pop.name);
    let connecting = config
        .endpoint
        .connect_with(quinn.clone(), pop.address, &pop.server_name)
        .map_err(|e| reason(e.to_string()))?;
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok((pop.clone(), connection)),
        Ok(Err(error)) => Err(reason(error.to_string())),
        Err(_) => Err(reason(format!("no answer within {CONNECT_TIMEOUT:?}"))),
    }
}
