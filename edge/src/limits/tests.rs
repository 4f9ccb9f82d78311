//! Hellos and requests over their limits, in virtual time.

use causeway_protocol::client::{ListUsers, Ping, SendMessage, WatchPresence};
use tokio::time::advance;

use super::*;

fn limits() -> Limits {
    Limits::new(LimitsConfig {
        sessions_per_user: 2,
        hellos_per_user: Rate::new(1, 4),
        requests_per_connection: Rate::new(10, 20),
        requests_per_user: Rate::new(20, 30),
        requests_per_workspace: Rate::new(30, 40),
        ..LimitsConfig::default()
    })
}

fn user(workspace: u32, number: u32) -> UserId {
    UserId::new(WorkspaceId(workspace), number)
}

fn send() -> Body {
    Body::SendMessage(SendMessage::default())
}

impl Limits {
    /// Asks in a session until it is refused: how often that went well.
    fn flood(&self, quota: &Quota, user: UserId, body: &Body) -> (usize, Refused) {
        let mut taken = 0;
        loop {
            match self.request(quota, user, Some(body)) {
                Ok(()) => taken += 1,
                Err(refused) => return (taken, refused),
            }
        }
    }

    /// The same in a new session.
    fn flood_anew(&self, user: UserId, body: &Body) -> (usize, Refused) {
        self.flood(&self.hello(user).unwrap(), user, body)
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_its_burst_and_is_told_when_to_come_back() {
    let limits = limits();
    let quota = limits.hello(user(1, 1)).unwrap();
    let (taken, refused) = limits.flood(&quota, user(1, 1), &send());
    assert_eq!(taken, 20);
    assert_eq!(refused.error.code, ErrorCode::Ratelimited);
    assert_eq!(refused.error.retry_after_ms, 100);
    assert!(!refused.flooding);
    assert_eq!(limits.counters().limited(Limit::Connection), 1);
    advance(Duration::from_millis(100)).await;
    assert_eq!(limits.flood(&quota, user(1, 1), &send()).0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_user_is_limited_over_all_connections_and_others_are_not() {
    let limits = limits();
    assert_eq!(limits.flood_anew(user(1, 1), &send()).0, 20);
    let (taken, refused) = limits.flood_anew(user(1, 1), &send());
    assert_eq!((taken, refused.error.retry_after_ms), (10, 50));
    assert_eq!(limits.counters().limited(Limit::User), 1);
    assert_eq!(limits.flood_anew(user(2, 1), &send()).0, 20);
}

#[tokio::test(start_paused = true)]
async fn a_workspace_is_limited_over_all_users_and_others_are_not() {
    let limits = limits();
    limits.flood_anew(user(1, 1), &send());
    assert_eq!(limits.flood_anew(user(1, 2), &send()).0, 20);
    assert_eq!(limits.flood_anew(user(1, 3), &send()).0, 0);
    assert_eq!(limits.counters().limited(Limit::Workspace), 1);
    assert_eq!(limits.flood_anew(user(2, 3), &send()).0, 20);
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_cheap_and_a_page_and_many_users_are_dear() {
    let limits = limits();
    let ping = Body::Ping(Ping {});
    assert_eq!(limits.flood_anew(user(1, 1), &ping).0, 200);
    let page = Body::ListUsers(ListUsers::default());
    assert_eq!(limits.flood_anew(user(2, 1), &page).0, 10);
    let watching = |users| {
        Body::WatchPresence(WatchPresence {
            users: vec![1; users],
        })
    };
    assert_eq!(limits.flood_anew(user(3, 1), &watching(49)).0, 20);
    assert_eq!(limits.flood_anew(user(4, 1), &watching(150)).0, 5);
    let too_many = watching(50_000);
    let quota = limits.hello(user(5, 1)).unwrap();
    assert_eq!(
        limits.flood(&quota, user(5, 1), &too_many).0,
        1,
        "it is refused later"
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_stop_is_cut_off_once() {
    let limits = limits();
    let quota = limits.hello(user(1, 1)).unwrap();
    let refusals = (0..10_000).map(|_| limits.flood(&quota, user(1, 1), &send()).1);
    let flooding: Vec<bool> = refusals.map(|refused| refused.flooding).collect();
    assert_eq!(flooding.iter().filter(|flooding| **flooding).count(), 1);
    assert!(flooding[5_000], "after five thousand refusals");
    assert_eq!(limits.counters().flooding.load(Ordering::Relaxed), 1);
    assert!(quota.has_flooded());
    let patient = limits.hello(user(2, 1)).unwrap();
    for _ in 0..10_000 {
        let (_, refused) = limits.flood(&patient, user(2, 1), &send());
        assert!(!refused.flooding);
        advance(Duration::from_millis(refused.error.retry_after_ms.into())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_says_hello_so_often_and_has_so_many_sessions() {
    let limits = limits();
    let first = limits.hello(user(1, 1)).unwrap();
    let _second = limits.hello(user(1, 1)).unwrap();
    let refused = limits.hello(user(1, 1)).unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after_ms),
        (ErrorCode::Ratelimited, 5_000)
    );
    drop(first);
    let _third = limits.hello(user(1, 1)).unwrap();
    let refused = limits.hello(user(1, 1)).unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after_ms),
        (ErrorCode::Ratelimited, 1_000)
    );
    assert!(limits.hello(user(1, 2)).is_ok());
    let counters = limits.counters();
    assert_eq!(counters.limited(Limit::Sessions), 1);
    assert_eq!(counters.limited(Limit::Hellos), 1);
}
