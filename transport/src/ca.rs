//! An offline certificate authority: makes the CA, node certificates, the
//! operator's certificate, and the keys that sign tokens.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    SanType,
};
use time::{Duration, OffsetDateTime};

use crate::tls::{NODE_SERVER_NAME, PeerIdentity};

/// Anything that goes wrong while making certificates.
pub type CaError = rcgen::Error;

/// Clocks of freshly started machines may be this far behind.
const BACKDATE: Duration = Duration::hours(1);

/// A certificate (or public key) and its private key, as PEM.
#[derive(Debug, Clone)]
pub struct Pem {
    /// The public part.
    pub public: String,
    /// The private part: for the owner's eyes.
    pub private: String,
}

/// The authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority that is valid for `days`.
    ///
    /// # Errors
    /// [`CaError`] from the certificate library.
    pub fn new(common_name: &str, days: i64) -> Result<Self, CaError> {
        let mut params = params(common_name, days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issuer = CertifiedIssuer::self_signed(params, key)?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate and key.
    pub fn pem(&self) -> Pem {
        Pem {
            public: self.issuer.pem(),
            private: self.issuer.key().serialize_pem(),
        }
    }

    /// Certifies a node, or the operator, for the backbone.
    ///
    /// # Errors
    /// [`CaError`] from the certificate library.
    pub fn issue_node(&self, identity: &PeerIdentity, days: i64) -> Result<Pem, CaError> {
        let mut params = params(identity.name.as_str(), days)?;
        params.subject_alt_names = vec![
            SanType::DnsName(NODE_SERVER_NAME.try_into()?),
            SanType::URI(identity.to_string().try_into()?),
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(params)
    }

    /// Certifies an edge node to its clients, for these host names and addresses.
    ///
    /// # Errors
    /// [`CaError`] from the certificate library.
    pub fn issue_server(
        &self,
        names: &[&str],
        addresses: &[IpAddr],
        days: i64,
    ) -> Result<Pem, CaError> {
        let mut params = params(names.first().unwrap_or(&"causeway"), days)?;
        for name in names {
            params
                .subject_alt_names
                .push(SanType::DnsName((*name).try_into()?));
        }
        let addresses = addresses.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(addresses);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Pem, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pem {
            public: certificate.pem(),
            private: key.serialize_pem(),
        })
    }
}

/// A key pair that signs tokens, public part first.
///
/// # Errors
/// [`CaError`] from the certificate library.
pub fn token_keys() -> Result<Pem, CaError> {
    let pair = KeyPair::generate_for(&PKCS_ED25519)?;
    Ok(Pem {
        public: pair.public_key_pem(),
        private: pair.serialize_pem(),
    })
}

fn params(common_name: &str, days: i64) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(days);
    Ok(params)
}
