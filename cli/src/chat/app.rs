//! The terminal client as a state machine: inputs and `now` go in, effects come
//! out. It does no IO and reads no clock.

mod pump;

use std::time::Duration;

use causeway_protocol::{ChannelId, Seq, Timestamp, UserId};

use super::ChatIdentity;
use super::ask::{Ask, Effect, Input};
use super::calendar::Zone;
use super::channels::{Channel, Channels};
use super::company::Company;
use super::input::InputLine;
use super::mentions::Completion;
use super::notice::Notice;
use super::outbox::Outbox;
use super::people::People;
use super::popup::Popup;
use super::recall::Recall;
use super::scroll::{Key, Scroll};
use super::status::Link;
use super::theme::Theme;
use super::timeline::Load;

/// What differs from run to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Drawn at random, so that the ids of this run's messages are its own.
    pub nonce: u64,
    /// The user's time zone.
    pub zone: Zone,
    /// Colours, or none.
    pub theme: Theme,
}

/// All that the client knows and shows.
#[derive(Debug)]
pub struct App {
    pub(super) identity: ChatIdentity,
    pub(super) settings: Settings,
    pub(super) now: Timestamp,
    pub(super) size: (u16, u16),
    /// Known from the first connection on.
    pub(super) me: Option<UserId>,
    pub(super) link: Link,
    pub(super) channels: Channels,
    pub(super) people: People,
    pub(super) company: Company,
    pub(super) outbox: Outbox,
    pub(super) current: Option<ChannelId>,
    pub(super) scroll: Scroll,
    pub(super) selected: Option<Key>,
    /// The last message that had been read when the channel was opened, if there
    /// were others after it.
    pub(super) divider: Option<Seq>,
    pub(super) input: InputLine,
    pub(super) recall: Recall,
    pub(super) completion: Completion,
    pub(super) popup: Option<Popup>,
    pub(super) notice: Option<Notice>,
    /// Entries of the user's topic up to here are part of the start-up data.
    pub(super) user_seq: Seq,
    /// A channel that is being joined or created: it is shown when it is there.
    pub(super) joining: bool,
    /// Pages of channels that the search for a name may still read.
    pub(super) find_pages_left: usize,
    /// Asked to quit while messages wait: once more, and they are given up.
    pub(super) quit_asked: bool,
    marking: bool,
    marked_at: Timestamp,
    pinging: bool,
    pinged_at: Timestamp,
    load_failed_at: Option<Timestamp>,
    loads: u64,
    effects: Vec<Effect>,
}

impl App {
    /// A client that is not connected yet.
    pub fn new(identity: ChatIdentity, settings: Settings, now: Timestamp) -> Self {
        Self {
            identity,
            outbox: Outbox::new(settings.nonce),
            settings,
            now,
            size: (80, 24),
            me: None,
            link: Link::Connecting { since: now },
            channels: Channels::default(),
            people: People::default(),
            company: Company::default(),
            current: None,
            scroll: Scroll::Bottom,
            selected: None,
            divider: None,
            input: InputLine::default(),
            recall: Recall::default(),
            completion: Completion::default(),
            popup: None,
            notice: None,
            user_seq: Seq(0),
            joining: false,
            find_pages_left: 0,
            quit_asked: false,
            marking: false,
            marked_at: Timestamp(0),
            pinging: false,
            pinged_at: now,
            load_failed_at: None,
            loads: 0,
            effects: Vec::new(),
        }
    }

    /// Takes in what has happened, and says what is to be done.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        self.now = now;
        match input {
            Input::Client(event) => self.on_event(event),
            Input::ClientGone => self.on_client_gone(),
            Input::Terminal(event) => self.on_terminal(event),
            Input::Answer(answer) => self.on_answer(*answer),
            Input::NotTaken {
                client_msg_id,
                reason,
            } => self.on_refused(&client_msg_id, reason),
            Input::Tick => {}
        }
        self.pump();
        std::mem::take(&mut self.effects)
    }

    /// The shown channel.
    pub(super) fn channel(&self) -> Option<&Channel> {
        self.channels.get(self.current?)
    }

    pub(super) fn channel_mut(&mut self) -> Option<&mut Channel> {
        self.channels.get_mut(self.current?)
    }

    pub(super) fn ask(&mut self, ask: Ask) {
        self.effects.push(Effect::Ask(ask));
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn tell(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice::info(text, self.now));
    }

    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice::error(text, self.now));
    }

    /// Shows a channel, at its newest messages.
    pub(super) fn show(&mut self, id: ChannelId) {
        if self.current != Some(id) && self.channels.get(id).is_some() {
            let typed = std::mem::take(&mut self.input);
            if let Some(channel) = self.channel_mut() {
                channel.draft = typed;
            }
            self.current = Some(id);
            if let Some(channel) = self.channels.get_mut(id) {
                self.divider = (channel.unread > 0).then_some(channel.read_seq);
                self.input = std::mem::take(&mut channel.draft);
            }
            self.recall.forget_place();
            self.selected = None;
            self.load_failed_at = None;
            self.want_names();
        }
        self.jump_to_bottom();
    }

    /// Asks for the names that the shown channel lacks.
    fn want_names(&mut self) {
        let channel = self.current.and_then(|id| self.channels.get(id));
        for row in channel
            .iter()
            .flat_map(|channel| channel.timeline.rows().values())
        {
            self.people.want(row.user());
        }
    }

    /// Shows the newest messages of the channel.
    pub(super) fn jump_to_bottom(&mut self) {
        self.scroll = Scroll::Bottom;
        if let Some(channel) = self.channel_mut()
            && channel.timeline.is_loaded()
            && !channel.timeline.is_live()
        {
            channel.timeline.reset();
        }
    }

    /// Begins to load messages of the shown channel, if there are any to load.
    pub(super) fn load(&mut self, load: Load) {
        let Some(id) = self.current.filter(|_| self.link.is_up()) else {
            return;
        };
        self.loads += 1;
        let number = self.loads;
        let channel = self.channels.get_mut(id);
        if let Some(read) = channel.and_then(|c| c.timeline.begin(id, load, number)) {
            self.ask(Ask::History { number, read });
        }
    }

    pub(super) fn load_failed(&mut self) {
        self.load_failed_at = Some(self.now);
    }

    /// The request is over, one way or the other.
    pub(super) fn marked(&mut self) {
        self.marking = false;
    }

    /// The round trip has been measured, if `round_trip` says so.
    pub(super) fn pinged(&mut self, measured: Option<Duration>) {
        self.pinging = false;
        if let (Link::Up { round_trip, .. }, Some(measured)) = (&mut self.link, measured) {
            *round_trip = measured;
        }
    }

    /// There is a new connection: what had failed is tried at once.
    pub(super) fn retry_all(&mut self) {
        self.people.connected();
        self.load_failed_at = None;
        self.pinged_at = self.now;
    }
}
