//! What clients write: a seeded decision, of all kinds, on the same few things. Knows
//! nothing of connections, clocks or faults, nor of what is there: that a reaction cannot
//! be taken back which nobody has made is an answer like another.

use causeway_protocol::{ChannelId, UserId};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::cast::{Post, Stage};
use super::item::{Change, Item};
use crate::chaos::history::ClientNumber;

/// Emoji that users react with.
const REACTIONS: [&str; 4] = ["anchor", "eyes", "tada", "thumbsup"];
/// Emoji that workspaces add.
const EMOJI: [&str; 3] = ["crane", "ship", "tide"];
/// Fields of profiles.
const FIELDS: [&str; 2] = ["phone", "title"];
/// Preferences.
const PREFERENCES: [&str; 2] = ["locale", "theme"];
/// Messages of a channel that are reacted to, pinned and starred.
const POSTS: usize = 4;
/// Users of a workspace who react: all that reacted to a message are named.
const REACTORS: usize = 40;
/// Each name is offered so often, to whichever channel.
const OFFERS: u64 = 4;
/// Far in the future, in seconds since 1970.
const UNDISTURBED_S: u64 = 2_000_000_000;

/// Who may write what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// The user.
    pub user: UserId,
    /// Their workspace, by number.
    pub stage: usize,
}

/// A write that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// By which client.
    pub client: ClientNumber,
    /// Of what.
    pub item: Item,
    /// What.
    pub change: Change,
}

/// The clients' writes, from a seed.
pub struct Workload {
    rng: SmallRng,
    stages: Vec<Stage>,
    persons: Vec<Person>,
    count: u64,
    names: u64,
    /// Keeps the names of two runs apart.
    run: u64,
}

