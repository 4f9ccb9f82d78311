//! The names of the workspace's users, and which of them to ask for.

use std::collections::{BTreeSet, HashMap, HashSet};

use causeway_protocol::{Timestamp, UserId, client};

use super::ask::Ask;

/// Names in memory. With more the memory starts over with whoever is in sight.
const NAMES_MAX: usize = 50_000;
/// Pages of users that are read at the start; others are asked for by id.
const PAGES_MAX: usize = 10;
/// Users asked for by id at the same time.
const ASKS_MAX: usize = 8;
/// Between a failure and the next try.
const PAUSE_US: u64 = 2_000_000;

/// How far the list of all users has been read.
#[derive(Debug)]
enum Listing {
    /// The page from this cursor on is next.
    Next(String),
    /// A page is under way.
    Asked(String),
    /// All, or enough.
    Done,
}

/// Who is who.
#[derive(Debug)]
pub struct People {
    names: HashMap<UserId, String>,
    wanted: BTreeSet<UserId>,
    asked: HashSet<UserId>,
    listing: Listing,
    pages: usize,
    failed_at: Option<Timestamp>,
    has_forgotten: bool,
}

impl Default for People {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            wanted: BTreeSet::new(),
            asked: HashSet::new(),
            listing: Listing::Next(String::new()),
            pages: 0,
            failed_at: None,
            has_forgotten: false,
        }
    }
}

impl People {
    /// The user's name, or the id until the name is known.
    pub fn name(&self, user: UserId) -> String {
        match self.names.get(&user) {
            Some(name) => name.clone(),
            None => user.to_string(),
        }
    }

    /// A user has come into sight.
    pub fn want(&mut self, user: UserId) {
        if !self.names.contains_key(&user) && !self.asked.contains(&user) {
            self.wanted.insert(user);
        }
    }

    /// A user has been told.
    pub fn learn(&mut self, user: &client::User) {
        self.put(UserId(user.id), user.name.clone());
    }

    /// Users have been told who may be known already, and better.
    pub fn introduced(&mut self, users: &[client::User]) {
        for user in users {
            if !self.names.contains_key(&UserId(user.id)) {
                self.learn(user);
            }
        }
    }

    /// A page of the list of all users.
    pub fn page(&mut self, page: client::UserPage) {
        for user in &page.users {
            self.learn(user);
        }
        self.pages += 1;
        self.listing = match page.next_cursor {
            cursor if cursor.is_empty() || self.pages >= PAGES_MAX => Listing::Done,
            cursor => Listing::Next(cursor),
        };
    }

    /// The list could not be read.
    pub fn page_failed(&mut self, may_retry: bool, now: Timestamp) {
        self.failed_at = Some(now);
        self.listing = match &mut self.listing {
            Listing::Asked(cursor) if may_retry => Listing::Next(std::mem::take(cursor)),
            _ => Listing::Done,
        };
    }

    /// A user could not be read.
    pub fn user_failed(&mut self, user: UserId, may_retry: bool, now: Timestamp) {
        self.asked.remove(&user);
        if may_retry {
            self.failed_at = Some(now);
            self.wanted.insert(user);
        } else {
            // Nobody knows a name: the id stands for it.
            self.put(user, user.to_string());
        }
    }

    /// There is a new connection: what failed is tried at once.
    pub fn connected(&mut self) {
        self.failed_at = None;
    }

    /// Whether names were forgotten since this was asked last: then whoever is in
    /// sight is wanted anew.
    pub fn take_forgotten(&mut self) -> bool {
        std::mem::take(&mut self.has_forgotten)
    }

    /// What to ask for now. First the list of all, then who is not in it.
    pub fn asks(&mut self, now: Timestamp) -> Vec<Ask> {
        if self
            .failed_at
            .is_some_and(|at| now.0.abs_diff(at.0) < PAUSE_US)
        {
            return Vec::new();
        }
        match &mut self.listing {
            Listing::Next(cursor) => {
                let cursor = std::mem::take(cursor);
                self.listing = Listing::Asked(cursor.clone());
                vec![Ask::Users { cursor }]
            }
            Listing::Asked(_) => Vec::new(),
            Listing::Done => {
                let room = ASKS_MAX.saturating_sub(self.asked.len());
                let next: Vec<_> = self.wanted.iter().take(room).copied().collect();
                for user in &next {
                    self.wanted.remove(user);
                    self.asked.insert(*user);
                }
                next.into_iter().map(Ask::User).collect()
            }
        }
    }

    fn put(&mut self, user: UserId, name: String) {
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
            self.has_forgotten = true;
        }
        self.wanted.remove(&user);
        self.asked.remove(&user);
        self.names.insert(user, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memory_starts_over() {
        let mut people = People::default();
        let user = |id| client::User {
            id,
            name: format!("user {id}"),
            ..client::User::default()
        };
        let full = NAMES_MAX as u64;
        for id in 1..=full {
            people.learn(&user(id));
        }
        assert!(!people.take_forgotten());
        people.introduced(&[client::User {
            name: "as it was".into(),
            ..user(1)
        }]);
        assert_eq!(people.name(UserId(1)), "user 1");
        people.learn(&user(full + 1));
        assert!(people.take_forgotten() && !people.take_forgotten());
        assert_eq!(people.name(UserId(full + 1)), format!("user {}", full + 1));
        assert_eq!(people.name(UserId(1)), UserId(1).to_string());
    }
}
