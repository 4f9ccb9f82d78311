//! Channels that are closed and counted: how far they are, and the mentions in them of which
//! nobody else tells.

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::mention::is_mentioned;
use causeway_protocol::{ChannelId, Seq, Topic, UserId};

use super::{Inbox, Take};

/// Entries of a channel that is closed and counted that are read for the mentions in them,
/// where nobody has told of them.
const LOOKED_INTO_MAX: u64 = 1_000;

/// How far a channel is known to be that is closed and counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// The last entry that the application was told of, and the messages up to there.
    pub(super) last: Seq,
    messages: u64,
    /// The last entry that was pushed, before the edge knew or after a break. Counters and
    /// entries come on different streams: it may come after the counter that has it.
    pushed: Seq,
    /// From here to there somebody may be mentioned, and nobody has told.
    pub(super) untold: Option<(Seq, Seq)>,
}

impl Counted {
    /// A channel is closed of which the client has all up to `cursor`, and knows that there
    /// are entries up to `head`.
    fn new(cursor: Seq, head: Seq) -> Self {
        let mut counted = Self {
            last: cursor,
            messages: 0,
            pushed: cursor,
            untold: None,
        };
        counted.lack(cursor.next(), head);
        counted
    }

    /// The first entry that neither counters nor pushes had before this one.
    pub(super) fn next(&self, seq: Seq) -> Seq {
        match seq > self.last {
            true => self.last.max(self.pushed).next(),
            false => self.pushed.next(),
        }
    }

    /// Nobody has told of these entries.
    pub(super) fn lack(&mut self, from: Seq, to: Seq) {
        let (from, to) = match self.untold {
            Some((known, last)) => (from.min(known), to.max(last)),
            None => (from, to),
        };
        let from = from.max(Seq(to.0.saturating_sub(LOOKED_INTO_MAX)).next());
        self.untold = (from <= to).then_some((from, to));
    }

    /// Moves on, if that is further.
    fn reach(&mut self, last: Seq, messages: u64) -> bool {
        let is_further = last > self.last;
        if last >= self.last {
            (self.last, self.messages) = (last, messages);
        }
        is_further
    }

    /// What the application is told of these entries, which are in their order.
    fn look_into(
        &mut self,
        channel: ChannelId,
        entries: &[client::Entry],
        me: Option<UserId>,
    ) -> Option<Take> {
        let mentions = entries.iter().filter(|entry| mentions(entry, me));
        let mentioned: Vec<u64> = mentions.map(|entry| entry.seq).collect();
        let end = entries.last()?;
        let is_further = self.reach(Seq(end.seq), end.messages);
        (is_further || !mentioned.is_empty()).then_some(Take::Count(client::Counter {
            channel: channel.0,
            last_seq: self.last.0,
            messages: self.messages,
            mentioned,
        }))
    }

    /// The log was read. Entries of which nobody had told are looked into.
    pub(super) fn read(
        &mut self,
        channel: ChannelId,
        mut entries: Vec<client::Entry>,
        me: Option<UserId>,
    ) -> Option<Take> {
        let (from, to) = self.untold?;
        entries.retain(|entry| (from.0..=to.0).contains(&entry.seq));
        let end = entries.last()?;
        self.untold = None;
        self.lack(Seq(end.seq).next(), to);
        self.look_into(channel, &entries, me)
    }
}

/// Whether an entry is somebody else's message that mentions the user.
fn mentions(entry: &client::Entry, me: Option<UserId>) -> bool {
    match (&entry.kind, me) {
        (Some(Kind::Posted(message)), Some(me)) => {
            message.user != me.0 && is_mentioned(&message.text, me)
        }
        _ => false,
    }
}

impl Inbox {
    /// Whether channels that are closed may be counted; if not, all entries are pushed again.
    pub fn count(&mut self, counters: bool) {
        self.counts_nothing = !counters;
        if self.counts_nothing {
            let topics = self.topics.values_mut();
            topics.for_each(|state| state.counted = None);
        }
    }

    /// How far a channel is that is not on the screen.
    pub fn counted(&mut self, counter: client::Counter) -> Option<Take> {
        let topic = Topic::Channel(ChannelId(counter.channel));
        if self.counts_nothing || self.shown.contains(&topic) {
            // It was said before the edge knew that all entries are wanted.
            return None;
        }
        let state = self.topics.get_mut(&topic)?;
        let (cursor, head) = (state.cursor, state.head);
        let counted = (state.counted).get_or_insert_with(|| Counted::new(cursor, head));
        counted.reach(Seq(counter.last_seq), counter.messages);
        // Whatever waited behind a hole is read with the rest.
        state.early.clear();
        state.head = state.cursor;
        Some(Take::Count(counter))
    }

