//! Examples of metadata. On the client plane they go on with the story: ben reacts
//! to ann's message, and she pins it. On the backbone, edges are told of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use causeway_protocol::Topic;
use causeway_protocol::backbone::{
    ApiCall, MetadataFacts, MetadataPublish, MetadataSubscribe, MetadataSubscribed,
    MetadataUnsubscribe,
};
use causeway_protocol::client::fact::Kind;
use causeway_protocol::client::request::Body;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::set_channel::Field;
use causeway_protocol::client::{
    BootData, Channel, Done, Emoji, EmojiFact, EmojiList, Fact, GetReactions, Hello, ListEmoji,
    ListPins, ListPreferences, ListStars, MemberFact, Message, MetadataPage, MetadataPush, Pin,
    PinFact, PinList, PinnedMessage, Preference, PreferenceList, Profile, React, Reaction,
    ReactionFact, ReactionList, ReadCursor, Request, Response, Said, ServerFrame, SetAway,
    SetChannel, SetDoNotDisturb, SetEmoji, SetPreference, SetProfile, SetStatus, Star, StarFact,
    StarList, Starred, Status, SyncMetadata, User, server_frame,
};
use prost::Message as _;

use crate::client::{
    ACME, ANN, BEN, GENERAL, LATER, TS, ann, channel, general, hello, of_acme, of_ann, request,
    response,
};
use crate::example::Example;

/// The first second of 2024.
const NEW_YEAR_S: u64 = 1_704_067_200;

/// Clients take it as it is; real ones are longer.
fn version() -> Bytes {
    Bytes::from_static(b"version")
}

/// So it is with this.
fn wrote() -> Bytes {
    Bytes::from_static(b"wrote")
}

fn waves() -> Reaction {
    Reaction {
        emoji: "wave".into(),
        users: vec![BEN, ANN],
        count: 2,
    }
}

/// Ann's `hello`, as it is shown now.
fn hello_now() -> Message {
    Message {
        reactions: vec![waves()],
        pinned: true,
        ..hello()
    }
}

/// A map has no order: more than one field would be encoded this way or that.
fn pinned() -> PinnedMessage {
    PinnedMessage {
        channel: GENERAL,
        ts: LATER,
        pinned_by: ANN,
        pinned_ts: LATER + 1,
        ..PinnedMessage::default()
    }
}

fn fields() -> BTreeMap<String, String> {
    BTreeMap::from([("title".into(), "Cook".into())])
}

fn cooking() -> Status {
    Status {
        text: "cooking".into(),
        emoji: "stew".into(),
        expires_at_s: NEW_YEAR_S,
    }
}

fn profile() -> Profile {
    Profile {
        user: ANN,
        fields: fields(),
        status: Some(cooking()),
        other_statuses: vec![Status {
            text: "out".into(),
            ..Status::default()
        }],
        away: true,
        do_not_disturb_until_s: NEW_YEAR_S,
    }
}

fn said(text: &str) -> Said {
    Said {
        text: text.into(),
        user: BEN,
        ts: LATER,
    }
}

/// `#general`, with what was said of it; as everybody sees it.
fn channel_of_all() -> Channel {
    Channel {
        id: GENERAL,
        name: "general".into(),
        topic: Some(said("lunch")),
        purpose: Some(said("eating")),
        other_purposes: vec![said("talk")],
        archived: true,
        ..Channel::default()
    }
}

