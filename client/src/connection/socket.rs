//! Over a WebSocket: requests, answers and pushes share one stream; answers are
//! told apart by the numbers of their requests.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_protocol::session::Loss;
use causeway_protocol::{CloseCode, frame};
use causeway_transport::Closed;
use causeway_transport::endpoint::Liveness;
use causeway_transport::socket::{self, FrameSocket, GATHERED_BYTES_MAX, PATH, SUBPROTOCOL};
use causeway_transport::tls::{self, TlsError};
use parking_lot::Mutex;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::{ClientConfig, Pop};

/// Pushes that wait to be taken.
const PUSHES_MAX: usize = 64;

/// Reaches PoPs over TCP.
#[derive(Clone)]
pub(crate) struct Dialer {
    connector: TlsConnector,
    /// The client's address: connections start from there, too.
    local: Option<SocketAddr>,
    liveness: Liveness,
}

impl Dialer {
    pub fn new(config: &ClientConfig) -> Result<Self, TlsError> {
        let tls = tls::https_client(&config.roots)?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(tls)),
            local: config.endpoint.local_addr().ok(),
            liveness: config.liveness,
        })
    }

    pub async fn dial(&self, pop: &Pop, start: Instant) -> Result<(Socket, Duration), Closed> {
        let address = pop
            .https
            .ok_or_else(|| Closed::not_reached("it offers no HTTPS"))?;
        let stream = self.connect(address).await.map_err(Closed::not_reached)?;
        let round_trip = start.elapsed();
        // Small requests must not wait for more.
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(pop.server_name.clone()).map_err(Closed::not_reached)?;
        let secured = self.connector.connect(name, stream).await;
        let stream = secured.map_err(|error| match error.kind() {
            // This is how TLS says that it is its own.
            ErrorKind::InvalidData => Closed::lost(Loss::TlsFailed, error.to_string()),
            _ => Closed::not_reached(error),
        })?;

        let host = &pop.server_name;
        let uri: Uri = (Uri::builder().scheme("wss"))
            .authority(match host.contains(':') {
                true => format!("[{host}]:{}", address.port()),
                false => format!("{host}:{}", address.port()),
            })
            .path_and_query(PATH)
            .build()
            .map_err(Closed::not_reached)?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        let config = socket::config(SERVER_FRAME_BYTES_MAX + GATHERED_BYTES_MAX);
        let upgrading = client_async_with_config(request, stream, Some(config)).await;
        let (stream, _) = upgrading.map_err(Closed::not_reached)?;

        let (socket, frames, pump) = socket::open(stream, self.liveness);
        tokio::spawn(pump.run());
        Ok((Socket::new(socket, frames), round_trip))
    }

    async fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        let same_kind = |local: &SocketAddr| local.is_ipv4() == address.is_ipv4();
        if let Some(local) = self.local.filter(same_kind) {
            socket.bind((local.ip(), 0).into())?;
        }
        socket.connect(address).await
    }
}

/// A connection over a WebSocket.
#[derive(Debug, Clone)]
pub(crate) struct Socket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: FrameSocket,
    waiting: Arc<Waiting>,
    /// Until somebody reads them.
    pushes: Mutex<Option<mpsc::Receiver<server_frame::Body>>>,
}

impl Socket {
    fn new(socket: FrameSocket, frames: mpsc::Receiver<Bytes>) -> Self {
        let waiting = Arc::<Waiting>::default();
        let (to_take, pushes) = mpsc::channel(PUSHES_MAX);
        tokio::spawn(sort(frames, Arc::clone(&waiting), to_take));
        Self(Arc::new(Inner {
            socket,
            waiting,
            pushes: Mutex::new(Some(pushes)),
        }))
    }

    pub async fn exchange(&self, request: Bytes) -> Result<client::Response, String> {
        let (place, answer) = self.0.waiting.place();
        let frame = frame::encode(&client::SocketRequest {
            id: place.id,
            request,
            event: Bytes::new(),
        });
        let sent = self.0.socket.send(vec![frame]).await;
        sent.map_err(|e| e.to_string())?;
        tokio::select! {
            answer = answer => answer.map_err(|_| "the answer is missing".into()),
            how = self.0.socket.closed() => Err(how.reason),
        }
    }

    pub async fn send_event(&self, request: Bytes) -> bool {
        let frame = frame::encode(&client::SocketRequest {
            event: request,
            ..client::SocketRequest::default()
        });
        self.0.socket.send(vec![frame]).await.is_ok()
    }

    pub async fn read_pushes(self, frames: mpsc::Sender<server_frame::Body>) {
        let Some(mut pushes) = self.0.pushes.lock().take() else {
            return;
        };
        // The connection ends when nobody else has it.
        drop(self);
        while let Some(push) = pushes.recv().await {
            if frames.send(push).await.is_err() {
                return;
            }
        }
    }

    pub async fn closed(&self) -> Closed {
        self.0.socket.closed().await
    }

    pub fn close(&self) {
        self.0.socket.close(CloseCode::GoodBye);
    }
}

/// Requests that await their answers.
#[derive(Debug, Default)]
struct Waiting {
    last_id: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<client::Response>>>,
}

/// Where an answer is expected; whoever loses interest gives it up.
struct Place<'a> {
    id: u64,
    waiting: &'a Waiting,
}

impl Waiting {
    fn place(&self) -> (Place<'_>, oneshot::Receiver<client::Response>) {
        let id = 1 + self.last_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.answers.lock().insert(id, sender);
        (Place { id, waiting: self }, answer)
    }

    fn answered(&self, answer: client::SocketAnswer) {
        let waits = self.answers.lock().remove(&answer.id);
        if let (Some(waits), Some(response)) = (waits, answer.response) {
            // Whoever asked may have lost interest.
            let _ = waits.send(response);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.answers.lock().remove(&self.id);
    }
}

/// Gives answers to those who wait, and pushes to whoever reads them, until nothing
/// more comes in. What cannot be read comes from a newer edge node.
async fn sort(
    mut frames: mpsc::Receiver<Bytes>,
    waiting: Arc<Waiting>,
    pushes: mpsc::Sender<server_frame::Body>,
) {
    while let Some(frame) = frames.recv().await {
        let frame = frame::decode::<client::ServerFrame>(frame);
        match frame.ok().and_then(|frame| frame.body) {
            Some(server_frame::Body::Answer(answer)) => waiting.answered(answer),
            Some(push) => {
                // Answers are awaited also by those who want no pushes.
                let _ = pushes.send(push).await;
            }
            None => {}
        }
    }
}
