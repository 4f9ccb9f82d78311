//! What follows from the answers to requests.

use causeway_protocol::client::{self, response};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Seq, UserId};

use super::app::App;
use super::ask::{Answer, Ask};
use super::events::sentence;
use super::popup::Popup;

impl App {
    pub(super) fn on_answer(&mut self, answer: Answer) {
        use response::Result as Body;
        let Answer {
            ask,
            result,
            age,
            took,
        } = answer;
        match (ask, result) {
            (Ask::History { number, read }, Ok(Body::Messages(page))) => {
                self.tell_age(age);
                self.on_page(ChannelId(read.channel), number, page);
            }
            (Ask::Users { .. }, Ok(Body::Users(page))) => self.people.page(page),
            (Ask::User(_), Ok(Body::User(user))) => self.people.learn(&user),
            (Ask::Complete { channel, prefix }, Ok(Body::Users(page))) => {
                self.on_completed(channel, &prefix, &page.users);
            }
            (Ask::FindChannel { name, .. }, Ok(Body::Channels(page))) => {
                self.on_channels(name, page);
            }
            (Ask::Join(_) | Ask::Create { .. }, Ok(Body::Channel(channel))) => {
                self.joining = false;
                self.channels.joined(&channel);
                self.show(ChannelId(channel.id));
            }
            (Ask::Leave(id), Ok(Body::Done(_))) => self.gone(id),
            (Ask::Edit(_) | Ask::Delete(_), Ok(Body::Sent(_))) => {}
            (Ask::Members(id), Ok(Body::Members(page))) => self.on_members(id, page),
            (Ask::MarkRead(id, seq), Ok(Body::Done(_))) => self.on_marked(id, seq),
            (Ask::Ping, Ok(Body::Pong(_))) => self.pinged(Some(took)),
            (ask, Ok(_)) => {
                let text = "the answer is of another kind than the question";
                self.on_failure(ask, &ApiError::new(ErrorCode::InternalError, text));
            }
            (ask, Err(error)) => self.on_failure(ask, &error),
        }
    }

    fn on_page(&mut self, id: ChannelId, number: u64, page: client::MessagePage) {
        let keep = self.reading(id);
        for message in &page.messages {
            self.people.want(UserId(message.user));
            self.want_mentioned(&message.text);
        }
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        channel.timeline.page(number, page);
        channel.timeline.trim(keep);
    }

    fn on_channels(&mut self, name: String, page: client::ChannelPage) {
        let found = page.channels.iter().find(|channel| channel.name == name);
        if let Some(channel) = found {
            self.ask(Ask::Join(ChannelId(channel.id)));
        } else if page.next_cursor.is_empty() || self.find_pages_left == 0 {
            self.joining = false;
            self.complain(format!(
                "no channel #{name} that you may join; /create {name} makes it"
            ));
        } else {
            self.find_pages_left -= 1;
            let cursor = page.next_cursor;
            self.ask(Ask::FindChannel { name, cursor });
        }
    }

    fn on_members(&mut self, id: ChannelId, page: client::MemberPage) {
        let users: Vec<_> = page.users.into_iter().map(UserId).collect();
        for user in &users {
            self.people.want(*user);
        }
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        // An answer does not take away what the user is doing by now.
        if !matches!(self.popup, Some(Popup::Switcher { .. })) {
            self.popup = Some(Popup::Who {
                channel: channel.name.clone(),
                users,
                more: !page.next_cursor.is_empty(),
                offset: 0,
            });
        }
    }

    fn on_marked(&mut self, id: ChannelId, seq: Seq) {
        self.marked();
        if let Some(channel) = self.channels.get_mut(id) {
            channel.marked_seq = channel.marked_seq.max(seq);
        }
    }

    fn on_failure(&mut self, ask: Ask, error: &ApiError) {
        let may_retry = error.code.is_retryable();
        let why = sentence(error);
        match ask {
            Ask::History { number, read } => {
                if let Some(channel) = self.channels.get_mut(ChannelId(read.channel)) {
                    channel.timeline.failed(number);
                }
                self.load_failed();
                self.complain(format!("messages could not be loaded: {why}"));
            }
            Ask::Users { .. } => self.people.page_failed(may_retry, self.now),
            Ask::User(user) => self.people.user_failed(user, may_retry, self.now),
            // The name is typed to its end.
            Ask::Complete { .. } => {}
            Ask::MarkRead(..) if may_retry => self.marked(),
            // What the server does not want to know is not told again.
            Ask::MarkRead(id, seq) => self.on_marked(id, seq),
            Ask::Ping => self.pinged(None),
            Ask::FindChannel { name, .. } => self.joining_failed(format!("#{name}: {why}")),
            Ask::Join(_) => self.joining_failed(format!("not joined: {why}")),
            Ask::Create { name, .. } => {
                let hint = match (error.code, may_retry) {
                    (ErrorCode::NameTaken, _) => format!("; /join {name} joins it"),
                    (_, true) => format!("; if it was created, /join {name} finds it"),
                    (_, false) => String::new(),
                };
                self.joining_failed(format!("#{name} was not created: {why}{hint}"));
            }
            Ask::Leave(_) => self.complain(format!("not left: {why}")),
            Ask::Edit(_) => self.complain(format!("not edited: {why}")),
            Ask::Delete(_) => self.complain(format!("not deleted: {why}")),
            Ask::Members(_) => self.complain(format!("no list of members: {why}")),
        }
    }

    fn joining_failed(&mut self, text: String) {
        self.joining = false;
        self.complain(text);
    }
}
