//! Sessions that are told how far a topic is instead of its entries: whoever is in a big
//! channel and does not have it open. A state machine over inputs and `now`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::mention::{Mention, mentions};
use causeway_protocol::{Seq, UserId};

use super::machine::SessionId;

/// A topic is told of this often, at the most.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Messages that mention somebody, of which they are told at once.
const MENTIONED_MAX: usize = 20;
/// Users that are remembered to have been mentioned since the last telling.
const USERS_MAX: usize = 10_000;

/// How far a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The last entry.
    pub seq: Seq,
    /// Messages up to there.
    pub messages: u64,
}

/// Sessions, each with the messages since the last telling that mention its user.
pub type Told = Vec<(SessionId, Vec<Seq>)>;

/// The sessions of one topic.
#[derive(Debug, Default)]
pub struct Counting {
    sessions: BTreeMap<SessionId, UserId>,
    /// Those that have not been told anything yet.
    fresh: BTreeSet<SessionId>,
    count: Option<Count>,
    /// Something has come since the last telling.
    changed: bool,
    told_at: Option<Instant>,
    /// Messages that mention somebody, and those who mention everybody but their author.
    mentioned: BTreeMap<UserId, Vec<Seq>>,
    all: Vec<(Seq, UserId)>,
}

impl Counting {
    /// A session of this user is told from now on.
    pub fn begin(&mut self, session: SessionId, user: UserId) {
        self.sessions.insert(session, user);
        self.fresh.insert(session);
    }

    /// A session is not told any more.
    pub fn end(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.fresh.remove(&session);
        if self.sessions.is_empty() {
            *self = Self {
                count: self.count,
                ..Self::default()
            };
        }
    }

