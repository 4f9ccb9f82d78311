//! What a client meets, whatever it is connected by: one suite, run over each of
//! the transports.

mod moving;
mod own;
mod site;
mod states;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, request, response, send_event, server_frame};
use causeway_protocol::limits::{CLIENT_FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX};
use causeway_protocol::{CloseCode, Seq, Topic, frame};
use causeway_transport::Transport;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use prost::Message;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use self::site::{AT_ONCE, Site, code};
use self::states::{
    connections_are_counted_by_their_state, the_application_is_told_each_state_and_its_cause,
};
use crate::drain;
use crate::fixture::{CHANNEL, GENERAL, LAST_SEQ, posted};
use crate::limits::{LimitsConfig, Rate};
use crate::session::notice::Notice;

/// Each test, over each transport.
macro_rules! on_every_transport {
    ($($test:ident)*) => { $(
        mod $test {
            use causeway_transport::Transport;

            #[tokio::test]
            async fn native() {
                super::$test(Transport::Native).await;
            }

            #[tokio::test]
            async fn webtransport() {
                super::$test(Transport::WebTransport).await;
            }

            #[tokio::test]
            async fn websocket() {
                super::$test(Transport::WebSocket).await;
            }
        }
    )* };
}

on_every_transport!(
    a_hello_opens_a_session
    whoever_does_not_say_who_they_are_is_refused
    broken_requests_are_refused_and_the_session_goes_on
    no_more_requests_are_served_at_a_time_than_there_may_be
    pushes_come_in_their_order
    what_a_client_has_missed_comes_once_and_in_order
    a_slow_reader_is_told_of_holes
    a_flood_is_refused_and_cut_off_and_others_are_served
    a_client_that_is_asked_to_go_is_served_until_it_does
    a_session_that_is_cut_off_is_told_why
    a_stop_waits_neither_for_a_hello_nor_for_the_refused
    a_client_that_says_good_bye_leaves_no_session
    events_need_no_answer
    events_come_whatever_they_are_carried_by
    the_application_is_told_each_state_and_its_cause
    connections_are_counted_by_their_state
);

/// An entry of the channel, with its frame.
fn entry(seq: u64, text_bytes: usize) -> (Seq, Bytes) {
    let mut entry = posted(seq);
    if let Some(client::entry::Kind::Posted(message)) = &mut entry.kind {
        message.text = "x".repeat(text_bytes);
    }
    let frame = client::ServerFrame {
        body: Some(server_frame::Body::Push(client::Push {
            topic: Some(GENERAL.to_wire()),
            position: 1,
            entry: Some(entry),
        })),
    };
    (Seq(seq), frame::encode(&frame))
}

/// The `seq` of the entry that comes next.
async fn next_seq(pushes: &mut Receiver<server_frame::Body>) -> u64 {
    match pushes.recv().await {
        Some(server_frame::Body::Push(push)) => push.entry.unwrap().seq,
        other => panic!("no entry: {other:?}"),
    }
}

fn send() -> request::Body {
    request::Body::SendMessage(client::SendMessage {
        channel: CHANNEL.0,
        client_msg_id: Bytes::from_static(b"id"),
        text: "hello".into(),
        thread_ts: 0,
    })
}

async fn a_hello_opens_a_session(transport: Transport) {
    let site = Site::serve().await;
    let (client, _) = site.let_in(transport).await;
    assert!(client.pings().await);
    let again = client.hello(&site.node.token).await;
    assert_eq!(code(&again), "invalid_arguments");
    assert!(client.pings().await);
}

async fn whoever_does_not_say_who_they_are_is_refused(transport: Transport) {
    let site = Site::serve().await;
    let stranger = site.connect(transport).await;
    assert_eq!(code(&stranger.ask(send()).await), "not_authed");
    for token in ["", "x", "a.b.c", &"y".repeat(10_000)] {
        let stranger = site.connect(transport).await;
        assert_eq!(code(&stranger.hello(token).await), "invalid_auth");
    }
    let too_large = vec![0; CLIENT_FRAME_BYTES_MAX + 1];
    for (bytes, code) in [(vec![0xff], "malformed"), (too_large, "too_large")] {
        let stranger = site.connect(transport).await;
        assert_eq!(stranger.is_refused(bytes).await.unwrap(), code);
    }
    assert_eq!(site.node.sessions.hubs.sessions(), 0);
}

