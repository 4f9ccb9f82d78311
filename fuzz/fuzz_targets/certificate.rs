//! The identity in a certificate. TLS has verified it by then, but it is read by
//! other code.

#![no_main]

use causeway_transport::tls::PeerIdentity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(identity) = PeerIdentity::from_certificate(data) {
        let uri = identity.to_string();
        assert!(data.windows(uri.len()).any(|part| part == uri.as_bytes()));
    }
});
