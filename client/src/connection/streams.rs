//! On QUIC, natively or by WebTransport: each request on a stream of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_protocol::{CloseCode, frame};
use causeway_transport::endpoint::{self, client_transport};
use causeway_transport::socket::{PATH, SUBPROTOCOL};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls::{self, TlsError};
use causeway_transport::{Closed, Transport};
use quinn::{ConnectionError, Endpoint};
use tokio::sync::mpsc;
use url::Url;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::{RecvStream, Session, SessionError};

use crate::{ClientConfig, Pop};

/// Reaches PoPs over QUIC.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    config: quinn::ClientConfig,
    transport: Transport,
}

impl Dialer {
    pub fn new(config: &ClientConfig, transport: Transport) -> Result<Self, TlsError> {
        let tls = match transport {
            Transport::WebTransport => tls::webtransport_client(&config.roots)?,
            _ => tls::client_plane_client(&config.roots)?,
        };
        let mut quinn = quinn::ClientConfig::new(Arc::new(tls));
        let settings = client_transport(config.liveness, endpoint::Streams::CLIENT);
        quinn.transport_config(Arc::new(settings));
        Ok(Self {
            endpoint: config.endpoint.clone(),
            config: quinn,
            transport,
        })
    }

    pub async fn dial(&self, pop: &Pop, start: Instant) -> Result<(Streams, Duration), Closed> {
        let connecting = (self.endpoint)
            .connect_with(self.config.clone(), pop.address, &pop.server_name)
            .map_err(Closed::not_reached)?;
        let connection = connecting.await.map_err(|e| Closed::amid_handshake(&e))?;
        let round_trip = start.elapsed();
        let session = match self.transport {
            Transport::WebTransport => {
                let request = ConnectRequest::new(url(pop).map_err(Closed::not_reached)?)
                    .with_protocol(SUBPROTOCOL);
                let opening = Session::connect(connection, request).await;
                opening.map_err(Closed::not_reached)?
            }
            _ => Session::raw(connection),
        };
        let streams = Streams {
            session: Arc::new(session),
            transport: self.transport,
        };
        Ok((streams, round_trip))
    }
}

fn url(pop: &Pop) -> Result<Url, String> {
    let (name, port) = (&pop.server_name, pop.address.port());
    // An address of version 6 stands in brackets.
    let name = match name.contains(':') {
        true => format!("[{name}]"),
        false => name.clone(),
    };
    let url = format!("https://{name}:{port}{PATH}");
    Url::parse(&url).map_err(|e| format!("{url}: {e}"))
}

async fn read_stream(stream: RecvStream, frames: mpsc::Sender<server_frame::Body>) {
    let mut reader = FrameReader::new(stream, SERVER_FRAME_BYTES_MAX);
    while let Ok(Some(frame)) = reader.message::<client::ServerFrame>().await {
        if let Some(body) = frame.body
            && frames.send(body).await.is_err()
        {
            return;
        }
    }
}

/// Hands an event on. Nothing else comes in datagrams, and nobody waits for events: those
/// that there is no room for are lost.
fn take_event(datagram: Bytes, frames: &mpsc::Sender<server_frame::Body>) {
    let frame = frame::decode::<client::ServerFrame>(datagram);
    if let Ok(client::ServerFrame {
        body: Some(body @ server_frame::Body::Event(_)),
    }) = frame
    {
        let _ = frames.try_send(body);
    }
}

/// A connection of streams.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    session: Arc<Session>,
    transport: Transport,
}

impl Streams {
    pub fn transport(&self) -> Transport {
        self.transport
    }

    pub async fn exchange(&self, request: &[u8]) -> Result<client::Response, String> {
        let opened = self.session.open_bi().await;
        let (mut send, recv) = opened.map_err(|e| e.to_string())?;
        // The answer says so if the edge node stops reading.
        if (send.write_chunk(frame::with_header(request)).await).is_ok() {
            let _ = send.finish();
        }
        let mut reader = FrameReader::new(recv, SERVER_FRAME_BYTES_MAX);
        let response = reader.message().await.map_err(|e| e.to_string())?;
        response.ok_or_else(|| "the answer is missing".into())
    }

    pub fn send_event(&self, request: Bytes) -> bool {
        self.session.send_datagram(request).is_ok()
    }

    pub async fn read_pushes(self, frames: mpsc::Sender<server_frame::Body>) {
        loop {
            tokio::select! {
                stream = self.session.accept_uni() => match stream {
                    Ok(stream) => drop(tokio::spawn(read_stream(stream, frames.clone()))),
                    Err(_) => return,
                },
                event = self.session.read_datagram() => match event {
                    Ok(event) => take_event(event, &frames),
                    // A datagram of another WebTransport session, which there is not.
                    Err(_) if self.session.close_reason().is_none() => {}
                    Err(_) => return,
                },
            }
        }
    }

    pub async fn closed(&self) -> Closed {
        match self.session.closed().await {
            // A client closes in one way alone; a WebSocket tells it by itself.
            SessionError::ConnectionError(ConnectionError::LocallyClosed) => {
                CloseCode::GoodBye.into()
            }
            error => error.into(),
        }
    }

    pub fn close(&self) {
        let code = CloseCode::GoodBye;
        self.session.close(code.code(), code.reason().as_bytes());
    }
}
