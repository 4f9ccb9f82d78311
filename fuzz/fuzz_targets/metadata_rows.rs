//! The rows of a shard, as a replica that begins anew takes them: a header and chunks,
//! each a frame. It had written something, which it writes again.

#![no_main]

use bytes::{Bytes, BytesMut};
use causeway_core_region::metadata::hybrid::HybridClock;
use causeway_core_region::metadata::item::Item;
use causeway_core_region::metadata::peers::Counted;
use causeway_core_region::metadata::replica::Replica;
use causeway_core_region::metadata::rows::MemoryRows;
use causeway_core_region::metadata::shard::Intent;
use causeway_core_region::metadata::version::Version;
use causeway_core_region::metadata_wire as wire;
use causeway_fuzz::decode;
use causeway_protocol::limits::BACKBONE_FRAME_BYTES_MAX;
use causeway_protocol::{NodeId, frame};
use libfuzzer_sys::fuzz_target;

const NOW_US: u64 = 1_700_000_000_000_000;
const ME: NodeId = NodeId(1);
/// Bytes of operations that are read for a peer at a time.
const PULL_BYTES: usize = 512 * 1024;

fuzz_target!(|data: &[u8]| {
    let mut stream = BytesMut::from(data);
    let mut next = || {
        let frame = frame::split(&mut stream, BACKBONE_FRAME_BYTES_MAX);
        frame.ok().flatten()
    };
    let header = next().and_then(|body| decode::<wire::RowsHeader>(&body));
    let Some(header) = header else {
        return;
    };
    let (mut rows, mut clock) = (MemoryRows::default(), HybridClock::default());
    let mut replica = Replica::open(&rows, ME, 1, 0).expect("there is nothing yet");
    for (item, intent) in written_before() {
        let written = replica.write(&mut rows, &mut clock, NOW_US, item, intent);
        written.expect("what was written is read");
    }

    replica.begin_resync(&mut rows);
    while let Some(chunk) = next().and_then(|body| decode::<wire::RowsChunk>(&body)) {
        let taken = chunk.rows.into_iter();
        let taken = taken.map(|row| (row.key.to_vec(), row.value.to_vec()));
        // What makes no sense is refused, now or at the end.
        if replica.take_rows(&mut rows, taken.collect()).is_err() {
            return;
        }
        if chunk.last {
            break;
        }
    }
    let counted = Counted::default();
    let theirs = header.info.unwrap_or_default();
    let ended = replica.end_resync(&mut rows, &theirs, (2, 1, &counted), &mut clock, NOW_US);
    if ended.is_err() {
        return;
    }
    let again = Replica::open(&rows, ME, 3, 1).expect("what was written is read");
    assert_eq!(again.version(), replica.version());
    // Some of what was taken may be read only here.
    let _ = replica.shard().since(&rows, &Version::default(), 1_000);
    let _ = replica.missing(&rows, &Version::default(), PULL_BYTES);
});

fn written_before() -> [(Item, Intent); 3] {
    let member = Item::Member {
        channel: 1,
        user: 1,
    };
    let topic = Item::ChannelTopic { channel: 1 };
    [
        (topic, Intent::Set(Bytes::from_static(b"lunch"))),
        (member.clone(), Intent::Join),
        (member, Intent::Leave),
    ]
}
