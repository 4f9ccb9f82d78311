//! The users of a workspace, by id and by the words of their names.

use std::collections::{BTreeMap, BTreeSet};

use causeway_protocol::client::{self, User, fact::Kind};
use prost::Message;

use super::index::{Index, words_of};

/// What a user costs beside the bytes of their texts.
const USER_BYTES: usize = 300;

/// All of them.
#[derive(Debug, Default)]
pub struct Users {
    users: BTreeMap<u64, User>,
    index: Index,
    bytes: usize,
}

impl Users {
    /// These.
    pub fn new(users: Vec<User>) -> Self {
        let mut all = Self::default();
        for user in users {
            all.put(user);
        }
        all
    }

    /// The log tells of a new user; whoever is known has a profile already.
    pub fn added(&mut self, user: &User) {
        if !self.users.contains_key(&user.id) {
            self.put(user.clone());
        }
    }

    fn put(&mut self, user: User) {
        if let Some(before) = self.users.get(&user.id) {
            let (id, words) = (before.id, words(before));
            self.bytes -= size(before);
            self.index.remove(id, words);
        }
        self.bytes += size(&user);
        self.index.add(user.id, words(&user));
        self.users.insert(user.id, user);
    }

    /// A fact of the workspace's topic.
    pub fn fact(&mut self, fact: &Kind) {
        let Kind::Profile(profile) = fact else {
            return;
        };
        if let Some(user) = self.users.get_mut(&profile.user) {
            self.bytes -= size(user);
            user.profile = Some(profile.clone());
            self.bytes += size(user);
        }
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Option<&User> {
        self.users.get(&id)
    }

    /// Words that begin with `prefix`, after `after`, and whose they are: the user with
    /// the first of their own, so that each is found once.
    pub fn find<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<(&str, u64)>,
    ) -> impl Iterator<Item = (&'a str, u64, Option<&'a User>)> {
        let found = self.index.find(prefix, after);
        found.map(move |(word, id)| {
            let user = self.users.get(&id);
            let is_first = |user: &&User| first_word(user, prefix).as_deref() == Some(word);
            (word, id, user.filter(is_first))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// What they take in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes + self.index.bytes()
    }
}

/// What a user is found by.
fn words(user: &User) -> BTreeSet<String> {
    words_of([&*user.name, &*user.real_name])
}

/// The first of a user's words that begins with `prefix`.
pub fn first_word(user: &client::User, prefix: &str) -> Option<String> {
    words(user)
        .into_iter()
        .find(|word| word.starts_with(prefix))
}

fn size(user: &User) -> usize {
    USER_BYTES + 2 * user.encoded_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u64, name: &str, real_name: &str) -> User {
        User {
            id,
            name: name.into(),
            real_name: real_name.into(),
            ..User::default()
        }
    }

    fn users() -> Users {
        Users::new(vec![
            user(1, "ann", "Ann Ames"),
            user(2, "ben", "Benjamin Amberg"),
            user(3, "amy", "Amy Ames"),
        ])
    }

    #[test]
    fn each_user_is_found_once_by_the_first_word_that_fits() {
        let users = users();
        let find = |prefix, after| {
            let found = users.find(prefix, after);
            let found = found.filter(|(_, _, user)| user.is_some());
            found
                .map(|(word, id, _)| (word.to_owned(), id))
                .collect::<Vec<_>>()
        };
        let whole = |words: &[(&str, u64)]| -> Vec<_> {
            words
                .iter()
                .map(|(word, id)| ((*word).to_owned(), *id))
                .collect()
        };
        assert_eq!(
            find("am", None),
            whole(&[("amberg", 2), ("ames", 1), ("ames", 3)])
        );
        assert_eq!(find("am", Some(("ames", 1))), whole(&[("ames", 3)]));
        assert_eq!(
            find("amy", None),
            whole(&[("amy", 3)]),
            "also a word of the whole name"
        );
    }

    #[test]
    fn a_profile_is_as_it_was_told_last_and_an_entry_does_not_undo_it() {
        let mut users = users();
        let before = users.bytes();
        let profile = client::Profile {
            user: 1,
            away: true,
            ..client::Profile::default()
        };
        users.fact(&Kind::Profile(profile.clone()));
        users.fact(&Kind::Profile(client::Profile {
            user: 9,
            ..profile.clone()
        }));
        users.added(&user(1, "ann", ""));
        assert_eq!(users.get(1).unwrap().profile, Some(profile));
        assert!(users.bytes() > before);
        users.added(&user(4, "dan", ""));
        assert_eq!((users.len(), users.find("da", None).count()), (4, 1));
    }
}
