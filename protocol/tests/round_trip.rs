//! Whatever is encoded reads back; whatever comes in is read or refused; what a
//! newer version adds is ignored; what the limits allow fits into a frame.

use bytes::{Bytes, BytesMut};
use causeway_protocol::client::entry::Kind;
use causeway_protocol::client::{
    Channel, Cursor, CustomEvent, Deleted, EmojiFact, Entry, Event, Fact, Hello, Introduced,
    MemberFact, Message, MetadataPush, Missed, PinFact, Preference, Presence, Presences, Profile,
    Push, Reaction, ReactionFact, ReadCursor, Request, Response, Said, SendMessage, ServerFrame,
    StarFact, Status, Typing, User, event, fact, request, server_frame,
};
use causeway_protocol::limits::{
    CLIENT_FRAME_BYTES_MAX, CLIENT_MSG_ID_BYTES_MAX, HELLO_CURSORS_MAX, SERVER_FRAME_BYTES_MAX,
    TEXT_CHARS_MAX, TOKEN_BYTES_MAX,
};
use causeway_protocol::{ChannelId, Topic, UserId, WorkspaceId, backbone, frame};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

/// Bytes of a write of metadata, as clients carry it: a node, a life and a number.
const WROTE_BYTES_MAX: usize = 33;
/// Bytes of a version: a thousand lives, each with its number.
const VERSION_BYTES_MAX: usize = 1_024 * (2 + WROTE_BYTES_MAX);

fn topic() -> impl Strategy<Value = Topic> {
    prop_oneof![
        any::<u64>().prop_map(|id| Topic::Channel(ChannelId(id))),
        any::<u64>().prop_map(|id| Topic::User(UserId(id))),
        any::<u32>().prop_map(|id| Topic::Workspace(WorkspaceId(id))),
    ]
}

fn id_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..CLIENT_MSG_ID_BYTES_MAX).prop_map(Bytes::from)
}

/// A version of metadata, or the last write: nobody outside of the replicas reads it.
fn opaque() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

prop_compose! {
    fn send()(
        channel: u64,
        client_msg_id in id_bytes(),
        text: String,
        thread_ts: u64,
    ) -> SendMessage {
        SendMessage { channel, client_msg_id, text, thread_ts }
    }
}

prop_compose! {
    fn reaction()(emoji: String, users in vec(any::<u64>(), 0..3), count: u32) -> Reaction {
        Reaction { emoji, users, count }
    }
}

prop_compose! {
    fn message()(
        (channel, seq, ts, user) in any::<(u64, u64, u64, u64)>(),
        text: String,
        client_msg_id in id_bytes(),
        (thread_ts, edited_ts, latest_reply_ts) in any::<(u64, u64, u64)>(),
        (deleted, reply_count, pinned) in any::<(bool, u32, bool)>(),
        reactions in vec(reaction(), 0..3),
    ) -> Message {
        Message {
            channel, seq, ts, user, text, thread_ts, client_msg_id, edited_ts, deleted,
            reply_count, latest_reply_ts, reactions, pinned,
        }
    }
}

prop_compose! {
    fn said()(text: String, user: u64, ts: u64) -> Said {
        Said { text, user, ts }
    }
}

prop_compose! {
    fn channel()(
        (id, creator, created_ts, last_seq) in any::<(u64, u64, u64, u64)>(),
        name: String,
        (private, is_member, archived) in any::<(bool, bool, bool)>(),
        (last_ts, read_seq) in any::<(u64, u64)>(),
        (members, unread) in any::<(u32, u32)>(),
        (topic, purpose) in (option::of(said()), option::of(said())),
        other_purposes in vec(said(), 0..2),
    ) -> Channel {
        Channel {
            id, name, private, creator, created_ts, last_seq, last_ts, members, is_member,
            read_seq, unread, topic, purpose, other_purposes, archived,
        }
    }
}

