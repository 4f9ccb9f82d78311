//! Golden bytes of what a cell keeps: the disk is a contract with every later
//! version. Pins of version 1 are not edited; a new version gets new ones.

mod metadata;
mod row;
mod shard;

use std::collections::BTreeSet;

use bytes::Bytes;
use causeway_core_region::state_records::{
    Applied, ChannelRecord, Command, DedupRecord, DirectoryCounters, HeadRecord, MemberRecord,
    PlaceCells, Run, RunsRecord, UserRecord, WorkspaceRecord, command::Body,
};
use causeway_core_region::store::record;
use causeway_protocol::backbone::{
    Cell, CreateWorkspace, Drain, DrainScope, EnsureChannel, EnsureUser, InitWorkspace, Replica,
    Shard, Survive, WorkspaceName,
};
use causeway_protocol::client::{
    Channel, CreateChannel, DeleteMessage, Deleted, EditMessage, Entry, InviteMember, KickMember,
    LeaveChannel, Message as Posted, SendMessage, User, entry::Kind,
};

use row::{Row, bare, row};

const ANN: u64 = 1 << 32 | 1;
const GENERAL: u64 = 1 << 32 | 5;
const TS: u64 = 1_700_000_000_000_100;
const NODE: u64 = 0xfeed_0000_0000_0001;

/// Rows of the state of a cell.
fn records() -> Vec<Row> {
    vec![
        row(
            "applied",
            "01 080c 10b109",
            Applied {
                term: 12,
                index: 1_201,
            },
        ),
        row(
            "workspace",
            "01 0a0461636d65 120765752d77657374 1802 2005",
            WorkspaceRecord {
                name: "acme".into(),
                home_region: "eu-west".into(),
                last_user: 2,
                last_channel: 5,
            },
        ),
        row(
            "user",
            "01 0a03616e6e 1208416e6e20416d6573 1801 2001 28e480f9c0c1c48203",
            UserRecord {
                name: "ann".into(),
                real_name: "Ann Ames".into(),
                deactivated: true,
                admin: true,
                created_ts: TS,
            },
        ),
        row(
            "channel",
            "01 0a0767656e6572616c 1001 188180808010 20e480f9c0c1c48203 2802",
            ChannelRecord {
                name: "general".into(),
                private: true,
                creator: ANN,
                created_ts: TS,
                members: 2,
            },
        ),
        row(
            "member",
            "01 08e480f9c0c1c48203 1029 1825",
            MemberRecord {
                joined_ts: TS,
                read_seq: 41,
                read_messages: 37,
            },
        ),
        row(
            "runs",
            "01 0a06 0825 1027 182b",
            RunsRecord {
                runs: vec![Run {
                    before: 37,
                    messages: 39,
                    seq: 43,
                }],
            },
        ),
        row(
            "head",
            "01 082a 10e480f9c0c1c48203 1826 20e480f9c0c1c48203",
            HeadRecord {
                seq: 42,
                ts: TS,
                messages: 38,
                last_message_ts: TS,
            },
        ),
        row(
            "dedup",
            "01 082a 10e480f9c0c1c48203 188580808010 20e480f9c0c1c48203",
            DedupRecord {
                seq: 42,
                ts: TS,
                channel: GENERAL,
                at_us: TS,
            },
        ),
    ]
}

/// Entries of topics' logs.
fn entries() -> Vec<Row> {
    let entry = |name, pinned, kind| {
        let entry = Entry {
            seq: 42,
            ts: TS,
            messages: 38,
            kind: Some(kind),
        };
        row(name, pinned, entry)
    };
    let channel = || Channel {
        id: GENERAL,
        name: "general".into(),
        last_seq: 42,
        is_member: true,
        ..Channel::default()
    };
    vec![
        entry(
            "posted",
            "01 082a 10e480f9c0c1c48203 1826 5241 088580808010 102a 18e480f9c0c1c48203 \
                208180808010 2a0568656c6c6f 30e380f9c0c1c48203 3a026964 40e580f9c0c1c48203 \
                4801 5002 58e680f9c0c1c48203",
            Kind::Posted(Posted {
                channel: GENERAL,
                seq: 42,
                ts: TS,
                user: ANN,
                text: "hello".into(),
                thread_ts: TS - 1,
                client_msg_id: Bytes::from_static(b"id"),
                edited_ts: TS + 1,
                deleted: true,
                reply_count: 2,
                latest_reply_ts: TS + 2,
                ..Posted::default()
            }),
        ),
        // An edit keeps no text of its own.
        entry(
            "edited",
            "01 082a 10e480f9c0c1c48203 1826 5a11 088580808010 1029 18e380f9c0c1c48203",
            Kind::Edited(Posted {
                channel: GENERAL,
                seq: 41,
                ts: TS - 1,
                ..Posted::default()
            }),
        ),
        entry(
            "deleted",
            "01 082a 10e480f9c0c1c48203 1826 6211 0829 10e380f9c0c1c48203 188180808010",
            Kind::Deleted(Deleted {
                seq: 41,
                ts: TS - 1,
                user: ANN,
            }),
        ),
        entry(
            "member_joined",
            "01 082a 10e480f9c0c1c48203 1826 688180808010",
            Kind::MemberJoined(ANN),
        ),
        entry(
            "member_left",
            "01 082a 10e480f9c0c1c48203 1826 708180808010",
            Kind::MemberLeft(ANN),
        ),
        entry(
            "channel_joined",
            "01 082a 10e480f9c0c1c48203 1826 a20113 088580808010 120767656e6572616c 302a \
                4801",
            Kind::ChannelJoined(channel()),
        ),
        entry(
            "channel_left",
            "01 082a 10e480f9c0c1c48203 1826 a8018580808010",
            Kind::ChannelLeft(GENERAL),
        ),
        entry(
            "channel_created",
            "01 082a 10e480f9c0c1c48203 1826 f20113 088580808010 120767656e6572616c 302a \
                4801",
            Kind::ChannelCreated(channel()),
        ),
        entry(
            "user_added",
            "01 082a 10e480f9c0c1c48203 1826 fa010b 088180808010 1203616e6e",
            Kind::UserAdded(User {
                id: ANN,
                name: "ann".into(),
                ..User::default()
            }),
        ),
    ]
}