impl Workload {
    /// Of these clients, in these workspaces.
    pub fn new(seed: u64, run: u64, stages: &[Stage], persons: Vec<Person>) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            stages: stages.to_vec(),
            persons,
            count: 0,
            names: 0,
            run,
        }
    }

    /// What is written next, by one of the clients that `may` write; `None` if none may.
    pub fn next(&mut self, may: impl Fn(ClientNumber) -> bool) -> Option<Wish> {
        let free: Vec<ClientNumber> = (0..self.persons.len()).filter(|n| may(*n)).collect();
        let client = *free.choose(&mut self.rng)?;
        let person = self.persons[client];
        self.count += 1;
        let (item, change) = match self.rng.random_range(0..100) {
            0..24 => self.reaction(person),
            24..32 => self.pin(person),
            32..40 => self.star(person),
            40..46 => self.emoji(person),
            46..60 => self.membership(person),
            60..65 => self.name(person),
            65..70 => (Item::Topic(self.channel(person)), self.text("topic")),
            70..75 => (Item::Purpose(self.channel(person)), self.text("purpose")),
            75..79 => self.archived(person),
            79..83 => self.field(person),
            83..87 => (Item::Status(person.user), self.text("status")),
            87..91 => self.preference(person),
            91..94 => (Item::Away(person.user), self.flag()),
            94..97 => self.do_not_disturb(person),
            _ => self.read_cursor(person),
        };
        Some(Wish {
            client,
            item,
            change,
        })
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from
            .choose(&mut self.rng)
            .expect("a workspace lacks nothing")
    }

    /// A channel other than the one that is archived and used again.
    fn channel(&mut self, person: Person) -> ChannelId {
        let stage = &self.stages[person.stage];
        let channels: Vec<ChannelId> = stage.channels().filter(|c| *c != stage.shelf).collect();
        self.pick(&channels)
    }

    fn post(&mut self, person: Person) -> (ChannelId, Post) {
        let channel = self.channel(person);
        let posts = &self.stages[person.stage].posts[&channel];
        let few: Vec<Post> = posts.iter().copied().take(POSTS).collect();
        (channel, self.pick(&few))
    }

    /// A text that is written once.
    fn text(&self, what: &str) -> Change {
        Change::Set(format!("{what} {}", self.count))
    }

    fn flag(&mut self) -> Change {
        Change::Set(self.rng.random_bool(0.5).to_string())
    }

    fn add_or_remove(&mut self, text: String) -> Change {
        match self.rng.random_bool(0.55) {
            true => Change::Add(text),
            false => Change::Remove,
        }
    }

    fn reaction(&mut self, person: Person) -> (Item, Change) {
        let (channel, post) = self.post(person);
        let users = self.stages[person.stage].users.iter().take(REACTORS);
        if !users.into_iter().any(|user| *user == person.user) {
            return self.star(person);
        }
        let item = Item::Reaction {
            channel,
            ts: post.ts,
            emoji: self.pick(&REACTIONS).to_owned(),
            user: person.user,
        };
        (item, self.add_or_remove(String::new()))
    }

    fn pin(&mut self, person: Person) -> (Item, Change) {
        let (channel, post) = self.post(person);
        let item = Item::Pin {
            channel,
            ts: post.ts,
        };
        (item, self.add_or_remove(String::new()))
    }

    fn star(&mut self, person: Person) -> (Item, Change) {
        let (channel, post) = self.post(person);
        let item = Item::Star {
            user: person.user,
            channel,
            ts: post.ts,
        };
        (item, self.add_or_remove(String::new()))
    }

    fn emoji(&mut self, person: Person) -> (Item, Change) {
        let item = Item::Emoji {
            workspace: self.stages[person.stage].workspace,
            name: self.pick(&EMOJI).to_owned(),
        };
        let url = format!("https://example.org/{}.png", self.count);
        (item, self.add_or_remove(url))
    }

    /// Whoever stays removes and invites; whoever wanders joins and leaves.
    fn membership(&mut self, person: Person) -> (Item, Change) {
        let stage = &self.stages[person.stage];
        let (open, wanderers) = (stage.open.clone(), stage.wanderers().collect::<Vec<_>>());
        let user = match wanderers.contains(&person.user) {
            true => person.user,
            false => self.pick(&wanderers),
        };
        let channel = self.pick(&open);
        let change = match self.rng.random_bool(0.55) {
            true => Change::Join,
            false => Change::Leave,
        };
        (Item::Member { channel, user }, change)
    }

    /// Channels are offered the same names, so that two may take one.
    fn name(&mut self, person: Person) -> (Item, Change) {
        let channel = self.channel(person);
        let name = format!("name-{:x}-{}", self.run, self.names / OFFERS);
        self.names += 1;
        (Item::Name(channel), Change::Set(name))
    }

    fn archived(&mut self, person: Person) -> (Item, Change) {
        (Item::Archived(self.stages[person.stage].shelf), self.flag())
    }

    fn field(&mut self, person: Person) -> (Item, Change) {
        let item = Item::Field {
            user: person.user,
            field: self.pick(&FIELDS).to_owned(),
        };
        (item, self.text("field"))
    }

    fn preference(&mut self, person: Person) -> (Item, Change) {
        let item = Item::Preference {
            user: person.user,
            name: self.pick(&PREFERENCES).to_owned(),
        };
        (item, self.text("preference"))
    }

    fn do_not_disturb(&mut self, person: Person) -> (Item, Change) {
        let until_s = UNDISTURBED_S + self.count;
        let item = Item::DoNotDisturb(person.user);
        (item, Change::Set(until_s.to_string()))
    }

    /// The author of all messages has read them all.
    fn read_cursor(&mut self, person: Person) -> (Item, Change) {
        let stage = &self.stages[person.stage];
        if stage.users.first() == Some(&person.user) {
            return self.star(person);
        }
        let steady = stage.steady.clone();
        let channel = self.pick(&steady);
        let posts = self.stages[person.stage].posts[&channel].clone();
        let seq = self.pick(&posts).seq;
        let item = Item::ReadCursor {
            user: person.user,
            channel,
        };
        (item, Change::Raise(seq))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use causeway_protocol::WorkspaceId;

    use super::*;
    use crate::chaos::metadata::item::WORDS;
    use crate::chaos::metadata::write::request;

    fn stage() -> Stage {
        let workspace = WorkspaceId(1);
        let channel = |n| ChannelId::new(workspace, n);
        let posts = |c| {
            let posts = (1..7u64).map(|seq| Post { ts: seq * 10, seq });
            (channel(c), posts.collect())
        };
        Stage {
            workspace,
            home: "us".parse().unwrap(),
            users: (1..=5).map(|n| UserId::new(workspace, n)).collect(),
            steady: vec![channel(1), channel(2)],
            open: vec![channel(3), channel(4)],
            shelf: channel(5),
            posts: (1..=5).map(posts).collect(),
        }
    }

    fn story(seed: u64, count: usize) -> Vec<Wish> {
        let stage = stage();
        let person = |user: &UserId| Person {
            user: *user,
            stage: 0,
        };
        let persons = stage.users.iter().map(person).collect();
        let mut workload = Workload::new(seed, 9, &[stage], persons);
        let wishes = (0..count).map(|_| workload.next(|client| client != 3).unwrap());
        wishes.collect()
    }

    #[test]
    fn a_seed_has_one_story() {
        assert_eq!(story(1, 500), story(1, 500));
        assert_ne!(story(1, 500), story(2, 500));
    }

    #[test]
    fn everything_is_written_by_those_who_may_and_can_be_asked_for() {
        let story = story(3, 3_000);
        let words: BTreeSet<&str> = story.iter().map(|wish| wish.item.word()).collect();
        assert_eq!(words.len(), WORDS.len());
        let users = stage().users;
        for wish in &story {
            assert_ne!(wish.client, 3);
            request(users[wish.client], &wish.item, &wish.change);
        }
    }

    #[test]
    fn texts_are_written_once_and_names_are_offered_to_several() {
        let mut times = BTreeMap::<(Item, String), usize>::new();
        let mut names = BTreeMap::<String, BTreeSet<Item>>::new();
        for wish in story(5, 3_000) {
            match (wish.item, wish.change) {
                (Item::Away(_) | Item::Archived(_), _) => {}
                (item @ Item::Name(_), Change::Set(name)) => {
                    names.entry(name).or_default().insert(item);
                }
                (item, Change::Set(text)) => *times.entry((item, text)).or_default() += 1,
                _ => {}
            }
        }
        assert!(times.values().all(|times| *times == 1));
        assert!(names.values().filter(|channels| channels.len() > 1).count() > 10);
    }
}
