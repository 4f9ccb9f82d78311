//! The parts of a packet of gossip, read by themselves.

#![no_main]

use causeway_gossip::codec::{CodecError, GossipCodec};
use foca::Codec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(header) = GossipCodec.decode_header(data) {
        let mut bytes = Vec::new();
        match GossipCodec.encode_header(&header, &mut bytes) {
            Ok(()) => assert_eq!(GossipCodec.decode_header(&bytes[..]), Ok(header)),
            Err(error) => assert_eq!(error, CodecError::Full),
        }
    }
    if let Ok(member) = GossipCodec.decode_member(data) {
        let mut bytes = Vec::new();
        match GossipCodec.encode_member(&member, &mut bytes) {
            Ok(()) => assert_eq!(GossipCodec.decode_member(&bytes[..]), Ok(member)),
            Err(error) => assert_eq!(error, CodecError::Full),
        }
    }
});
