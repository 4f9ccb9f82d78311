//! Queries.

use std::sync::atomic::Ordering;

use causeway_protocol::ErrorCode;
use causeway_protocol::client::{self, request::Body, response::Result as Answer};

use super::town::{CELL, Town, channel, user};
use crate::flannel::Flannel;

async fn ask(flannel: &Flannel, who: u32, body: Body) -> Result<Answer, ErrorCode> {
    let answer = flannel.query(user(who), CELL, &body).await;
    answer.map(|r| r.result.unwrap()).map_err(|e| e.code)
}

fn names(answer: Result<Answer, ErrorCode>) -> (Vec<String>, String) {
    match answer {
        Ok(Answer::Users(page)) => (
            page.users.into_iter().map(|user| user.name).collect(),
            page.next_cursor,
        ),
        Ok(Answer::Channels(page)) => (
            page.channels.into_iter().map(|c| c.name).collect(),
            page.next_cursor,
        ),
        Ok(Answer::EmojiPage(page)) => (
            page.emoji.into_iter().map(|emoji| emoji.name).collect(),
            page.next_cursor,
        ),
        other => panic!("{other:?}"),
    }
}

fn find_users(prefix: &str, limit: u32, cursor: &str) -> Body {
    Body::FindUsers(client::FindUsers {
        prefix: prefix.into(),
        limit,
        cursor: cursor.into(),
    })
}

fn find_channels(prefix: &str, limit: u32, cursor: &str) -> Body {
    Body::FindChannels(client::FindChannels {
        prefix: prefix.into(),
        limit,
        cursor: cursor.into(),
    })
}

fn find_members(number: u32, limit: u32, cursor: &str) -> Body {
    Body::FindMembers(client::FindMembers {
        channel: channel(number).0,
        limit,
        cursor: cursor.into(),
    })
}

fn complete(number: u32, prefix: &str) -> Body {
    Body::CompleteMention(client::CompleteMention {
        channel: channel(number).0,
        prefix: prefix.into(),
        limit: 3,
    })
}

#[tokio::test(start_paused = true)]
async fn users_are_found_by_id_and_by_prefix_page_by_page() {
    let (town, flannel) = Town::new(12, 2);
    let get = |users: Vec<u64>| {
        let cursor = String::new();
        Body::GetUsers(client::GetUsers { users, cursor })
    };
    let ids = vec![user(3).0, 7, user(1).0];
    let found = names(ask(&flannel, 1, get(ids)).await).0;
    assert_eq!(
        found,
        ["user-3", "user-1"],
        "as asked; strangers are left out"
    );
    let asks = town.asks();
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (page, next) = names(ask(&flannel, 1, find_users("USER-1", 2, &cursor)).await);
        assert!(page.len() <= 2);
        all.extend(page);
        if next.is_empty() {
            break;
        }
        cursor = next;
    }
    assert_eq!(all, ["user-1", "user-10", "user-11", "user-12"]);
    assert_eq!(town.asks(), asks, "all of that from here");
}

#[tokio::test(start_paused = true)]
async fn private_channels_are_found_by_their_members_alone() {
    let (town, flannel) = Town::new(4, 3);
    {
        let mut model = town.model.lock();
        model.channels.get_mut(&channel(2).0).unwrap().private = true;
        model.members.insert(channel(2).0, [user(1).0].into());
    }
    let (own, next) = names(ask(&flannel, 1, find_channels("chan", 2, "")).await);
    assert_eq!(own, ["channel-1", "channel-2"]);
    let rest = names(ask(&flannel, 1, find_channels("chan", 2, &next)).await);
    assert_eq!(rest, (vec!["channel-3".to_owned()], String::new()));
    let others = names(ask(&flannel, 2, find_channels("chan", 9, "")).await).0;
    assert_eq!(others, ["channel-1", "channel-3"]);
    assert_eq!(
        names(ask(&flannel, 1, find_members(2, 9, "")).await).0,
        ["user-1"]
    );
    let hidden = Err(ErrorCode::ChannelNotFound);
    assert_eq!(ask(&flannel, 2, find_members(2, 9, "")).await, hidden);
    assert_eq!(ask(&flannel, 2, complete(2, "user")).await, hidden);
    assert_eq!(ask(&flannel, 2, find_members(77, 9, "")).await, hidden);
}

#[tokio::test(start_paused = true)]
async fn members_come_in_pages_and_first_where_somebody_is_mentioned() {
    let (town, flannel) = Town::new(6, 2);
    let members = [user(5).0, user(6).0].into();
    town.model.lock().members.insert(channel(2).0, members);
    let (page, next) = names(ask(&flannel, 1, find_members(1, 4, "")).await);
    assert_eq!(page, ["user-1", "user-2", "user-3", "user-4"]);
    let rest = names(ask(&flannel, 1, find_members(1, 4, &next)).await);
    assert_eq!(
        rest,
        (
            vec!["user-5".to_owned(), "user-6".to_owned()],
            String::new()
        )
    );
    let mentioned = names(ask(&flannel, 1, complete(2, "user")).await).0;
    assert_eq!(mentioned, ["user-5", "user-6", "user-1"]);
    let anywhere = Body::CompleteMention(client::CompleteMention {
        prefix: "6".into(),
        ..client::CompleteMention::default()
    });
    assert_eq!(names(ask(&flannel, 1, anywhere).await).0, ["user-6"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_refused() {
    let (_, flannel) = Town::new(2, 2);
    let invalid = Err(ErrorCode::InvalidArguments);
    let many = Body::GetUsers(client::GetUsers {
        users: vec![1; 501],
        cursor: String::new(),
    });
    assert_eq!(ask(&flannel, 1, many).await, invalid);
    assert_eq!(ask(&flannel, 1, find_users("", 1_001, "")).await, invalid);
    assert_eq!(
        ask(&flannel, 1, find_users(&"x".repeat(81), 1, "")).await,
        invalid
    );
    let cursor = Err(ErrorCode::InvalidCursor);
    assert_eq!(ask(&flannel, 1, find_users("", 1, "i1-1")).await, cursor);
    assert_eq!(ask(&flannel, 1, find_channels("", 1, "m1-1")).await, cursor);
    assert_eq!(
        ask(&flannel, 1, find_members(1, 1, "w1-1-00")).await,
        cursor
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_replica_within_reach_queries_are_answered_as_far_as_can_be() {
    let (town, flannel) = Town::new(4, 2);
    ask(&flannel, 1, find_users("user", 9, "")).await.unwrap();
    ask(&flannel, 1, find_channels("chan", 9, ""))
        .await
        .unwrap();
    town.cut_off.store(true, Ordering::Relaxed);
    town.silent.store(true, Ordering::Relaxed);
    assert_eq!(
        names(ask(&flannel, 2, find_users("user", 9, "")).await)
            .0
            .len(),
        4
    );
    assert_eq!(
        names(ask(&flannel, 1, find_channels("chan", 9, "")).await)
            .0
            .len(),
        2
    );
    let unavailable = Err(ErrorCode::Unavailable);
    assert_eq!(
        ask(&flannel, 2, find_channels("chan", 9, "")).await,
        unavailable
    );
    assert_eq!(ask(&flannel, 1, find_members(1, 9, "")).await, unavailable);
}