pub fn requests() -> Vec<Example> {
    let set_channel = |name, pinned, field| {
        let body = Body::SetChannel(SetChannel {
            channel: GENERAL,
            field: Some(field),
        });
        request(name, pinned, body)
    };
    vec![
        request(
            "hello_again",
            "522f 0a174845414445522e434c41494d532e5349474e4154555245 120b6578616d706c652f312e30 \
                220776657273696f6e",
            Body::Hello(Hello {
                token: "HEADER.CLAIMS.SIGNATURE".into(),
                client: "example/1.0".into(),
                metadata_version: version(),
                ..Hello::default()
            }),
        ),
        request(
            "react",
            "920315 088580808010 10e487a0cfc1c48203 1a0477617665",
            Body::React(React {
                channel: GENERAL,
                ts: LATER,
                emoji: "wave".into(),
                remove: false,
            }),
        ),
        request(
            "take_reaction_back",
            "920317 088580808010 10e487a0cfc1c48203 1a0477617665 2001",
            Body::React(React {
                channel: GENERAL,
                ts: LATER,
                emoji: "wave".into(),
                remove: true,
            }),
        ),
        request(
            "pin",
            "9a030f 088580808010 10e487a0cfc1c48203",
            Body::Pin(Pin {
                channel: GENERAL,
                ts: LATER,
                remove: false,
            }),
        ),
        request(
            "unpin",
            "9a0311 088580808010 10e487a0cfc1c48203 1801",
            Body::Pin(Pin {
                channel: GENERAL,
                ts: LATER,
                remove: true,
            }),
        ),
        request(
            "star_channel",
            "a20306 088580808010",
            Body::Star(Star {
                channel: GENERAL,
                ts: 0,
                remove: false,
            }),
        ),
        request(
            "unstar",
            "a20311 088580808010 10e487a0cfc1c48203 1801",
            Body::Star(Star {
                channel: GENERAL,
                ts: LATER,
                remove: true,
            }),
        ),
        set_channel(
            "set_channel_name",
            "aa030c 088580808010 1204666f6f64",
            Field::Name("food".into()),
        ),
        set_channel(
            "set_channel_topic",
            "aa030d 088580808010 1a056c756e6368",
            Field::Topic("lunch".into()),
        ),
        set_channel(
            "set_channel_purpose",
            "aa030e 088580808010 2206656174696e67",
            Field::Purpose("eating".into()),
        ),
        set_channel(
            "archive_channel",
            "aa0308 088580808010 2801",
            Field::Archived(true),
        ),
        // A case that is named is there, whatever it says.
        set_channel(
            "unarchive_channel",
            "aa0308 088580808010 2800",
            Field::Archived(false),
        ),
        request(
            "set_profile",
            "b2030f 0a0d 0a057469746c65 1204436f6f6b",
            Body::SetProfile(SetProfile { fields: fields() }),
        ),
        request(
            "set_status",
            "ba0315 0a07636f6f6b696e67 120473746577 188081c8ac06",
            Body::SetStatus(SetStatus {
                text: "cooking".into(),
                emoji: "stew".into(),
                expires_at_s: NEW_YEAR_S,
            }),
        ),
        request(
            "set_preference",
            "c2030d 0a057468656d65 12046461726b",
            Body::SetPreference(SetPreference {
                name: "theme".into(),
                value: "dark".into(),
            }),
        ),
        request(
            "set_away",
            "ca0302 0801",
            Body::SetAway(SetAway { away: true }),
        ),
        request(
            "set_do_not_disturb",
            "d20306 088081c8ac06",
            Body::SetDoNotDisturb(SetDoNotDisturb {
                until_s: NEW_YEAR_S,
            }),
        ),
        request(
            "add_emoji",
            "da0324 0a0473746577 121c68747470733a2f2f6578616d706c652e636f6d2f737465772e706e67",
            Body::SetEmoji(SetEmoji {
                name: "stew".into(),
                url: "https://example.com/stew.png".into(),
                remove: false,
            }),
        ),
        request(
            "remove_emoji",
            "da0308 0a0473746577 1801",
            Body::SetEmoji(SetEmoji {
                name: "stew".into(),
                url: String::new(),
                remove: true,
            }),
        ),
        Example::new(
            "get_reactions",
            "08b109 120577726f7465 b2040f 088580808010 10e487a0cfc1c48203",
            Request {
                min_position: 1_201,
                wrote: wrote(),
                body: Some(Body::GetReactions(GetReactions {
                    channel: GENERAL,
                    ts: LATER,
                })),
            },
        ),
        request(
            "list_pins",
            "ba0406 088580808010",
            Body::ListPins(ListPins { channel: GENERAL }),
        ),
        request(
            "list_stars",
            "c20405 0832 120163",
            Body::ListStars(ListStars {
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request("list_emoji", "ca0400", Body::ListEmoji(ListEmoji {})),
        request(
            "list_preferences",
            "d20400",
            Body::ListPreferences(ListPreferences {}),
        ),
        request(
            "sync_metadata",
            "da0409 0a0776657273696f6e",
            Body::SyncMetadata(SyncMetadata { version: version() }),
        ),
    ]
}

pub fn responses() -> Vec<Example> {
    vec![
        Example::new(
            "reacted",
            "a20100 fa010577726f7465",
            Response {
                result: Some(Answer::Done(Done {})),
                wrote: wrote(),
                ..Response::default()
            },
        ),
        response(
            "reaction_list",
            "08b109 c2024a 0a48 088580808010 102b 18e487a0cfc1c48203 208180808010 2a0568656c6c6f \
                3a106f1ed002ab5c4e119b3a7d42c68055f9 6214 0a0477617665 120a82808080108180808010 \
                1802 6801",
            Answer::Reactions(ReactionList {
                message: Some(hello_now()),
            }),
        ),
        response(
            "pin_list",
            "08b109 ca028c01 0a68 088580808010 10e487a0cfc1c48203 188180808010 20e587a0cfc1c48203 \
                2a48 088580808010 102b 18e487a0cfc1c48203 208180808010 2a0568656c6c6f \
                3a106f1ed002ab5c4e119b3a7d42c68055f9 6214 0a0477617665 120a82808080108180808010 \
                1802 6801 \
                0a20 088580808010 10e487a0cfc1c48203 188180808010 20e587a0cfc1c48203 3001",
            Answer::Pins(PinList {
                pins: vec![
                    PinnedMessage {
                        message: Some(hello_now()),
                        ..pinned()
                    },
                    PinnedMessage {
                        left_out: true,
                        ..pinned()
                    },
                ],
            }),
        ),
        response(
            "star_list",
            "08b109 d20260 0a4a 088580808010 10e487a0cfc1c48203 18e687a0cfc1c48203 2230 \
                088580808010 102b 18e487a0cfc1c48203 208180808010 2a0568656c6c6f \
                3a106f1ed002ab5c4e119b3a7d42c68055f9 0a0f 088580808010 18e787a0cfc1c48203 120163",
            Answer::Stars(StarList {
                stars: vec![
                    Starred {
                        channel: GENERAL,
                        ts: LATER,
                        starred_ts: LATER + 2,
                        message: Some(hello()),
                    },
                    Starred {
                        channel: GENERAL,
                        starred_ts: LATER + 3,
                        ..Starred::default()
                    },
                ],
                next_cursor: "c".into(),
            }),
        ),
        response(
            "emoji_list",
            "08b109 da0226 0a24 0a0473746577 \
                121c68747470733a2f2f6578616d706c652e636f6d2f737465772e706e67",
            Answer::Emoji(EmojiList {
                emoji: vec![Emoji {
                    name: "stew".into(),
                    url: "https://example.com/stew.png".into(),
                }],
            }),
        ),
        response(
            "preference_list",
            "08b109 e2020f 0a0d 0a057468656d65 12046461726b",
            Answer::Preferences(PreferenceList {
                preferences: vec![theme()],
            }),
        ),
        response(
            "metadata_page",
            "08b109 ea0234 0a27 0a06 088580808010 1a1d 0a1b 088580808010 10e487a0cfc1c48203 \
                1a0477617665 208280808010 120776657273696f6e 1801",
            Answer::Metadata(MetadataPage {
                changes: vec![MetadataPush {
                    topic: Some(general().to_wire()),
                    facts: vec![fact(Kind::Reaction(wave()))],
                    ..MetadataPush::default()
                }],
                version: version(),
                more: true,
                ..MetadataPage::default()
            }),
        ),
        response(
            "metadata_page_behind",
            "08b109 ea020b 120776657273696f6e 2801",
            Answer::Metadata(MetadataPage {
                version: version(),
                behind: true,
                ..MetadataPage::default()
            }),
        ),
        response(
            "metadata_page_start_over",
            "08b109 ea020b 120776657273696f6e 2001",
            Answer::Metadata(MetadataPage {
                version: version(),
                start_over: true,
                ..MetadataPage::default()
            }),
        ),
        response(
            "boot_data_with_metadata",
            "08b109 9a01a801 0a52 088180808010 1203616e6e 1a08416e6e20416d6573 323b 088180808010 \
                120d 0a057469746c65 1204436f6f6b 1a15 0a07636f6f6b696e67 120473746577 \
                188081c8ac06 2205 0a036f7574 2801 308081c8ac06 1a49 088580808010 \
                120767656e6572616c 208180808010 2880e0e49bb4a78203 302a 38e480f9c0c1c48203 4002 \
                4801 5029 5801 6216 0a056c756e6368 108280808010 18e487a0cfc1c48203 \
                320776657273696f6e",
            Answer::Boot(BootData {
                self_: Some(User {
                    profile: Some(profile()),
                    ..ann()
                }),
                channels: vec![Channel {
                    topic: Some(said("lunch")),
                    ..channel()
                }],
                metadata_version: version(),
                ..BootData::default()
            }),
        ),
    ]
}

fn theme() -> Preference {
    Preference {
        name: "theme".into(),
        value: "dark".into(),
    }
}

fn wave() -> ReactionFact {
    ReactionFact {
        channel: GENERAL,
        ts: LATER,
        emoji: "wave".into(),
        user: BEN,
        removed: false,
    }
}

fn fact(kind: Kind) -> Fact {
    Fact { kind: Some(kind) }
}

pub fn frames() -> Vec<Example> {
    vec![
        push(
            "metadata_push",
            "2230 0a06 088580808010 120776657273696f6e 1a1d 0a1b 088580808010 10e487a0cfc1c48203 \
                1a0477617665 208280808010",
            general(),
            vec![Kind::Reaction(wave())],
        ),
        push(
            "metadata_push_of_channel",
            "22bc01 0a06 088580808010 120776657273696f6e 1a1f 0a1d 088580808010 \
                10e487a0cfc1c48203 1a0477617665 208280808010 2801 1a19 1217 088580808010 \
                10e487a0cfc1c48203 188180808010 2001 1a5b 1a59 088580808010 120767656e6572616c \
                6216 0a056c756e6368 108280808010 18e487a0cfc1c48203 6a17 0a06656174696e67 \
                108280808010 18e487a0cfc1c48203 7215 0a0474616c6b 108280808010 \
                18e487a0cfc1c48203 7801 1a10 220e 088580808010 108280808010 1801",
            general(),
            vec![
                Kind::Reaction(ReactionFact {
                    removed: true,
                    ..wave()
                }),
                Kind::Pin(PinFact {
                    channel: GENERAL,
                    ts: LATER,
                    user: ANN,
                    removed: true,
                }),
                Kind::Channel(channel_of_all()),
                Kind::Member(MemberFact {
                    channel: GENERAL,
                    user: BEN,
                    left: true,
                }),
            ],
        ),
        push(
            "metadata_push_of_user",
            "228001 0a06 108180808010 120776657273696f6e 1a33 5231 088580808010 \
                120767656e6572616c 208180808010 2880e0e49bb4a78203 302a 38e480f9c0c1c48203 4002 \
                4801 5029 5801 1a06 588580808010 1a0a 6208 088580808010 102b 1a13 6a11 \
                088580808010 10e480f9c0c1c48203 1801 1a0f 720d 0a057468656d65 12046461726b",
            of_ann(),
            vec![
                Kind::Joined(channel()),
                Kind::Left(GENERAL),
                Kind::ReadCursor(ReadCursor {
                    channel: GENERAL,
                    seq: 43,
                }),
                Kind::Star(StarFact {
                    channel: GENERAL,
                    ts: TS,
                    removed: true,
                }),
                Kind::Preference(theme()),
            ],
        ),
        push(
            "metadata_push_of_workspace",
            "2278 0a02 1801 120776657273696f6e 1a3e a2013b 088180808010 120d 0a057469746c65 \
                1204436f6f6b 1a15 0a07636f6f6b696e67 120473746577 188081c8ac06 2205 0a036f7574 \
                2801 308081c8ac06 1a29 aa0126 0a0473746577 \
                121c68747470733a2f2f6578616d706c652e636f6d2f737465772e706e67 1801",
            of_acme(),
            vec![
                Kind::Profile(profile()),
                Kind::Emoji(EmojiFact {
                    name: "stew".into(),
                    url: "https://example.com/stew.png".into(),
                    removed: true,
                }),
            ],
        ),
        frame(
            "metadata_push_start_over",
            "220b 120776657273696f6e 2001",
            MetadataPush {
                version: version(),
                start_over: true,
                ..MetadataPush::default()
            },
        ),
    ]
}

fn push(name: &'static str, pinned: &'static str, topic: Topic, kinds: Vec<Kind>) -> Example {
    let push = MetadataPush {
        topic: Some(topic.to_wire()),
        version: version(),
        facts: kinds.into_iter().map(fact).collect(),
        start_over: false,
    };
    frame(name, pinned, push)
}

fn frame(name: &'static str, pinned: &'static str, push: MetadataPush) -> Example {
    let frame = ServerFrame {
        body: Some(server_frame::Body::Metadata(push)),
    };
    Example::new(name, pinned, frame)
}

/// From replicas to edges, and what edges know of when they ask.
pub fn feeds() -> Vec<Example> {
    let push = MetadataPush {
        topic: Some(general().to_wire()),
        facts: vec![fact(Kind::Reaction(wave()))],
        ..MetadataPush::default()
    };
    let facts = MetadataFacts {
        topic: Some(general().to_wire()),
        push: push.encode_to_vec().into(),
    };
    vec![
        Example::new(
            "api_call_with_versions",
            "0801 108180808010 2a0776657273696f6e 2a056c61746572",
            ApiCall {
                cell: 1,
                user: ANN,
                metadata_versions: vec![version(), Bytes::from_static(b"later")],
                ..ApiCall::default()
            },
        ),
        Example::new(
            "api_call_of_somebody_who_has_joined",
            "0801 108180808010 308580808010 3a0577726f7465",
            ApiCall {
                cell: 1,
                user: ANN,
                joined: GENERAL,
                joined_wrote: wrote(),
                ..ApiCall::default()
            },
        ),
        Example::new(
            "metadata_subscribe",
            "0801 1001 1807 220776657273696f6e",
            MetadataSubscribe {
                cell: 1,
                workspace: ACME,
                subscription: 7,
                version: version(),
            },
        ),
        Example::new(
            "metadata_subscribed",
            "0a0776657273696f6e 1231 0a06 088580808010 \
                12270a060885808080101a1d0a1b08858080801010e487a0cfc1c482031a04776176652082808080\
                10",
            MetadataSubscribed {
                version: version(),
                facts: vec![facts.clone()],
                too_much: false,
            },
        ),
        Example::new(
            "metadata_subscribed_too_much",
            "0a0776657273696f6e 1801",
            MetadataSubscribed {
                version: version(),
                facts: Vec::new(),
                too_much: true,
            },
        ),
        Example::new(
            "metadata_unsubscribe",
            "0801",
            MetadataUnsubscribe { workspace: ACME },
        ),
        Example::new(
            "metadata_publish",
            "0801 1007 1802 220776657273696f6e 2a31 0a06 088580808010 \
                12270a060885808080101a1d0a1b08858080801010e487a0cfc1c482031a04776176652082808080\
                10",
            MetadataPublish {
                workspace: ACME,
                subscription: 7,
                seq: 2,
                version: version(),
                facts: vec![facts],
            },
        ),
    ]
}
