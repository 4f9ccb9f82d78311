//! What a replica of metadata leaves on the disk: keys, operations, rows, indexes and
//! what follows from them. Whoever reads it later must find it like this.

use bytes::Bytes;
use causeway_core_region::metadata::actor::{Actor, Dot};
use causeway_core_region::metadata::hybrid::HybridTime;
use causeway_core_region::metadata::item::Item;
use causeway_core_region::metadata::rows::MemoryRows;
use causeway_core_region::metadata::shard::{Intent, Shard};
use causeway_core_region::metadata::tables;
use causeway_core_region::metadata::types::Mark;
use causeway_core_region::metadata::version::Version;
use causeway_core_region::store::StoreError;
use causeway_protocol::{CellId, NodeId, WorkspaceId};

use crate::{NODE, TS};

/// Messages and channels are small here, so that keys can be read.
const CHANNEL: u32 = 5;
const MESSAGE: u64 = 0x0102;
const USER: u32 = 1;

/// What is done, in this order.
fn writes() -> Vec<(Item, Intent)> {
    let pin = Item::Pin {
        channel: CHANNEL,
        ts: MESSAGE,
    };
    let reaction = Item::Reaction {
        channel: CHANNEL,
        ts: MESSAGE,
        emoji: "ok".into(),
        user: USER,
    };
    let member = Item::Member {
        channel: CHANNEL,
        user: USER,
    };
    let cursor = Item::ReadCursor {
        user: USER,
        channel: CHANNEL,
    };
    let name = Item::ChannelName { channel: CHANNEL };
    let purpose = Item::ChannelPurpose { channel: CHANNEL };
    vec![
        (pin.clone(), Intent::Put(Bytes::new())),
        (pin, Intent::Remove),
        (name, Intent::Set(Bytes::from_static(b"food"))),
        (purpose.clone(), Intent::Put(Bytes::from_static(b"talk"))),
        (purpose, Intent::Put(Bytes::from_static(b"eating"))),
        (reaction, Intent::Put(Bytes::new())),
        (
            cursor,
            Intent::Raise(Mark {
                seq: 43,
                messages: 39,
            }),
        ),
        (member.clone(), Intent::Join),
        (member.clone(), Intent::Leave),
        (member, Intent::Join),
    ]
}

/// The replica is on its own, and settles what it has written of the pin.
fn written() -> Result<(Shard, MemoryRows), StoreError> {
    let (mut shard, mut rows) = (Shard::default(), MemoryRows::default());
    let actor = Actor {
        node: NodeId(NODE),
        life: TS,
    };
    let mut time = HybridTime::at_ms(TS / 1_000);
    for (item, intent) in writes() {
        shard.write(&mut rows, actor, time, item, intent)?;
        time = time.next();
    }
    let stable: Version = [Dot::new(actor, 2)].into_iter().collect();
    shard.collect(&mut rows, &stable, 100)?;
    Ok((shard, rows))
}

