//! Single boots.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::client::{self, fact::Kind};
use causeway_protocol::{ErrorCode, Topic};

use super::town::{CELL, Town, channel, user, version};
use crate::flannel::Demand;

fn at(position: u64) -> Demand {
    Demand {
        position,
        ..Demand::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_boot_reads_and_the_next_is_served_from_here() {
    let (town, flannel) = Town::new(3, 2);
    let first = flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    assert_eq!(first.boot, town.model.lock().boot(user(1)));
    assert_eq!((first.position, first.age_ms, first.behind), (10, 7, false));
    assert_eq!(town.asks(), 2, "channels, and the shelf");
    let again = flannel.boot(user(1), CELL, at(10)).await.unwrap();
    assert_eq!(again, first);
    flannel
        .boot(user(2), CELL, Demand::default())
        .await
        .unwrap();
    assert_eq!(town.asks(), 3, "only the other's shelf");
    assert_eq!(town.alone.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_knows_more_is_served_by_a_reading_of_their_own() {
    let (town, flannel) = Town::new(3, 2);
    flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    let frozen = town.model.lock().clone();
    town.change(vec![], |model| model.position = 20);
    let asks = town.asks();
    let booted = flannel.boot(user(1), CELL, at(15)).await.unwrap();
    assert_eq!((booted.position, town.asks()), (20, asks + 1));
    // A replica that is behind: another is asked for this one user.
    *town.replica.lock() = Some(frozen);
    town.change(vec![], |model| model.position = 30);
    let booted = flannel.boot(user(1), CELL, at(25)).await.unwrap();
    assert_eq!((booted.position, booted.behind), (30, false));
    assert_eq!(town.alone.load(Ordering::Relaxed), 1);
    // What they were answered here counts as well.
    *town.seen.lock() = at(28);
    let booted = flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    assert_eq!(booted.position, 30);
}

#[tokio::test(start_paused = true)]
async fn a_write_and_a_version_that_are_known_to_be_in_it_need_no_second_reading() {
    let (town, flannel) = Town::new(3, 2);
    let knows = Demand {
        position: 0,
        wrote: version(1),
        version: version(1),
    };
    flannel.boot(user(1), CELL, knows.clone()).await.unwrap();
    let asks = town.asks();
    flannel.boot(user(1), CELL, knows.clone()).await.unwrap();
    assert_eq!(town.asks(), asks);
    let wrote = Demand {
        wrote: version(2),
        ..knows.clone()
    };
    let booted = flannel.boot(user(1), CELL, wrote).await.unwrap();
    assert_eq!(town.asks(), asks + 1);
    assert!(!booted.behind, "a replica that has it was found");
    assert_eq!(town.alone.load(Ordering::Relaxed), 1);
    // The feed has passed it on: it is in what is kept.
    town.change(vec![], |_| ());
    town.tell_all();
    let told = Demand {
        version: version(2),
        ..Demand::default()
    };
    flannel
        .boot(user(2), CELL, Demand::default())
        .await
        .unwrap();
    let asks = town.asks();
    flannel.boot(user(2), CELL, told).await.unwrap();
    assert_eq!(town.asks(), asks);
}

#[tokio::test(start_paused = true)]
async fn a_user_whom_nobody_knows_is_refused() {
    let (town, flannel) = Town::new(3, 2);
    *town.replica.lock() = Some(town.model.lock().clone());
    let id = user(4).0;
    let new = client::User {
        id,
        ..client::User::default()
    };
    town.change(vec![], |model| {
        model.users.insert(id, new);
    });
    let booted = flannel
        .boot(user(4), CELL, Demand::default())
        .await
        .unwrap();
    assert_eq!(
        booted.boot.self_.unwrap().id,
        id,
        "by one that has heard of them"
    );
}

#[tokio::test(start_paused = true)]
async fn while_no_replica_is_within_reach_what_is_here_is_served_with_its_age() {
    let (town, flannel) = Town::new(3, 2);
    flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    town.cut_off.store(true, Ordering::Relaxed);
    town.silent.store(true, Ordering::Relaxed);
    // Real time has not passed: the feed was heard of just now.
    let booted = flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    assert!(!booted.behind);
    let booted = flannel.boot(user(1), CELL, at(99)).await.unwrap();
    assert!(booted.behind, "it is less than the client knows");
    let refused = flannel.boot(user(2), CELL, Demand::default()).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(town.asks(), 2, "nobody is asked in vain");
    // Not noticed yet: it is asked for, and then served all the same.
    town.cut_off.store(false, Ordering::Relaxed);
    let booted = flannel.boot(user(1), CELL, at(99)).await.unwrap();
    assert!(booted.behind);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_answer_is_not_waited_for_long() {
    let (town, flannel) = Town::new(3, 2);
    flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    *town.takes.lock() = Duration::from_secs(60);
    let began = tokio::time::Instant::now();
    let booted = flannel.boot(user(1), CELL, at(11)).await.unwrap();
    assert!(booted.behind);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_private_channel_that_is_new_is_read_by_itself() {
    let (town, flannel) = Town::new(3, 2);
    flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    town.change(vec![], |model| {
        let id = channel(9).0;
        let private = client::Channel {
            id,
            name: "secret".into(),
            private: true,
            ..client::Channel::default()
        };
        model.channels.insert(id, private);
        model.members.insert(id, [user(2).0].into());
        model.position = 20;
    });
    let booted = flannel.boot(user(2), CELL, at(20)).await.unwrap();
    let names = booted.boot.channels.iter().map(|c| &*c.name);
    assert_eq!(names.collect::<Vec<_>>(), ["channel-1", "secret"]);
    let asks = town.asks();
    flannel.boot(user(2), CELL, at(20)).await.unwrap();
    assert_eq!(town.asks(), asks);
}

/// The feed has told of what the replica lacks.
#[tokio::test(start_paused = true)]
async fn nobody_is_said_to_have_more_than_they_were_given() {
    let (town, flannel) = Town::new(3, 2);
    *town.replica.lock() = Some(town.model.lock().clone());
    let preference = client::Preference {
        name: "theme".into(),
        value: "dark".into(),
    };
    let fact = (Topic::User(user(1)), Kind::Preference(preference));
    town.change(vec![fact], |_| ());
    town.tell_all();
    let booted = flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    assert!(booted.boot.preferences.is_empty());
    assert_eq!(booted.boot.metadata_version, version(1));
    assert_ne!(booted.boot.metadata_version, Bytes::new());
}