prop_compose! {
    fn status()(text: String, emoji: String, expires_at_s: u64) -> Status {
        Status { text, emoji, expires_at_s }
    }
}

prop_compose! {
    fn profile()(
        user: u64,
        fields in btree_map(any::<String>(), any::<String>(), 0..3),
        status in option::of(status()),
        other_statuses in vec(status(), 0..2),
        away: bool,
        do_not_disturb_until_s: u64,
    ) -> Profile {
        Profile { user, fields, status, other_statuses, away, do_not_disturb_until_s }
    }
}

prop_compose! {
    fn user()(
        (id, deactivated, admin) in any::<(u64, bool, bool)>(),
        (name, real_name) in any::<(String, String)>(),
        profile in option::of(profile()),
    ) -> User {
        User { id, name, real_name, deactivated, admin, profile }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        message().prop_map(Kind::Posted),
        message().prop_map(Kind::Edited),
        any::<(u64, u64, u64)>().prop_map(|(seq, ts, user)| Kind::Deleted(Deleted {
            seq,
            ts,
            user
        })),
        any::<u64>().prop_map(Kind::MemberJoined),
        any::<u64>().prop_map(Kind::MemberLeft),
        channel().prop_map(Kind::ChannelJoined),
        any::<u64>().prop_map(Kind::ChannelLeft),
        channel().prop_map(Kind::ChannelCreated),
        user().prop_map(Kind::UserAdded),
    ]
}

prop_compose! {
    fn entry()(
        (seq, ts, messages) in any::<(u64, u64, u64)>(),
        kind in option::of(kind()),
    ) -> Entry {
        Entry { seq, ts, messages, kind }
    }
}

fn fact_kind() -> impl Strategy<Value = fact::Kind> {
    let reaction = any::<(u64, u64, String, u64, bool)>();
    let reaction = reaction.prop_map(|(channel, ts, emoji, user, removed)| ReactionFact {
        channel,
        ts,
        emoji,
        user,
        removed,
    });
    let pin = any::<(u64, u64, u64, bool)>();
    let pin = pin.prop_map(|(channel, ts, user, removed)| PinFact {
        channel,
        ts,
        user,
        removed,
    });
    let member = any::<(u64, u64, bool)>();
    let member = member.prop_map(|(channel, user, left)| MemberFact {
        channel,
        user,
        left,
    });
    let star = any::<(u64, u64, bool)>();
    let star = star.prop_map(|(channel, ts, removed)| StarFact {
        channel,
        ts,
        removed,
    });
    let cursor = any::<(u64, u64)>().prop_map(|(channel, seq)| ReadCursor { channel, seq });
    let preference = any::<(String, String)>();
    let preference = preference.prop_map(|(name, value)| Preference { name, value });
    let emoji = any::<(String, String, bool)>();
    let emoji = emoji.prop_map(|(name, url, removed)| EmojiFact { name, url, removed });
    prop_oneof![
        reaction.prop_map(fact::Kind::Reaction),
        pin.prop_map(fact::Kind::Pin),
        channel().prop_map(fact::Kind::Channel),
        member.prop_map(fact::Kind::Member),
        channel().prop_map(fact::Kind::Joined),
        any::<u64>().prop_map(fact::Kind::Left),
        cursor.prop_map(fact::Kind::ReadCursor),
        star.prop_map(fact::Kind::Star),
        preference.prop_map(fact::Kind::Preference),
        profile().prop_map(fact::Kind::Profile),
        emoji.prop_map(fact::Kind::Emoji),
    ]
}

prop_compose! {
    fn metadata_push()(
        topic in option::of(topic()),
        version in opaque(),
        kinds in vec(option::of(fact_kind()), 0..4),
        start_over: bool,
    ) -> MetadataPush {
        MetadataPush {
            topic: topic.map(Topic::to_wire),
            version,
            facts: kinds.into_iter().map(|kind| Fact { kind }).collect(),
            start_over,
        }
    }
}

