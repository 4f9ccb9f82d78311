//! Users, and the caller.

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use serde_json::{Value, json};

use super::{World, me};

pub fn ada() -> client::User {
    client::User {
        id: me().0,
        name: "ada".into(),
        real_name: "Ada Lovelace".into(),
        deactivated: false,
        admin: true,
        profile: None,
    }
}

fn ada_json() -> Value {
    json!({
        "id": "U04000007", "team_id": "T00000001", "name": "ada",
        "real_name": "Ada Lovelace", "deleted": false, "is_admin": true, "is_owner": false,
        "is_primary_owner": false, "is_restricted": false, "is_ultra_restricted": false,
        "is_bot": false, "is_app_user": false,
        "profile": {
            "real_name": "Ada Lovelace", "real_name_normalized": "Ada Lovelace",
            "display_name": "ada", "display_name_normalized": "ada",
            "status_text": "", "status_emoji": "", "status_expiration": 0,
            "team": "T00000001",
        },
    })
}

#[tokio::test]
async fn auth_test_says_who_the_token_is() {
    let world = World::answering([Answer::Boot(client::BootData {
        self_: Some(ada()),
        workspace: Some(client::Workspace {
            id: 1,
            name: "acme".into(),
            home_region: "eu".into(),
        }),
        ..client::BootData::default()
    })]);
    let reply = world.call("auth.test", json!({})).await;
    let wanted = json!({
        "ok": true, "team": "acme", "user": "ada", "team_id": "T00000001",
        "user_id": "U04000007", "is_enterprise_install": false,
    });
    assert_eq!(reply, wanted);
    assert_eq!(world.asked(), [Body::Boot(client::Boot {})]);
}

#[tokio::test]
async fn users_come_page_by_page() {
    let world = World::answering([Answer::Users(client::UserPage {
        users: vec![ada()],
        next_cursor: "i1-7".into(),
    })]);
    let reply = world.get("users.list?limit=1&cursor=i1-3").await.json();
    let wanted = json!({
        "ok": true, "members": [ada_json()], "response_metadata": { "next_cursor": "i1-7" },
    });
    assert_eq!(reply, wanted);
    let wanted = Body::ListUsers(client::ListUsers {
        limit: 1,
        cursor: "i1-3".into(),
    });
    assert_eq!(world.asked(), [wanted]);
}

#[tokio::test]
async fn one_user_is_found_by_id() {
    let world = World::answering([Answer::User(ada())]);
    let reply = world.get("users.info?user=U04000007").await.json();
    assert_eq!(reply, json!({ "ok": true, "user": ada_json() }));
    let wanted = Body::GetUser(client::GetUser { user: me().0 });
    assert_eq!(world.asked(), [wanted]);
    assert_eq!(
        world.get("users.info?user=ada").await.error(),
        "user_not_found"
    );
    assert_eq!(world.get("users.info").await.error(), "invalid_arguments");
}
