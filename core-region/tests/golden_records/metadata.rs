//! Metadata: what is stored of it, and what replicas say to one another.

use bytes::Bytes;
use causeway_core_region::metadata::actor::Actor;
use causeway_core_region::metadata::op::Op;
use causeway_core_region::metadata_wire as wire;
use causeway_core_region::metadata_wire::op::Change;
use causeway_core_region::metadata_wire::row::Value;
use causeway_protocol::NodeId;

use crate::row::{Row, bare, row};
use crate::{NODE, TS};

/// The fourth operation of the millisecond of [`TS`].
const TIME: u64 = (TS / 1_000) << 16 | 3;
/// A channel's topic: channel 5.
const CHANNEL_TOPIC: &[u8] = b"\x07\0\0\0\x05";
/// A channel's purpose.
const CHANNEL_PURPOSE: &[u8] = b"\x08\0\0\0\x05";
/// A pin: channel 5, message 258.
const PIN: &[u8] = b"\x02\0\0\0\x05\0\0\0\0\0\0\x01\x02";
/// A membership: channel 5, user 1.
const MEMBER: &[u8] = b"\x05\0\0\0\x05\0\0\0\x01";
/// A read cursor: user 1, channel 5.
const READ_CURSOR: &[u8] = b"\x0f\0\0\0\x01\0\0\0\x05";

fn actor() -> wire::Actor {
    wire::Actor {
        node: NODE,
        life: TS,
    }
}

fn dot(counter: u64) -> wire::Dot {
    wire::Dot {
        actor: Some(actor()),
        counter,
    }
}

/// Operations that are named one by one.
fn observed(counter: u64) -> wire::Version {
    wire::Version {
        dots: vec![dot(counter)],
        ..wire::Version::default()
    }
}

/// All operations up to these.
fn version() -> wire::Version {
    wire::Version {
        dots: vec![dot(41)],
        complete: vec![wire::Complete {
            node: 2,
            before: TS,
            ops: 9,
        }],
    }
}

fn stamp() -> wire::Stamp {
    wire::Stamp {
        time: TIME,
        actor: Some(actor()),
    }
}

/// One of each kind, as the log has them.
fn operations() -> Vec<(&'static str, &'static str, wire::Op)> {
    let op = |item: &'static [u8], change| wire::Op {
        counter: 42,
        time: TIME,
        item: Bytes::from_static(item),
        change: Some(change),
    };
    vec![
        (
            "set",
            "01 082a 1103000068e5cf8b01 1a050700000005 5207 0a056c756e6368",
            op(
                CHANNEL_TOPIC,
                Change::Set(wire::Set {
                    value: Bytes::from_static(b"lunch"),
                }),
            ),
        ),
        (
            "put",
            "01 082a 1103000068e5cf8b01 1a050800000005 5a22 0a06656174696e67 1218 0a16 0a12 \
                09010000000000edfe 10e480f9c0c1c48203 1028",
            op(
                CHANNEL_PURPOSE,
                Change::Put(wire::Put {
                    value: Bytes::from_static(b"eating"),
                    observed: Some(observed(40)),
                }),
            ),
        ),
        (
            "remove",
            "01 082a 1103000068e5cf8b01 1a0d02000000050000000000000102 621a 0a18 0a16 0a12 \
                09010000000000edfe 10e480f9c0c1c48203 1028",
            op(
                PIN,
                Change::Remove(wire::Remove {
                    observed: Some(observed(40)),
                }),
            ),
        ),
        (
            "raise",
            "01 082a 1103000068e5cf8b01 1a090f0000000100000005 6a04 082b 1027",
            op(
                READ_CURSOR,
                Change::Raise(wire::Raise {
                    seq: 43,
                    messages: 39,
                }),
            ),
        ),
        (
            "join",
            "01 082a 1103000068e5cf8b01 1a09050000000500000001 7230 0a2e 0a16 0a12 \
                09010000000000edfe 10e480f9c0c1c48203 1029 1214 090200000000000000 \
                10e480f9c0c1c48203 1809",
            op(
                MEMBER,
                Change::Join(wire::Join {
                    seen: Some(version()),
                }),
            ),
        ),
        (
            "leave",
            "01 082a 1103000068e5cf8b01 1a09050000000500000001 7a1a 0a18 0a16 0a12 \
                09010000000000edfe 10e480f9c0c1c48203 1028",
            op(
                MEMBER,
                Change::Leave(wire::Leave {
                    observed: Some(observed(40)),
                }),
            ),
        ),
    ]
}

