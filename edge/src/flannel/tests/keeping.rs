//! Whatever changes while things are read, told late and read again: once all has been
//! told, what is kept is what the core has.

use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::client::entry::Kind as EntryKind;
use causeway_protocol::client::{self, Channel, Entry, User, fact::Kind};
use causeway_protocol::{ChannelId, Topic, UserId};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::town::{CELL, HOME, Town, channel, user};
use crate::flannel::cache::Part;
use crate::flannel::{Demand, Flannel};

const USERS: u32 = 5;
const CHANNELS: u32 = 4;

struct Story {
    seed: u64,
    rng: SmallRng,
    town: Arc<Town>,
    flannel: Flannel,
    /// Entries of the workspace's topic.
    entries: Vec<Entry>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let (town, flannel) = Town::new(USERS, CHANNELS);
        Self {
            seed,
            rng: SmallRng::seed_from_u64(seed),
            town,
            flannel,
            entries: Vec::new(),
        }
    }

    fn a_user(&mut self) -> UserId {
        user(self.rng.random_range(1..=USERS))
    }

    fn a_channel(&mut self) -> ChannelId {
        channel(self.rng.random_range(1..=CHANNELS))
    }

    fn change(&mut self) {
        let (who, place) = (self.a_user(), self.a_channel());
        let word = format!("w{}", self.rng.random_range(0..9));
        match self.rng.random_range(0..7) {
            0 => self.join(who, place),
            1 => self.leave(who, place),
            2 => self.rename(place, word),
            3 => self.status(who, word),
            4 => self.prefer(who, word),
            5 => self.read(who, place),
            _ => self.create(),
        }
    }

    fn join(&mut self, who: UserId, place: ChannelId) {
        let mut after = self.town.model.lock().clone();
        after.members.entry(place.0).or_default().insert(who.0);
        let joined = Town::joined(&after, who, place);
        let member = member(who, place, false);
        let facts = vec![(Topic::Channel(place), member), (Topic::User(who), joined)];
        self.town
            .change(facts, |model| model.members = after.members);
    }

    fn leave(&mut self, who: UserId, place: ChannelId) {
        let facts = vec![
            (Topic::Channel(place), member(who, place, true)),
            (Topic::User(who), Kind::Left(place.0)),
        ];
        self.town.change(facts, |model| {
            model.members.entry(place.0).or_default().remove(&who.0);
        });
    }

    fn rename(&mut self, place: ChannelId, name: String) {
        let known = self.town.model.lock().channels[&place.0].clone();
        let renamed = Channel { name, ..known };
        let fact = (Topic::Channel(place), Kind::Channel(renamed.clone()));
        self.town.change(vec![fact], |model| {
            model.channels.insert(place.0, renamed);
        });
    }

    fn status(&mut self, who: UserId, text: String) {
        let profile = client::Profile {
            user: who.0,
            fields: [("title".to_owned(), text)].into(),
            ..client::Profile::default()
        };
        let fact = (Topic::Workspace(HOME), Kind::Profile(profile.clone()));
        self.town.change(vec![fact], |model| {
            model.users.get_mut(&who.0).unwrap().profile = Some(profile);
        });
    }

    fn prefer(&mut self, who: UserId, name: String) {
        let value = self.rng.random_range(0..9).to_string();
        let preference = client::Preference {
            name: name.clone(),
            value: value.clone(),
        };
        let fact = (Topic::User(who), Kind::Preference(preference));
        self.town.change(vec![fact], |model| {
            model.preferences.insert((who.0, name), value);
        });
    }

    fn read(&mut self, who: UserId, place: ChannelId) {
        let model = self.town.model.lock().clone();
        let marked = model.read.get(&(who.0, place.0)).copied().unwrap_or(0);
        let seq = self
            .rng
            .random_range(marked..=model.channels[&place.0].last_seq);
        let cursor = client::ReadCursor {
            channel: place.0,
            seq,
        };
        let fact = (Topic::User(who), Kind::ReadCursor(cursor));
        self.town.change(vec![fact], |model| {
            model.read.insert((who.0, place.0), seq);
        });
    }

    /// A user or a channel is created: the log tells of it.
    fn create(&mut self) {
        let mut model = self.town.model.lock();
        let number = 10 + u32::try_from(model.workspace_seq).unwrap();
        model.workspace_seq += 1;
        model.position += 1;
        let kind = match self.rng.random() {
            true => {
                let new = User {
                    id: user(number).0,
                    name: format!("new-{number}"),
                    ..User::default()
                };
                model.users.insert(new.id, new.clone());
                EntryKind::UserAdded(new)
            }
            false => {
                let new = Channel {
                    id: channel(number).0,
                    name: format!("new-{number}"),
                    ..Channel::default()
                };
                model.channels.insert(new.id, new.clone());
                EntryKind::ChannelCreated(new)
            }
        };
        self.entries.push(Entry {
            seq: model.workspace_seq,
            kind: Some(kind),
            ..Entry::default()
        });
    }

    /// Some of what is on its way comes in.
    fn tell(&mut self, facts: usize, entries: usize) {
        self.town.tell(facts);
        let Some(held) = self.flannel.present(HOME) else {
            // Whoever begins reads what has been.
            return;
        };
        held.look(|cache| {
            // As a session is told: what comes after its cursor, once it has one.
            let Some(cursor) = cache.entries.last() else {
                return;
            };
            let next = self.entries.iter().filter(|entry| entry.seq > cursor.0);
            let next: Vec<_> = next.take(entries).cloned().collect();
            next.into_iter().for_each(|entry| cache.entry(entry));
        });
    }

    fn begin_reading(&mut self) {
        let (flannel, who) = (self.flannel.clone(), self.a_user());
        let part = match self.rng.random_range(0..4) {
            0 => Some(Part::Users),
            1 => Some(Part::Channels),
            2 => Some(Part::Members(self.a_channel())),
            _ => None,
        };
        tokio::spawn(async move {
            let Some(part) = part else {
                // What is read on the way may be behind; the end is what counts.
                let _ = flannel.boot(who, CELL, Demand::default()).await;
                return;
            };
            let held = flannel.hold(HOME, CELL);
            let _ = flannel.ensure(&held, part).await;
        });
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..5) {
            0 | 1 => self.change(),
            2 => self.begin_reading(),
            3 => {
                let (facts, entries) = (self.rng.random_range(0..4), self.rng.random_range(0..4));
                self.tell(facts, entries);
            }
            _ => {
                let ms = self.rng.random_range(0..40);
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
        }
    }

    async fn is_the_same_in_the_end(mut self) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.tell(usize::MAX, usize::MAX);
        // Where somebody has left, it is counted again.
        let _ = self.flannel.boot(user(1), CELL, Demand::default()).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (seed, model) = (self.seed, self.town.model.lock().clone());
        for number in 1..=USERS {
            let booted = self.flannel.boot(user(number), CELL, Demand::default());
            let booted = booted.await.unwrap();
            assert_eq!(booted.boot, model.boot(user(number)), "seed {seed}");
        }
        let held = self.flannel.present(HOME).unwrap();
        held.look(|cache| {
            if let Some(users) = cache.users() {
                for (id, user) in &model.users {
                    assert_eq!(users.get(*id), Some(user), "seed {seed}");
                }
                assert_eq!(users.len(), model.users.len(), "seed {seed}");
            }
            for place in (1..=CHANNELS).map(channel) {
                let kept = cache.members(place);
                assert!(
                    kept.is_none_or(|kept| *kept == model.members[&place.0]),
                    "seed {seed}"
                );
            }
        });
    }
}

fn member(user: UserId, channel: ChannelId, left: bool) -> Kind {
    Kind::Member(client::MemberFact {
        channel: channel.0,
        user: user.0,
        left,
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_becomes_what_the_core_has() {
    for seed in 0..300 {
        let mut story = Story::new(seed);
        for _ in 0..60 {
            story.step().await;
        }
        story.is_the_same_in_the_end().await;
    }
}