async fn broken_requests_are_refused_and_the_session_goes_on(transport: Transport) {
    let site = Site::serve().await;
    let (client, _) = site.let_in(transport).await;
    let too_large = vec![0; CLIENT_FRAME_BYTES_MAX + 1];
    assert_eq!(client.is_refused(too_large).await.unwrap(), "too_large");
    assert_eq!(client.is_refused([0xff; 4]).await.unwrap(), "malformed");
    assert_eq!(client.is_refused([]).await.unwrap(), "unknown_method");
    assert!(client.pings().await);
}

async fn no_more_requests_are_served_at_a_time_than_there_may_be(transport: Transport) {
    let site = Site::serve().await;
    let (client, _) = site.let_in(transport).await;
    let most = REQUESTS_IN_FLIGHT_MAX as usize;
    let count = most + 40;
    let mut answers: FuturesUnordered<_> = (0..count).map(|_| client.ask(send())).collect();
    let mut reached = site.node.core.most_under_way.subscribe();
    tokio::select! {
        _ = answers.next() => panic!("nothing is answered yet"),
        reached = reached.wait_for(|reached| *reached == most) => assert!(reached.is_ok()),
    }
    let mut answered = 0;
    while answered < count {
        // Every answer makes room for another.
        site.node.core.permits.add_permits(1);
        let response = answers.next().await.unwrap();
        assert!(matches!(response.result, Some(response::Result::Sent(_))));
        answered += 1;
    }
    assert_eq!(*site.node.core.most_under_way.borrow(), most);
    assert!(client.pings().await);
}

async fn pushes_come_in_their_order(transport: Transport) {
    let site = Site::serve().await;
    let (client, session) = site.let_in(transport).await;
    let queue = &site.subscriber(session).queue;
    for seq in 1..=500 {
        assert_eq!(queue.push(GENERAL, &[entry(seq, 100)]), 1);
    }
    let mut pushes = client.pushes();
    for seq in 1..=500 {
        assert_eq!(next_seq(&mut pushes).await, seq);
    }
}

async fn what_a_client_has_missed_comes_once_and_in_order(transport: Transport) {
    const HAS: u64 = 4;
    let site = Site::serve().await;
    let client = site.connect(transport).await;
    let hello = client::Hello {
        token: site.node.token.clone(),
        cursors: vec![client::Cursor {
            topic: Some(GENERAL.to_wire()),
            seq: HAS,
        }],
        ..client::Hello::default()
    };
    let welcome = client.ask(request::Body::Hello(hello)).await;
    assert!(matches!(welcome.result, Some(response::Result::Welcome(_))));
    let session = site.node.sessions.hubs.ids()[0];
    // What the hub says of a topic in which more has happened.
    let behind = Notice::Behind {
        topic: GENERAL,
        head: Seq(LAST_SEQ),
    };
    let subscriber = site.subscriber(session);
    subscriber.notices.put(behind).unwrap();
    let mut pushes = client.pushes();
    for seq in HAS + 1..=LAST_SEQ {
        assert_eq!(next_seq(&mut pushes).await, seq);
    }
    // Then what is new.
    subscriber.queue.push(GENERAL, &[entry(LAST_SEQ + 1, 1)]);
    assert_eq!(next_seq(&mut pushes).await, LAST_SEQ + 1);
}

async fn a_slow_reader_is_told_of_holes(transport: Transport) {
    let site = Site::serve().await;
    let (client, session) = site.let_in(transport).await;
    let queue = &site.subscriber(session).queue;
    // Nobody reads: sooner or later there is no room.
    let mut last = 0;
    let mut dropped = 0;
    while dropped < 10 {
        last += 1;
        dropped += 1 - queue.push(GENERAL, &[entry(last, 16 * 1024)]);
        tokio::task::yield_now().await;
    }
    let mut pushes = client.pushes();
    let mut has = 0;
    let head = loop {
        match pushes.recv().await.unwrap() {
            server_frame::Body::Push(push) => {
                let seq = push.entry.unwrap().seq;
                assert!(seq > has, "{seq} after {has}");
                has = seq;
            }
            server_frame::Body::Missed(missed) => break missed.heads[0],
            other => panic!("neither an entry nor a hole: {other:?}"),
        }
    };
    assert_eq!(Topic::from_wire(head.topic.as_ref()), Some(GENERAL));
    assert_eq!(head.seq, last);
    // The session goes on all the same.
    assert!(client.pings().await);
    assert_eq!(queue.push(GENERAL, &[entry(last + 1, 1)]), 1);
    assert_eq!(next_seq(&mut pushes).await, last + 1);
}

