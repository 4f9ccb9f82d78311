//! Who else is there: who is online, who writes where, and what the client library is to
//! be told so that it tells that.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use causeway_protocol::limits::WATCHED_USERS_MAX;
use causeway_protocol::{ChannelId, Timestamp, UserId};

use super::app::App;
use super::ask::Effect;
use super::popup::Popup;
use super::text::one_line;

/// Rows whose authors are watched: the latest.
const ROWS_WATCHED: usize = 200;
/// Whoever writes is named, unless there are more.
const NAMES_MAX: usize = 3;
/// Typing that is remembered; the rest is not shown.
const TYPING_MAX: usize = 1_000;
/// Between two times that typing is told.
const TYPING_PAUSE_US: u64 = 3_000_000;

/// The others, as far as they are in sight.
#[derive(Debug, Default)]
pub struct Company {
    online: HashSet<UserId>,
    /// When that was told, and for how long it is shown.
    typing: BTreeMap<(ChannelId, UserId), (Timestamp, Duration)>,
    open: Option<ChannelId>,
    watched: BTreeSet<UserId>,
    typed_at: Timestamp,
}

impl Company {
    /// Users have come or gone.
    pub fn presence(&mut self, users: &[(UserId, bool)]) {
        for (user, online) in users {
            match online {
                true => self.online.insert(*user),
                false => self.online.remove(user),
            };
        }
    }

    /// Whether a user is known to be online.
    pub fn is_online(&self, user: UserId) -> bool {
        self.online.contains(&user)
    }

    /// Somebody writes.
    pub fn types(&mut self, channel: ChannelId, user: UserId, now: Timestamp, shown: Duration) {
        if self.typing.len() < TYPING_MAX {
            self.typing.insert((channel, user), (now, shown));
        }
    }

    /// Somebody has written.
    pub fn has_posted(&mut self, channel: ChannelId, user: UserId) {
        self.typing.remove(&(channel, user));
    }

    /// Nothing is known any more: all is told again with the next connection.
    pub fn disconnected(&mut self) {
        self.online.clear();
        self.typing.clear();
    }

    /// Who writes in a channel.
    pub fn typing_in(&self, channel: ChannelId) -> impl Iterator<Item = UserId> + '_ {
        let all = (channel, UserId(0))..=(channel, UserId(u64::MAX));
        self.typing.range(all).map(|((_, user), _)| *user)
    }

    /// Nobody writes for ever.
    fn pass(&mut self, now: Timestamp) {
        let passed = |since: Timestamp| Duration::from_micros(now.0.abs_diff(since.0));
        self.typing
            .retain(|_, (since, shown)| passed(*since) < *shown);
    }
}

impl App {
    /// What has changed on the screen is told.
    pub(super) fn pump_company(&mut self) {
        self.company.pass(self.now);
        if self.company.open != self.current {
            self.company.open = self.current;
            self.effect(Effect::Open(self.current));
        }
        let watched = self.in_sight();
        if self.company.watched != watched {
            self.company.watched.clone_from(&watched);
            self.effect(Effect::Watch(watched.into_iter().collect()));
        }
    }

    /// The user has changed what is being written.
    pub(super) fn has_typed(&mut self) {
        let is_message = !self.input.is_empty() && !self.input.text().starts_with('/');
        let waited = self.now.0.abs_diff(self.company.typed_at.0) >= TYPING_PAUSE_US;
        if let Some(channel) = self.current
            && is_message
            && waited
            && self.link.is_up()
        {
            self.company.typed_at = self.now;
            self.effect(Effect::Types(channel));
        }
    }

    /// Who writes in the shown channel, as a sentence.
    pub(super) fn typing_text(&self) -> Option<String> {
        let users = self.company.typing_in(self.current?);
        let names: Vec<_> = users
            .take(NAMES_MAX + 1)
            .map(|user| one_line(&self.people.name(user)))
            .collect();
        match &names[..] {
            [] => None,
            [name] => Some(format!("{name} is typing …")),
            [others @ .., last] if names.len() <= NAMES_MAX => {
                Some(format!("{} and {last} are typing …", others.join(", ")))
            }
            _ => Some("several people are typing …".into()),
        }
    }

    /// The others who are on the screen.
    fn in_sight(&self) -> BTreeSet<UserId> {
        let timeline = self.channel().map(|channel| &channel.timeline);
        let rows = timeline.into_iter().flat_map(|t| t.rows().values().rev());
        let authors = rows.take(ROWS_WATCHED).map(|row| row.user());
        let members = match &self.popup {
            Some(Popup::Who { users, .. }) => &users[..],
            _ => &[],
        };
        let others = authors.chain(members.iter().copied());
        let others = others.filter(|user| self.me != Some(*user));
        others.take(WATCHED_USERS_MAX).collect()
    }
}
