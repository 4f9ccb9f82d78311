//! Who is online, as far as sessions of this edge node watch. A state machine over
//! inputs and `now`.
//!
//! Whoever comes is told of soon. Whoever goes is told of after a while, since most come
//! back at once: on another path, at another PoP, or because it was the channel server
//! that had forgotten them. What has changed is gathered, so that a session is told of
//! many users in one frame, and of all sessions only so many at a time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use causeway_protocol::UserId;

use crate::hub::machine::SessionId;

/// Whoever has been away for so long is gone.
pub const GONE_AFTER: Duration = Duration::from_secs(3);
/// Sessions that are told at a time.
const TELL_MAX: usize = 4_000;

/// A user, and whether they are online.
pub type Shown = (UserId, bool);

/// What follows from a session watching others than before.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Watching {
    /// Nobody had watched these.
    pub begun: Vec<UserId>,
    /// Nobody watches these any more.
    pub ended: Vec<UserId>,
    /// How those are of whom it is known.
    pub known: Vec<Shown>,
}

#[derive(Debug, Default)]
struct User {
    /// `None` until it is known.
    shown: Option<bool>,
    /// Said to be offline since, and shown as online yet.
    leaving: Option<Instant>,
    watchers: BTreeSet<SessionId>,
}

#[derive(Debug, Default)]
struct Watcher {
    users: BTreeSet<UserId>,
    /// Of whom it is yet to be told.
    changed: BTreeSet<UserId>,
    /// Its turn to be told comes.
    waits: bool,
}

/// Users that are watched, and by whom.
#[derive(Debug, Default)]
pub struct Presence {
    users: HashMap<UserId, User>,
    sessions: HashMap<SessionId, Watcher>,
    leaving: BTreeSet<(Instant, UserId)>,
    /// Sessions that are to be told something, the first to hear of it first.
    waiting: VecDeque<SessionId>,
}

impl Presence {
    /// A session watches these users, and no others any more.
    pub fn watch(&mut self, session: SessionId, users: BTreeSet<UserId>) -> Watching {
        let mut watching = Watching::default();
        for user in &users {
            let watched = self.users.entry(*user).or_default();
            if watched.watchers.is_empty() {
                watching.begun.push(*user);
            }
            watched.watchers.insert(session);
            watching
                .known
                .extend(watched.shown.map(|shown| (*user, shown)));
        }
        let watcher = self.sessions.entry(session).or_default();
        // The answer tells of all changes.
        watcher.changed.clear();
        let before = std::mem::replace(&mut watcher.users, users);
        let ended = before.difference(&watcher.users).copied();
        let ended: Vec<UserId> = ended.collect();
        watching.ended = self.unwatch(session, ended);
        watching
    }

    /// A session is over. Returns the users that nobody watches any more.
    pub fn end(&mut self, session: SessionId) -> Vec<UserId> {
        let watcher = self.sessions.remove(&session).unwrap_or_default();
        self.unwatch(session, watcher.users)
    }

    fn unwatch(
        &mut self,
        session: SessionId,
        users: impl IntoIterator<Item = UserId>,
    ) -> Vec<UserId> {
        let mut ended = Vec::new();
        for user in users {
            let Some(watched) = self.users.get_mut(&user) else {
                continue;
            };
            watched.watchers.remove(&session);
            if watched.watchers.is_empty() {
                stay(&mut self.leaving, watched.leaving, user);
                self.users.remove(&user);
                ended.push(user);
            }
        }
        ended
    }

    /// A channel server says how a user is.
    pub fn heard(&mut self, user: UserId, online: bool, now: Instant) {
        let Some(watched) = self.users.get_mut(&user) else {
            return;
        };
        match (watched.shown, online) {
            (Some(true), false) if watched.leaving.is_none() => {
                watched.leaving = Some(now);
                self.leaving.insert((now, user));
            }
            (Some(true), true) => stay(&mut self.leaving, watched.leaving.take(), user),
            (Some(_), false) => {}
            (None, _) | (Some(false), true) => self.show(user, online),
        }
    }

    /// Whom to tell of what, at `now`.
    pub fn due(&mut self, now: Instant) -> Vec<(SessionId, Vec<Shown>)> {
        while let Some((since, user)) = self.leaving.first().copied() {
            if now.duration_since(since) < GONE_AFTER {
                break;
            }
            self.leaving.pop_first();
            self.show(user, false);
        }
        let count = self.waiting.len().min(TELL_MAX);
        let waiting: Vec<SessionId> = self.waiting.drain(..count).collect();
        let told = waiting.into_iter().filter_map(|session| {
            let watcher = self.sessions.get_mut(&session)?;
            watcher.waits = false;
            let changed = std::mem::take(&mut watcher.changed).into_iter();
            let shown = changed.filter_map(|user| Some((user, self.users.get(&user)?.shown?)));
            let shown: Vec<Shown> = shown.collect();
            (!shown.is_empty()).then_some((session, shown))
        });
        told.collect()
    }

