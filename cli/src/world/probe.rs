//! Readiness of nodes and their numbers, asked over HTTP as a load balancer would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use causeway_transport::tls::{self, Roots};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{NodeRole, WorldNode};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// One question is answered by then.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer is not longer.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// Waits until a node says that it is ready.
///
/// # Errors
/// What it said last, when `limit` is over.
pub async fn ready(node: &WorldNode, roots: &Roots, limit: Duration) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let asked = tokio::time::timeout(ASK_TIMEOUT, ask(node, roots)).await;
        let problem = match asked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => anyhow::anyhow!("no answer"),
        };
        if tokio::time::Instant::now() >= deadline {
            let log = node.log.display();
            return Err(problem.context(format!("{} is not ready; see {log}", node.name)));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask(node: &WorldNode, roots: &Roots) -> anyhow::Result<()> {
    read(node, roots, "/readyz").await.map(drop)
}

/// A number that a node tells at `/metrics`.
///
/// # Errors
/// A node that does not answer, or does not know the number.
pub async fn number(node: &WorldNode, roots: &Roots, name: &str) -> anyhow::Result<u64> {
    let asked = tokio::time::timeout(ASK_TIMEOUT, read(node, roots, "/metrics")).await;
    let metrics = asked.context("no answer")??;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("{} does not tell {name}", node.name))?;
    Ok(value.parse()?)
}

/// The page of a node at `path`.
async fn read(node: &WorldNode, roots: &Roots, path: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(node.http).await?;
    let answer = match node.role {
        NodeRole::Core => get(stream, node.http, path).await?,
        NodeRole::Edge => {
            let tls = TlsConnector::from(Arc::new(tls::https_client(roots)?));
            // The certificate names the PoP, wherever its node listens.
            let name = ServerName::try_from(node.place.to_string())?;
            let stream = tls.connect(name, stream).await?;
            get(stream, node.http, path).await?
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    if head.starts_with("HTTP/1.1 200 ") {
        return Ok(body.to_owned());
    }
    bail!("{}", body.trim())
}

async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: SocketAddr,
    path: &str,
) -> anyhow::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
