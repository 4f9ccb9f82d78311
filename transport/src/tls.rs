//! Who is at the other end: certificates, roles and the TLS settings made of
//! them. One crypto provider (ring) serves everything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_protocol::Name;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use thiserror::Error;
use x509_parser::extensions::GeneralName;

/// ALPN of the backbone.
pub const BACKBONE_ALPN: &[u8] = b"causeway-backbone/1";
/// ALPN of the native client plane.
pub const CLIENT_ALPN: &[u8] = b"causeway/1";
/// ALPN of WebTransport, on the same port.
pub const WEBTRANSPORT_ALPN: &[u8] = web_transport_quinn::ALPN.as_bytes();
/// Every node's certificate is valid for this name: nodes are known by role and
/// name, wherever they are, so the address dialled proves nothing.
pub const NODE_SERVER_NAME: &str = "node.causeway.internal";

/// What a certificate of the backbone entitles to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Holds cells.
    Core,
    /// Terminates clients.
    Edge,
    /// The operator's tool.
    Operator,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Edge => "edge",
            Self::Operator => "operator",
        }
    }
}

/// The name in a certificate of the backbone, as `causeway://ROLE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// What it entitles to.
    pub role: Role,
    /// The node's name.
    pub name: Name,
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "causeway://{}/{}", self.role.as_str(), self.name)
    }
}

impl PeerIdentity {
    fn parse(uri: &str) -> Option<Self> {
        let (role, name) = uri.strip_prefix("causeway://")?.split_once('/')?;
        let role = [Role::Core, Role::Edge, Role::Operator]
            .into_iter()
            .find(|r| r.as_str() == role)?;
        let name = name.parse().ok()?;
        Some(Self { role, name })
    }

    /// Reads the identity out of a certificate that TLS has verified.
    pub fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        names
            .value
            .general_names
            .iter()
            .find_map(|name| match name {
                GeneralName::URI(uri) => Self::parse(uri),
                _ => None,
            })
    }

    /// The identity at the other end of a backbone connection.
    pub fn of(connection: &quinn::Connection) -> Option<Self> {
        let chain = connection
            .peer_identity()?
            .downcast::<Vec<CertificateDer<'static>>>()
            .ok()?;
        Self::from_certificate(chain.first()?)
    }
}

/// Certificates and keys that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read or is not PEM.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key belong to different pairs.
    #[error("{key}: not the key of the certificate {certificate}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Certificate and key do not make a usable pair.
    #[error("certificate or key: {0}")]
    Rustls(#[from] rustls::Error),
    /// A verifier cannot be built from the CA.
    #[error("certificate authority: {0}")]
    Authority(String),
}

/// A certificate chain and its key.
#[derive(Debug)]
pub struct Credentials {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Credentials {
    /// Reads PEM files.
    ///
    /// # Errors
    /// [`TlsError::File`] names the one that cannot be used, [`TlsError::Pair`]
    /// both when they do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = load_certificates(certificate)?;
        let der = PrivateKeyDer::from_pem_file(key).map_err(|e| file_error(key, &e))?;
        let signing = any_supported_type(&der).map_err(|e| file_error(key, &e))?;
        match CertifiedKey::new(chain.clone(), signing).keys_match() {
            // Of some kinds of keys the public half is not known here.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(TlsError::Pair {
                    certificate: certificate.into(),
                    key: key.into(),
                });
            }
            Err(error) => return Err(file_error(certificate, &error)),
        }
        Ok(Self { chain, key: der })
    }

    /// The node that the certificate names, if it names one.
    pub fn identity(&self) -> Option<PeerIdentity> {
        PeerIdentity::from_certificate(self.chain.first()?)
    }

    /// Takes what [`crate::ca`] has made.
    ///
    /// # Errors
    /// [`TlsError::Authority`] when it is not a certificate with its key.
    pub fn from_pem(pem: &crate::ca::Pem) -> Result<Self, TlsError> {
        let wrong = |e: rustls::pki_types::pem::Error| TlsError::Authority(e.to_string());
        let chain = CertificateDer::pem_slice_iter(pem.public.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let key = PrivateKeyDer::from_pem_slice(pem.private.as_bytes()).map_err(wrong)?;
        Ok(Self { chain, key })
    }
}

/// Certificate authorities that are trusted.
#[derive(Debug, Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Reads a PEM file of one or more certificates.
    ///
    /// # Errors
    /// [`TlsError`] when it cannot be read or holds no certificate.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        Self::trust(load_certificates(path)?)
    }

    /// Trusts the authorities in a PEM text.
    ///
    /// # Errors
    /// [`TlsError`] when it cannot be read.
    pub fn from_pem(pem: &str) -> Result<Self, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| TlsError::Authority(e.to_string()))?;
        Self::trust(certificates)
    }

    fn trust(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate)?;
        }
        Ok(Self(Arc::new(roots)))
    }

    /// The certificates, as rustls wants them.
    pub fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| file_error(path, &e))?;
    if certificates.is_empty() {
        return Err(TlsError::File {
            path: path.into(),
            reason: "holds no certificate in PEM form".into(),
        });
    }
    Ok(certificates)
}

fn file_error(path: &Path, error: &impl fmt::Display) -> TlsError {
    TlsError::File {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// The same for everything. AES with 128 bits comes first: as safe for what lasts as long
/// as a connection, and a fifth cheaper for each packet.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let is_short = |suite: &rustls::SupportedCipherSuite| {
        suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
    };
    provider.cipher_suites.sort_by_key(|suite| !is_short(suite));
    Arc::new(provider)
}

