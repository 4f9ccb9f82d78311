//! Metadata: written at the nearest region, also while regions are cut off from one
//! another; told to whoever sees it; the same everywhere in the end.

use std::time::Instant;

use bytes::Bytes;
use causeway::world::processes::stop_node;
use causeway_protocol::client::{
    self, fact::Kind, request, response, server_frame, set_channel::Field,
};
use causeway_protocol::{ChannelId, Timestamp, Topic};
use quinn::Connection;
use serde_json::Value;

use crate::isolation::isolate;
use crate::raw::{Pushes, ask, connect, let_in};
use crate::web_api::call;
use crate::world::{PATIENCE, Running, Site, list, until};

/// A replica that has heard nothing of the leader for so long is cut off.
const CUT_OFF_MS: u64 = 1_000;
/// A message takes a few reactions; together these take enough.
const MESSAGES: usize = 20;

/// The demonstration user of this number, let in; with what they said hello with.
async fn greet(
    world: &Running,
    edge: &str,
    user: usize,
    version: Bytes,
) -> (Connection, client::BootData) {
    let connection = connect(world, edge).await;
    let hello = client::Hello {
        token: world.workspace("harbor").users[user].token.clone(),
        metadata_version: version,
        ..client::Hello::default()
    };
    match ask(&connection, request::Body::Hello(hello)).await.result {
        Some(response::Result::Welcome(welcome)) => (connection, welcome.boot.expect("boot data")),
        other => panic!("not welcome: {other:?}"),
    }
}

async fn done(connection: &Connection, body: request::Body) {
    let answer = ask(connection, body).await;
    let done = Some(response::Result::Done(client::Done {}));
    assert_eq!(answer.result, done);
    assert!(!answer.wrote.is_empty());
}

async fn post(connection: &Connection, channel: u64) -> u64 {
    post_as(connection, channel, "the message").await
}

async fn post_as(connection: &Connection, channel: u64, id: &str) -> u64 {
    let send = client::SendMessage {
        channel,
        client_msg_id: Bytes::copy_from_slice(id.as_bytes()),
        text: "what do you think?".into(),
        thread_ts: 0,
    };
    match ask(connection, request::Body::SendMessage(send))
        .await
        .result
    {
        Some(response::Result::Sent(sent)) => sent.ts,
        other => panic!("not sent: {other:?}"),
    }
}

fn react(channel: u64, ts: u64, emoji: &str) -> request::Body {
    request::Body::React(client::React {
        channel,
        ts,
        emoji: emoji.into(),
        remove: false,
    })
}

fn set_topic(channel: u64, topic: &str) -> request::Body {
    request::Body::SetChannel(client::SetChannel {
        channel,
        field: Some(Field::Topic(topic.into())),
    })
}

/// The reactions to a message, and the topic of its channel, in words.
async fn seen(connection: &Connection, channel: u64, ts: u64) -> String {
    let reactions = request::Body::GetReactions(client::GetReactions { channel, ts });
    let reactions = match ask(connection, reactions).await.result {
        Some(response::Result::Reactions(client::ReactionList { message: Some(m) })) => m.reactions,
        // A replica that has yet to hear of the message.
        _ => Vec::new(),
    };
    let mut words: Vec<_> =
        (reactions.iter().map(|r| format!("{} {}", r.count, r.emoji))).collect();
    words.sort();
    let get = request::Body::GetChannel(client::GetChannel { channel });
    if let Some(response::Result::Channel(channel)) = ask(connection, get).await.result {
        words.extend(channel.topic.map(|topic| topic.text));
    }
    words.join(", ")
}

/// How old what a replica answers may be.
async fn age_ms(connection: &Connection, channel: u64) -> u64 {
    let get = request::Body::GetChannel(client::GetChannel { channel });
    ask(connection, get).await.age_ms.into()
}

/// Waits until a replica near `who` has heard of the message.
async fn is_known(who: &Connection, channel: u64, ts: u64) {
    let posted = Instant::now();
    loop {
        let get = request::Body::GetReactions(client::GetReactions { channel, ts });
        let answer = ask(who, get).await.result;
        if matches!(answer, Some(response::Result::Reactions(_))) {
            return;
        }
        assert!(posted.elapsed() < PATIENCE, "{answer:?}");
    }
}