prop_compose! {
    fn event()(
        topic in topic(),
        user: u64,
        kind in option::of(prop_oneof![
            any::<u64>().prop_map(|thread_ts| event::Kind::Typing(Typing { thread_ts })),
            (any::<String>(), opaque()).prop_map(|(name, payload)| {
                event::Kind::Custom(CustomEvent { name, payload })
            }),
        ]),
        good_for_ms: u32,
    ) -> Event {
        Event { topic: Some(topic.to_wire()), user, kind, good_for_ms }
    }
}

fn presences() -> impl Strategy<Value = Presences> {
    let presence = any::<(u64, bool)>();
    let presence = presence.prop_map(|(user, online)| Presence { user, online });
    vec(presence, 0..4).prop_map(|users| Presences { users })
}

fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let push = (topic(), any::<u64>(), entry()).prop_map(|(topic, position, entry)| Push {
        topic: Some(topic.to_wire()),
        position,
        entry: Some(entry),
    });
    let cursor = (topic(), any::<u64>()).prop_map(|(topic, seq)| Cursor {
        topic: Some(topic.to_wire()),
        seq,
    });
    let missed = vec(cursor, 0..5).prop_map(|heads| Missed { heads });
    let body = prop_oneof![
        push.prop_map(server_frame::Body::Push),
        missed.prop_map(server_frame::Body::Missed),
        metadata_push().prop_map(server_frame::Body::Metadata),
        event().prop_map(server_frame::Body::Event),
        presences().prop_map(server_frame::Body::Presences),
        vec(user(), 0..3).prop_map(|users| server_frame::Body::Introduced(Introduced { users })),
    ];
    body.prop_map(|body| ServerFrame { body: Some(body) })
}

