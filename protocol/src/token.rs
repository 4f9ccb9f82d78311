//! Tokens: JWTs signed with Ed25519, so that every edge node of every region
//! can verify one by itself, also when the region that issued it is gone.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::ErrorCode;
use crate::id::{UserId, WorkspaceId};
use crate::limits::TOKEN_BYTES_MAX;

/// Clocks of nodes differ: a token is good for so much longer than it says.
pub const CLOCK_LEEWAY_S: u64 = 120;

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claims {
    /// The user; its workspace is part of the id.
    pub user: UserId,
    /// Seconds since 1970 at which the token was issued.
    pub issued_at_s: u64,
    /// Seconds since 1970 from which it is refused, [`CLOCK_LEEWAY_S`] later at
    /// the latest.
    pub expires_at_s: u64,
}

impl Claims {
    /// The workspace of the user.
    pub fn workspace(&self) -> WorkspaceId {
        self.user.workspace()
    }
}

/// The JSON inside, with RFC 7519's names.
#[derive(Serialize, Deserialize)]
struct Payload {
    sub: String,
    iat: u64,
    exp: u64,
}

/// Why a token, or a key for tokens, is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not a token of this platform.
    #[error("the token is not one that this platform signed")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// The key file is not what it should be.
    #[error("not an Ed25519 key in PEM form: {0}")]
    Key(String),
}

impl TokenError {
    /// The code that a client sees.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Expired => ErrorCode::TokenExpired,
            Self::Invalid | Self::Key(_) => ErrorCode::InvalidAuth,
        }
    }
}

/// Issues tokens. Held by core nodes.
#[derive(Clone)]
pub struct Signer(EncodingKey);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads a private Ed25519 key (PKCS#8, PEM).
    ///
    /// # Errors
    /// [`TokenError::Key`] when it is anything else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TokenError> {
        EncodingKey::from_ed_pem(pem)
            .map(Self)
            .map_err(|e| TokenError::Key(e.to_string()))
    }

    /// Signs `claims`.
    ///
    /// # Errors
    /// [`TokenError::Key`] when the key cannot sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let payload = Payload {
            sub: claims.user.to_string(),
            iat: claims.issued_at_s,
            exp: claims.expires_at_s,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &payload, &self.0)
            .map_err(|e| TokenError::Key(e.to_string()))
    }
}

/// Verifies tokens. Held by edge nodes; has all keys that are valid at a time,
/// so that keys can be rotated.
#[derive(Clone)]
pub struct Verifier(Arc<[DecodingKey]>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} keys)", self.0.len())
    }
}

impl Verifier {
    /// Reads public Ed25519 keys (PEM), one a text.
    ///
    /// # Errors
    /// [`TokenError::Key`] when one is anything else, or when there is none.
    pub fn from_pems<P: AsRef<[u8]>>(
        pems: impl IntoIterator<Item = P>,
    ) -> Result<Self, TokenError> {
        let keys = pems
            .into_iter()
            .map(|pem| DecodingKey::from_ed_pem(pem.as_ref()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| TokenError::Key(e.to_string()))?;
        if keys.is_empty() {
            return Err(TokenError::Key("no key was given".into()));
        }
        Ok(Self(keys.into()))
    }

    /// Checks signature and time; `now_s` is seconds since 1970.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] or [`TokenError::Expired`].
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The clock is an input: `expires_at_s` is compared below.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["sub", "exp"]);
        let payload = self
            .0
            .iter()
            .find_map(
                |key| match jsonwebtoken::decode::<Payload>(token, key, &validation) {
                    Ok(data) => Some(Ok(data.claims)),
                    Err(e) if matches!(e.kind(), ErrorKind::InvalidSignature) => None,
                    Err(_) => Some(Err(TokenError::Invalid)),
                },
            )
            .unwrap_or(Err(TokenError::Invalid))?;
        if payload.exp.saturating_add(CLOCK_LEEWAY_S) <= now_s {
            return Err(TokenError::Expired);
        }
        let user: UserId = payload.sub.parse().map_err(|_| TokenError::Invalid)?;
        if user.is_platform() {
            return Err(TokenError::Invalid);
        }
        Ok(Claims {
            user,
            issued_at_s: payload.iat,
            expires_at_s: payload.exp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (Signer, String) {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let signer = Signer::from_pem(pair.serialize_pem().as_bytes()).unwrap();
        (signer, pair.public_key_pem())
    }

    fn claims() -> Claims {
        Claims {
            user: UserId::new(WorkspaceId(3), 7),
            issued_at_s: 1_000,
            expires_at_s: 2_000,
        }
    }

    #[test]
    fn a_token_names_its_user_until_it_expires() {
        let (signer, public) = keys();
        let verifier = Verifier::from_pems([public]).unwrap();
        let token = signer.sign(&claims()).unwrap();
        let end = 2_000 + CLOCK_LEEWAY_S;
        assert_eq!(verifier.verify(&token, end - 1), Ok(claims()));
        assert_eq!(verifier.verify(&token, end), Err(TokenError::Expired));
        // One from a node whose clock is ahead is good at once.
        assert_eq!(verifier.verify(&token, 1), Ok(claims()));
    }

    #[test]
    fn any_of_several_keys_will_do_and_a_foreign_one_will_not() {
        let ((old, old_public), (new, new_public), (foreign, _)) = (keys(), keys(), keys());
        let verifier = Verifier::from_pems([old_public, new_public]).unwrap();
        for signer in [old, new] {
            assert!(verifier.verify(&signer.sign(&claims()).unwrap(), 1).is_ok());
        }
        let token = foreign.sign(&claims()).unwrap();
        assert_eq!(verifier.verify(&token, 1), Err(TokenError::Invalid));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (signer, public) = keys();
        let verifier = Verifier::from_pems([public]).unwrap();
        let token = signer.sign(&claims()).unwrap();
        for i in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            let read = verifier.verify(&forged, 1);
            // The last character of base64 may carry unused bits.
            assert!(read.is_err() || i == token.len() - 1, "byte {i}");
        }
        for text in ["", "a.b.c", "....", &"x".repeat(5_000)] {
            assert_eq!(verifier.verify(text, 1), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn nobody_is_the_platform() {
        let (signer, public) = keys();
        let verifier = Verifier::from_pems([public]).unwrap();
        let platform = Claims {
            user: UserId::platform(WorkspaceId(3)),
            ..claims()
        };
        let token = signer.sign(&platform).unwrap();
        assert_eq!(verifier.verify(&token, 1), Err(TokenError::Invalid));
    }

    #[test]
    fn wrong_keys_are_named() {
        assert!(matches!(Signer::from_pem(b"x"), Err(TokenError::Key(_))));
        assert!(matches!(
            Verifier::from_pems(["x"]),
            Err(TokenError::Key(_))
        ));
        assert!(matches!(
            Verifier::from_pems([""; 0]),
            Err(TokenError::Key(_))
        ));
    }
}