/// Rows of the directory.
fn directory() -> Vec<Row> {
    vec![
        row(
            "cell",
            "01 0801 120765752d77657374 1801 2221 08818080808080c0f6fe01 120765752d77657374 \
                1a0965752d776573742d61 2001 2803 3007",
            cell(),
        ),
        row(
            "cell_of_who_counts",
            "01 0801 220f 08818080808080c0f6fe01 2803 3001 2804 300b",
            Cell {
                id: 1,
                replicas: vec![Replica {
                    node_id: NODE,
                    counted_since: 3,
                    forgotten: true,
                    ..Replica::default()
                }],
                epoch: 4,
                version: 11,
                ..Cell::default()
            },
        ),
        row(
            "shard",
            "01 0801 1001 1801 2008",
            Shard {
                workspace: 1,
                cell: 1,
                epoch: 1,
                version: 8,
            },
        ),
        row(
            "workspace_name",
            "01 0a0461636d65 1001 1809",
            WorkspaceName {
                name: "acme".into(),
                workspace: 1,
                version: 9,
            },
        ),
        row(
            "counters",
            "01 0801 1009",
            DirectoryCounters {
                last_workspace: 1,
                version: 9,
            },
        ),
        row(
            "drain",
            "01 0803 120765752d77657374 1864 2001 280a",
            drain(),
        ),
    ]
}

fn drain() -> Drain {
    Drain {
        scope: DrainScope::Region.into(),
        name: "eu-west".into(),
        permille_per_s: 100,
        active: true,
        version: 10,
        ..Drain::default()
    }
}

fn cell() -> Cell {
    Cell {
        id: 1,
        home_region: "eu-west".into(),
        survive: Survive::Region.into(),
        replicas: vec![Replica {
            node_id: NODE,
            region: "eu-west".into(),
            zone: "eu-west-a".into(),
            learner: true,
            ..Replica::default()
        }],
        epoch: 3,
        version: 7,
        ..Cell::default()
    }
}

