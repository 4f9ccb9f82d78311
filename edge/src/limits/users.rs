//! How many sessions each user has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use causeway_protocol::UserId;
use parking_lot::Mutex;

/// Counts sessions by user; there are no more users in it than sessions. Clones share it.
#[derive(Debug, Clone)]
pub struct Users {
    sessions_max: u32,
    sessions: Arc<Mutex<HashMap<UserId, u32>>>,
}

/// A session's place among those of its user; dropping it gives it back.
#[derive(Debug)]
pub struct Seat {
    user: UserId,
    users: Users,
}

impl Users {
    /// Each user has up to `sessions_max` sessions.
    pub fn new(sessions_max: u32) -> Self {
        Self {
            sessions_max,
            sessions: Arc::default(),
        }
    }

    /// A place for one more session, if there may be one.
    pub fn seat(&self, user: UserId) -> Option<Seat> {
        let mut sessions = self.sessions.lock();
        let taken = sessions.get(&user).copied().unwrap_or(0);
        if taken >= self.sessions_max {
            return None;
        }
        sessions.insert(user, taken + 1);
        Some(Seat {
            user,
            users: self.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sessions = self.users.sessions.lock();
        if let Entry::Occupied(mut taken) = sessions.entry(self.user) {
            match taken.get() {
                0 | 1 => {
                    taken.remove();
                }
                _ => *taken.get_mut() -= 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;

    use super::*;

    #[test]
    fn who_leaves_makes_room_and_nobody_is_remembered() {
        let users = Users::new(2);
        let user = |number| UserId::new(WorkspaceId(1), number);
        let first = users.seat(user(1)).unwrap();
        let second = users.seat(user(1)).unwrap();
        assert!(users.seat(user(1)).is_none());
        let other = users.seat(user(2));
        assert!(other.is_some());
        drop(first);
        let third = users.seat(user(1));
        assert!(third.is_some());
        drop((second, third, other));
        assert!(users.sessions.lock().is_empty());
    }
}
