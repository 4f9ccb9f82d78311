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

fn ben() -> User {
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
            "",
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
            "",
            Body::GetUsers(GetUsers {
                users: vec![BEN],
                cursor: "c".into(),
            }),
        ),
        request(
            "find_users",
            "",
            Body::FindUsers(FindUsers {
                prefix: "be".into(),
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "find_channels",
            "",
            Body::FindChannels(FindChannels {
                prefix: "ge".into(),
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "find_members",
            "",
            Body::FindMembers(FindMembers {
                channel: GENERAL,
                limit: 50,
                cursor: "c".into(),
            }),
        ),
        request(
            "complete_mention",
            "",
            Body::CompleteMention(CompleteMention {
                channel: GENERAL,
                prefix: "be".into(),
                limit: 5,
            }),
        ),
        request(
            "find_emoji",
            "",
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
            "",
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
            "",
            Answer::Boot(BootData {
                self_: Some(ann()),
                channels: vec![channel()],
                preferences: vec![preference()],
                ..BootData::default()
            }),
        ),
        kept(
            "users_found",
            "",
            Answer::Users(UserPage {
                users: vec![ben()],
                next_cursor: String::new(),
            }),
        ),
        kept(
            "emoji_found",
            "",
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
        ask("flannel_users", "", What::Users(rows)),
        ask("flannel_channels", "", What::Channels(rows)),
        ask("flannel_emoji", "", What::Emoji(rows)),
        ask(
            "flannel_members",
            "",
            What::Members(FlannelMembers {
                channel: GENERAL,
                after: BEN,
            }),
        ),
        ask(
            "flannel_some_channels",
            "",
            What::SomeChannels(FlannelChannels {
                channels: vec![GENERAL],
            }),
        ),
        ask(
            "flannel_shelves",
            "",
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
            "",
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
            "",
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