    /// An entry of a channel that is counted counts like a counter.
    pub(super) fn pushed_though_counted(
        &mut self,
        topic: Topic,
        entry: client::Entry,
    ) -> Vec<Take> {
        let seq = Seq(entry.seq);
        let (Topic::Channel(channel), Some(state)) = (topic, self.topics.get_mut(&topic)) else {
            return Vec::new();
        };
        let Some(counted) = state.counted.as_mut().filter(|known| seq > known.pushed) else {
            return Vec::new();
        };
        let next = counted.next(seq);
        if next < seq {
            counted.lack(next, Seq(seq.0 - 1));
        }
        counted.pushed = seq;
        let count = counted.look_into(channel, &[entry], self.me);
        count.into_iter().chain(state.advance(topic)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TOPIC, boot, channel, entry, user};
    use super::*;

    fn counter(last_seq: u64) -> client::Counter {
        client::Counter {
            channel: 5,
            last_seq,
            messages: last_seq,
            ..client::Counter::default()
        }
    }

    fn read(from: u64, to: u64) -> Take {
        Take::Read {
            topic: TOPIC,
            from: Seq(from),
            to: Seq(to),
        }
    }

    /// A message for the user.
    fn mention(seq: u64) -> client::Entry {
        client::Entry {
            kind: Some(Kind::Posted(client::Message {
                text: format!("<@{}>", user()),
                ..client::Message::default()
            })),
            messages: seq,
            ..entry(seq)
        }
    }

    fn mentioned<const N: usize>(last_seq: u64, mentioned: [u64; N]) -> Take {
        Take::Count(client::Counter {
            mentioned: mentioned.into(),
            ..counter(last_seq)
        })
    }

    #[test]
    fn mentions_that_a_counter_would_have_told_are_found_in_the_log() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(10));
        let lost = inbox.missed(TOPIC, Seq(5_000));
        assert_eq!(lost, [read(4_001, 5_000)], "the last thousand");
        assert_eq!(
            inbox.log(TOPIC, None),
            [read(4_001, 5_000)],
            "it is asked again"
        );
        let page: Vec<_> = (4_001..=4_500).map(mention).collect();
        let takes = inbox.log(TOPIC, Some(page));
        let [Take::Count(count), rest] = &takes[..] else {
            panic!("{takes:?}");
        };
        assert_eq!((count.last_seq, count.mentioned.len()), (4_500, 500));
        assert_eq!(*rest, read(4_501, 5_000));
        // After a break it is asked for anew.
        let again = inbox.booted(&boot(vec![channel(5_000)]));
        assert_eq!(again.first(), Some(rest));
        let page = vec![
            mention(4_999),
            client::Entry {
                messages: 5_000,
                ..entry(5_000)
            },
        ];
        let told = [mentioned(5_000, [4_999])];
        assert_eq!(inbox.log(TOPIC, Some(page)), told);
    }

    #[test]
    fn entries_that_come_after_the_counter_that_has_them_are_looked_into() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(10));
        assert_eq!(inbox.push(TOPIC, entry(4), 0), []);
        assert_eq!(inbox.push(TOPIC, mention(5), 0), [mentioned(10, [5])]);
        // Two have not come.
        let takes = [mentioned(10, [8]), read(6, 7)];
        assert_eq!(inbox.push(TOPIC, mention(8), 0), takes);
        let page = vec![mention(6), entry(7)];
        assert_eq!(inbox.log(TOPIC, Some(page)), [mentioned(10, [6])]);
    }

    #[test]
    fn what_is_missing_when_a_channel_is_closed_is_looked_into() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        assert_eq!(inbox.push(TOPIC, entry(6), 0), [read(4, 5)]);
        assert!(inbox.counted(counter(6)).is_some());
        let page = vec![entry(4), mention(5)];
        let takes = [mentioned(6, [5]), read(6, 6)];
        assert_eq!(inbox.log(TOPIC, Some(page)), takes);
    }

    #[test]
    fn a_closed_channel_has_no_holes_and_goes_on_where_it_was_closed() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        assert_eq!(inbox.show(&[ChannelId(5)])[0].seq, 3);
        assert_eq!(inbox.push(TOPIC, entry(4), 0).len(), 1);
        assert_eq!(inbox.counted(counter(4)), None, "it is open");
        inbox.show(&[]);
        let counted = Some(Take::Count(counter(40)));
        assert_eq!(inbox.counted(counter(40)), counted);
        assert_eq!(inbox.missed(TOPIC, Seq(41)), [read(41, 41)]);
        assert_eq!(inbox.missed(TOPIC, Seq(41)), [], "it is being read");
        let one_more = client::Entry {
            messages: 41,
            ..entry(41)
        };
        let counted = [Take::Count(counter(41))];
        assert_eq!(inbox.log(TOPIC, Some(vec![one_more])), counted);
        // After a break, what is new is pushed before the edge knows what is closed.
        assert_eq!(inbox.cursors().iter().map(|c| c.seq).max(), Some(41));
        assert_eq!(inbox.booted(&boot(vec![channel(42)])), []);
        let counts = [mentioned(42, [42])];
        assert_eq!(inbox.push(TOPIC, mention(42), 0), counts);
        assert_eq!(inbox.push(TOPIC, mention(42), 0), [], "twice");
        // Opened, it has all from where it was closed.
        assert_eq!(inbox.show(&[ChannelId(5)])[0].seq, 4);
        for seq in 5..=42 {
            assert_eq!(inbox.push(TOPIC, entry(seq), 0).len(), 1);
        }
    }

    #[test]
    fn what_is_too_much_to_be_pushed_is_read_when_a_channel_is_opened() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(5_000));
        assert_eq!(inbox.show(&[ChannelId(5)])[0].seq, 3);
        let read = Take::Read {
            topic: TOPIC,
            from: Seq(4),
            to: Seq(5_000),
        };
        assert_eq!(inbox.missed(TOPIC, Seq(5_000)), [read]);
    }

    #[test]
    fn without_counting_holes_are_holes_again() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(9));
        inbox.count(false);
        assert_eq!(inbox.counted(counter(9)), None, "it was on its way");
        let takes = inbox.push(TOPIC, entry(10), 0);
        assert!(matches!(takes[..], [Take::Read { from: Seq(4), .. }]));
    }
}
