//! Who may call.

use axum::body::Body as HttpBody;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use causeway_protocol::client::{self, response::Result as Answer};

use super::{FAR_S, Heard, World};

fn cells() -> World {
    World::answering([Answer::Users(client::UserPage::default())])
}

/// A call with this header instead of a good one.
async fn with_header(world: &World, header: &str) -> Heard {
    let request = Request::get("/api/users.list").header(AUTHORIZATION, header);
    world.send(request.body(HttpBody::empty()).unwrap()).await
}

async fn with_body(world: &World, path: &str, kind: &str, body: String) -> Heard {
    let request = Request::post(path).header(CONTENT_TYPE, kind);
    world.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_token_may_be_in_the_header_the_query_or_a_form() {
    for scheme in ["Bearer", "bearer", "Bearer "] {
        let world = cells();
        let header = format!("{scheme} {}", world.token(FAR_S));
        assert_eq!(with_header(&world, &header).await.json()["ok"], true);
    }
    let world = cells();
    let path = format!("/api/users.list?token={}", world.token(FAR_S));
    let request = Request::get(path).body(HttpBody::empty()).unwrap();
    assert_eq!(world.send(request).await.json()["ok"], true);
    let world = cells();
    let form = format!("token={}", world.token(FAR_S));
    let kind = "application/x-www-form-urlencoded";
    let heard = with_body(&world, "/api/users.list", kind, form).await;
    assert_eq!(heard.json()["ok"], true);
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test]
async fn without_a_token_nobody_is_asked() {
    let world = cells();
    for header in ["", "Bearer", "Bearer ", "Basic dTpw"] {
        assert_eq!(with_header(&world, header).await.error(), "not_authed");
    }
    let json = format!("{{\"token\":\"{}\"}}", world.token(FAR_S));
    let heard = with_body(&world, "/api/users.list", "application/json", json).await;
    assert_eq!(heard.error(), "not_authed");
    assert_eq!(world.asked(), []);
    assert_eq!(world.refusals.counts(), [("not_authed", 5)]);
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let (world, other) = (cells(), cells());
    let foreign = format!("Bearer {}", other.token(FAR_S));
    let long = format!("Bearer {}", "x".repeat(5_000));
    for header in ["Bearer xoxb-1", "Bearer a.b.c", "Bearer é", &foreign, &long] {
        assert_eq!(with_header(&world, header).await.error(), "invalid_auth");
    }
    let expired = format!("Bearer {}", world.token(1_000_000_000));
    assert_eq!(with_header(&world, &expired).await.error(), "token_expired");
    assert_eq!(world.asked(), []);
    let counts = world.refusals.counts();
    assert_eq!(counts, [("invalid_auth", 5), ("token_expired", 1)]);
}

#[tokio::test]
async fn a_wrong_header_is_not_made_good_by_a_field() {
    let world = cells();
    let path = format!("/api/users.list?token={}", world.token(FAR_S));
    let request = Request::get(path).header(AUTHORIZATION, "Bearer wrong");
    let heard = world.send(request.body(HttpBody::empty()).unwrap()).await;
    assert_eq!(heard.error(), "invalid_auth");
}

#[tokio::test]
async fn what_the_cells_think_of_the_user_is_passed_on() {
    let error = client::Error {
        code: "account_inactive".into(),
        ..client::Error::default()
    };
    let world = World::answering([Answer::Error(error)]);
    assert_eq!(world.get("auth.test").await.error(), "account_inactive");
}