    /// Whether nobody is told.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Who is told.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.keys().copied()
    }

    /// So many messages are known up to an entry.
    pub fn know(&mut self, count: Count) {
        if self.count.is_none_or(|known| known.seq < count.seq) {
            self.count = Some(count);
            self.changed = true;
        }
    }

    /// The next entry, if it could be read. It is looked into once for all.
    pub fn entry(&mut self, entry: Option<client::Entry>) {
        let Some(entry) = entry.filter(|_| !self.is_empty()) else {
            return;
        };
        let seq = Seq(entry.seq);
        self.know(Count {
            seq,
            messages: entry.messages,
        });
        if let Some(Kind::Posted(message)) = entry.kind {
            self.mention(seq, &message);
        }
    }

    /// Whom to tell at `now`, of a topic whose last entry is `head`.
    pub fn due(&mut self, head: Seq, now: Instant) -> Option<(Count, Told)> {
        let count = self.count.filter(|count| count.seq == head)?;
        let soon = |at: Instant| now.duration_since(at) < TELL_EVERY;
        let told = match self.changed {
            true if self.told_at.is_some_and(soon) => self.tell(false),
            true => {
                self.told_at = Some(now);
                self.changed = false;
                self.tell(true)
            }
            false => self.tell(false),
        };
        (!told.is_empty()).then_some((count, told))
    }

    /// All sessions, or those that have yet to hear anything.
    fn tell(&mut self, all: bool) -> Told {
        let fresh = std::mem::take(&mut self.fresh);
        if !all {
            let told = fresh.into_iter().map(|session| (session, Vec::new()));
            return told.collect();
        }
        let mentioned = std::mem::take(&mut self.mentioned);
        let everybody = std::mem::take(&mut self.all);
        let told = self.sessions.iter().map(|(session, user)| {
            let alone = mentioned.get(user).into_iter().flatten().copied();
            let others = everybody.iter().filter(|(_, author)| author != user);
            let mut seqs: Vec<Seq> = alone.chain(others.map(|(seq, _)| *seq)).collect();
            seqs.sort_unstable();
            seqs.dedup();
            (*session, seqs)
        });
        told.collect()
    }

    fn mention(&mut self, seq: Seq, message: &client::Message) {
        let author = UserId(message.user);
        for mention in mentions(&message.text) {
            match mention {
                Mention::User(user) if user != author && self.mentioned.len() < USERS_MAX => {
                    let seqs = self.mentioned.entry(user).or_default();
                    if seqs.len() < MENTIONED_MAX {
                        seqs.push(seq);
                    }
                }
                Mention::User(_) => {}
                Mention::All => {
                    if self.all.len() < MENTIONED_MAX {
                        self.all.push((seq, author));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;

    use super::*;

    const ANN: SessionId = SessionId(1);
    const BEN: SessionId = SessionId(2);

    fn user(session: SessionId) -> UserId {
        let number = u32::try_from(session.0).unwrap();
        UserId::new(WorkspaceId(1), number)
    }

    fn posted(seq: u64, by: SessionId, text: &str) -> Option<client::Entry> {
        let message = client::Message {
            user: user(by).0,
            text: text.into(),
            ..client::Message::default()
        };
        Some(client::Entry {
            seq,
            messages: seq - 1,
            kind: Some(Kind::Posted(message)),
            ..client::Entry::default()
        })
    }

    fn at(seq: u64) -> Count {
        Count {
            seq: Seq(seq),
            messages: seq - 1,
        }
    }

    /// Ann and Ben are told of a topic that is at 5.
    fn counting(now: Instant) -> Counting {
        let mut counting = Counting::default();
        counting.begin(ANN, user(ANN));
        counting.begin(BEN, user(BEN));
        assert_eq!(counting.due(Seq(5), now), None, "nothing is known");
        counting.know(at(5));
        let told = vec![(ANN, vec![]), (BEN, vec![])];
        assert_eq!(counting.due(Seq(5), now), Some((at(5), told)));
        counting
    }

    #[test]
    fn much_is_told_at_once_and_once_a_second() {
        let start = Instant::now();
        let mut counting = counting(start);
        assert_eq!(counting.due(Seq(5), start + TELL_EVERY), None);
        for seq in 6..=9 {
            counting.entry(posted(seq, ANN, "hi"));
        }
        let soon = start + TELL_EVERY / 2;
        assert_eq!(counting.due(Seq(9), soon), None);
        let told = vec![(ANN, vec![]), (BEN, vec![])];
        let later = start + TELL_EVERY;
        assert_eq!(counting.due(Seq(9), later), Some((at(9), told)));
        assert_eq!(counting.due(Seq(9), later + TELL_EVERY), None);
    }

    #[test]
    fn who_is_mentioned_is_told_where_and_nobody_by_themselves() {
        let start = Instant::now();
        let mut counting = counting(start);
        let ben = format!("<@{}> and <@{}|ben>, see <!here>", user(BEN), user(BEN));
        counting.entry(posted(6, ANN, &ben));
        counting.entry(posted(7, BEN, &ben));
        let told = vec![(ANN, vec![Seq(7)]), (BEN, vec![Seq(6)])];
        let later = start + TELL_EVERY;
        assert_eq!(counting.due(Seq(7), later), Some((at(7), told)));
        for seq in 8..100 {
            counting.entry(posted(seq, ANN, &ben));
        }
        let (_, told) = counting.due(Seq(99), later + TELL_EVERY).unwrap();
        assert_eq!(told[0].1, []);
        assert_eq!(told[1].1.len(), MENTIONED_MAX);
    }

    #[test]
    fn a_newcomer_is_told_at_once_and_alone() {
        let start = Instant::now();
        let mut counting = counting(start);
        counting.end(BEN);
        counting.entry(posted(6, ANN, "hi"));
        counting.begin(BEN, user(BEN));
        let alone = vec![(BEN, vec![])];
        assert_eq!(counting.due(Seq(6), start), Some((at(6), alone)));
        let all = vec![(ANN, vec![]), (BEN, vec![])];
        let later = start + TELL_EVERY;
        assert_eq!(counting.due(Seq(6), later), Some((at(6), all)));
    }

    #[test]
    fn what_is_behind_a_hole_is_not_told_before_the_hole_is_filled() {
        let start = Instant::now();
        let mut counting = counting(start);
        counting.know(at(9));
        assert_eq!(counting.due(Seq(5), start + TELL_EVERY), None);
        assert!(counting.due(Seq(9), start + TELL_EVERY).is_some());
    }

    #[test]
    fn without_sessions_nothing_is_looked_into() {
        let start = Instant::now();
        let mut counting = counting(start);
        counting.end(ANN);
        counting.end(BEN);
        counting.entry(posted(6, ANN, "<!here>"));
        assert!(counting.is_empty() && counting.all.is_empty());
        counting.begin(ANN, user(ANN));
        assert_eq!(counting.due(Seq(6), start), None, "6 is not known");
        assert!(counting.due(Seq(5), start).is_some());
    }
}
