//! What only one of the transports has.

use causeway_protocol::client::{self, request, server_frame};
use causeway_protocol::limits::{SERVER_FRAME_BYTES_MAX, SOCKET_MESSAGE_BYTES_MAX};
use causeway_protocol::{ChannelId, CloseCode, Seq, Topic, frame};
use causeway_transport::Transport;
use causeway_transport::socket::{PATH, SUBPROTOCOL};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls;
use futures::{SinkExt, StreamExt};
use prost::Message as _;
use quinn::ConnectionError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::site::Site;
use crate::fixture::{GENERAL, HERE};
use crate::limits::LimitsConfig;
use crate::limits::admission::Reason;
use crate::session::queue::PushQueue;

async fn open(
    site: &Site,
    subprotocol: &str,
) -> Result<WebSocketStream<TlsStream<TcpStream>>, Error> {
    let tls = tls::https_client(&site.node.roots()).unwrap();
    let address = site.pop.https.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    let stream = connector
        .connect(ServerName::from(address.ip()), stream)
        .await
        .unwrap();
    let uri: Uri = format!("wss://{address}{PATH}").parse().unwrap();
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(subprotocol);
    Ok(client_async(request, stream).await?.0)
}

#[tokio::test]
async fn a_websocket_of_another_protocol_is_not_opened() {
    let site = Site::serve().await;
    let Err(Error::Http(refused)) = open(&site, "chat").await else {
        panic!("opened");
    };
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_no_frame_of_ours_closes_a_websocket() {
    let site = Site::serve().await;
    for broken in [
        Message::text("hello"),
        Message::binary(vec![0, 0, 0, 5, 1]),
        Message::binary(frame::with_header(&[0xff])),
        Message::binary(vec![0; SOCKET_MESSAGE_BYTES_MAX + 1]),
    ] {
        let mut socket = open(&site, SUBPROTOCOL).await.unwrap();
        socket.send(broken).await.unwrap();
        let said = loop {
            if let Message::Close(said) = socket.next().await.unwrap().unwrap() {
                break said.unwrap();
            }
        };
        assert_eq!(u16::from(said.code), CloseCode::Malformed.on_socket());
    }
}

#[tokio::test]
async fn a_webtransport_session_is_opened_at_its_path_alone() {
    let site = Site::serve().await;
    let connection = site.quic(tls::webtransport_client).await;
    let elsewhere = format!("https://{}/elsewhere", site.pop.address);
    let request =
        web_transport_quinn::proto::ConnectRequest::new(url::Url::parse(&elsewhere).unwrap());
    let opened = web_transport_quinn::Session::connect(connection, request).await;
    assert!(opened.is_err());
    assert!(site.connect(Transport::WebTransport).await.0.transport() == Transport::WebTransport);
}

#[tokio::test]
async fn above_the_limit_connections_are_refused_and_others_live_on() {
    let site = Site::limited(LimitsConfig {
        connections: 2,
        ..LimitsConfig::default()
    })
    .await;
    let (client, _) = site.let_in(Transport::Native).await;
    let _second = site.quic(tls::client_plane_client).await;
    for _ in 0..10 {
        let refused = site.begin_quic(site.pop.address).await.unwrap_err();
        assert!(
            matches!(refused, ConnectionError::ConnectionClosed(_)),
            "{refused}"
        );
    }
    assert_eq!(site.doors.quic.refused(Reason::Connections), 10);
    assert!(client.pings().await);
}

#[tokio::test]
async fn while_an_address_has_handshakes_under_way_it_is_proven_and_then_let_in() {
    let site = Site::limited(LimitsConfig {
        handshakes_per_address: 4,
        ..LimitsConfig::default()
    })
    .await;
    let _silent = one_packet(&site).await;
    let (client, _) = site.let_in(Transport::Native).await;
    assert!(client.pings().await);
    assert_eq!(site.doors.quic.retried(), 1);
}

/// A client whose first packet arrives, and no other. The server has begun.
async fn one_packet(site: &Site) -> UdpSocket {
    let silent = UdpSocket::bind((HERE, 0)).await.unwrap();
    let _connecting = site.begin_quic(silent.local_addr().unwrap());
    let mut packet = [0; 2048];
    let length = silent.recv(&mut packet).await.unwrap();
    silent
        .send_to(&packet[..length], site.pop.address)
        .await
        .unwrap();
    silent.recv(&mut packet).await.unwrap();
    silent
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handshake() {
    let site = Site::serve().await;
    let _silent = one_packet(&site).await;
    site.stops_at_once().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_half_a_hello() {
    let site = Site::serve().await;
    let connection = site.quic(tls::client_plane_client).await;
    let (mut hello, _) = connection.open_bi().await.unwrap();
    hello.write_all(&[0]).await.unwrap();
    // What comes after the handshake is acknowledged after the handshake.
    let (mut next, _) = connection.open_bi().await.unwrap();
    next.write_all(&[0]).await.unwrap();
    next.finish().unwrap();
    assert_eq!(next.stopped().await.unwrap(), None);
    site.stops_at_once().await;
    let closed = connection.closed().await.to_string();
    assert!(closed.contains(CloseCode::GoingAway.reason()), "{closed}");
}

/// The channel of the push that comes next on a stream.
async fn next_channel(stream: &mut FrameReader) -> u64 {
    let frame: Option<client::ServerFrame> = stream.message().await.unwrap();
    match frame.and_then(|frame| frame.body) {
        Some(server_frame::Body::Push(push)) => match Topic::from_wire(push.topic.as_ref()) {
            Some(Topic::Channel(channel)) => channel.0,
            other => panic!("not of a channel: {other:?}"),
        },
        other => panic!("no push: {other:?}"),
    }
}

/// The pushes of a client that has been let in by hand.
async fn say_hello(site: &Site, connection: &quinn::Connection) -> Arc<PushQueue> {
    let hello = client::Request {
        body: Some(request::Body::Hello(client::Hello {
            token: site.node.token.clone(),
            ..client::Hello::default()
        })),
        ..client::Request::default()
    };
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&frame::encode(&hello)).await.unwrap();
    send.finish().unwrap();
    recv.read_to_end(SERVER_FRAME_BYTES_MAX).await.unwrap();
    let session = site.node.sessions.hubs.ids()[0];
    Arc::clone(&site.subscriber(session).queue)
}

#[tokio::test]
async fn channels_come_on_streams_of_their_own() {
    const CHANNELS: [u64; 2] = [1, 2];
    let site = Site::serve().await;
    let connection = site.quic(tls::client_plane_client).await;
    let queue = say_hello(&site, &connection).await;
    for channel in CHANNELS {
        let topic = Topic::Channel(ChannelId(channel));
        let push = client::ServerFrame {
            body: Some(server_frame::Body::Push(client::Push {
                topic: Some(topic.to_wire()),
                entry: Some(client::Entry::default()),
                ..client::Push::default()
            })),
        };
        queue.push(
            topic,
            &[
                (Seq(1), frame::encode(&push)),
                (Seq(2), frame::encode(&push)),
            ],
        );
    }
    let mut told = Vec::new();
    while told.len() < CHANNELS.len() {
        let stream = connection.accept_uni().await.unwrap();
        let mut stream = FrameReader::new(stream, SERVER_FRAME_BYTES_MAX);
        let channel = next_channel(&mut stream).await;
        assert_eq!(next_channel(&mut stream).await, channel);
        told.push(channel);
    }
    told.sort_unstable();
    assert_eq!(told, CHANNELS);
}

#[tokio::test]
async fn an_event_is_a_datagram_where_the_client_takes_any() {
    let site = Site::serve().await;
    let connection = site.quic(tls::client_plane_client).await;
    let queue = say_hello(&site, &connection).await;
    let event = client::ServerFrame {
        body: Some(server_frame::Body::Event(client::Event {
            topic: Some(GENERAL.to_wire()),
            ..client::Event::default()
        })),
    };
    let until = Instant::now() + Duration::from_secs(60);
    assert!(queue.push_event(frame::encode(&event), until));
    let datagram = connection.read_datagram().await.unwrap();
    assert_eq!(datagram, event.encode_to_vec());
}
