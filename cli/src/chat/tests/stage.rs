//! The stage: an app, a clock, and a server that answers when it is told to.

use std::time::{Duration, Instant};

use causeway_client::{Age, Event, Outgoing, Transition};
use causeway_protocol::client::{self, entry::Kind, response};
use causeway_protocol::session::{Cause, End, Loss, State};
use causeway_protocol::{ApiError, ErrorCode, Timestamp, Topic};
use causeway_transport::Transport;
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;

use super::world::{ADA, TEN, World, a_user, channel, user};
use crate::chat::ChatIdentity;
use crate::chat::app::{App, Settings};
use crate::chat::ask::{Answer, Ask, Effect, Input};
use crate::chat::calendar::Zone;
use crate::chat::theme::Theme;
use crate::chat::{text, view};

pub struct Stage {
    pub app: App,
    pub world: World,
    pub now: Timestamp,
    /// What was to be done and has not been looked at.
    pub effects: Vec<Effect>,
    /// What was to be told about the screen and the user's writing, likewise.
    pub looks: Vec<Effect>,
}

/// A channel of the user's, in which nothing is unread.
pub fn a_channel(number: u32, name: &str) -> client::Channel {
    client::Channel {
        id: channel(number).0,
        name: name.into(),
        members: 3,
        is_member: true,
        ..client::Channel::default()
    }
}

impl Stage {
    /// Not connected yet.
    pub fn offline() -> Self {
        let identity = ChatIdentity {
            user: "ada".into(),
            workspace: "harbor".into(),
            place: "lisbon".into(),
        };
        let settings = Settings {
            nonce: 7,
            zone: Zone::default(),
            theme: Theme::new(false),
        };
        let now = Timestamp(TEN);
        Self {
            app: App::new(identity, settings, now),
            world: World::default(),
            now,
            effects: Vec::new(),
            looks: Vec::new(),
        }
    }

    /// Connected, in `general` (which the world's log is of) and `tide`.
    pub fn set(world: World) -> Self {
        let mut stage = Self::offline();
        stage.world = world;
        stage.connect_to(stage.two_channels());
        stage.answer_all();
        stage
    }

    pub fn empty() -> Self {
        Self::set(World::default())
    }

    pub fn two_channels(&self) -> Vec<client::Channel> {
        let last_seq = self.world.log.entries.len() as u64;
        let general = client::Channel {
            last_seq,
            read_seq: last_seq,
            ..a_channel(1, "general")
        };
        vec![general, a_channel(2, "tide")]
    }

    pub fn connect_to(&mut self, channels: Vec<client::Channel>) {
        self.boot(client::BootData {
            self_: Some(a_user(ADA)),
            channels,
            ..client::BootData::default()
        });
    }

    pub fn boot(&mut self, boot: client::BootData) {
        self.tell(Event::Connected {
            pop: "lisbon".parse().unwrap(),
            edge: "lisbon-1".into(),
            transport: Transport::Native,
            round_trip: Duration::from_millis(12),
            boot: Box::new(boot),
            age: Age::Known(Duration::ZERO),
        });
    }

    pub fn disconnect(&mut self, reason: &str) {
        self.tell(Event::State(Transition {
            from: State::Live,
            to: State::Resuming,
            cause: Cause::Ended(End::Lost(Loss::Broken)),
            reason: reason.to_owned(),
        }));
    }

    pub fn handle(&mut self, input: Input) {
        let effects = self.app.handle(self.now, input);
        let (looks, effects): (Vec<_>, Vec<_>) = effects.into_iter().partition(|effect| {
            matches!(
                effect,
                Effect::Open(_) | Effect::Watch(_) | Effect::Types(_)
            )
        });
        self.looks.extend(looks);
        self.effects.extend(effects);
    }

    pub fn tell(&mut self, event: Event) {
        self.handle(Input::Client(event));
    }

    /// An entry comes in.
    pub fn push(&mut self, topic: Topic, entry: client::Entry) {
        self.tell(Event::Entry {
            topic,
            entry: Box::new(entry),
            at: Instant::now(),
        });
    }