/// One of each type.
fn rows() -> Vec<Row> {
    let of = |name, pinned, value| {
        let trace = wire::Trace {
            actor: Some(actor()),
            touched: 42,
            added: 41,
            alive: true,
            left: 40,
            left_alive: true,
        };
        let stored = wire::Row {
            traces: vec![trace],
            value: Some(value),
        };
        row(name, pinned, stored)
    };
    vec![
        of(
            "register",
            "01 0a1e 0a12 09010000000000edfe 10e480f9c0c1c48203 102a 1829 2001 2828 3001 5226 \
                0a1d 0903000068e5cf8b01 1212 09010000000000edfe 10e480f9c0c1c48203 \
                12056c756e6368",
            Value::Register(wire::Register {
                stamp: Some(stamp()),
                value: Bytes::from_static(b"lunch"),
            }),
        ),
        of(
            "multi_value",
            "01 0a1e 0a12 09010000000000edfe 10e480f9c0c1c48203 102a 1829 2001 2828 3001 5a2b \
                0a29 0a1d 0903000068e5cf8b01 1212 09010000000000edfe 10e480f9c0c1c48203 1029 \
                1a06656174696e67",
            Value::MultiValue(wire::MultiValue {
                written: vec![wire::Written {
                    stamp: Some(stamp()),
                    counter: 41,
                    value: Bytes::from_static(b"eating"),
                }],
            }),
        ),
        of(
            "mark",
            "01 0a1e 0a12 09010000000000edfe 10e480f9c0c1c48203 102a 1829 2001 2828 3001 6204 \
                082b 1027",
            Value::Mark(wire::Mark {
                seq: 43,
                messages: 39,
            }),
        ),
        of(
            "membership",
            "01 0a1e 0a12 09010000000000edfe 10e480f9c0c1c48203 102a 1829 2001 2828 3001 6a09 \
                0903000068e5cf8b01",
            Value::Membership(wire::Membership { left_time: TIME }),
        ),
    ]
}

fn info() -> wire::ShardInfo {
    wire::ShardInfo {
        version: Some(version()),
        truncated: Some(observed(30)),
        floor: Some(observed(20)),
        gone_first: 7,
        gone_next: 9,
        left_until: TIME,
        resyncing: true,
        before: Some(observed(10)),
        latest: TIME,
        rows: 5,
        traces: 6,
    }
}

/// What there is of a shard beside operations and rows.
fn of_shards() -> Vec<Row> {
    vec![
        row(
            "shard_info",
            "01 0a2e 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1029 1214 090200000000000000 10e480f9c0c1c48203 1809 1218 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 101e 1a18 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1014 2007 2809 3103000068e5cf8b01 3801 4218 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 100a 4903000068e5cf8b01 5005 5806",
            info(),
        ),
        row(
            "gone",
            "01 0a0d02000000050000000000000102 1216 0a12 09010000000000edfe 10e480f9c0c1c48203 \
                102a",
            wire::Gone {
                item: Bytes::from_static(PIN),
                dots: vec![dot(42)],
            },
        ),
    ]
}

/// What registers and elements say.
fn values() -> Vec<Row> {
    vec![
        bare(
            "said",
            "0a06656174696e67 1001",
            wire::Said {
                text: "eating".into(),
                user: 1,
            },
        ),
        bare(
            "status",
            "0a07636f6f6b696e67 120473746577 188081c8ac06",
            wire::Status {
                text: "cooking".into(),
                emoji: "stew".into(),
                expires_at_s: 1_704_067_200,
            },
        ),
        bare("by_user", "0801", wire::ByUser { user: 1 }),
        bare(
            "emoji_note",
            "0a1c68747470733a2f2f6578616d706c652e636f6d2f737465772e706e67 1001",
            wire::EmojiNote {
                url: "https://example.com/stew.png".into(),
                user: 1,
            },
        ),
        bare(
            "do_not_disturb",
            "088081c8ac06",
            wire::DoNotDisturb {
                until_s: 1_704_067_200,
            },
        ),
    ]
}

