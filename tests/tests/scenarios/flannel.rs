//! Clients start from what their PoP keeps: also while no region is within reach.

use std::time::Instant;

use causeway_protocol::client::{self, request, response, set_channel::Field};
use quinn::{Connection, ConnectionError};

use crate::raw::{ask, code, connect};
use crate::web_api::number;
use crate::world::{PATIENCE, Running, Site};

const EDGE: &str = "nyc-1";
const CORE_READS: &str = "causeway_edge_flannel_core_reads_total";
/// What a client that has been away for long says that it has seen.
const FAR_AHEAD: u64 = 1 << 40;

/// The demonstration user of this number says hello.
async fn greet(
    world: &Running,
    user: usize,
    min_position: u64,
    hello: client::Hello,
) -> (Connection, client::Response) {
    let connection = connect(world, EDGE).await;
    let hello = client::Hello {
        token: world.workspace("harbor").users[user].token.clone(),
        // With all regions away, no PoP would take anybody.
        nowhere_else: true,
        ..hello
    };
    let body = request::Body::Hello(hello);
    let answer = crate::raw::ask_from(&connection, min_position, body).await;
    (connection, answer)
}

fn boot(answer: &client::Response) -> client::BootData {
    match &answer.result {
        Some(response::Result::Welcome(welcome)) => welcome.boot.clone().expect("boot data"),
        other => panic!("not welcome: {other:?}"),
    }
}

fn find_channels(prefix: &str) -> request::Body {
    request::Body::FindChannels(client::FindChannels {
        prefix: prefix.into(),
        ..client::FindChannels::default()
    })
}

fn find_users(prefix: &str) -> request::Body {
    request::Body::FindUsers(client::FindUsers {
        prefix: prefix.into(),
        ..client::FindUsers::default()
    })
}

async fn channels(connection: &Connection, prefix: &str) -> Vec<String> {
    match ask(connection, find_channels(prefix)).await.result {
        Some(response::Result::Channels(page)) => {
            page.channels.into_iter().map(|c| c.name).collect()
        }
        other => panic!("no channels: {other:?}"),
    }
}

async fn users(connection: &Connection, prefix: &str) -> (Vec<String>, u32) {
    let answer = ask(connection, find_users(prefix)).await;
    match answer.result {
        Some(response::Result::Users(page)) => {
            let names = page.users.into_iter().map(|user| user.name);
            (names.collect(), answer.age_ms)
        }
        other => panic!("no users: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_read_once_and_follows_what_changes() {
    let site = Site::new();
    let world = site.start(&[]);
    let fresh = client::Hello::default;
    let (ada, answer) = greet(&world, 0, 0, fresh()).await;
    let whole = boot(&answer);
    assert_eq!(whole.self_.as_ref().map(|user| &*user.name), Some("ada"));
    assert!(!whole.channels.is_empty());
    let (names, age_ms) = users(&ada, "ad").await;
    assert_eq!((names, age_ms), (vec!["ada".to_owned()], 0));

    // The same again asks no replica.
    let reads = number(&world, EDGE, CORE_READS).await;
    let (again, answer) = greet(&world, 0, 0, fresh()).await;
    assert_eq!(boot(&answer).channels, whole.channels);
    users(&again, "c").await;
    assert_eq!(number(&world, EDGE, CORE_READS).await, reads);

    // What somebody changes elsewhere is heard of.
    let channel = whole.channels[0].id;
    let far = crate::raw::let_in(&world, "nrt-1", "harbor").await.0;
    let rename = request::Body::SetChannel(client::SetChannel {
        channel,
        field: Some(Field::Name("renamed".into())),
    });
    assert_eq!(code(&ask(&far, rename).await), "no error");
    let create = client::CreateChannel {
        name: "brand-new".into(),
        private: false,
    };
    let created = ask(&far, request::Body::CreateChannel(create)).await;
    assert_eq!(code(&created), "no error");
    let changed = Instant::now();
    while channels(&ada, "renam").await != ["renamed"]
        || channels(&ada, "brand").await != ["brand-new"]
    {
        assert!(changed.elapsed() < PATIENCE, "it is not heard of");
    }

    // Who comes back is told what is new, and nothing else.
    let kept = client::Hello {
        cursors: (whole.channels.iter())
            .map(|c| client::Cursor {
                topic: Some(
                    causeway_protocol::Topic::Channel(causeway_protocol::ChannelId(c.id)).to_wire(),
                ),
                seq: c.last_seq,
            })
            .collect(),
        metadata_version: whole.metadata_version.clone(),
        keeps_boot: true,
        ..client::Hello::default()
    };
    let (_, answer) = greet(&world, 0, created.position, kept).await;
    let difference = boot(&answer);
    assert!(difference.difference && difference.self_.is_none());
    let new: Vec<_> = difference.channels.iter().map(|c| &*c.name).collect();
    assert_eq!(new, ["brand-new"]);
    assert!(difference.gone.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_region_within_reach_clients_start_with_what_is_there() {
    let site = Site::new();
    let world = site.start(&[]);
    let (ada, answer) = greet(&world, 0, 0, client::Hello::default()).await;
    let whole = boot(&answer);
    users(&ada, "a").await;
    let cores = ["us-east-1", "eu-west-1", "ap-northeast-1"];
    for core in cores {
        world.run(&["chaos", "kill", core]);
    }

    let killed = Instant::now();
    let (connection, answer) = loop {
        let (connection, answer) = greet(&world, 0, 0, client::Hello::default()).await;
        if answer.age_ms > 1_000 {
            break (connection, answer);
        }
        assert!(killed.elapsed() < PATIENCE, "they are not missed");
    };
    let old = boot(&answer);
    assert_eq!(old.channels, whole.channels);
    let (names, age_ms) = users(&connection, "ad").await;
    assert_eq!(names, ["ada"]);
    assert!(age_ms > 1_000);
    // Nothing of this one is here.
    let (_, answer) = greet(&world, 1, 0, client::Hello::default()).await;
    assert_eq!(code(&answer), "unavailable");

    // Less than it knows is better than nothing, until there is more.
    let (returning, answer) = greet(&world, 0, FAR_AHEAD, client::Hello::default()).await;
    assert_eq!(boot(&answer).channels, whole.channels);
    for core in cores {
        world.run(&["chaos", "start", core]);
    }
    let closed = tokio::time::timeout(PATIENCE, returning.closed()).await;
    match closed.expect("it is told to come again") {
        ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, 3u32.into()),
        other => panic!("{other}"),
    }
}
