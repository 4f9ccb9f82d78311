//! What the directory and leaders tell, taken in. The first two bytes are the
//! length of the directory; the rest are hints.

#![no_main]

use bytes::Bytes;
use causeway_fuzz::decode;
use causeway_gossip::Routes;
use causeway_protocol::backbone::{Directory, LeaderHints};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let len = usize::from(u16::from_be_bytes(*head)).min(rest.len());
    let (directory, hints) = rest.split_at(len);
    let directory = decode::<Directory>(&Bytes::copy_from_slice(directory));
    let hints = decode::<LeaderHints>(&Bytes::copy_from_slice(hints));
    let (directory, hints) = (directory.unwrap_or_default(), hints.unwrap_or_default());

    let mut routes = Routes::default();
    // A hint may come before its cell, and again after it.
    for _ in 0..2 {
        for hint in &hints.hints {
            routes.apply_hint(hint);
            assert!(!routes.apply_hint(hint), "the same word twice is no news");
        }
        routes.apply_directory(&directory);
    }
    assert_eq!(routes.version(), directory.version);
    for (_, route) in routes.cells() {
        let candidates: Vec<_> = route.candidates().collect();
        let voters = route.replicas.iter().filter(|r| !r.learner);
        assert!(
            voters
                .map(|r| r.node)
                .all(|node| candidates.contains(&node))
        );
        let _ = route.leader_region();
    }
});