proptest! {
    #[test]
    fn requests_read_back(min_position: u64, wrote in opaque(), send in send()) {
        let body = Some(request::Body::SendMessage(send));
        let request = Request { min_position, wrote, body };
        let mut wire = BytesMut::from(&frame::encode(&request)[..]);
        let body = frame::split(&mut wire, CLIENT_FRAME_BYTES_MAX).unwrap().unwrap();
        prop_assert!(wire.is_empty());
        prop_assert_eq!(frame::decode::<Request>(body).unwrap(), request);
    }

    #[test]
    fn pushes_read_back_from_one_stream(frames in vec(server_frame(), 1..5)) {
        let wire: Vec<u8> = frames.iter().flat_map(|f| frame::encode(f).to_vec()).collect();
        let mut wire = BytesMut::from(&wire[..]);
        let mut read = Vec::new();
        while let Some(body) = frame::split(&mut wire, SERVER_FRAME_BYTES_MAX).unwrap() {
            read.push(frame::decode::<ServerFrame>(body).unwrap());
        }
        prop_assert_eq!(read, frames);
    }

    /// A channel server hands the frame on without looking at it.
    #[test]
    fn a_frame_survives_its_way_through_the_backbone(
        cell: u32,
        topic in topic(),
        seq: u64,
        body in server_frame(),
    ) {
        let publish = backbone::Publish {
            cell,
            topic: Some(topic.to_wire()),
            seq,
            frame: frame::encode(&body),
        };
        let read = backbone::Publish::decode(publish.encode_to_vec().as_slice()).unwrap();
        let inner = read.frame.slice(frame::HEADER_BYTES..);
        prop_assert_eq!(frame::decode::<ServerFrame>(inner).unwrap(), body);
        prop_assert_eq!(Topic::from_wire(read.topic.as_ref()), Some(topic));
    }

    /// A replica does not know what an edge has told its clients: the edge adds the
    /// version, without looking at the rest.
    #[test]
    fn facts_survive_their_way_through_the_backbone(
        topic in topic(),
        push in metadata_push(),
        version in opaque(),
        (workspace, subscription, seq) in any::<(u32, u64, u64)>(),
    ) {
        let topic = Some(topic.to_wire());
        let bare = MetadataPush { topic, version: Bytes::new(), ..push };
        let facts = backbone::MetadataFacts {
            topic,
            push: bare.encode_to_vec().into(),
        };
        let publish = backbone::MetadataPublish {
            workspace,
            subscription,
            seq,
            version: version.clone(),
            facts: vec![facts],
        };
        let read = backbone::MetadataPublish::decode(publish.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(&read, &publish);

        let told = MetadataPush { version, ..MetadataPush::default() };
        // Messages that are encoded one after the other are one message.
        let joined = [&read.facts[0].push[..], &told.encode_to_vec()].concat();
        let wanted = MetadataPush { version: told.version, ..bare };
        prop_assert_eq!(MetadataPush::decode(&joined[..]).unwrap(), wanted);
    }

    #[test]
    fn whatever_is_cut_off_is_read_or_refused(
        frame in server_frame(),
        cut: prop::sample::Index,
    ) {
        let bytes = frame.encode_to_vec();
        let cut = cut.index(bytes.len() + 1);
        let _ = ServerFrame::decode(&bytes[..cut]);
        let _ = Response::decode(&bytes[..cut]);
    }

    /// Fields of later versions, of every wire type there is.
    #[test]
    fn unknown_fields_are_ignored(
        entry in entry(),
        number in 100u64..10_000,
        value: u64,
        bytes in vec(any::<u8>(), 0..40),
    ) {
        let mut wire = entry.encode_to_vec();
        let mut field = |wire_type: u64, body: &[u8]| {
            prost::encoding::encode_varint(number << 3 | wire_type, &mut wire);
            wire.extend_from_slice(body);
        };
        let mut varint = Vec::new();
        prost::encoding::encode_varint(value, &mut varint);
        field(0, &varint);
        field(1, &value.to_le_bytes());
        field(5, &value.to_le_bytes()[..4]);
        let len = [u8::try_from(bytes.len()).unwrap()];
        field(2, &[&len[..], &bytes].concat());
        prop_assert_eq!(Entry::decode(&wire[..]).unwrap(), entry);
    }
}

#[test]
fn an_unknown_case_reads_as_an_empty_one() {
    // Field 99, a message of two bytes.
    let wire = [0x9a, 0x06, 0x02, 0x08, 0x01];
    assert_eq!(Request::decode(&wire[..]).unwrap(), Request::default());
    assert_eq!(ServerFrame::decode(&wire[..]).unwrap().body, None);
    assert_eq!(Entry::decode(&wire[..]).unwrap().kind, None);
}

#[test]
fn the_longest_text_fits_into_a_frame() {
    let request = Request {
        min_position: u64::MAX,
        body: Some(request::Body::SendMessage(SendMessage {
            channel: u64::MAX,
            client_msg_id: vec![0; CLIENT_MSG_ID_BYTES_MAX].into(),
            text: "👋".repeat(TEXT_CHARS_MAX),
            thread_ts: u64::MAX,
        })),
        wrote: vec![0; WROTE_BYTES_MAX].into(),
    };
    assert!(request.encoded_len() <= CLIENT_FRAME_BYTES_MAX);
}

#[test]
fn the_longest_hello_fits_into_a_frame() {
    let cursor = Cursor {
        topic: Some(Topic::Channel(ChannelId(u64::MAX)).to_wire()),
        seq: u64::MAX,
    };
    let request = Request {
        min_position: u64::MAX,
        body: Some(request::Body::Hello(Hello {
            token: "x".repeat(TOKEN_BYTES_MAX),
            client: "x".repeat(1_000),
            cursors: vec![cursor; HELLO_CURSORS_MAX],
            metadata_version: vec![0; VERSION_BYTES_MAX].into(),
            nowhere_else: true,
            keeps_boot: true,
        })),
        wrote: vec![0; WROTE_BYTES_MAX].into(),
    };
    assert!(request.encoded_len() <= CLIENT_FRAME_BYTES_MAX);
}
