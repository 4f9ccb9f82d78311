//! Examples of the client plane. They tell a story: ann comes back to a channel
//! of which she has the log up to 41, gets 42, and posts 43.

use bytes::Bytes;
use causeway_protocol::client::entry::Kind;
use causeway_protocol::client::request::Body;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{
    Boot, BootData, Channel, ChannelPage, CreateChannel, Cursor, Deleted, Done, EditMessage, Entry,
    Error, GetChannel, GetUser, GoAway, Hello, InviteMember, JoinChannel, KickMember, LeaveChannel,
    ListChannels, ListMembers, ListUsers, LogPage, MarkRead, MemberPage, Message, MessagePage,
    Missed, Ping, Pong, Push, ReadHistory, ReadLog, ReadReplies, Request, Response, SendMessage,
    Sent, ServerFrame, SocketAnswer, SocketRequest, User, UserPage, Welcome, Workspace,
    server_frame,
};
use causeway_protocol::{ChannelId, Topic, UserId, WorkspaceId};
use prost::Message as _;

use crate::example::Example;

/// `T00000001`.
pub const ACME: u32 = 1;
/// `U04000001`.
pub const ANN: u64 = 1 << 32 | 1;
/// `U04000002`.
pub const BEN: u64 = 1 << 32 | 2;
/// `C04000005`.
pub const GENERAL: u64 = 1 << 32 | 5;
/// `1700000000.000100`.
pub const TS: u64 = 1_700_000_000_000_100;
/// Half a minute later.
pub const LATER: u64 = TS + 30_000_000;
/// Sixteen random bytes.
const MSG_ID: &[u8] = &[
    0x6f, 0x1e, 0xd0, 0x02, 0xab, 0x5c, 0x4e, 0x11, 0x9b, 0x3a, 0x7d, 0x42, 0xc6, 0x80, 0x55, 0xf9,
];

pub fn request(name: &'static str, pinned: &'static str, body: Body) -> Example {
    let request = Request {
        body: Some(body),
        ..Request::default()
    };
    Example::new(name, pinned, request)
}

pub fn response(name: &'static str, pinned: &'static str, result: Answer) -> Example {
    let response = Response {
        position: 1_201,
        result: Some(result),
        ..Response::default()
    };
    Example::new(name, pinned, response)
}

/// Half a minute passes between entries.
fn push(name: &'static str, pinned: &'static str, topic: Topic, seq: u64, kind: Kind) -> Example {
    let messages = match topic {
        Topic::Channel(_) => seq.min(43) - 4,
        Topic::User(_) | Topic::Workspace(_) => 0,
    };
    let frame = ServerFrame {
        body: Some(server_frame::Body::Push(Push {
            topic: Some(topic.to_wire()),
            position: 1_158 + seq,
            entry: Some(Entry {
                seq,
                ts: TS + seq.saturating_sub(42) * 30_000_000,
                messages,
                kind: Some(kind),
            }),
        })),
    };
    Example::new(name, pinned, frame)
}

pub fn general() -> Topic {
    Topic::Channel(ChannelId(GENERAL))
}

pub fn of_ann() -> Topic {
    Topic::User(UserId(ANN))
}

pub fn of_acme() -> Topic {
    Topic::Workspace(WorkspaceId(ACME))
}

/// Ann posts `hello`.
fn post() -> Request {
    Request {
        min_position: 1_200,
        body: Some(Body::SendMessage(SendMessage {
            channel: GENERAL,
            client_msg_id: Bytes::from_static(MSG_ID),
            text: "hello".into(),
            thread_ts: 0,
        })),
        ..Request::default()
    }
}

/// Ann's `hello`, as it was posted.
pub fn hello() -> Message {
    Message {
        channel: GENERAL,
        seq: 43,
        ts: LATER,
        user: ANN,
        text: "hello".into(),
        client_msg_id: Bytes::from_static(MSG_ID),
        ..Message::default()
    }
}

pub fn ann() -> User {
    User {
        id: ANN,
        name: "ann".into(),
        real_name: "Ann Ames".into(),
        ..User::default()
    }
}

