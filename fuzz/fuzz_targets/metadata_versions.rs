//! What clients bring of metadata: the version that they have, and their last write.
//! The first two bytes are the length of a version that a replica has; the rest is
//! what a client brings.

#![no_main]

use causeway_core_region::metadata::version::{Version, dot_from_bytes, dot_to_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let len = usize::from(u16::from_be_bytes(*head)).min(rest.len());
    let (ours, brought) = rest.split_at(len);
    let ours = Version::from_bytes(ours).unwrap_or_default();
    if let Some(wrote) = dot_from_bytes(brought) {
        assert_eq!(dot_from_bytes(&dot_to_bytes(&wrote)), Some(wrote));
        let mut after = ours.clone();
        after.add(&wrote);
        assert!(after.has(&wrote));
    }
    let Some(theirs) = Version::from_bytes(brought) else {
        return;
    };
    let again = Version::from_bytes(&theirs.to_bytes());
    assert_eq!(again.as_ref(), Some(&theirs));

    let mut both = ours.clone();
    both.merge(&theirs);
    assert!(both.has_all(&ours) && both.has_all(&theirs));
    let common = ours.common(&theirs);
    assert!(ours.has_all(&common) && theirs.has_all(&common));
    // Either may be, but both must be answered.
    let _ = (theirs.has_all(&ours), ours.has_all(&theirs));
});
