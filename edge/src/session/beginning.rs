//! How a session's topics begin. If it starts from data that were read some time ago,
//! private channels come last: once all is known that the user's own topic has told, since
//! a removal must hold.

use std::collections::BTreeSet;

use causeway_protocol::client::BootData;
use causeway_protocol::{ChannelId, Topic};

use super::topics::{Step, Topics};

/// What begins, and when.
#[derive(Debug)]
pub struct Beginning {
    first: Vec<Step>,
    later: Vec<Step>,
    is_over: bool,
}

impl Beginning {
    /// Of a session that takes these steps, and starts from data that were `kept` for some
    /// time, or not.
    pub fn new(boot: &BootData, kept: bool, steps: Vec<Step>) -> Self {
        let private = boot.channels.iter().filter(|c| kept && c.private);
        let private = private.map(|c| Topic::Channel(ChannelId(c.id)));
        let private: BTreeSet<Topic> = private.collect();
        let is_private = |step: &Step| match step {
            Step::Begin(topic, _) => private.contains(topic),
            _ => false,
        };
        let (later, first) = steps.into_iter().partition(is_private);
        Self {
            first,
            later,
            is_over: false,
        }
    }

    /// What is to be done first.
    pub fn first(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.first)
    }

    /// The session has all that its own topic has told: what waited begins, as far as it
    /// still is the session's.
    pub fn go_on(&mut self, topics: &Topics) -> Vec<Step> {
        let steps = std::mem::take(&mut self.later).into_iter();
        let begin = steps.filter_map(|step| match step {
            Step::Begin(topic, cursor) if topics.has(topic) => Some(Step::Attach(topic, cursor)),
            _ => None,
        });
        begin.collect()
    }

    /// Whether all has begun; once.
    pub fn is_over(&mut self) -> bool {
        let is_over = self.later.is_empty() && !self.is_over;
        self.is_over |= is_over;
        is_over
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::client::{Channel, Entry, entry::Kind};
    use causeway_protocol::{Seq, UserId, WorkspaceId};

    use super::*;

    const ANN: UserId = UserId(1 << 32 | 1);

    fn channel(number: u32, private: bool) -> Channel {
        Channel {
            id: ChannelId::new(WorkspaceId(1), number).0,
            private,
            last_seq: 5,
            ..Channel::default()
        }
    }

    fn topic(number: u32) -> Topic {
        Topic::Channel(ChannelId::new(WorkspaceId(1), number))
    }

    fn boot() -> BootData {
        BootData {
            channels: vec![channel(1, false), channel(2, true), channel(3, true)],
            ..BootData::default()
        }
    }

    fn begun(steps: &[Step]) -> Vec<Topic> {
        let topics = steps.iter().filter_map(|step| match step {
            Step::Begin(topic, _) | Step::Attach(topic, _) => Some(*topic),
            _ => None,
        });
        topics.collect()
    }

    #[test]
    fn private_channels_wait_until_the_own_topic_has_told_all() {
        let (mut topics, steps) = Topics::start(ANN, &boot(), &[]);
        let mut beginning = Beginning::new(&boot(), true, steps);
        let workspace = Topic::Workspace(WorkspaceId(1));
        let first = [topic(1), Topic::User(ANN), workspace];
        assert_eq!(begun(&beginning.first()), first);
        assert!(!beginning.is_over());
        let left = Entry {
            seq: 1,
            kind: Some(Kind::ChannelLeft(channel(3, true).id)),
            ..Entry::default()
        };
        topics.user_entry(&left);
        let steps = beginning.go_on(&topics);
        assert_eq!(
            steps,
            [Step::Attach(topic(2), Seq(5))],
            "of the other, nothing"
        );
        assert!(
            beginning.is_over() && !beginning.is_over(),
            "it is said once"
        );
        assert_eq!(beginning.go_on(&topics), []);
    }

    #[test]
    fn nothing_waits_in_a_session_that_starts_from_what_was_just_read() {
        let (_, steps) = Topics::start(ANN, &boot(), &[]);
        let mut beginning = Beginning::new(&boot(), false, steps);
        assert_eq!(beginning.first().len(), 5);
        assert!(beginning.is_over());
    }
}
