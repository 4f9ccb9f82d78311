//! Packets of gossip at a node: each is headed by its length in two bytes, and
//! a tenth of a second passes between them.

#![no_main]

use std::time::{Duration, Instant};

use causeway_fuzz::member;
use causeway_gossip::swim::{Swim, Timings};
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// As long as gossip packets may be, and a little longer.
const PACKET_BYTES_MAX: usize = 1_200;

fuzz_target!(|data: &[u8]| {
    let me = member(1);
    let mut swim = Swim::new(me.clone(), Timings::default(), StdRng::seed_from_u64(1));
    let mut now = Instant::now();
    let mut rest = data;
    while let Some((head, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head));
        let (packet, after) = after.split_at(len.min(after.len()).min(PACKET_BYTES_MAX));
        rest = after;
        swim.receive(packet, now);
        now += Duration::from_millis(100);
        swim.tick(now);
        assert!(swim.membership().get(me.node).is_some(), "I am here");
        assert_eq!(swim.me().node, me.node);
    }
});