/// Cuts us-east off, and waits until its nodes know of it: until then, what is written
/// there is shipped.
async fn cut_off(world: &Running, inside: &Connection, channel: u64) {
    isolate(world, true);
    let cut = Instant::now();
    while age_ms(inside, channel).await < CUT_OFF_MS {
        assert!(cut.elapsed() < PATIENCE, "the region is not cut off");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_cut_off_goes_on_writing_and_all_agree_afterwards() {
    let site = Site::new();
    let world = site.start(&[]);
    let (inside, boot) = greet(&world, "nyc-1", 0, Bytes::new()).await;
    let (outside, _) = greet(&world, "fra-1", 1, Bytes::new()).await;
    let channel = boot.channels.first().expect("a channel").id;
    let ts = post(&inside, channel).await;
    is_known(&outside, channel, ts).await;

    cut_off(&world, &inside, channel).await;
    for (who, emoji, topic) in [(&inside, "eyes", "islands"), (&outside, "wave", "mainland")] {
        done(who, react(channel, ts, emoji)).await;
        done(who, react(channel, ts, "thumbsup")).await;
        done(who, set_topic(channel, topic)).await;
    }
    let alone = seen(&inside, channel, ts).await;
    assert_eq!(alone, "1 eyes, 1 thumbsup, islands");

    isolate(&world, false);
    let healed = Instant::now();
    // The mainland spoke last.
    let wanted = "1 eyes, 1 wave, 2 thumbsup, mainland";
    for who in [&inside, &outside] {
        loop {
            let seen = seen(who, channel, ts).await;
            if seen == wanted {
                break;
            }
            assert!(healed.elapsed() < PATIENCE, "in vain: {seen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_leaves_nothing_behind() {
    let site = Site::new();
    let world = site.start(&[]);
    let (near, boot) = greet(&world, "nyc-1", 0, Bytes::new()).await;
    let (far, _) = greet(&world, "fra-1", 1, Bytes::new()).await;
    let channel = boot.channels.first().expect("a channel").id;
    let mut messages = Vec::new();
    for n in 0..MESSAGES {
        messages.push(post_as(&near, channel, &format!("{n}")).await);
    }

    // Its clients write on while it stops, here and then at the next replica.
    let node = world.node("us-east-1").clone();
    let stopping = tokio::task::spawn_blocking(move || stop_node(&node));
    let mut written = 0;
    while !stopping.is_finished() {
        let message = messages[written % MESSAGES];
        done(&near, react(channel, message, &format!("e{written}"))).await;
        written += 1;
    }
    stopping.await.expect("no panic").expect("it stops");

    let stopped = Instant::now();
    loop {
        let mut count = 0;
        for message in &messages {
            let seen = seen(&far, channel, *message).await;
            count += seen.split(", ").filter(|word| !word.is_empty()).count();
        }
        if count == written {
            break;
        }
        assert!(stopped.elapsed() < PATIENCE, "{count} of {written}");
    }
}

/// The cell of the demonstration workspace, and its replica in us-east.
fn cell_and_holder(world: &Running, status: &Value) -> (Value, String) {
    let home = world.workspace("harbor").home_region.as_str();
    let cells = list(status, "cells").iter();
    // The directory's own cell has the first id.
    let mut cells = cells.filter(|cell| cell["id"] != 0 && cell["home_region"] == home);
    let cell = cells.next().expect("a cell at home");
    let nodes = list(cell, "replicas").iter().map(|r| &r["node"]);
    let mut nodes = nodes.filter_map(|node| node.as_str());
    let holder = nodes.find(|node| node.starts_with("us-east"));
    (cell.clone(), holder.expect("a replica in us-east").into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_replaced_node_had_comes_back_with_it() {
    let site = Site::new();
    let soon = [("CAUSEWAY_PLACEMENT_REPLACE_AFTER_MS", "1000")];
    let world = site.start_with(&["--nodes", "2", "--cells", "3"], &soon);
    let (inside, boot) = greet(&world, "nyc-1", 0, Bytes::new()).await;
    let (outside, _) = greet(&world, "fra-1", 1, Bytes::new()).await;
    let channel = boot.channels.first().expect("a channel").id;
    let ts = post(&inside, channel).await;
    is_known(&outside, channel, ts).await;
    let (_, holder) = cell_and_holder(&world, &world.status());

    cut_off(&world, &inside, channel).await;
    done(&inside, react(channel, ts, "eyes")).await;
    world.run(&["chaos", "kill", &holder]);
    isolate(&world, false);
    let epoch = until("another node of the region takes its place", || {
        let (cell, now) = cell_and_holder(&world, &world.status());
        let mut replicas = list(&cell, "replicas").iter();
        let there = replicas.all(|r| r["learner"] == false && r["behind"] == 0);
        (now != holder && there).then(|| cell["epoch"].as_u64().expect("an epoch"))
    });
    assert_eq!(seen(&outside, channel, ts).await, "");

    world.run(&["chaos", "start", &holder]);
    let back = Instant::now();
    while seen(&outside, channel, ts).await != "1 eyes" {
        assert!(back.elapsed() < PATIENCE, "nothing comes back");
    }
    until("it counts no more", || {
        let (cell, _) = cell_and_holder(&world, &world.status());
        (cell["epoch"] == epoch + 2).then_some(())
    });
}

/// Pushed facts, with the version that came last.
struct Facts {
    pushes: Pushes,
    version: Bytes,
}

impl Facts {
    fn of(connection: &Connection) -> Self {
        Self {
            pushes: Pushes::of(connection),
            version: Bytes::new(),
        }
    }

    /// The next push that tells of a topic.
    async fn next(&mut self) -> client::MetadataPush {
        loop {
            if let server_frame::Body::Metadata(push) = self.pushes.next().await {
                if !push.version.is_empty() {
                    self.version = push.version.clone();
                }
                if push.topic.is_some() {
                    return push;
                }
            }
        }
    }
}

fn kinds(push: client::MetadataPush) -> Vec<Kind> {
    push.facts
        .into_iter()
        .filter_map(|fact| fact.kind)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_pushed_and_who_was_away_hears_of_the_difference() {
    let site = Site::new();
    let world = site.start(&[]);
    let (writer, boot) = let_in(&world, "nrt-1", "harbor").await;
    let channel = boot.channels.first().expect("a channel").id;
    let ts = post(&writer, channel).await;

    let (reader, _) = greet(&world, "gru-1", 1, Bytes::new()).await;
    done(&writer, react(channel, ts, "tada")).await;
    let mut facts = Facts::of(&reader);
    let push = facts.next().await;
    assert_eq!(
        push.topic,
        Some(Topic::Channel(ChannelId(channel)).to_wire())
    );
    let reaction = Kind::Reaction(client::ReactionFact {
        channel,
        ts,
        emoji: "tada".into(),
        user: boot.self_.expect("ada").id,
        removed: false,
    });
    assert_eq!(kinds(push), [reaction]);

    // The version that the reader has may be the one before: what it hears again is the
    // same.
    let version = facts.version.clone();
    drop((reader, facts));
    done(&writer, set_topic(channel, "what is new")).await;
    let (reader, _) = greet(&world, "fra-1", 1, version).await;
    let mut facts = Facts::of(&reader);
    loop {
        let told = kinds(facts.next().await);
        let topic = told.iter().find_map(|kind| match kind {
            Kind::Channel(channel) => channel.topic.clone(),
            _ => None,
        });
        if let Some(topic) = topic {
            assert_eq!(topic.text, "what is new");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_sees_reactions_where_they_are_made() {
    let site = Site::new();
    let world = site.start(&[]);
    let (writer, boot) = let_in(&world, "nrt-1", "harbor").await;
    let channel = ChannelId(boot.channels.first().expect("a channel").id);
    let ts = Timestamp(post(&writer, channel.0).await);
    let token = world.workspace("harbor").users[0].token.clone();
    let call = async |method: &str, rest: &str| -> Value {
        let body = format!("channel={channel}&timestamp={ts}&{rest}");
        call(&world, "nrt", &token, method, &body).await
    };
    let added = call("reactions.add", "name=tada").await;
    assert_eq!(added["ok"], true, "{added}");
    let again = call("reactions.add", "name=tada").await;
    assert_eq!(again["error"], "already_reacted");
    let got = call("reactions.get", "").await;
    assert_eq!(got["message"]["reactions"][0]["name"], "tada", "{got}");
    let removed = call("reactions.remove", "name=tada").await;
    assert_eq!(removed["ok"], true, "{removed}");
}
