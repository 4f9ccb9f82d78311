//! Which sessions have which channels open, and so get their events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use causeway_protocol::{Topic, UserId};

use crate::hub::machine::SessionId;
use crate::session::queue::PushQueue;

/// A session that has a channel open.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Whose.
    pub user: UserId,
    /// Where its events go.
    pub queue: Arc<PushQueue>,
}

/// Who has what open.
#[derive(Debug, Default)]
pub struct Audience {
    topics: HashMap<Topic, BTreeMap<SessionId, Listener>>,
}

impl Audience {
    /// A session has opened a topic. Returns whether it is the first.
    pub fn open(&mut self, topic: Topic, session: SessionId, listener: Listener) -> bool {
        let listeners = self.topics.entry(topic).or_default();
        listeners.insert(session, listener);
        listeners.len() == 1
    }

    /// A session has closed a topic. Returns whether it was the last.
    pub fn close(&mut self, topic: Topic, session: SessionId) -> bool {
        let Some(listeners) = self.topics.get_mut(&topic) else {
            return false;
        };
        listeners.remove(&session);
        let was_last = listeners.is_empty();
        if was_last {
            self.topics.remove(&topic);
        }
        was_last
    }

    /// Who has a topic open.
    pub fn of(&self, topic: Topic) -> impl Iterator<Item = &Listener> {
        self.topics
            .get(&topic)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// How many topics are open.
    pub fn topics(&self) -> usize {
        self.topics.len()
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{ChannelId, WorkspaceId};

    use super::*;

    #[test]
    fn the_first_and_the_last_are_told_from_the_others() {
        let topic = Topic::Channel(ChannelId(5));
        let listener = |user| Listener {
            user: UserId::new(WorkspaceId(1), user),
            queue: Arc::default(),
        };
        let mut audience = Audience::default();
        assert!(audience.open(topic, SessionId(1), listener(1)));
        assert!(!audience.open(topic, SessionId(2), listener(2)));
        assert_eq!(audience.of(topic).count(), 2);
        assert!(!audience.close(topic, SessionId(1)));
        assert!(audience.close(topic, SessionId(2)));
        assert!(!audience.close(topic, SessionId(2)), "closed already");
        assert_eq!((audience.of(topic).count(), audience.topics()), (0, 0));
    }
}
