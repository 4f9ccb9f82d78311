//! Many boots at once, and little room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;

use super::town::{CELL, Town, user};
use crate::flannel::{Demand, FlannelConfig};

#[tokio::test(start_paused = true)]
async fn what_the_core_is_asked_does_not_grow_with_those_who_boot() {
    let mut asked = Vec::new();
    for clients in [100, 2_000] {
        let (town, flannel) = Town::new(2_000, 50);
        let boots = (1..=clients).map(|number| {
            let (flannel, town) = (flannel.clone(), Arc::clone(&town));
            tokio::spawn(async move {
                let booted = flannel.boot(user(number), CELL, Demand::default()).await;
                assert_eq!(booted.unwrap().boot, town.model.lock().boot(user(number)));
            })
        });
        for booted in join_all(boots).await {
            booted.unwrap();
        }
        asked.push(town.asks());
        assert_eq!(town.alone.load(Ordering::Relaxed), 0);
    }
    assert!(asked.iter().all(|asks| *asks <= 3), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_one_after_another_in_a_crowd_is_read_with_others() {
    let (town, flannel) = Town::new(1_000, 50);
    *town.takes.lock() = Duration::from_millis(8);
    let boots = (1..=1_000).map(|number| {
        let flannel = flannel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(number.into())).await;
            let booted = flannel.boot(user(number), CELL, Demand::default()).await;
            booted.map(|_| ())
        })
    });
    for booted in join_all(boots).await {
        booted.unwrap().unwrap();
    }
    // Channels, the first few, and then ten times in that second.
    assert!(town.asks() <= 14, "{}", town.asks());
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_what_had_to_go_is_read_again() {
    let config = FlannelConfig {
        memory_bytes: 60_000,
        ..FlannelConfig::default()
    };
    let (town, flannel) = Town::with(300, 20, config);
    for number in 1..=300 {
        flannel
            .boot(user(number), CELL, Demand::default())
            .await
            .unwrap();
        assert!(flannel.size().1 <= config.memory_bytes);
    }
    assert!(flannel.counters().evicted.load(Ordering::Relaxed) > 100);
    let asks = town.asks();
    flannel
        .boot(user(300), CELL, Demand::default())
        .await
        .unwrap();
    assert_eq!(town.asks(), asks, "used last");
    flannel
        .boot(user(1), CELL, Demand::default())
        .await
        .unwrap();
    assert!(town.asks() > asks);
    flannel.give_up(super::town::HOME);
    assert_eq!(flannel.size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_let_in_one_after_the_other() {
    let config = FlannelConfig {
        boots_per_s: 100,
        ..FlannelConfig::default()
    };
    let (_, flannel) = Town::with(1, 1, config);
    let began = tokio::time::Instant::now();
    let admitted = join_all((0..400).map(|_| flannel.admit())).await;
    assert!(admitted.iter().all(Result::is_ok));
    assert!(began.elapsed().as_secs_f64() > 3.5, "{:?}", began.elapsed());
    let refused = join_all((0..1_000).map(|_| flannel.admit())).await;
    let refused = refused.into_iter().filter_map(Result::err);
    assert!(
        refused
            .map(|error| error.retry_after_ms)
            .all(|ms| ms > 1_000)
    );
}
