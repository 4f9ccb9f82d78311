//! Who asks too much is refused, and nobody else notices.

use std::sync::Arc;

use causeway_protocol::client::{self, request, response};
use causeway_protocol::frame;
use quinn::{Connection, ConnectionError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::raw::{ask, code, let_in, try_to_connect, try_to_send_raw};
use crate::web_api::number;
use crate::world::{PATIENCE, Running, Site};

/// Connections that an edge node of this world takes.
const CONNECTIONS: usize = 40;
/// Of the flood, before somebody else asks once more.
const REFUSALS: u32 = 100;

/// Small limits, by the environment of every node; core nodes have none.
const LIMITS: &[(&str, &str)] = &[
    ("CAUSEWAY_LIMITS_CONNECTIONS", "40"),
    (
        "CAUSEWAY_LIMITS_REQUESTS_PER_CONNECTION",
        "{ per_s = 50, burst = 100 }",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_refused_and_others_are_served() {
    let site = Site::new();
    let world = site.start_with(&[], LIMITS);
    one_who_does_not_stop(&world).await;
    more_than_there_is_room_for(&world).await;
}

fn list() -> request::Body {
    request::Body::ListUsers(client::ListUsers::default())
}

async fn one_who_does_not_stop(world: &Running) {
    let (flooding, _) = let_in(world, "nyc-1", "harbor").await;
    let (calm, _) = let_in(world, "nyc-1", "harbor").await;
    let refusals = Arc::new(Semaphore::new(0));
    let flood = tokio::spawn(flood(flooding.clone(), Arc::clone(&refusals)));
    // In the midst of it, again and again, as often as one may.
    for _ in 0..40 {
        let more = timeout(PATIENCE, refusals.acquire_many(REFUSALS)).await;
        more.expect("it goes on").expect("it is open").forget();
        let answer = timeout(PATIENCE, ask(&calm, list())).await;
        let answer = answer.expect("in time");
        assert!(
            matches!(answer.result, Some(response::Result::Users(_))),
            "{answer:?}"
        );
    }
    let refused = flood.await.expect("no panic");
    assert!(refused > 1_000, "{refused}");
    let ConnectionError::ApplicationClosed(closed) = flooding.closed().await else {
        panic!("not closed by the edge node");
    };
    assert_eq!(closed.error_code.into_inner(), 5);
    assert!(
        number(
            world,
            "nyc-1",
            "causeway_edge_limited_total{limit=\"connection\"}"
        )
        .await
            >= refused
    );
    assert_eq!(
        number(world, "nyc-1", "causeway_edge_flooding_total").await,
        1
    );
}

/// Asks as often as it can until it is cut off, and tells how often it was refused.
async fn flood(connection: Connection, refusals: Arc<Semaphore>) -> u64 {
    let asking = (0..64).map(|_| {
        let (connection, refusals) = (connection.clone(), Arc::clone(&refusals));
        tokio::spawn(async move {
            let mut refused = 0;
            while let Some(response) = try_to_list(&connection).await {
                if let Some(response::Result::Error(error)) = &response.result {
                    assert_eq!(code(&response), "ratelimited");
                    assert!(error.retryable && error.retry_after_ms > 0, "{error:?}");
                    refused += 1;
                    refusals.add_permits(1);
                }
            }
            refused
        })
    });
    let mut refused = 0;
    for asking in asking.collect::<Vec<_>>() {
        refused += asking.await.expect("no panic");
    }
    refused
}

async fn try_to_list(connection: &Connection) -> Option<client::Response> {
    let request = client::Request {
        body: Some(list()),
        ..client::Request::default()
    };
    try_to_send_raw(connection, &frame::encode(&request)).await
}

async fn more_than_there_is_room_for(world: &Running) {
    let (first, _) = let_in(world, "nyc-1", "harbor").await;
    let mut there = Vec::new();
    let mut refused = 0;
    while refused < 10 {
        match try_to_connect(world, "nyc-1").await {
            Ok(connection) => there.push(connection),
            Err(ConnectionError::ConnectionClosed(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(there.len() < CONNECTIONS, "all are let in");
    }
    assert!(there.len() + 5 > CONNECTIONS, "{}", there.len());
    let pong = ask(&first, request::Body::Ping(client::Ping {})).await;
    assert!(matches!(pong.result, Some(response::Result::Pong(_))));
    assert!(
        number(
            world,
            "nyc-1",
            "causeway_edge_turned_away_total{reason=\"connections\"}"
        )
        .await
            >= 10
    );
}
