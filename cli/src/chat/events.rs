//! What the client library tells: connections, entries, the fate of messages.

use causeway_client::{Age, Event};
use causeway_protocol::client::{self, entry::Kind, fact::Kind as FactKind};
use causeway_protocol::{ApiError, ChannelId, Seq, Topic, UserId};

use super::app::App;
use super::outbox::Pending;
use super::scroll::Scroll;
use super::status::{Link, stale};

/// The channel that a newcomer looks at first, where there is one.
const FIRST_CHANNEL: &str = "general";

impl App {
    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected {
                pop,
                transport,
                round_trip,
                boot,
                age,
                ..
            } => {
                self.tell_age(age);
                self.link = Link::Up {
                    pop,
                    transport,
                    round_trip,
                };
                self.on_boot(&boot);
            }
            Event::State(step) if step.to.is_seeking() => {
                self.link.lost(step.reason, self.now);
                self.company.disconnected();
            }
            // What comes next tells more.
            Event::State(_) => {}
            Event::Entry { topic, entry, .. } => self.on_entry(topic, &entry),
            Event::Metadata { push, .. } => {
                let kinds = push.facts.into_iter().filter_map(|fact| fact.kind);
                kinds.for_each(|kind| self.on_fact(kind));
            }
            Event::Typing {
                channel,
                user,
                good_for,
                ..
            } => {
                self.people.want(user);
                self.company.types(channel, user, self.now, good_for);
            }
            Event::Counter { counter, .. } => {
                if let Some(channel) = self.channels.get_mut(ChannelId(counter.channel)) {
                    channel.counted(&counter);
                }
            }
            Event::Introduced { users } => self.people.introduced(&users),
            Event::Presence { users, .. } => self.company.presence(&users),
            // Other clients may know what it means.
            Event::Custom { .. } => {}
            Event::Sent {
                client_msg_id,
                result,
                ..
            } => match result {
                Ok(sent) => self.on_sent(&client_msg_id, &sent),
                Err(error) => self.on_refused(&client_msg_id, sentence(&error)),
            },
            Event::Stopped(error) => self.on_stopped(sentence(&error)),
        }
    }

    /// What is shown may lack the latest: the region that told it is cut off.
    pub(super) fn tell_age(&mut self, age: Age) {
        if let Some(text) = stale(age) {
            self.complain(text);
        }
    }

    pub(super) fn on_client_gone(&mut self) {
        self.on_stopped("the client library has ended".into());
    }

    /// A message that will never arrive.
    pub(super) fn on_refused(&mut self, client_msg_id: &[u8], reason: String) {
        let channel = self.outbox.refuse(client_msg_id, reason.clone());
        if let Some(id) = channel
            && channel != self.current
        {
            let name = match self.channels.get(id) {
                Some(channel) => format!("#{}", channel.name),
                None => id.to_string(),
            };
            self.complain(format!("a message in {name} was not sent: {reason}"));
        }
    }

    fn on_stopped(&mut self, reason: String) {
        if !self.link.is_stopped() {
            self.link = Link::Stopped { reason };
        }
    }

    fn on_boot(&mut self, boot: &client::BootData) {
        self.retry_all();
        if let Some(user) = &boot.self_ {
            self.me = Some(UserId(user.id));
            self.people.learn(user);
        }
        self.user_seq = Seq(boot.user_seq);
        self.channels.booted(&boot.channels);
        self.find_place();
    }

    /// Shows another channel when the shown one is gone.
    pub(super) fn find_place(&mut self) {
        if self.channel().is_some() {
            return;
        }
        self.current = None;
        self.scroll = Scroll::Bottom;
        self.selected = None;
        self.divider = None;
        let first = self.channels.named(FIRST_CHANNEL);
        let first = first.or_else(|| self.channels.neighbour(None, 0));
        if let Some(first) = first {
            // What is typed stays: it was on its way to the place that is gone.
            let typed = std::mem::take(&mut self.input);
            self.show(first);
            if !typed.is_empty() {
                self.input = typed;
            }
        }
    }

    fn on_entry(&mut self, topic: Topic, entry: &client::Entry) {
        match (topic, &entry.kind) {
            (Topic::Channel(id), _) => self.on_channel_entry(id, entry),
            (Topic::User(_), Some(kind)) if Seq(entry.seq) > self.user_seq => {
                self.on_user_entry(kind);
            }
            (Topic::Workspace(_), Some(Kind::UserAdded(user))) => self.people.learn(user),
            (Topic::Workspace(_), Some(Kind::ChannelCreated(channel))) => {
                let known = self.channels.get(ChannelId(channel.id)).is_some();
                if !known && self.me != Some(UserId(channel.creator)) {
                    let name = &channel.name;
                    self.tell(format!("#{name} is new; /join {name} to join it"));
                }
            }
            _ => {}
        }
    }

    fn on_channel_entry(&mut self, id: ChannelId, entry: &client::Entry) {
        let keep = self.reading(id);
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        channel.apply(entry, self.me);
        channel.timeline.trim(keep);
        if let Some(Kind::Posted(message) | Kind::Edited(message)) = &entry.kind {
            self.want_mentioned(&message.text);
        }
        match &entry.kind {
            Some(Kind::Posted(message)) => {
                self.people.want(UserId(message.user));
                self.company.has_posted(id, UserId(message.user));
                if self.me == Some(UserId(message.user)) {
                    self.outbox.settle(&message.client_msg_id);
                }
            }
            Some(Kind::MemberJoined(user) | Kind::MemberLeft(user)) => {
                self.people.want(UserId(*user));
            }
            _ => {}
        }
    }

    /// Metadata has changed.
    fn on_fact(&mut self, kind: FactKind) {
        match kind {
            FactKind::Joined(channel) => self.on_joined(&channel),
            FactKind::Left(id) => self.gone(ChannelId(id)),
            FactKind::Channel(channel) => {
                self.channels.renamed(ChannelId(channel.id), &channel.name);
            }
            FactKind::Member(member) => {
                let user = UserId(member.user);
                self.people.want(user);
                if let Some(channel) = self.channels.get_mut(ChannelId(member.channel)) {
                    channel.told_of(user, !member.left);
                }
            }
            FactKind::ReadCursor(cursor) => {
                if let Some(channel) = self.channels.get_mut(ChannelId(cursor.channel)) {
                    channel.read_elsewhere(Seq(cursor.seq));
                }
            }
            _ => {}
        }
    }

    fn on_joined(&mut self, channel: &client::Channel) {
        let is_new = self.channels.get(ChannelId(channel.id)).is_none();
        self.channels.joined(channel);
        if is_new && !self.joining && self.current.is_some() {
            self.tell(format!("you are now in #{}", channel.name));
        }
        self.find_place();
    }

    fn on_user_entry(&mut self, kind: &Kind) {
        match kind {
            Kind::ChannelJoined(channel) => self.on_joined(channel),
            Kind::ChannelLeft(id) => self.gone(ChannelId(*id)),
            _ => {}
        }
    }

    /// The user is no longer in a channel.
    pub(super) fn gone(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get(id) {
            self.tell(format!("you have left #{}", channel.name));
            self.channels.left(id);
            self.find_place();
        }
    }

    /// An own message has its place. Its entry may have come before, or comes
    /// later; until then this stands in for it.
    fn on_sent(&mut self, client_msg_id: &[u8], sent: &client::Sent) {
        let (Some(pending), Some(me)) = (self.outbox.settle(client_msg_id), self.me) else {
            return;
        };
        let id = pending.message.channel;
        let keep = self.reading(id);
        if let Some(channel) = self.channels.get_mut(id) {
            channel.timeline.sent(message_of(pending, me, sent));
            channel.timeline.trim(keep);
        }
    }

    /// Where the reader is in this channel, when not at the newest message.
    pub(super) fn reading(&self, id: ChannelId) -> Option<Seq> {
        match self.scroll {
            Scroll::At(place) if self.current == Some(id) => place.key.seq(),
            _ => None,
        }
    }
}

fn message_of(pending: Pending, me: UserId, sent: &client::Sent) -> client::Message {
    client::Message {
        channel: pending.message.channel.0,
        seq: sent.seq,
        ts: sent.ts,
        user: me.0,
        text: pending.message.text,
        thread_ts: pending.message.thread.map_or(0, |ts| ts.0),
        client_msg_id: pending.message.client_msg_id,
        ..client::Message::default()
    }
}

/// An error as it is shown: its code, and the sentence where there is one.
pub(super) fn sentence(error: &ApiError) -> String {
    match error.message.is_empty() {
        true => error.code.to_string(),
        false => error.to_string(),
    }
}
