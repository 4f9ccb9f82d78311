//! Examples of what a PoP answers by itself, and of how it comes to know it.

use bytes::Bytes;
use causeway_protocol::backbone::flannel_ask::What;
use causeway_protocol::backbone::{
    FlannelAnswer, FlannelAsk, FlannelChannels, FlannelMembers, FlannelReply, FlannelRows,
    FlannelShelves, Shelf, ShelfAsk,
};
use causeway_protocol::client::request::Body;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{
    BootData, ChannelHead, CompleteMention, Cursor, Emoji, EmojiPage, Error, FindChannels,
    FindEmoji, FindMembers, FindUsers, GetUsers, Hello, Preference, Request, Response, User,
    UserPage, Welcome,
};

use crate::client::{ANN, BEN, GENERAL, TS, ann, channel, general, request};
use crate::example::Example;

const VERSION: Bytes = Bytes::from_static(b"version");

pub fn ben() -> User {
    User {
        id: BEN,
        name: "ben".into(),
        real_name: "Ben Bell".into(),
        ..User::default()
    }
}

fn head() -> ChannelHead {
    ChannelHead {
        channel: GENERAL,
        last_seq: 42,
        last_ts: TS,
        read_seq: 41,
        unread: 1,
        members: 2,
    }
}

fn preference() -> Preference {
    Preference {
        name: "theme".into(),
        value: "dark".into(),
    }
}

/// As the PoP answers, from what it keeps.
fn kept(name: &'static str, pinned: &'static str, result: Answer) -> Example {
    let response = Response {
        result: Some(result),
        ..Response::default()
    };
    Example::new(name, pinned, response)
}

