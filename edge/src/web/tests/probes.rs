//! What load balancers and Prometheus ask.

use axum::body::Body as HttpBody;
use axum::http::{Request, StatusCode};

use super::World;
use crate::limits::LimitsConfig;

async fn ask(world: &World, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(HttpBody::empty()).unwrap();
    let heard = world.send(request).await;
    (heard.status, String::from_utf8(heard.body).unwrap())
}

#[tokio::test]
async fn a_ready_node_says_so() {
    let world = World::answering([]);
    let ok = |text: &str| (StatusCode::OK, text.to_owned());
    assert_eq!(ask(&world, "/livez").await, ok("ok\n"));
    assert_eq!(ask(&world, "/readyz").await, ok("ready\n"));
    let metrics = ok("causeway_edge_sessions 3\n");
    assert_eq!(ask(&world, "/metrics").await, metrics);
}

#[tokio::test]
async fn a_node_that_is_not_ready_says_why_and_still_lives() {
    let world = World::with([], Some("no node is connected"), LimitsConfig::default());
    let text = "no node is connected\n".to_owned();
    let unready = (StatusCode::SERVICE_UNAVAILABLE, text);
    assert_eq!(ask(&world, "/readyz").await, unready);
    assert_eq!(ask(&world, "/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let world = World::answering([]);
    assert_eq!(ask(&world, "/").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&world, "/api").await.0, StatusCode::NOT_FOUND);
}
