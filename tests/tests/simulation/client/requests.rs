//! Answers to a client's requests.

use std::time::Duration;

use causeway_client::Outgoing;
use causeway_client::inbox::Seen;
use causeway_client::lifecycle::Input;
use causeway_protocol::client::{self, response};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Topic};

use super::Client;
use super::connecting::Standing;
use crate::atlas;
use crate::io::{Io, Output};
use crate::message::Connection;

/// Between tries to read a log that does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// What a request is for.
pub enum Waiting {
    Welcome,
    Sent(Outgoing),
    Read(Topic),
    /// Coming or going of the user.
    Membership,
    /// A read of the channel's end, and the end that was known before.
    Look(ChannelId, u64),
}

impl Client {
    pub(super) fn on_response(
        &mut self,
        connection: Connection,
        id: u64,
        response: client::Response,
        io: &mut Io<'_>,
    ) {
        let Some((_, waiting)) = self.waiting.remove(&id) else {
            return;
        };
        let position = response.position;
        let answer = match response.result {
            Some(response::Result::Error(error)) => Err(ApiError::from_wire(error)),
            Some(result) => Ok(result),
            None => return,
        };
        if let Waiting::Look(channel, known) = &waiting {
            self.looked(*channel, *known, position, &answer, io);
        }
        if let Err(error) = answer.as_ref()
            && error.code.is_retryable()
        {
            io.oracle.client_noticed(io.host, error.code.as_str());
        }
        self.inbox.saw(Seen {
            position,
            ..Seen::default()
        });
        self.take_answer(connection, waiting, answer, io);
    }

    /// What is under way on a connection that is over is not answered.
    pub(super) fn fail_requests(&mut self, connection: Connection, io: &mut Io<'_>) {
        let of_it = self.waiting.iter().filter(|(_, (on, _))| *on == connection);
        let failed: Vec<u64> = of_it.map(|(id, _)| *id).collect();
        for id in failed {
            let Some((_, waiting)) = self.waiting.remove(&id) else {
                continue;
            };
            io.oracle.client_noticed(io.host, "a request was left");
            self.take_answer(connection, waiting, Err(ErrorCode::Unavailable.into()), io);
        }
    }

    fn take_answer(
        &mut self,
        connection: Connection,
        waiting: Waiting,
        answer: Result<response::Result, ApiError>,
        io: &mut Io<'_>,
    ) {
        match waiting {
            Waiting::Welcome => self.on_welcome(connection, answer, io),
            Waiting::Sent(message) => self.on_sent(&message, answer, io),
            Waiting::Read(topic) => self.on_read(topic, answer, io),
            Waiting::Membership | Waiting::Look(..) => {}
        }
    }

    fn on_welcome(
        &mut self,
        connection: Connection,
        answer: Result<response::Result, ApiError>,
        io: &mut Io<'_>,
    ) {
        let (boot, refusal) = match answer {
            Ok(response::Result::Welcome(welcome)) => {
                (Some(welcome.boot.unwrap_or_default()), None)
            }
            Ok(_) => (None, None),
            Err(error) => (None, Some(error)),
        };
        if self.on_welcome_elsewhere(connection, boot.as_ref(), io) {
            return;
        }
        let waiting = Standing::Waiting(io.instant());
        match (std::mem::replace(&mut self.standing, waiting), boot) {
            (Standing::Greeting(greeting), Some(boot)) => self.welcomed(greeting, &boot, io),
            (standing, _) => {
                self.standing = standing;
                io.outputs.push(Output::Close(connection));
                self.disconnected(self.unwelcome(refusal), io);
            }
        }
    }

    /// A hello that was not welcomed, and why.
    fn unwelcome(&self, refusal: Option<ApiError>) -> Input {
        match (&self.standing, refusal) {
            (Standing::Greeting(greeting), Some(error)) => Input::Refused {
                at: atlas::address(greeting.link.host),
                error,
                open: Vec::new(),
            },
            _ => self.broken("the hello was not welcomed"),
        }
    }

    fn on_sent(
        &mut self,
        message: &Outgoing,
        answer: Result<response::Result, ApiError>,
        io: &mut Io<'_>,
    ) {
        let answer = answer.and_then(|result| match result {
            response::Result::Sent(sent) => Ok(sent),
            _ => Err(ErrorCode::InternalError.into()),
        });
        let id = &message.client_msg_id;
        let now = io.instant();
        let Some(settled) = self.outbox.answered(message.channel, id, answer, now) else {
            return;
        };
        if let Ok(sent) = settled.result {
            io.ledger.acknowledged += 1;
            io.ledger.resends_recognised += u64::from(sent.duplicate);
            self.talk.saw_end(message.channel, sent.seq);
            io.oracle.acknowledged(self.user, message, &sent);
        }
    }

    fn on_read(
        &mut self,
        topic: Topic,
        answer: Result<response::Result, ApiError>,
        io: &mut Io<'_>,
    ) {
        let Ok(response::Result::Log(page)) = answer else {
            self.unread.push((io.instant() + READ_PAUSE, topic));
            return;
        };
        io.ledger.holes_filled_by_clients += u64::from(!page.entries.is_empty());
        let takes = self.inbox.log(topic, Some(page.entries));
        self.carry_out(takes, io);
    }

    /// A read with the client's position never shows less than it knew.
    fn looked(
        &mut self,
        channel: ChannelId,
        known: u64,
        position: u64,
        answer: &Result<response::Result, ApiError>,
        io: &mut Io<'_>,
    ) {
        if let Ok(response::Result::Log(page)) = answer {
            io.ledger.cursor_reads += 1;
            io.oracle
                .read_back(self.user, channel, known, page.last_seq, position);
            self.talk.saw_end(channel, page.last_seq);
        }
    }

    /// Whether requests can be made.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.standing, Standing::Connected(_))
    }
}
