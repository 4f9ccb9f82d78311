//! Examples of the backbone.

use bytes::Bytes;
use causeway_protocol::backbone::{
    AdminCall, AdminReply, ApiCall, AwayMember, Cell, CellStatus, ClockRefusal, CreateWorkspace,
    Directory, DirectoryPoll, Drain, DrainScope, EdgeStatus, EnsureChannel, EnsureUser, Head,
    Heads, InitWorkspace, IssueToken, LeaderHint, LeaderHints, MemberRecord, NodeStatus, PeerHello,
    Publish, Recounted, Replica, Reply, Role, RoutedReply, SetCounted, Shard, Status, Subscribe,
    Survive, TopicRef, Unfit, Unsubscribe, Vitals, WorkspaceName, admin_call, admin_reply, reply,
    routed_reply,
};
use causeway_protocol::client::{
    Channel, Error, GetChannel, Request, ServerFrame, User, Workspace, request,
};
use causeway_protocol::{ChannelId, ErrorCode, Topic, frame};

use crate::client::{ACME, ANN, BEN, GENERAL};
use crate::example::Example;

/// Where ids of nodes are large, as they are drawn at random.
const NODE: u64 = 0xfeed_0000_0000_0001;
const STARTED: u64 = 1_700_000_000_000_000;

fn not_leader() -> Error {
    Error {
        code: ErrorCode::NotLeader.as_str().into(),
        message: String::new(),
        retryable: true,
        ..Error::default()
    }
}

fn hint() -> LeaderHint {
    LeaderHint {
        cell: 1,
        term: 12,
        node_id: NODE,
    }
}

fn general() -> TopicRef {
    TopicRef {
        cell: 1,
        topic: Some(Topic::Channel(ChannelId(GENERAL)).to_wire()),
    }
}

fn edge() -> MemberRecord {
    MemberRecord {
        node_id: NODE,
        incarnation: STARTED,
        name: "fra-edge-1".into(),
        role: Role::Edge.into(),
        place: "fra".into(),
        zone: "fra".into(),
        backbone_address: "192.0.2.7:7100".into(),
        client_address: "192.0.2.7:443".into(),
        http_address: "[2001:db8::7]:443".into(),
        version: "0.1.0".into(),
    }
}

fn core() -> MemberRecord {
    MemberRecord {
        role: Role::Core.into(),
        name: "eu-west-1".into(),
        place: "eu-west".into(),
        zone: "eu-west-a".into(),
        client_address: String::new(),
        ..edge()
    }
}

