//! Tokens: any text, and any header and claims under a valid signature. The
//! header ends at the first line break, if there is one.

#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway_protocol::token::{Signer, TokenError, Verifier};
use causeway_transport::ca;
use jsonwebtoken::{Algorithm, EncodingKey};
use libfuzzer_sys::fuzz_target;

const NOW_S: u64 = 1_700_000_000;

struct Keys {
    signer: Signer,
    raw: EncodingKey,
    verifier: Verifier,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let [old, new] = [ca::token_keys(), ca::token_keys()].map(|keys| keys.expect("keys"));
    Keys {
        signer: Signer::from_pem(new.private.as_bytes()).expect("a key"),
        raw: EncodingKey::from_ed_pem(new.private.as_bytes()).expect("a key"),
        verifier: Verifier::from_pems([old.public, new.public]).expect("two keys"),
    }
});

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(KEYS.verifier.verify(text, NOW_S).is_err());
    }
    let end = data.iter().position(|byte| *byte == b'\n');
    let (header, claims) = match end {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&br#"{"alg":"EdDSA"}"#[..], data),
    };
    let signed = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &KEYS.raw, Algorithm::EdDSA);
    let token = format!("{signed}.{}", signature.expect("signed"));
    match KEYS.verifier.verify(&token, NOW_S) {
        Ok(claims) => {
            assert!(claims.expires_at_s > NOW_S);
            let again = KEYS.signer.sign(&claims).expect("signed");
            assert_eq!(KEYS.verifier.verify(&again, NOW_S), Ok(claims));
            let expired = KEYS.verifier.verify(&again, claims.expires_at_s);
            assert_eq!(expired, Err(TokenError::Expired));
        }
        Err(error) => assert!(matches!(error, TokenError::Invalid | TokenError::Expired)),
    }
});