/// What replicas of different versions say to one another, while nodes are replaced.
fn messages() -> Vec<Row> {
    let ops = || wire::Ops {
        cell: 1,
        workspace: 1,
        actor: Some(actor()),
        ops: vec![wire::Op {
            counter: 42,
            ..wire::Op::default()
        }],
        since: 3,
    };
    let report = || wire::Report {
        cell: 1,
        workspace: 1,
        version: Some(version()),
        epoch: 4,
        refused: wire::Refused::Clock.into(),
        me: Some(actor()),
        since: 3,
        believed: Some(observed(10)),
    };
    vec![
        bare(
            "ops",
            "0801 1001 1a12 09010000000000edfe 10e480f9c0c1c48203 2202 082a 2803",
            ops(),
        ),
        bare(
            "report",
            "0801 1001 1a2e 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1029 1214 090200000000000000 10e480f9c0c1c48203 1809 2004 2802 3212 09010000000000edfe 10e480f9c0c1c48203 3803 4218 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 100a",
            report(),
        ),
        bare(
            "digest",
            "0a68 0801 1001 1a2e 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1029 1214 \
                090200000000000000 10e480f9c0c1c48203 1809 2004 2802 3212 09010000000000edfe \
                10e480f9c0c1c48203 3803 4218 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 \
                100a",
            wire::Digest {
                reports: vec![report()],
            },
        ),
        bare(
            "pull",
            "0801 1001 1a2e 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1029 1214 \
                090200000000000000 10e480f9c0c1c48203 1809 2003",
            wire::Pull {
                cell: 1,
                workspace: 1,
                have: Some(version()),
                since: 3,
            },
        ),
        bare(
            "return_request",
            "0a06 0803 1005 1801",
            wire::ReturnRequest {
                cells: vec![cell_return()],
            },
        ),
        bare("cell_return", "0803 1005 1801", cell_return()),
        bare(
            "pulled",
            "0a1e 0801 1001 1a12 09010000000000edfe 10e480f9c0c1c48203 2202 082a 2803 1001 1801 \
                2003",
            wire::Pulled {
                ops: vec![ops()],
                more: true,
                truncated: true,
                refused: wire::Refused::Invalid.into(),
            },
        ),
        bare(
            "rows_request",
            "0801 1001 1803",
            wire::RowsRequest {
                cell: 1,
                workspace: 1,
                since: 3,
                is_ahead: false,
            },
        ),
        bare(
            "rows_header",
            "0a9a01 0a2e 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 1029 1214 \
                090200000000000000 10e480f9c0c1c48203 1809 1218 0a16 0a12 09010000000000edfe \
                10e480f9c0c1c48203 101e 1a18 0a16 0a12 09010000000000edfe 10e480f9c0c1c48203 \
                1014 2007 2809 3103000068e5cf8b01 3801 4218 0a16 0a12 09010000000000edfe \
                10e480f9c0c1c48203 100a 4903000068e5cf8b01 5005 5806 1001 1803",
            wire::RowsHeader {
                info: Some(info()),
                refused: wire::Refused::NotCounted.into(),
                since: 3,
            },
        ),
        bare(
            "rows_chunk",
            "0a06 0a0103 120101 1001",
            wire::RowsChunk {
                rows: vec![wire::KeyValue {
                    key: Bytes::from_static(b"\x03"),
                    value: Bytes::from_static(b"\x01"),
                }],
                last: true,
            },
        ),
    ]
}

pub fn all() -> impl Iterator<Item = Row> {
    let operations = operations().into_iter();
    let logged = operations.map(|(name, pinned, op)| row(name, pinned, op));
    let others = [rows(), of_shards(), values(), messages()];
    logged.chain(others.into_iter().flatten())
}

fn cell_return() -> wire::CellReturn {
    wire::CellReturn {
        cell: 3,
        epoch: 5,
        done: true,
    }
}

/// They are what the code makes of them, too.
#[test]
fn every_operation_is_a_valid_one() {
    let actor = Actor {
        node: NodeId(NODE),
        life: TS,
    };
    for (name, _, op) in operations() {
        let read = Op::from_wire(actor, op.clone());
        assert_eq!(read.map(|op| op.to_wire()), Ok(op), "{name}");
    }
}

/// A new record or message without a pin fails here.
#[test]
fn every_message_of_metadata_is_pinned() {
    let proto = include_str!("../../proto/metadata.proto");
    assert_eq!(crate::unpinned(proto, all()), [""; 0], "these have no pin");
    let changes: Vec<_> = operations().iter().map(|(name, ..)| *name).collect();
    assert_eq!(changes, crate::cases(proto, "change"));
    let types: Vec<_> = rows().iter().map(|row| row.name).collect();
    assert_eq!(types, crate::cases(proto, "value"));
}