/// Commands: they are kept in Raft's log, inside of its records, and so have no
/// version of their own.
fn commands() -> Vec<Row> {
    let command = |name, pinned, body| {
        let command = Command {
            proposed_at_us: TS,
            actor: ANN,
            body: Some(body),
        };
        bare(name, pinned, command)
    };
    vec![
        command(
            "send_message",
            "08e480f9c0c1c48203 108180808010 521a 088580808010 12026964 1a0568656c6c6f \
                20e480f9c0c1c48203",
            Body::SendMessage(SendMessage {
                channel: GENERAL,
                client_msg_id: Bytes::from_static(b"id"),
                text: "hello".into(),
                thread_ts: TS,
            }),
        ),
        command(
            "edit_message",
            "08e480f9c0c1c48203 108180808010 5a13 088580808010 10e480f9c0c1c48203 1a026869",
            Body::EditMessage(EditMessage {
                channel: GENERAL,
                ts: TS,
                text: "hi".into(),
            }),
        ),
        command(
            "delete_message",
            "08e480f9c0c1c48203 108180808010 620f 088580808010 10e480f9c0c1c48203",
            Body::DeleteMessage(DeleteMessage {
                channel: GENERAL,
                ts: TS,
            }),
        ),
        command(
            "create_channel",
            "08e480f9c0c1c48203 108180808010 6a0b 0a0767656e6572616c 1001",
            Body::CreateChannel(CreateChannel {
                name: "general".into(),
                private: true,
            }),
        ),
        command(
            "leave_channel",
            "08e480f9c0c1c48203 108180808010 7a06 088580808010",
            Body::LeaveChannel(LeaveChannel { channel: GENERAL }),
        ),
        command(
            "invite_member",
            "08e480f9c0c1c48203 108180808010 82010c 088580808010 108180808010",
            Body::InviteMember(InviteMember {
                channel: GENERAL,
                user: ANN,
            }),
        ),
        command(
            "kick_member",
            "08e480f9c0c1c48203 108180808010 92010c 088580808010 108180808010",
            Body::KickMember(KickMember {
                channel: GENERAL,
                user: ANN,
            }),
        ),
        command(
            "init_workspace",
            "08e480f9c0c1c48203 108180808010 f20111 0801 120461636d65 1a0765752d77657374",
            Body::InitWorkspace(InitWorkspace {
                workspace: 1,
                name: "acme".into(),
                home_region: "eu-west".into(),
            }),
        ),
        command(
            "ensure_user",
            "08e480f9c0c1c48203 108180808010 fa0113 0801 1203616e6e 1a08416e6e20416d6573 \
                2001",
            Body::EnsureUser(EnsureUser {
                workspace: 1,
                name: "ann".into(),
                real_name: "Ann Ames".into(),
                admin: true,
            }),
        ),
        command(
            "ensure_channel",
            "08e480f9c0c1c48203 108180808010 820214 0801 120767656e6572616c 1801 \
                22058180808010",
            Body::EnsureChannel(EnsureChannel {
                workspace: 1,
                name: "general".into(),
                private: true,
                members: vec![ANN],
            }),
        ),
        command(
            "place_cells",
            "08e480f9c0c1c48203 108180808010 920336 0a34 0801 120765752d77657374 1801 2221 \
                08818080808080c0f6fe01 120765752d77657374 1a0965752d776573742d61 2001 2803 \
                3007",
            Body::PlaceCells(PlaceCells {
                cells: vec![cell()],
            }),
        ),
        command(
            "place_workspace",
            "08e480f9c0c1c48203 108180808010 9a030f 0a0461636d65 120765752d77657374",
            Body::PlaceWorkspace(CreateWorkspace {
                name: "acme".into(),
                home_region: "eu-west".into(),
            }),
        ),
        command(
            "set_drain",
            "08e480f9c0c1c48203 108180808010 a2030f 0803 120765752d77657374 1864 2001",
            Body::SetDrain(Drain {
                version: 0,
                ..drain()
            }),
        ),
    ]
}

fn all() -> Vec<Row> {
    let tables = [records(), entries(), directory(), commands()];
    tables
        .into_iter()
        .flatten()
        .chain(metadata::all())
        .collect()
}

#[test]
fn every_record_has_its_pinned_bytes() {
    let moved: Vec<_> = (all().into_iter())
        .filter(|row| row.pinned != row.actual)
        .map(|row| format!("{}: {}", row.name, row.actual))
        .collect();
    assert!(moved.is_empty(), "not as pinned:\n{}", moved.join("\n"));
}

#[test]
fn every_record_reads_back() {
    for row in all() {
        assert!(row.reads_back, "{}", row.name);
    }
}

/// A new record or command without a pin fails here.
#[test]
fn every_record_and_command_is_pinned() {
    let proto = include_str!("../../proto/state.proto");
    assert_eq!(unpinned(proto, all()), [""; 0], "these have no pin");
    let commands: Vec<_> = commands().iter().map(|row| row.name).collect();
    assert_eq!(commands, cases(proto, "body"));
}

/// The messages of a file that have no pin, without those that are parts of others.
fn unpinned(proto: &str, rows: impl IntoIterator<Item = Row>) -> Vec<&str> {
    let pinned: BTreeSet<_> = rows.into_iter().map(|row| row.kind).collect();
    let parts: BTreeSet<_> = (proto.lines())
        .filter_map(|line| {
            let (field, _) = line.split_once(" = ")?;
            field.split_whitespace().rev().nth(1)
        })
        .collect();
    let messages = proto.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("message ")?.split_once(' ')?;
        Some(name)
    });
    let by_themselves = messages.filter(|name| !parts.contains(name));
    by_themselves
        .filter(|name| !pinned.contains(name))
        .collect()
}

/// The names of the cases of a `oneof`.
fn cases<'a>(proto: &'a str, oneof: &str) -> Vec<&'a str> {
    let head = format!("oneof {oneof} {{");
    let (_, cases) = proto.split_once(&head).expect(oneof);
    let (cases, _) = cases.split_once('}').expect("it ends");
    let cases = cases.lines().filter_map(|line| {
        let (field, _) = line.split_once(" = ")?;
        field.split_whitespace().nth(1)
    });
    cases.collect()
}

#[test]
fn records_of_another_version_are_refused() {
    let mut bytes = record::encode(&HeadRecord::default());
    bytes[0] = 2;
    assert!(record::decode::<HeadRecord>(&bytes).is_err());
}
