//! What replicas of metadata say to one another, frame by frame. Operations are taken
//! in, and are read again from what was written.

#![no_main]

use bytes::BytesMut;
use causeway_core_region::metadata::actor::Actor;
use causeway_core_region::metadata::hybrid::HybridClock;
use causeway_core_region::metadata::op::Op;
use causeway_core_region::metadata::rows::MemoryRows;
use causeway_core_region::metadata::shard::{Shard, read_row};
use causeway_core_region::metadata::version::Version;
use causeway_core_region::metadata_wire as wire;
use causeway_fuzz::decode;
use causeway_protocol::frame;
use causeway_protocol::limits::BACKBONE_FRAME_BYTES_MAX;
use libfuzzer_sys::fuzz_target;

const NOW_US: u64 = 1_700_000_000_000_000;

#[derive(Default)]
struct World {
    shard: Shard,
    rows: MemoryRows,
    clock: HybridClock,
}

fuzz_target!(|data: &[u8]| {
    let mut world = World::default();
    let mut stream = BytesMut::from(data);
    while let Ok(Some(body)) = frame::split(&mut stream, BACKBONE_FRAME_BYTES_MAX) {
        decode::<wire::Report>(&body);
        decode::<wire::Digest>(&body);
        decode::<wire::Pull>(&body);
        decode::<wire::RowsRequest>(&body);
        decode::<wire::ReturnRequest>(&body);
        let shipped = decode::<wire::Ops>(&body);
        let pulled = decode::<wire::Pulled>(&body).unwrap_or_default();
        for ops in shipped.into_iter().chain(pulled.ops) {
            world.take(ops);
        }
    }
    world.is_well();
});

impl World {
    fn take(&mut self, ops: wire::Ops) {
        let Some(actor) = Actor::from_wire(ops.actor.as_ref()) else {
            return;
        };
        for op in &ops.ops {
            if let Ok(op) = Op::from_wire(actor, op.clone()) {
                assert_eq!(Op::from_wire(actor, op.to_wire()), Ok(op));
            }
        }
        let (rows, clock) = (&mut self.rows, &mut self.clock);
        let received = self.shard.receive(rows, actor, ops.ops, clock, NOW_US);
        let received = received.expect("what was written is read");
        for item in &received.items {
            read_row(&self.rows, item).expect("what was written is read");
        }
    }

    /// What was taken in can be told, given to others, and gone on with.
    fn is_well(&self) {
        let nothing = Version::default();
        let since = self.shard.since(&self.rows, &nothing, 1_000);
        since.expect("what was written is read");
        let missing = self.shard.missing(&self.rows, &nothing, usize::MAX);
        missing.expect("what was written is read");
        let again = Shard::open(&self.rows).expect("what was written is read");
        assert_eq!(again.info(), self.shard.info());
    }
}