    /// A session had no room for what it was to be told: it is told later, of how they
    /// are then.
    pub fn untold(&mut self, session: SessionId, shown: &[Shown]) {
        let Some(watcher) = self.sessions.get_mut(&session) else {
            return;
        };
        let watched = shown.iter().map(|(user, _)| *user);
        watcher
            .changed
            .extend(watched.filter(|user| watcher.users.contains(user)));
        if !std::mem::replace(&mut watcher.waits, true) {
            self.waiting.push_back(session);
        }
    }

    /// How a user is who is watched, if it is known.
    pub fn shown(&self, user: UserId) -> Option<bool> {
        self.users.get(&user)?.shown
    }

    /// How many users are watched.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    fn show(&mut self, user: UserId, online: bool) {
        let Some(watched) = self.users.get_mut(&user) else {
            return;
        };
        watched.shown = Some(online);
        watched.leaving = None;
        for session in &watched.watchers {
            let Some(watcher) = self.sessions.get_mut(session) else {
                continue;
            };
            watcher.changed.insert(user);
            if !std::mem::replace(&mut watcher.waits, true) {
                self.waiting.push_back(*session);
            }
        }
    }
}

/// Whoever was leaving since then is not.
fn stay(leaving: &mut BTreeSet<(Instant, UserId)>, since: Option<Instant>, user: UserId) {
    if let Some(since) = since {
        leaving.remove(&(since, user));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use causeway_protocol::WorkspaceId;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const ANN: SessionId = SessionId(1);
    const BEN: SessionId = SessionId(2);

    fn user(n: u32) -> UserId {
        UserId::new(WorkspaceId(1), n)
    }

    fn users(of: impl IntoIterator<Item = u32>) -> BTreeSet<UserId> {
        of.into_iter().map(user).collect()
    }

    /// Ann watches users 1 and 2, of whom 1 is online.
    fn watched(now: Instant) -> Presence {
        let mut presence = Presence::default();
        let watching = presence.watch(ANN, users([1, 2]));
        assert_eq!(watching.begun, [user(1), user(2)]);
        assert_eq!(watching.known, []);
        presence.heard(user(1), true, now);
        presence.heard(user(2), false, now);
        let told = [(ANN, vec![(user(1), true), (user(2), false)])];
        assert_eq!(presence.due(now), told);
        presence
    }

    #[test]
    fn who_comes_is_told_at_once_and_who_goes_after_a_while() {
        let start = Instant::now();
        let mut presence = watched(start);
        presence.heard(user(2), true, start);
        assert_eq!(presence.due(start), [(ANN, vec![(user(2), true)])]);
        presence.heard(user(1), false, start);
        let almost = start + GONE_AFTER - Duration::from_millis(1);
        assert_eq!(presence.due(almost), []);
        presence.heard(user(1), false, almost);
        let gone = [(ANN, vec![(user(1), false)])];
        assert_eq!(
            presence.due(start + GONE_AFTER),
            gone,
            "since the first word"
        );
        assert_eq!(presence.due(start + GONE_AFTER * 2), []);
    }

    #[test]
    fn who_comes_back_soon_has_never_been_away() {
        let start = Instant::now();
        let mut presence = watched(start);
        presence.heard(user(1), false, start);
        presence.heard(user(1), true, start + GONE_AFTER / 2);
        assert_eq!(presence.due(start + GONE_AFTER * 2), []);
    }

    #[test]
    fn only_watchers_are_told_and_what_is_known_is_in_the_answer() {
        let now = Instant::now();
        let mut presence = watched(now);
        let watching = presence.watch(BEN, users([1, 3]));
        assert_eq!(watching.begun, [user(3)]);
        assert_eq!(watching.known, [(user(1), true)]);
        presence.heard(user(2), true, now);
        presence.heard(user(3), true, now);
        let told = [(ANN, vec![(user(2), true)]), (BEN, vec![(user(3), true)])];
        assert_eq!(presence.due(now), told);
        let watching = presence.watch(ANN, users([]));
        assert_eq!(watching.ended, [user(2)]);
        assert_eq!(presence.end(BEN), [user(1), user(3)]);
        assert_eq!(presence.users(), 0);
        presence.heard(user(1), false, now);
        assert_eq!(presence.due(now + GONE_AFTER), [], "nobody watches");
    }

    #[test]
    fn what_has_changed_before_the_answer_is_told_by_it_alone() {
        let now = Instant::now();
        let mut presence = watched(now);
        presence.heard(user(2), true, now);
        let watching = presence.watch(ANN, users([1, 2]));
        assert_eq!(watching.known, [(user(1), true), (user(2), true)]);
        assert_eq!(presence.due(now), []);
    }

    #[test]
    fn what_found_no_room_is_told_later() {
        let now = Instant::now();
        let mut presence = watched(now);
        presence.heard(user(2), true, now);
        let told = presence.due(now);
        presence.untold(ANN, &told[0].1);
        assert_eq!(presence.due(now), told);
        presence.heard(user(1), false, now);
        presence.watch(ANN, users([1]));
        presence.untold(ANN, &told[0].1);
        assert_eq!(presence.due(now), [], "not watched any more");
    }

    /// Half of the users are gone and back: those who watch hear of nothing, or of
    /// many users in few frames.
    #[test]
    fn a_storm_of_reconnections_is_few_frames() {
        let start = Instant::now();
        let mut presence = Presence::default();
        let sessions: Vec<SessionId> = (0..100).map(SessionId).collect();
        for session in &sessions {
            presence.watch(*session, users(0..500));
        }
        (0..500).for_each(|n| presence.heard(user(n), true, start));
        assert_eq!(presence.due(start).len(), sessions.len());
        (0..250).for_each(|n| presence.heard(user(n), false, start));
        (0..250).for_each(|n| presence.heard(user(n), true, start + GONE_AFTER / 2));
        assert_eq!(presence.due(start + GONE_AFTER), []);
        (0..250).for_each(|n| presence.heard(user(n), false, start));
        let told = presence.due(start + GONE_AFTER);
        assert_eq!(told.len(), sessions.len());
        assert!(told.iter().all(|(_, shown)| shown.len() == 250));
    }

    #[test]
    fn only_so_many_sessions_are_told_at_a_time_and_none_is_forgotten() {
        let now = Instant::now();
        let mut presence = Presence::default();
        let count = TELL_MAX + 10;
        for session in 0..count as u64 {
            presence.watch(SessionId(session), users([1]));
        }
        presence.heard(user(1), true, now);
        assert_eq!(presence.due(now).len(), TELL_MAX);
        presence.heard(user(1), true, now);
        assert_eq!(presence.due(now).len(), 10);
        assert_eq!(presence.due(now), []);
    }

    /// Whatever happens: once all is calm, each session has been told how each of its
    /// users is, and of nobody else.
    #[test]
    fn in_the_end_everybody_knows() {
        for seed in 0..300 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut presence, mut now) = (Presence::default(), Instant::now());
            let mut watches = BTreeMap::<SessionId, BTreeSet<UserId>>::new();
            let mut told = BTreeMap::<SessionId, BTreeMap<UserId, bool>>::new();
            let mut online = BTreeMap::<UserId, bool>::new();
            for _ in 0..400 {
                now += Duration::from_millis(rng.random_range(0..500));
                let session = SessionId(rng.random_range(0..6));
                match rng.random_range(0..10) {
                    0 => {
                        let picked = users((0..8).filter(|_| rng.random_bool(0.4)));
                        let watching = presence.watch(session, picked.clone());
                        told.insert(session, watching.known.into_iter().collect());
                        watches.insert(session, picked);
                        // Whoever begins is asked for.
                        for user in watching.begun {
                            presence.heard(user, online.get(&user) == Some(&true), now);
                        }
                    }
                    1 => {
                        presence.end(session);
                        watches.remove(&session);
                        told.remove(&session);
                    }
                    _ => {
                        let (user, is_online) = (user(rng.random_range(0..8)), rng.random());
                        online.insert(user, is_online);
                        presence.heard(user, is_online, now);
                    }
                }
                for (session, shown) in presence.due(now) {
                    told.entry(session).or_default().extend(shown);
                }
            }
            for (session, shown) in presence.due(now + GONE_AFTER) {
                told.entry(session).or_default().extend(shown);
            }
            for (session, users) in watches {
                for user in users {
                    let wanted = online.get(&user) == Some(&true);
                    let shown = told[&session].get(&user);
                    assert_eq!(shown, Some(&wanted), "seed {seed}: {session:?} {user}");
                }
            }
        }
    }
}