fn replicas() -> Vec<Replica> {
    vec![
        Replica {
            node_id: NODE,
            region: "eu-west".into(),
            zone: "eu-west-a".into(),
            ..Replica::default()
        },
        Replica {
            node_id: 2,
            region: "us-east".into(),
            zone: "us-east-b".into(),
            learner: true,
            ..Replica::default()
        },
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

/// What nodes say when they meet, and how calls are answered.
pub fn connections() -> Vec<Example> {
    vec![
        Example::new(
            "peer_hello",
            "08818080808080c0f6fe01 108080f9c0c1c48203 1a0a6672612d656467652d31 \
                2205302e312e30 2a0e3139322e302e322e373a37313030",
            PeerHello {
                node_id: NODE,
                incarnation: STARTED,
                name: "fra-edge-1".into(),
                version: "0.1.0".into(),
                address: "192.0.2.7:7100".into(),
            },
        ),
        Example::new(
            "reply_ok",
            "1203010203",
            Reply {
                result: Some(reply::Result::Ok(Bytes::from_static(&[1, 2, 3]))),
            },
        ),
        Example::new(
            "reply_error",
            "0a0e 0a0a6e6f745f6c6561646572 1801",
            Reply {
                result: Some(reply::Result::Error(not_leader())),
            },
        ),
        Example::new(
            "member_edge",
            "08818080808080c0f6fe01 108080f9c0c1c48203 1a0a6672612d656467652d31 2002 \
                2a03667261 3203667261 3a0e3139322e302e322e373a37313030 \
                420d3139322e302e322e373a343433 4a115b323030313a6462383a3a375d3a343433 \
                5205302e312e30",
            edge(),
        ),
        Example::new(
            "member_core",
            "08818080808080c0f6fe01 108080f9c0c1c48203 1a0965752d776573742d31 2001 \
                2a0765752d77657374 320965752d776573742d61 3a0e3139322e302e322e373a37313030 \
                4a115b323030313a6462383a3a375d3a343433 5205302e312e30",
            core(),
        ),
    ]
}

/// Calls to cells, and the way of their entries to the edges.
pub fn cells() -> Vec<Example> {
    let topics = vec![general()];
    vec![
        Example::new(
            "api_call",
            "0801 108180808010 1a0c 08b009 920206 088580808010 2001",
            ApiCall {
                cell: 1,
                user: ANN,
                request: Some(Request {
                    min_position: 1_200,
                    body: Some(request::Body::GetChannel(GetChannel { channel: GENERAL })),
                    ..Request::default()
                }),
                latest: true,
                ..ApiCall::default()
            },
        ),
        Example::new(
            "routed_body",
            "0a03010203",
            RoutedReply {
                result: Some(routed_reply::Result::Body(Bytes::from_static(&[1, 2, 3]))),
                leader: None,
                successor: 0,
            },
        ),
        Example::new(
            "routed_redirect",
            "120e 0a0a6e6f745f6c6561646572 1801 1a0f 0801 100c 18818080808080c0f6fe01 2007",
            RoutedReply {
                result: Some(routed_reply::Result::Error(not_leader())),
                leader: Some(hint()),
                successor: 7,
            },
        ),
        Example::new(
            "leader_hints",
            "0a0f 0801 100c 18818080808080c0f6fe01",
            LeaderHints {
                hints: vec![hint()],
            },
        ),
        Example::new(
            "vitals",
            "088080f9c0c1c48203 1001",
            Vitals {
                clock_us: STARTED,
                unfit: Unfit::DiskFull.into(),
            },
        ),
        Example::new(
            "subscribe",
            "0a0a 0801 1206 088580808010",
            Subscribe {
                topics: topics.clone(),
            },
        ),
        Example::new(
            "unsubscribe",
            "0a0a 0801 1206 088580808010",
            Unsubscribe { topics },
        ),
        Example::new(
            "heads",
            "0a04 0801 102a 0a00",
            Heads {
                heads: vec![
                    Head {
                        known: true,
                        seq: 42,
                        messages: 0,
                    },
                    Head::default(),
                ],
            },
        ),
        Example::new(
            "heads_counted",
            "0a06 0801 102a 5026",
            Heads {
                heads: vec![Head {
                    known: true,
                    seq: 42,
                    messages: 38,
                }],
            },
        ),
        Example::new(
            "publish",
            "0801 1206 088580808010 182a 220400000000",
            Publish {
                cell: 1,
                topic: general().topic,
                seq: 42,
                frame: frame::encode(&ServerFrame { body: None }),
            },
        ),
    ]
}

/// What the directory tells.
pub fn directory() -> Vec<Example> {
    vec![
        Example::new(
            "directory_poll",
            "0806 1001",
            DirectoryPoll {
                have_version: 6,
                at_once: true,
            },
        ),
        Example::new(
            "directory",
            "0809 124c 0801 120765752d77657374 1801 221f 08818080808080c0f6fe01 \
                120765752d77657374 1a0965752d776573742d61 2218 0802 120775732d65617374 \
                1a0975732d656173742d62 2001 2803 3007 1a08 0801 1001 1801 2008 220a 0a0461636d65 \
                1001 1809 2a11 0803 120765752d77657374 1864 2001 280a",
            Directory {
                version: 9,
                cells: vec![Cell {
                    id: 1,
                    home_region: "eu-west".into(),
                    survive: Survive::Region.into(),
                    replicas: replicas(),
                    epoch: 3,
                    version: 7,
                    returning: Vec::new(),
                }],
                shards: vec![Shard {
                    workspace: ACME,
                    cell: 1,
                    epoch: 1,
                    version: 8,
                }],
                workspaces: vec![WorkspaceName {
                    name: "acme".into(),
                    workspace: ACME,
                    version: 9,
                }],
                drains: vec![drain()],
            },
        ),
        Example::new(
            "directory_of_who_counts",
            "080b 122b 0801 2223 08818080808080c0f6fe01 120765752d77657374 \
                1a0965752d776573742d61 2803 3001 2804 300b",
            Directory {
                version: 11,
                cells: vec![Cell {
                    id: 1,
                    replicas: vec![Replica {
                        node_id: NODE,
                        region: "eu-west".into(),
                        zone: "eu-west-a".into(),
                        learner: false,
                        counted_since: 3,
                        forgotten: true,
                    }],
                    epoch: 4,
                    version: 11,
                    ..Cell::default()
                }],
                ..Directory::default()
            },
        ),
        Example::new(
            "directory_of_who_returns",
            "080c 1215 0801 2805 300c 3a0d 08818080808080c0f6fe01 2805",
            Directory {
                version: 12,
                cells: vec![Cell {
                    id: 1,
                    epoch: 5,
                    version: 12,
                    returning: vec![Replica {
                        node_id: NODE,
                        counted_since: 5,
                        ..Replica::default()
                    }],
                    ..Cell::default()
                }],
                ..Directory::default()
            },
        ),
    ]
}

/// What the operator's tool asks, and what it is answered.
pub fn operator() -> Vec<Example> {
    use admin_call::Body as Call;
    use admin_reply::Body as Answer;
    let call = |name, pinned, body| Example::new(name, pinned, AdminCall { body: Some(body) });
    let reply = |name, pinned, body| Example::new(name, pinned, AdminReply { body: Some(body) });
    vec![
        call(
            "admin_create_workspace",
            "0a0f 0a0461636d65 120765752d77657374",
            Call::CreateWorkspace(CreateWorkspace {
                name: "acme".into(),
                home_region: "eu-west".into(),
            }),
        ),
        call(
            "admin_ensure_user",
            "1213 0801 1203616e6e 1a08416e6e20416d6573 2001",
            Call::EnsureUser(EnsureUser {
                workspace: ACME,
                name: "ann".into(),
                real_name: "Ann Ames".into(),
                admin: true,
            }),
        ),
        call(
            "admin_issue_token",
            "1a0b 0801 108180808010 18901c",
            Call::IssueToken(IssueToken {
                workspace: ACME,
                user: ANN,
                lifetime_s: 3_600,
            }),
        ),
        call(
            "admin_ensure_channel",
            "2219 0801 120767656e6572616c 1801 220a81808080108280808010",
            Call::EnsureChannel(EnsureChannel {
                workspace: ACME,
                name: "general".into(),
                private: true,
                members: vec![ANN, BEN],
            }),
        ),
        call("admin_status", "2a00", Call::Status(Status {})),
        call(
            "admin_drain",
            "3a11 0803 120765752d77657374 1864 2001 280a",
            Call::Drain(drain()),
        ),
        call(
            "admin_init_workspace",
            "3211 0801 120461636d65 1a0765752d77657374",
            Call::InitWorkspace(InitWorkspace {
                workspace: ACME,
                name: "acme".into(),
                home_region: "eu-west".into(),
            }),
        ),
        call(
            "admin_set_counted",
            "420d 08818080808080c0f6fe01 1001",
            Call::SetCounted(SetCounted {
                node_id: NODE,
                counted: true,
            }),
        ),
        reply(
            "admin_workspace",
            "0a11 0801 120461636d65 1a0765752d77657374",
            Answer::Workspace(Workspace {
                id: ACME,
                name: "acme".into(),
                home_region: "eu-west".into(),
            }),
        ),
        reply(
            "admin_user",
            "120b 088180808010 1203616e6e",
            Answer::User(User {
                id: ANN,
                name: "ann".into(),
                ..User::default()
            }),
        ),
        reply(
            "admin_token",
            "1a05544f4b454e",
            Answer::Token("TOKEN".into()),
        ),
        reply(
            "admin_channel",
            "220f 088580808010 120767656e6572616c",
            Answer::Channel(Channel {
                id: GENERAL,
                name: "general".into(),
                ..Channel::default()
            }),
        ),
        reply(
            "admin_node_status",
            "2ab702 0a5f 08818080808080c0f6fe01 108080f9c0c1c48203 1a0965752d776573742d31 \
                2001 2a0765752d77657374 320965752d776573742d61 3a0e3139322e302e322e373a37313030 \
                4a115b323030313a6462383a3a375d3a343433 5205302e312e30 1265 \
                08818080808080c0f6fe01 108080f9c0c1c48203 1a0a6672612d656467652d31 2002 \
                2a03667261 3203667261 3a0e3139322e302e322e373a37313030 \
                420d3139322e302e322e373a343433 4a115b323030313a6462383a3a375d3a343433 \
                5205302e312e30 1a5a 0801 120765752d77657374 1802 2003 280c \
                30818080808080c0f6fe01 38b109 421f 08818080808080c0f6fe01 120765752d77657374 \
                1a0965752d776573742d61 4218 0802 120775732d65617374 1a0975732d656173742d62 2001 \
                2211 0803 120765752d77657374 1864 2001 280a",
            Answer::Status(NodeStatus {
                self_: Some(core()),
                members: vec![edge()],
                cells: vec![CellStatus {
                    cell: 1,
                    home_region: "eu-west".into(),
                    survive: Survive::Zone.into(),
                    epoch: 3,
                    term: 12,
                    leader: NODE,
                    applied: 1_201,
                    replicas: replicas(),
                    returning: Vec::new(),
                }],
                drains: vec![drain()],
                ..NodeStatus::default()
            }),
        ),
        reply(
            "admin_who_returns",
            "2a10 1a0e 0801 4a0a 818080808080c0f6fe01",
            Answer::Status(NodeStatus {
                cells: vec![CellStatus {
                    cell: 1,
                    returning: vec![NODE],
                    ..CellStatus::default()
                }],
                ..NodeStatus::default()
            }),
        ),
        reply(
            "admin_clock_refusals",
            "2a13 2a11 08818080808080c0f6fe01 10e05d 18ac02",
            Answer::Status(NodeStatus {
                clock_refusals: vec![ClockRefusal {
                    node_id: NODE,
                    ahead_ms: 12_000,
                    ago_ms: 300,
                }],
                ..NodeStatus::default()
            }),
        ),
        reply(
            "admin_status_away",
            "2a8201 221a 0803 120765752d77657374 1864 2001 280a 3001 3880d8c1a28c34 \
                3264 0a5f 08818080808080c0f6fe01 108080f9c0c1c48203 1a0965752d776573742d31 2001 \
                2a0765752d77657374 320965752d776573742d61 3a0e3139322e302e322e373a37313030 \
                4a115b323030313a6462383a3a375d3a343433 5205302e312e30 10e05d",
            Answer::Status(NodeStatus {
                drains: vec![Drain {
                    since_ms: 1_790_000_000_000,
                    away: true,
                    ..drain()
                }],
                away: vec![AwayMember {
                    member: Some(core()),
                    away_ms: 12_000,
                }],
                ..NodeStatus::default()
            }),
        ),
        reply(
            "admin_edge_cut_off",
            "3202 2001",
            Answer::Edge(EdgeStatus {
                cut_off: true,
                ..EdgeStatus::default()
            }),
        ),
        reply(
            "admin_edge_status",
            "326b 0a65 \
                08818080808080c0f6fe01 108080f9c0c1c48203 1a0a6672612d656467652d31 2002 \
                2a03667261 3203667261 3a0e3139322e302e322e373a37313030 \
                420d3139322e302e322e373a343433 4a115b323030313a6462383a3a375d3a343433 \
                5205302e312e30 100c 1801",
            Answer::Edge(EdgeStatus {
                self_: Some(edge()),
                sessions: 12,
                draining: true,
                ..EdgeStatus::default()
            }),
        ),
        reply(
            "admin_drained",
            "3a11 0803 120765752d77657374 1864 2001 280a",
            Answer::Drain(drain()),
        ),
        reply(
            "admin_recounted",
            "4202 0803",
            Answer::Recounted(Recounted { cells: 3 }),
        ),
    ]
}