async fn a_flood_is_refused_and_cut_off_and_others_are_served(transport: Transport) {
    let site = Site::limited(LimitsConfig {
        requests_per_connection: Rate::new(1, 10),
        ..LimitsConfig::default()
    })
    .await;
    let (flooding, _) = site.let_in(transport).await;
    let (calm, _) = site.let_in(transport).await;
    let mut taken = 0;
    while flooding.is_refused([]).await.unwrap() != "ratelimited" {
        taken += 1;
    }
    assert!(taken >= 10, "{taken}");
    assert!(calm.pings().await);
    while let Ok(code) = flooding.is_refused([]).await {
        assert!(
            ["ratelimited", "unknown_method"].contains(&code.as_str()),
            "{code}"
        );
    }
    flooding.is_closed_with(CloseCode::Flooding).await;
    assert!(calm.pings().await);
}

async fn a_client_that_is_asked_to_go_is_served_until_it_does(transport: Transport) {
    let site = Site::serve().await;
    let (client, session) = site.let_in(transport).await;
    let mut pushes = client.pushes();
    let elsewhere = ["gru".parse().unwrap()].into();
    let frame = drain::go_away(causeway_protocol::ErrorCode::Draining, &elsewhere);
    site.subscriber(session).queue.go_away(frame);
    let Some(server_frame::Body::GoAway(away)) = pushes.recv().await else {
        panic!("not asked to go");
    };
    assert_eq!(
        (away.code.as_str(), &away.pops[..]),
        ("draining", &["gru".to_owned()][..])
    );
    assert!(client.pings().await);
    site.stops_at_once().await;
    client.is_closed_with(CloseCode::GoingAway).await;
}

async fn a_session_that_is_cut_off_is_told_why(transport: Transport) {
    let site = Site::serve().await;
    let (client, session) = site.let_in(transport).await;
    site.subscriber(session).cut.cancel();
    client.is_closed_with(CloseCode::TooSlow).await;
}

async fn a_stop_waits_neither_for_a_hello_nor_for_the_refused(transport: Transport) {
    let site = Site::serve().await;
    let silent = site.connect(transport).await;
    let refused = site.connect(transport).await;
    assert_eq!(code(&refused.hello("x").await), "invalid_auth");
    site.stops_at_once().await;
    silent.is_closed_with(CloseCode::GoingAway).await;
    refused.is_closed_with(CloseCode::GoingAway).await;
}

async fn a_client_that_says_good_bye_leaves_no_session(transport: Transport) {
    let site = Site::serve().await;
    let (client, session) = site.let_in(transport).await;
    let subscriber = site.subscriber(session);
    client.0.close();
    // The session is over when nobody takes its notices any more.
    subscriber.notices.closed().await;
    client.0.closed().await;
}

async fn events_need_no_answer(transport: Transport) {
    let site = Site::serve().await;
    let (client, _) = site.let_in(transport).await;
    let typing = send_event::Kind::Typing(client::Typing::default());
    let event = client::Request {
        body: Some(request::Body::SendEvent(client::SendEvent {
            channel: CHANNEL.0,
            kind: Some(typing),
            good_for_ms: 0,
        })),
        ..client::Request::default()
    };
    assert!(client.0.send_event(event.encode_to_vec().into()).await);
    // It has come; only, no channel server is known here.
    let nowhere = &site.node.sessions.events.counters().nowhere;
    while nowhere.load(Ordering::Relaxed) == 0 {
        assert!(client.pings().await);
    }
    let no_event = Bytes::from_static(&[0xff]);
    assert!(client.0.send_event(no_event).await);
    let invalid = &site.node.sessions.events.counters().invalid;
    while invalid.load(Ordering::Relaxed) == 0 {
        assert!(client.pings().await);
    }
}

/// An event of the channel, with a payload of so many bytes.
fn event(payload_bytes: usize) -> client::Event {
    let custom = client::CustomEvent {
        name: "hand".into(),
        payload: vec![7; payload_bytes].into(),
    };
    client::Event {
        topic: Some(GENERAL.to_wire()),
        user: 1,
        kind: Some(client::event::Kind::Custom(custom)),
        good_for_ms: 60_000,
    }
}

async fn events_come_whatever_they_are_carried_by(transport: Transport) {
    let site = Site::serve().await;
    let (client, session) = site.let_in(transport).await;
    let mut pushes = client.pushes();
    let queue = &site.subscriber(session).queue;
    // The second is too long for a datagram.
    for payload_bytes in [3, 4_000] {
        let event = event(payload_bytes);
        let frame = frame::encode(&client::ServerFrame {
            body: Some(server_frame::Body::Event(event.clone())),
        });
        let until = Instant::now() + Duration::from_secs(60);
        assert!(queue.push_event(frame, until));
        let came = timeout(AT_ONCE, pushes.recv()).await.unwrap();
        assert_eq!(came, Some(server_frame::Body::Event(event)));
    }
}