pub fn requests() -> Vec<Example> {
    vec![
        Example::new(
            "hello_keeps_boot",
            "088609 523d 0a174845414445522e434c41494d532e5349474e4154555245 \
                120b6578616d706c652f312e30 1a0a 0a06 088580808010 1029 220776657273696f6e 3001",
            Request {
                min_position: 1_158,
                body: Some(Body::Hello(Hello {
                    token: "HEADER.CLAIMS.SIGNATURE".into(),
                    client: "example/1.0".into(),
                    cursors: vec![Cursor {
                        topic: Some(general().to_wire()),
                        seq: 41,
                    }],
                    metadata_version: VERSION,
                    keeps_boot: true,
                    ..Hello::default()
                })),
                ..Request::default()
            },
        ),
        request(
            "get_users",
            "82050a 0a058280808010 120163",
            Body::GetUsers(GetUsers {
                users: vec![BEN],
                cursor: "c".into(),
            }),
        ),
        request(
            "find_users",
            "8a0509 0a026265 1032 1a0163",
            Body::FindUsers(FindUsers {
                prefix: "be".into(),
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "find_channels",
            "920509 0a026765 1032 1a0163",
            Body::FindChannels(FindChannels {
                prefix: "ge".into(),
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "find_members",
            "9a050b 088580808010 1032 1a0163",
            Body::FindMembers(FindMembers {
                channel: GENERAL,
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "complete_mention",
            "a2050c 088580808010 12026265 1805",
            Body::CompleteMention(CompleteMention {
                channel: GENERAL,
                prefix: "be".into(),
                limit: 5,
            }),
        ),
        request(
            "find_emoji",
            "aa050a 0a03706172 1032 1a0163",
            Body::FindEmoji(FindEmoji {
                prefix: "par".into(),
                limit: 50,
                cursor: "c".into(),
            }),
        ),
    ]
}

pub fn responses() -> Vec<Example> {
    vec![
        Example::new(
            "welcome_difference",
            "08b009 5244 0808 120a6672612d656467652d31 1a03667261 222f 2003 2809 \
                320776657273696f6e 4001 4a17 088580808010 102a 18e480f9c0c1c48203 2029 2801 3002 \
                52058680808010",
            Response {
                position: 1_200,
                result: Some(Answer::Welcome(Welcome {
                    session_id: 8,
                    edge: "fra-edge-1".into(),
                    pop: "fra".into(),
                    boot: Some(BootData {
                        user_seq: 3,
                        workspace_seq: 9,
                        metadata_version: VERSION,
                        difference: true,
                        heads: vec![head()],
                        gone: vec![GENERAL + 1],
                        ..BootData::default()
                    }),
                })),
                ..Response::default()
            },
        ),
        kept(
            "boot_with_preferences",
            "9a0159 0a15 088180808010 1203616e6e 1a08416e6e20416d6573 1a31 088580808010 \
                120767656e6572616c 208180808010 2880e0e49bb4a78203 302a 38e480f9c0c1c48203 4002 \
                4801 5029 5801 3a0d 0a057468656d65 12046461726b",
            Answer::Boot(BootData {
                self_: Some(ann()),
                channels: vec![channel()],
                preferences: vec![preference()],
                ..BootData::default()
            }),
        ),
        kept(
            "users_found",
            "820117 0a15 088280808010 120362656e 1a0842656e2042656c6c",
            Answer::Users(UserPage {
                users: vec![ben()],
                next_cursor: String::new(),
            }),
        ),
        kept(
            "emoji_found",
            "92032d 0a28 0a06706172726f74 \
                121e68747470733a2f2f6578616d706c652e6f72672f706172726f742e676966 120163",
            Answer::EmojiPage(EmojiPage {
                emoji: vec![Emoji {
                    name: "parrot".into(),
                    url: "https://example.org/parrot.gif".into(),
                }],
                next_cursor: "c".into(),
            }),
        ),
    ]
}

fn ask(name: &'static str, pinned: &'static str, what: What) -> Example {
    let ask = FlannelAsk {
        cell: 1,
        workspace: 1,
        metadata_version: VERSION,
        min_position: 1_200,
        what: Some(what),
    };
    Example::new(name, pinned, ask)
}

pub fn pages() -> Vec<Example> {
    let rows = FlannelRows { after: BEN };
    vec![
        ask(
            "flannel_users",
            "0801 1001 1a0776657273696f6e 20b009 5206 088280808010",
            What::Users(rows),
        ),
        ask(
            "flannel_channels",
            "0801 1001 1a0776657273696f6e 20b009 5a06 088280808010",
            What::Channels(rows),
        ),
        ask(
            "flannel_emoji",
            "0801 1001 1a0776657273696f6e 20b009 6206 088280808010",
            What::Emoji(rows),
        ),
        ask(
            "flannel_members",
            "0801 1001 1a0776657273696f6e 20b009 6a0c 088580808010 108280808010",
            What::Members(FlannelMembers {
                channel: GENERAL,
                after: BEN,
            }),
        ),
        ask(
            "flannel_some_channels",
            "0801 1001 1a0776657273696f6e 20b009 7207 0a058580808010",
            What::SomeChannels(FlannelChannels {
                channels: vec![GENERAL],
            }),
        ),
        ask(
            "flannel_shelves",
            "0801 1001 1a0776657273696f6e 20b009 7a18 0a16 088180808010 120577726f7465 \
                1a0776657273696f6e",
            What::Shelves(FlannelShelves {
                users: vec![ShelfAsk {
                    user: ANN,
                    wrote: Bytes::from_static(b"wrote"),
                    metadata_version: VERSION,
                }],
            }),
        ),
        Example::new(
            "flannel_answer",
            "08b009 101e 1a0776657273696f6e 2211 0801 120461636d65 1a0765752d77657374 2809 \
                308280808010 5215 088280808010 120362656e 1a0842656e2042656c6c 5a31 088580808010 \
                120767656e6572616c 208180808010 2880e0e49bb4a78203 302a 38e480f9c0c1c48203 4002 \
                4801 5029 5801 6208 0a06706172726f74 6a0a81808080108280808010 7243 0a15 \
                088180808010 1203616e6e 1a08416e6e20416d6573 1217 088580808010 102a \
                18e480f9c0c1c48203 2029 2801 3002 1a0d 0a057468656d65 12046461726b 2003 2801 \
                7214 3212 0a106163636f756e745f696e616374697665",
            FlannelAnswer {
                position: 1_200,
                age_ms: 30,
                metadata_version: VERSION,
                workspace: Some(crate::client::boot().workspace.unwrap_or_default()),
                workspace_seq: 9,
                next: BEN,
                users: vec![ben()],
                channels: vec![channel()],
                emoji: vec![Emoji {
                    name: "parrot".into(),
                    url: String::new(),
                }],
                members: vec![ANN, BEN],
                shelves: vec![
                    Shelf {
                        self_: Some(ann()),
                        channels: vec![head()],
                        preferences: vec![preference()],
                        user_seq: 3,
                        behind: true,
                        refusal: None,
                    },
                    Shelf {
                        refusal: Some(Error {
                            code: "account_inactive".into(),
                            ..Error::default()
                        }),
                        ..Shelf::default()
                    },
                ],
            },
        ),
        Example::new(
            "flannel_reply",
            "0a08 08b009 9a0102 2003 1001 1801",
            FlannelReply {
                response: Some(Response {
                    position: 1_200,
                    result: Some(Answer::Boot(BootData {
                        user_seq: 3,
                        ..BootData::default()
                    })),
                    ..Response::default()
                }),
                behind: true,
                kept: true,
            },
        ),
    ]
}
