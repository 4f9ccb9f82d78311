//! QUIC endpoints with the settings of each plane.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AckFrequencyConfig, Endpoint, EndpointConfig, IdleTimeout, Runtime, TokioRuntime,
    TransportConfig, VarInt,
};
use socket2::{Domain, Socket, Type};

use crate::congestion::ClientCongestion;
use crate::wan::{Wan, WanSocket};

/// Socket buffers: a burst of a few thousand packets must not be lost while the
/// runtime looks elsewhere. The kernel may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// When a silent peer is given up, and how it is kept from being silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// No packet for this long: the connection is dead.
    pub idle_timeout: Duration,
    /// A ping goes out after this long without anything else to send.
    pub keep_alive: Duration,
}

impl Liveness {
    /// Node to node: a dead peer is noticed as soon as QUIC allows for round
    /// trips of 200 ms, which is after three probe timeouts.
    pub const BACKBONE: Self = Self {
        idle_timeout: Duration::from_millis(600),
        keep_alive: Duration::from_millis(150),
    };
    /// Client to edge, as the edge offers it; a client may ask for less.
    pub const CLIENT_PLANE: Self = Self {
        idle_timeout: Duration::from_secs(30),
        keep_alive: Duration::from_secs(10),
    };
}

/// Settings that all planes share.
fn transport(liveness: Liveness) -> TransportConfig {
    let mut config = TransportConfig::default();
    // What QUIC cannot express is longer than any connection lives.
    let idle = IdleTimeout::try_from(liveness.idle_timeout).unwrap_or(VarInt::MAX.into());
    config.max_idle_timeout(Some(idle));
    config.keep_alive_interval(Some(liveness.keep_alive));
    config
}

/// Settings of a backbone connection: many streams, windows for an ocean.
pub fn backbone_transport(liveness: Liveness) -> TransportConfig {
    let mut config = transport(liveness);
    config.max_concurrent_bidi_streams(VarInt::from_u32(4_096));
    config.max_concurrent_uni_streams(VarInt::from_u32(1_024));
    config.stream_receive_window(VarInt::from_u32(8 * 1024 * 1024));
    config.receive_window(VarInt::from_u32(64 * 1024 * 1024));
    config.send_window(64 * 1024 * 1024);
    config.datagram_receive_buffer_size(Some(1024 * 1024));
    config.congestion_controller_factory(Arc::new(backbone_congestion()));
    config
}

/// Bursts of small messages must not wait for the window to open.
fn backbone_congestion() -> quinn::congestion::CubicConfig {
    let mut config = quinn::congestion::CubicConfig::default();
    config.initial_window(1024 * 1024);
    config
}

/// Streams that the other side of a client connection may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// For requests.
    pub requests: u32,
    /// For pushes, and for what HTTP/3 says of itself.
    pub pushes: u32,
}

/// Unidirectional streams that HTTP/3 has open in each direction: one for control,
/// two for the compression of headers.
const HTTP3_STREAMS: u32 = 3;

impl Streams {
    /// What an edge node lets its clients open at first: memory is taken for each.
    pub const EDGE: Self = Self {
        requests: 8,
        pushes: HTTP3_STREAMS,
    };
    /// What a client lets its edge node open.
    pub const CLIENT: Self = Self {
        requests: 0,
        pushes: 16,
    };
}

/// Settings of a client connection: small, as there are many.
pub fn client_transport(liveness: Liveness, streams: Streams) -> TransportConfig {
    let mut config = transport(liveness);
    config.max_concurrent_bidi_streams(VarInt::from_u32(streams.requests));
    config.max_concurrent_uni_streams(VarInt::from_u32(streams.pushes));
    config.stream_receive_window(VarInt::from_u32(256 * 1024));
    config.receive_window(VarInt::from_u32(1024 * 1024));
    config.send_window(1024 * 1024);
    config.datagram_receive_buffer_size(Some(64 * 1024));
    config.datagram_send_buffer_size(64 * 1024);
    config.ack_frequency_config(Some(client_acks()));
    config.congestion_controller_factory(Arc::new(ClientCongestion::default()));
    config
}

/// How often the other side of a client connection is asked to acknowledge: with pushes to
/// thousands of clients, acknowledgements cost as much as the pushes do.
fn client_acks() -> AckFrequencyConfig {
    let mut config = AckFrequencyConfig::default();
    config.ack_eliciting_threshold(VarInt::from_u32(9));
    config.max_ack_delay(Some(Duration::from_millis(25)));
    config
}

/// A server's TLS together with its transport settings.
pub fn server_config(tls: QuicServerConfig, transport: TransportConfig) -> quinn::ServerConfig {
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    config
}

/// Binds a UDP socket and puts an endpoint on it; below it, the emulated network
/// when there is one. Port 0 takes any free one.
///
/// # Errors
/// The system's error, such as an address that is in use.
pub fn bind(
    address: SocketAddr,
    server: Option<quinn::ServerConfig>,
    wan: Option<&Wan>,
) -> io::Result<Endpoint> {
    let socket = udp_socket(address)?;
    let runtime = Arc::new(TokioRuntime);
    let raw = wan.map(|_| socket.try_clone()).transpose()?;
    let mut inner = runtime.wrap_udp_socket(socket)?;
    if let (Some(wan), Some(raw)) = (wan, raw) {
        inner = Arc::new(WanSocket::new(inner, raw, wan.clone())?);
    }
    Endpoint::new_with_abstract_socket(EndpointConfig::default(), server, inner, runtime)
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // Best effort: without the right to more, the system's limit applies.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_beyond_what_quic_can_express_is_cut() {
        let config = backbone_transport(Liveness {
            idle_timeout: Duration::MAX,
            ..Liveness::BACKBONE
        });
        let longest = VarInt::MAX.to_string();
        assert!(format!("{config:?}").contains(&longest), "{config:?}");
    }
}