/// Of `#general`, as ann sees it.
pub fn channel() -> Channel {
    Channel {
        id: GENERAL,
        name: "general".into(),
        creator: ANN,
        created_ts: 1_699_000_000_000_000,
        last_seq: 42,
        last_ts: TS,
        members: 2,
        is_member: true,
        read_seq: 41,
        unread: 1,
        ..Channel::default()
    }
}

pub fn requests() -> Vec<Example> {
    vec![
        request(
            "hello",
            "5232 0a174845414445522e434c41494d532e5349474e4154555245 \
                120b6578616d706c652f312e30 1a0a 0a06 088580808010 1029",
            Body::Hello(Hello {
                token: "HEADER.CLAIMS.SIGNATURE".into(),
                client: "example/1.0".into(),
                cursors: vec![Cursor {
                    topic: Some(general().to_wire()),
                    seq: 41,
                }],
                ..Hello::default()
            }),
        ),
        request(
            "hello_nowhere_else",
            "521b 0a174845414445522e434c41494d532e5349474e4154555245 2801",
            Body::Hello(Hello {
                token: "HEADER.CLAIMS.SIGNATURE".into(),
                nowhere_else: true,
                ..Hello::default()
            }),
        ),
        Example::new(
            "send",
            "08b009 5a1f 088580808010 12106f1ed002ab5c4e119b3a7d42c68055f9 1a0568656c6c6f",
            post(),
        ),
        request(
            "reply_in_thread",
            "5a1b 088580808010 120131 1a07e5a5bdf09f918b 20e480f9c0c1c48203",
            Body::SendMessage(SendMessage {
                channel: GENERAL,
                client_msg_id: Bytes::from_static(b"1"),
                text: "好👋".into(),
                thread_ts: TS,
            }),
        ),
        request(
            "edit_message",
            "6213 088580808010 10e480f9c0c1c48203 1a026869",
            Body::EditMessage(EditMessage {
                channel: GENERAL,
                ts: TS,
                text: "hi".into(),
            }),
        ),
        request(
            "delete_message",
            "6a0f 088580808010 10e480f9c0c1c48203",
            Body::DeleteMessage(causeway_protocol::client::DeleteMessage {
                channel: GENERAL,
                ts: TS,
            }),
        ),
        request(
            "read_history",
            "7223 088580808010 10e480f9c0c1c48203 18e487a0cfc1c48203 2001 2801 3001 3832 \
                420163",
            Body::ReadHistory(ReadHistory {
                channel: GENERAL,
                oldest_ts: TS,
                latest_ts: LATER,
                inclusive: true,
                oldest_first: true,
                with_replies: true,
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "read_replies",
            "7a14 088580808010 10e480f9c0c1c48203 1832 220163",
            Body::ReadReplies(ReadReplies {
                channel: GENERAL,
                thread_ts: TS,
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "read_log",
            "82010c 0a06 088580808010 102c 182e",
            Body::ReadLog(ReadLog {
                topic: Some(general().to_wire()),
                from_seq: 44,
                to_seq: 46,
            }),
        ),
        request(
            "create_channel",
            "a20109 0a05706c616e73 1001",
            Body::CreateChannel(CreateChannel {
                name: "plans".into(),
                private: true,
            }),
        ),
        request(
            "join_channel",
            "aa0106 088580808010",
            Body::JoinChannel(JoinChannel { channel: GENERAL }),
        ),
        request(
            "leave_channel",
            "b20106 088580808010",
            Body::LeaveChannel(LeaveChannel { channel: GENERAL }),
        ),
        request(
            "invite_member",
            "ba010c 088580808010 108280808010",
            Body::InviteMember(InviteMember {
                channel: GENERAL,
                user: BEN,
            }),
        ),
        request(
            "mark_read",
            "c20108 088580808010 102b",
            Body::MarkRead(MarkRead {
                channel: GENERAL,
                seq: 43,
            }),
        ),
        request(
            "kick_member",
            "ca010c 088580808010 108280808010",
            Body::KickMember(KickMember {
                channel: GENERAL,
                user: BEN,
            }),
        ),
        request(
            "list_channels",
            "f20107 0801 1032 1a0163",
            Body::ListChannels(ListChannels {
                mine: true,
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "list_members",
            "fa010b 088580808010 1032 1a0163",
            Body::ListMembers(ListMembers {
                channel: GENERAL,
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "list_users",
            "820205 0832 120163",
            Body::ListUsers(ListUsers {
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "get_user",
            "8a0206 088280808010",
            Body::GetUser(GetUser { user: BEN }),
        ),
        request(
            "get_channel",
            "920206 088580808010",
            Body::GetChannel(GetChannel { channel: GENERAL }),
        ),
        request("boot", "9a0200", Body::Boot(Boot {})),
        request("ping", "c20200", Body::Ping(Ping {})),
    ]
}

pub fn responses() -> Vec<Example> {
    vec![
        Example::new(
            "refused",
            "1224 0a0b756e617661696c61626c65 12136e6f626f6479206c656164732063656c6c2031 1801",
            Response {
                result: Some(Answer::Error(Error {
                    code: "unavailable".into(),
                    message: "nobody leads cell 1".into(),
                    retryable: true,
                    retry_after_ms: 0,
                    ..Error::default()
                })),
                ..Response::default()
            },
        ),
        response(
            "hello_refused",
            "08b109 1253 0a08647261696e696e67 \
                123b746869732065646765206e6f64652074616b6573206e6f20636c69656e7473206e6f773a20636f6e6e65637420746f20616e6f7468657220506f50 \
                1801 2a03677275 2a036e7963",
            Answer::Error(Error {
                code: "draining".into(),
                message: "this edge node takes no clients now: connect to another PoP".into(),
                retryable: true,
                pops: vec!["gru".into(), "nyc".into()],
                ..Error::default()
            }),
        ),
        response(
            "ratelimited",
            "08b109 121c 0a0b726174656c696d69746564 1208746f6f206d756368 1801 20dc0b",
            Answer::Error(Error {
                code: "ratelimited".into(),
                message: "too much".into(),
                retryable: true,
                retry_after_ms: 1_500,
                ..Error::default()
            }),
        ),
        Example::new(
            "welcome",
            "08b009 5276 0807 120a6672612d656467652d31 1a03667261 2261 0a15 088180808010 \
                1203616e6e 1a08416e6e20416d6573 1211 0801 120461636d65 1a0765752d77657374 1a31 \
                088580808010 120767656e6572616c 208180808010 2880e0e49bb4a78203 302a \
                38e480f9c0c1c48203 4002 4801 5029 5801 2003 2809",
            Response {
                position: 1_200,
                result: Some(Answer::Welcome(Welcome {
                    session_id: 7,
                    edge: "fra-edge-1".into(),
                    pop: "fra".into(),
                    boot: Some(boot()),
                })),
                ..Response::default()
            },
        ),
        response(
            "sent",
            "08b109 5a0b 082b 10e487a0cfc1c48203",
            Answer::Sent(Sent {
                seq: 43,
                ts: LATER,
                duplicate: false,
            }),
        ),
        response(
            "sent_before",
            "08b109 5a0d 082b 10e487a0cfc1c48203 1801",
            Answer::Sent(Sent {
                seq: 43,
                ts: LATER,
                duplicate: true,
            }),
        ),
        response(
            "message_page",
            "08b109 6254 0a4f 088580808010 102b 18e487a0cfc1c48203 208180808010 \
                2a0568656c6c6f 30e480f9c0c1c48203 3a106f1ed002ab5c4e119b3a7d42c68055f9 \
                40e487a0cfc1c48203 4801 5002 58e487a0cfc1c48203 120163",
            Answer::Messages(MessagePage {
                messages: vec![Message {
                    thread_ts: TS,
                    edited_ts: LATER,
                    deleted: true,
                    reply_count: 2,
                    latest_reply_ts: LATER,
                    ..hello()
                }],
                next_cursor: "c".into(),
            }),
        ),
        response(
            "log_page",
            "08b109 6a43 0a3f 082b 10e487a0cfc1c48203 1827 5230 088580808010 102b \
                18e487a0cfc1c48203 208180808010 2a0568656c6c6f \
                3a106f1ed002ab5c4e119b3a7d42c68055f9 102e",
            Answer::Log(LogPage {
                entries: vec![Entry {
                    seq: 43,
                    ts: LATER,
                    messages: 39,
                    kind: Some(Kind::Posted(hello())),
                }],
                last_seq: 46,
            }),
        ),
        response(
            "channel",
            "08b109 7233 088580808010 120767656e6572616c 1801 208180808010 2880e0e49bb4a78203 \
                302a 38e480f9c0c1c48203 4002 4801 5029 5801",
            Answer::Channel(Channel {
                private: true,
                ..channel()
            }),
        ),
        response(
            "channel_page",
            "08b109 7a38 0a31 088580808010 120767656e6572616c 208180808010 2880e0e49bb4a78203 \
                302a 38e480f9c0c1c48203 4002 4801 5029 5801 0a00 120163",
            Answer::Channels(ChannelPage {
                channels: vec![channel(), Channel::default()],
                next_cursor: "c".into(),
            }),
        ),
        response(
            "user_page",
            "08b109 82011e 0a19 088180808010 1203616e6e 1a08416e6e20416d6573 2001 2801 120163",
            Answer::Users(UserPage {
                users: vec![User {
                    deactivated: true,
                    admin: true,
                    ..ann()
                }],
                next_cursor: "c".into(),
            }),
        ),
        response(
            "user",
            "08b109 8a0115 088180808010 1203616e6e 1a08416e6e20416d6573",
            Answer::User(ann()),
        ),
        response(
            "member_page",
            "08b109 92010f 0a0a81808080108280808010 120163",
            Answer::Members(MemberPage {
                users: vec![ANN, BEN],
                next_cursor: "c".into(),
            }),
        ),
        response(
            "boot_data",
            "08b109 9a0161 0a15 088180808010 1203616e6e 1a08416e6e20416d6573 1211 0801 \
                120461636d65 1a0765752d77657374 1a31 088580808010 120767656e6572616c \
                208180808010 2880e0e49bb4a78203 302a 38e480f9c0c1c48203 4002 4801 5029 5801 2003 \
                2809",
            Answer::Boot(boot()),
        ),
        Example::new(
            "aged",
            "08b109 6232 0a30 088580808010 102b 18e487a0cfc1c48203 208180808010 2a0568656c6c6f \
                3a106f1ed002ab5c4e119b3a7d42c68055f9 f001e05d",
            Response {
                position: 1_201,
                age_ms: 12_000,
                result: Some(Answer::Messages(MessagePage {
                    messages: vec![hello()],
                    next_cursor: String::new(),
                })),
                ..Response::default()
            },
        ),
        response("done", "08b109 a20100", Answer::Done(Done {})),
        Example::new(
            "pong",
            "aa0100",
            Response {
                result: Some(Answer::Pong(Pong {})),
                ..Response::default()
            },
        ),
    ]
}

pub fn boot() -> BootData {
    BootData {
        self_: Some(ann()),
        workspace: Some(Workspace {
            id: ACME,
            name: "acme".into(),
            home_region: "eu-west".into(),
        }),
        channels: vec![channel()],
        user_seq: 3,
        workspace_seq: 9,
        ..BootData::default()
    }
}

pub fn frames() -> Vec<Example> {
    vec![
        push(
            "push",
            "0a41 0a06 088580808010 10b009 1a34 082a 10e480f9c0c1c48203 1826 5225 \
                088580808010 102a 18e480f9c0c1c48203 208280808010 2a066c756e63683f 3a04622d3137",
            general(),
            42,
            Kind::Posted(Message {
                channel: GENERAL,
                seq: 42,
                ts: TS,
                user: BEN,
                text: "lunch?".into(),
                client_msg_id: Bytes::from_static(b"b-17"),
                ..Message::default()
            }),
        ),
        push(
            "push_own",
            "0a4c 0a06 088580808010 10b109 1a3f 082b 10e487a0cfc1c48203 1827 5230 \
                088580808010 102b 18e487a0cfc1c48203 208180808010 2a0568656c6c6f \
                3a106f1ed002ab5c4e119b3a7d42c68055f9",
            general(),
            43,
            Kind::Posted(hello()),
        ),
        push(
            "push_edited",
            "0a5a 0a06 088580808010 10b209 1a4d 082c 10e48ec7ddc1c48203 1827 5a3e \
                088580808010 102b 18e487a0cfc1c48203 208180808010 2a0a68656c6c6f2c2062656e \
                3a106f1ed002ab5c4e119b3a7d42c68055f9 40e48ec7ddc1c48203",
            general(),
            44,
            Kind::Edited(Message {
                text: "hello, ben".into(),
                edited_ts: LATER + 30_000_000,
                ..hello()
            }),
        ),
        push(
            "push_deleted",
            "0a2d 0a06 088580808010 10b309 1a20 082d 10e495eeebc1c48203 1827 6211 082b \
                10e487a0cfc1c48203 188180808010",
            general(),
            45,
            Kind::Deleted(Deleted {
                seq: 43,
                ts: LATER,
                user: ANN,
            }),
        ),
        push(
            "push_member_joined",
            "0a20 0a06 088580808010 10b409 1a13 082e 10e49c95fac1c48203 1827 688280808010",
            general(),
            46,
            Kind::MemberJoined(BEN),
        ),
        push(
            "push_member_left",
            "0a20 0a06 088580808010 10b509 1a13 082f 10e4a3bc88c2c48203 1827 708280808010",
            general(),
            47,
            Kind::MemberLeft(BEN),
        ),
        push(
            "push_channel_joined",
            "0a4c 0a06 108180808010 108a09 1a3f 0804 10e480f9c0c1c48203 a20131 088580808010 \
                120767656e6572616c 208180808010 2880e0e49bb4a78203 302a 38e480f9c0c1c48203 4002 \
                4801 5029 5801",
            of_ann(),
            4,
            Kind::ChannelJoined(channel()),
        ),
        push(
            "push_channel_left",
            "0a1f 0a06 108180808010 108b09 1a12 0805 10e480f9c0c1c48203 a8018580808010",
            of_ann(),
            5,
            Kind::ChannelLeft(GENERAL),
        ),
        push(
            "push_channel_created",
            "0a46 0a02 1801 109009 1a3d 080a 10e480f9c0c1c48203 f2012f 088580808010 \
                120767656e6572616c 208180808010 2880e0e49bb4a78203 302a 38e480f9c0c1c48203 4002 \
                5029 5801",
            of_acme(),
            10,
            Kind::ChannelCreated(Channel {
                is_member: false,
                ..channel()
            }),
        ),
        push(
            "push_user_added",
            "0a2c 0a02 1801 109109 1a23 080b 10e480f9c0c1c48203 fa0115 088180808010 \
                1203616e6e 1a08416e6e20416d6573",
            of_acme(),
            11,
            Kind::UserAdded(ann()),
        ),
        Example::new(
            "missed",
            "120d 0a0b 0a06 088580808010 10e820",
            ServerFrame {
                body: Some(server_frame::Body::Missed(Missed {
                    heads: vec![Cursor {
                        topic: Some(general().to_wire()),
                        seq: 4_200,
                    }],
                })),
            },
        ),
        Example::new(
            "go_away",
            "1a17 0a08647261696e696e67 108827 1a03667261 1a03677275",
            ServerFrame {
                body: Some(server_frame::Body::GoAway(GoAway {
                    code: "draining".into(),
                    within_ms: 5_000,
                    pops: vec!["fra".into(), "gru".into()],
                })),
            },
        ),
        Example::new(
            "socket_answer",
            "7a14 0802 1210 08b109 5a0b 082b 10e487a0cfc1c48203",
            ServerFrame {
                body: Some(server_frame::Body::Answer(SocketAnswer {
                    id: 2,
                    response: Some(Response {
                        position: 1_201,
                        result: Some(Answer::Sent(Sent {
                            seq: 43,
                            ts: LATER,
                            duplicate: false,
                        })),
                        ..Response::default()
                    }),
                })),
            },
        ),
    ]
}

/// The same over a WebSocket: she posts with her second request.
pub fn socket_requests() -> Vec<Example> {
    vec![
        Example::new(
            "socket_send",
            "0802 1224 08b0095a1f088580808010\
                12106f1ed002ab5c4e119b3a7d42c68055f91a0568656c6c6f",
            SocketRequest {
                id: 2,
                request: post().encode_to_vec().into(),
                event: Bytes::new(),
            },
        ),
        Example::new(
            "socket_event",
            "1a05 6576656e74",
            SocketRequest {
                event: Bytes::from_static(b"event"),
                ..SocketRequest::default()
            },
        ),
    ]
}