fn client_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TlsError>
{
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?)
}

/// The backbone's two sides of TLS, each proving itself to the other.
///
/// # Errors
/// [`TlsError`] when the credentials do not fit together.
pub fn backbone(
    credentials: &Credentials,
    roots: &Roots,
) -> Result<(quinn::crypto::rustls::QuicServerConfig, QuicClientConfig), TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.store(), provider())
        .build()
        .map_err(|e| TlsError::Authority(e.to_string()))?;
    let Credentials { chain, key } = credentials.clone();
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![BACKBONE_ALPN.to_vec()];
    let Credentials { chain, key } = credentials.clone();
    let mut client = client_builder()?
        .with_root_certificates(roots.store())
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![BACKBONE_ALPN.to_vec()];
    Ok((quic_server(server)?, quic_client(client)?))
}

/// The ALPN on which both sides have agreed; empty if on none.
pub fn alpn(connection: &quinn::Connection) -> Vec<u8> {
    let data = connection.handshake_data();
    let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
    data.and_then(|data| data.protocol).unwrap_or_default()
}

/// TLS of the client plane over QUIC, native and WebTransport, at the edge.
///
/// # Errors
/// [`TlsError`] when the credentials do not fit together.
pub fn client_plane_server(credentials: &Credentials) -> Result<QuicServerConfig, TlsError> {
    let mut server = https_server(credentials)?;
    server.alpn_protocols = vec![CLIENT_ALPN.to_vec(), WEBTRANSPORT_ALPN.to_vec()];
    quic_server(server)
}

/// TLS of the Web API over TCP, at the edge.
///
/// # Errors
/// [`TlsError`] when the credentials do not fit together.
pub fn https_server(credentials: &Credentials) -> Result<ServerConfig, TlsError> {
    let Credentials { chain, key } = credentials.clone();
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

/// TLS of the Web API over TCP, at the client.
///
/// # Errors
/// [`TlsError`] when the roots cannot be used.
pub fn https_client(roots: &Roots) -> Result<ClientConfig, TlsError> {
    Ok(client_builder()?
        .with_root_certificates(roots.store())
        .with_no_client_auth())
}

/// TLS of the native client plane, at the client.
///
/// # Errors
/// [`TlsError`] when the roots cannot be used.
pub fn client_plane_client(roots: &Roots) -> Result<QuicClientConfig, TlsError> {
    quic_client_of(roots, CLIENT_ALPN)
}

/// TLS of WebTransport, at the client.
///
/// # Errors
/// [`TlsError`] when the roots cannot be used.
pub fn webtransport_client(roots: &Roots) -> Result<QuicClientConfig, TlsError> {
    quic_client_of(roots, WEBTRANSPORT_ALPN)
}

fn quic_client_of(roots: &Roots, alpn: &[u8]) -> Result<QuicClientConfig, TlsError> {
    let mut client = https_client(roots)?;
    client.alpn_protocols = vec![alpn.to_vec()];
    quic_client(client)
}

fn quic_server(config: ServerConfig) -> Result<QuicServerConfig, TlsError> {
    QuicServerConfig::try_from(config).map_err(|e| TlsError::Authority(e.to_string()))
}

fn quic_client(config: ClientConfig) -> Result<QuicClientConfig, TlsError> {
    QuicClientConfig::try_from(config).map_err(|e| TlsError::Authority(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{Authority, Pem};

    fn identity() -> PeerIdentity {
        PeerIdentity {
            role: Role::Edge,
            name: "nyc-1".parse().unwrap(),
        }
    }

    fn load(public: &Pem, private: &Pem) -> Result<Credentials, TlsError> {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("b.key"));
        std::fs::write(&certificate, &public.public).unwrap();
        std::fs::write(&key, &private.private).unwrap();
        Credentials::load(&certificate, &key)
    }

    #[test]
    fn a_certificate_names_its_node() {
        let authority = Authority::new("test", 1).unwrap();
        let node = authority.issue_node(&identity(), 1).unwrap();
        assert_eq!(load(&node, &node).unwrap().identity(), Some(identity()));
        let server = authority.issue_server(&["localhost"], &[], 1).unwrap();
        assert_eq!(load(&server, &server).unwrap().identity(), None);
    }

    #[test]
    fn a_key_that_belongs_to_another_certificate_is_named_with_it() {
        let authority = Authority::new("test", 1).unwrap();
        let one = authority.issue_node(&identity(), 1).unwrap();
        let other = authority.issue_node(&identity(), 1).unwrap();
        let error = load(&one, &other).unwrap_err();
        assert!(matches!(error, TlsError::Pair { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains("a.pem") && error.contains("b.key"),
            "{error}"
        );
    }

    #[test]
    fn identities_round_trip_and_strangers_are_refused() {
        let identity = PeerIdentity {
            role: Role::Core,
            name: "us-east-1".parse().unwrap(),
        };
        assert_eq!(PeerIdentity::parse(&identity.to_string()), Some(identity));
        for uri in [
            "",
            "causeway://",
            "causeway://core",
            "causeway://core/",
            "causeway://root/x",
            "causeway://core/A",
            "https://core/a",
        ] {
            assert_eq!(PeerIdentity::parse(uri), None, "{uri}");
        }
    }
}
