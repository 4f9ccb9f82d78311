//! Whether a user is online, for whoever asks once: a call of the Web API watches them until
//! it knows.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_protocol::{CellId, UserId};
use tokio::time::timeout;

use super::Events;
use crate::hub::machine::SessionId;

/// A channel server that has not told by then is not waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Somebody who asks. What they watch ends with them.
struct Asking<'a> {
    events: &'a Events,
    session: SessionId,
    user: UserId,
}

impl Events {
    /// Whether a user is online; `None` if no channel server tells in time.
    pub async fn is_online(&self, cell: CellId, user: UserId) -> Option<bool> {
        let asking = Asking::begin(self, cell, user);
        timeout(ANSWER_WITHIN, asking.answer()).await.ok()
    }
}

impl<'a> Asking<'a> {
    fn begin(events: &'a Events, cell: CellId, user: UserId) -> Self {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        let session = SessionId::follower(ASKED.fetch_add(1, Ordering::Relaxed));
        events.watch(session, cell, BTreeSet::from([user]));
        Self {
            events,
            session,
            user,
        }
    }

    async fn answer(&self) -> bool {
        loop {
            let heard = self.events.0.heard.notified();
            let shown = self.events.0.presence.lock().shown(self.user);
            if let Some(online) = shown {
                return online;
            }
            heard.await;
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.events.leave(self.session, []);
    }
}
