//! For tests: the listener on loopback, and clients that trust it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use causeway_transport::ca::Authority;
use causeway_transport::tls::{Credentials, Roots, https_client, https_server};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use crate::limits::LimitsConfig;
use crate::limits::door::Door;

/// A listener that is being served.
pub struct Loopback {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
    connector: TlsConnector,
}

impl Loopback {
    pub async fn serve(app: Router) -> Self {
        let here = Ipv4Addr::LOCALHOST;
        let authority = Authority::new("test", 1).unwrap();
        let pem = authority.issue_server(&[], &[here.into()], 1).unwrap();
        let tls = https_server(&Credentials::from_pem(&pem).unwrap()).unwrap();
        let roots = Roots::from_pem(&authority.pem().public).unwrap();
        let listener = super::bind((here, 0).into()).await.unwrap();
        let stop = CancellationToken::new();
        let door = Door::tcp(&LimitsConfig::default());
        Self {
            address: listener.local_addr().unwrap(),
            stop: stop.clone(),
            serving: tokio::spawn(super::serve(listener, tls, app, None, door, stop)),
            connector: TlsConnector::from(Arc::new(https_client(&roots).unwrap())),
        }
    }

    pub async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        self.connector.connect(name, stream).await.unwrap()
    }
}