/// Keys and values, in the order of the keys; spaces are for the reader.
const PINNED: &[(&str, &str)] = &[
    // What is known of the shard as a whole.
    (
        "01",
        "01 0a18 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 100a 1218 0a16 0a12 \
            09010000000000edfe 10e480f9c0c1c48203 1002 1a00 2801 4909000068e5cf8b01 5005 5806",
    ),
    // The log: what was settled is not in it any more.
    (
        "02 feed000000000001 00060a24181e4064 0000000000000003",
        "01 0803 1102000068e5cf8b01 1a050600000005 5206 0a04666f6f64",
    ),
    (
        "02 feed000000000001 00060a24181e4064 0000000000000004",
        "01 0804 1103000068e5cf8b01 1a050800000005 5a08 0a0474616c6b 1200",
    ),
    (
        "02 feed000000000001 00060a24181e4064 0000000000000005",
        "01 0805 1104000068e5cf8b01 1a050800000005 5a22 0a06656174696e67 1218 0a16 0a12 \
            09010000000000edfe 10e480f9c0c1c48203 1004",
    ),
    (
        "02 feed000000000001 00060a24181e4064 0000000000000006",
        "01 0806 1105000068e5cf8b01 1a14010000000500000000000001026f6b0000000001 5a02 1200",
    ),
    (
        "02 feed000000000001 00060a24181e4064 0000000000000007",
        "01 0807 1106000068e5cf8b01 1a090f0000000100000005 6a04 082b 1027",
    ),
    (
        "02 feed000000000001 00060a24181e4064 0000000000000008",
        "01 0808 1107000068e5cf8b01 1a09050000000500000001 721a 0a18 0a16 0a12 \
            09010000000000edfe 10e480f9c0c1c48203 1007",
    ),
    (
        "02 feed000000000001 00060a24181e4064 0000000000000009",
        "01 0809 1108000068e5cf8b01 1a09050000000500000001 7a1a 0a18 0a16 0a12 \
            09010000000000edfe 10e480f9c0c1c48203 1008",
    ),
    (
        "02 feed000000000001 00060a24181e4064 000000000000000a",
        "01 080a 1109000068e5cf8b01 1a09050000000500000001 721a 0a18 0a16 0a12 \
            09010000000000edfe 10e480f9c0c1c48203 1009",
    ),
    // Rows.
    (
        "03 010000000500000000000001026f6b0000000001",
        "01 0a1a 0a12 09010000000000edfe 10e480f9c0c1c48203 1006 1806 2001 5a23 0a21 0a1d \
            0905000068e5cf8b01 1212 09010000000000edfe 10e480f9c0c1c48203 1006",
    ),
    (
        "03 050000000500000001",
        "01 0a1c 0a12 09010000000000edfe 10e480f9c0c1c48203 100a 180a 2001 2809 6a09 \
            0908000068e5cf8b01",
    ),
    (
        "03 0600000005",
        "01 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1003 5225 0a1d 0902000068e5cf8b01 \
            1212 09010000000000edfe 10e480f9c0c1c48203 1204666f6f64",
    ),
    (
        "03 0800000005",
        "01 0a1a 0a12 09010000000000edfe 10e480f9c0c1c48203 1005 1805 2001 5a2b 0a29 0a1d \
            0904000068e5cf8b01 1212 09010000000000edfe 10e480f9c0c1c48203 1005 1a06656174696e67",
    ),
    (
        "03 0f0000000100000005",
        "01 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1007 6204 082b 1027",
    ),
    // The index by operation; of a row that is no more, too.
    (
        "04 feed000000000001 00060a24181e4064 0000000000000002",
        "02000000050000000000000102",
    ),
    (
        "04 feed000000000001 00060a24181e4064 0000000000000003",
        "0600000005",
    ),
    (
        "04 feed000000000001 00060a24181e4064 0000000000000005",
        "0800000005",
    ),
    (
        "04 feed000000000001 00060a24181e4064 0000000000000006",
        "010000000500000000000001026f6b0000000001",
    ),
    (
        "04 feed000000000001 00060a24181e4064 0000000000000007",
        "0f0000000100000005",
    ),
    (
        "04 feed000000000001 00060a24181e4064 000000000000000a",
        "050000000500000001",
    ),
    // The row that is no more.
    (
        "05 0000000000000000",
        "01 0a0d02000000050000000000000102 1216 0a12 09010000000000edfe 10e480f9c0c1c48203 1002",
    ),
    // Memberships, members, names, reactions.
    ("06 00000001 00000005", ""),
    ("07 00000005", "00000001"),
    (
        "08 666f6f6400 018bcfe568000002 feed000000000001 00060a24181e4064 00000005",
        "",
    ),
    ("09 00000005 0000000000000102 6f6b", "00000001"),
];

#[test]
fn what_a_replica_writes_is_pinned() {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let (_, rows) = written().unwrap();
    let rows = rows.0.iter().map(|(key, value)| (hex(key), hex(value)));
    let close = |text: &str| text.replace(' ', "");
    let pinned = PINNED.iter().map(|(key, value)| (close(key), close(value)));
    assert_eq!(rows.collect::<Vec<_>>(), pinned.collect::<Vec<_>>());
}

#[test]
fn what_a_replica_has_written_it_reads() {
    let (shard, rows) = written().unwrap();
    let again = Shard::open(&rows).unwrap();
    assert_eq!(again.info(), shard.info());
}

#[test]
fn where_a_shard_is_and_what_the_node_keeps_of_it_is_pinned() {
    let shard = tables::shard(CellId(1), WorkspaceId(2));
    assert_eq!(&shard[..], b"\0\0\0\x01\0\0\0\x02");
    assert_eq!(&tables::since(CellId(1))[..], b"metadata/since/\0\0\0\x01");
    assert_eq!(&tables::clock()[..], b"metadata/clock");
}