    /// An entry of the world's log comes in.
    pub fn push_general(&mut self, entry: client::Entry) {
        self.push(Topic::Channel(channel(1)), entry);
    }

    pub fn push_user(&mut self, seq: u64, kind: Kind) {
        let entry = client::Entry {
            seq,
            kind: Some(kind),
            ..client::Entry::default()
        };
        self.push(Topic::User(user(ADA)), entry);
    }

    pub fn sent(&mut self, message: &Outgoing, result: Result<client::Sent, ApiError>) {
        self.tell(Event::Sent {
            client_msg_id: message.client_msg_id.clone(),
            result,
            at: Instant::now(),
        });
    }

    pub fn wait(&mut self, time: Duration) {
        self.now.0 += u64::try_from(time.as_micros()).unwrap();
        self.handle(Input::Tick);
    }

    pub fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        let key = KeyEvent::new(code, modifiers);
        self.handle(Input::Terminal(TerminalEvent::Key(key)));
    }

    pub fn press(&mut self, code: KeyCode) {
        self.key(code, KeyModifiers::NONE);
    }

    pub fn control(&mut self, c: char) {
        self.key(KeyCode::Char(c), KeyModifiers::CONTROL);
    }

    pub fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
    }

    pub fn enter(&mut self, line: &str) {
        self.type_text(line);
        self.press(KeyCode::Enter);
    }

    /// What was to be done since one has looked last.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn asks(&mut self) -> Vec<Ask> {
        let asks = self.take().into_iter().filter_map(|effect| match effect {
            Effect::Ask(ask) => Some(ask),
            _ => None,
        });
        asks.collect()
    }

    /// The one message that was sent since one has looked last.
    pub fn the_message(&mut self) -> Outgoing {
        let effects = self.take().into_iter();
        let mut sent = effects.filter_map(|effect| match effect {
            Effect::Send(message) => Some(message),
            _ => None,
        });
        let message = sent.next().expect("a message was sent");
        assert!(sent.next().is_none(), "one message was sent");
        message
    }

    pub fn answer(&mut self, ask: Ask, result: Result<response::Result, ApiError>) {
        let took = Duration::from_millis(20);
        self.handle(Input::Answer(Box::new(Answer {
            ask,
            result,
            age: Age::Known(Duration::ZERO),
            took,
        })));
    }

    /// The server answers until nothing more is asked.
    pub fn answer_all(&mut self) {
        loop {
            let asks = self.asks();
            if asks.is_empty() {
                return;
            }
            for ask in asks {
                let result = self.world.answer(&ask);
                self.answer(ask, result);
            }
        }
    }

    pub fn fail_all(&mut self, code: ErrorCode) {
        for ask in self.asks() {
            self.answer(ask, Err(code.into()));
        }
    }

    pub fn notice(&self) -> &str {
        let notice = self.app.notice.as_ref();
        notice.map_or("", |notice| notice.text.as_str())
    }

    pub fn resize(&mut self, width: u16, height: u16) {
        self.handle(Input::Terminal(TerminalEvent::Resize(width, height)));
    }

    /// Draws on a screen of the size that the app was told.
    pub fn draw(&self) -> (Buffer, Position) {
        let (width, height) = self.app.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view::draw(&self.app, frame)).unwrap();
        let cursor = terminal.backend().cursor_position();
        (terminal.backend().buffer().clone(), cursor)
    }

    /// The screen as text, without the spaces at the ends of lines.
    pub fn screen(&self) -> String {
        let (buffer, _) = self.draw();
        let mut lines = Vec::new();
        for y in 0..buffer.area.height {
            let mut line = String::new();
            let mut x = 0;
            while x < buffer.area.width {
                let sign = buffer[(x, y)].symbol();
                line.push_str(sign);
                x += u16::try_from(text::cells(sign).max(1)).unwrap();
            }
            lines.push(line.trim_end().to_owned());
        }
        lines.join("\n")
    }
}
