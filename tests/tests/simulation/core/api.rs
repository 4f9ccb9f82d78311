//! What others ask of a core node: commands, questions, heads, the directory.

use std::rc::Rc;
use std::time::{Duration, Instant};

use causeway_core_region::consensus::Outcome;
use causeway_core_region::state_records::{Command, command};
use causeway_gossip::sync::POLL_HOLD;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ApiError, CellId, ErrorCode, NodeId, Position, UserId};

use super::Core;
use crate::io::Io;
use crate::message::{Answer, Body, Call, CallId, Message};
use crate::planted::Planted;
use crate::raft::{Applied, Proposal, Replica};
use crate::state::State;

/// A replica that is behind waits this long for what a request asks for.
const CATCH_UP: Duration = Duration::from_millis(500);

/// A question that waits for the state to reach a position.
pub struct Question {
    caller: NodeId,
    call: CallId,
    cell: CellId,
    user: UserId,
    body: request::Body,
    least: Position,
    until: Instant,
}

/// A follower of the directory, which hears when there is news.
pub struct Poll {
    caller: NodeId,
    call: CallId,
    have_version: u64,
    until: Instant,
}

impl Core {
    pub(super) fn on_call(&mut self, from: NodeId, id: CallId, call: &Call, io: &mut Io<'_>) {
        match call {
            Call::Api {
                cell,
                user,
                request,
                latest,
            } => self.on_api(from, id, *cell, *user, request, *latest, io),
            Call::Heads(cell, topics) => {
                let heads = self.heads_here(*cell, topics, io);
                let heads = heads.map(Body::Heads).ok_or(ErrorCode::NotLeader);
                self.answer(from, id, *cell, heads, io);
            }
            Call::Subscribe(topics) => self.subscribe(from, id, topics, io),
            Call::Unsubscribe(topics) => self.server.unsubscribe(from, topics),
            Call::Directory { have_version } => {
                self.polls.push(Poll {
                    caller: from,
                    call: id,
                    have_version: *have_version,
                    until: io.instant() + POLL_HOLD,
                });
                self.answer_polls(io);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one call")]
    fn on_api(
        &mut self,
        from: NodeId,
        id: CallId,
        cell: CellId,
        user: UserId,
        request: &client::Request,
        latest: bool,
        io: &mut Io<'_>,
    ) {
        let Some(replica) = self.replicas.get_mut(&cell) else {
            return self.answer(from, id, cell, Err(ErrorCode::Unavailable), io);
        };
        let Some(body) = request.body.clone() else {
            return;
        };
        let body = match into_command(body) {
            Ok(body) => {
                let command = Command {
                    proposed_at_us: io.wall_us(),
                    actor: user.0,
                    body: Some(body),
                };
                let proposal = Proposal {
                    caller: from,
                    call: id,
                    at: io.instant(),
                };
                if !replica.propose(command, Some(proposal), io) {
                    self.answer(from, id, cell, Err(ErrorCode::NotLeader), io);
                }
                return;
            }
            Err(question) => question,
        };
        let mut least = Position(request.min_position);
        if latest {
            match replica.latest(io) {
                Some(position) => least = least.max(position),
                None => return self.answer(from, id, cell, Err(ErrorCode::NotLeader), io),
            }
        }
        if io.has(Planted::BehindTheCursor) && !latest {
            least = Position(0);
        }
        self.questions.push(Question {
            caller: from,
            call: id,
            cell,
            user,
            body: *body,
            // A replica that has applied nothing knows nothing.
            least: least.max(Position(1)),
            until: io.instant() + CATCH_UP,
        });
    }

    pub(super) fn answer_questions(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        for question in std::mem::take(&mut self.questions) {
            let replica = self.replicas.get(&question.cell);
            let ready = replica.filter(|replica| replica.applied() >= question.least);
            let answer = match ready {
                Some(replica) => Ok(Body::Response(Box::new(client::Response {
                    position: replica.applied().0,
                    age_ms: 0,
                    result: Some(result(replica.state(), question.user, &question.body)),
                    ..client::Response::default()
                }))),
                None if now >= question.until => Err(ErrorCode::Unavailable),
                None => {
                    self.questions.push(question);
                    continue;
                }
            };
            self.answer(question.caller, question.call, question.cell, answer, io);
        }
    }

    /// Answers what was proposed, and publishes what a leader has applied.
    pub(super) fn take_applied(&mut self, io: &mut Io<'_>) {
        let cells: Vec<CellId> = self.replicas.keys().copied().collect();
        for cell in cells {
            let applied = self.replicas.get_mut(&cell).map(Replica::take_applied);
            let applied = applied.unwrap_or_default();
            if cell == CellId::DIRECTORY && !applied.is_empty() {
                self.copy_directory(io);
            }
            for applied in applied {
                self.take(cell, applied, io);
            }
        }
    }

    fn take(&mut self, cell: CellId, applied: Applied, io: &mut Io<'_>) {
        let result = match applied.outcome {
            Outcome::Answer(result) => *result,
            Outcome::Refused(error) => response::Result::Error(error.to_wire()),
            // Whoever was overtaken looks again and decides anew.
            Outcome::Done | Outcome::Placed(_) | Outcome::Overtaken => {
                response::Result::Done(client::Done {})
            }
        };
        if let Some(Proposal { caller, call, .. }) = applied.proposal {
            io.oracle.answered(cell, applied.position);
            let response = Box::new(client::Response {
                position: applied.position.0,
                age_ms: 0,
                result: Some(result),
                ..client::Response::default()
            });
            self.answer(caller, call, cell, Ok(Body::Response(response)), io);
        }
        if applied.leading {
            self.publish(applied.position, applied.entries, io);
        }
    }

    pub(super) fn refuse_overdue(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let cells: Vec<CellId> = self.replicas.keys().copied().collect();
        for cell in cells {
            let overdue = self
                .replicas
                .get_mut(&cell)
                .map(|r| r.overdue_proposals(now));
            for proposal in overdue.unwrap_or_default() {
                let refused = Err(ErrorCode::Unavailable);
                self.answer(proposal.caller, proposal.call, cell, refused, io);
            }
        }
        self.answer_polls(io);
    }

    pub(super) fn answer_polls(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let (due, waiting) = std::mem::take(&mut self.polls)
            .into_iter()
            .partition(|poll| self.book.version() > poll.have_version || now >= poll.until);
        self.polls = waiting;
        let due: Vec<Poll> = due;
        for poll in due {
            let news = self.book.since(poll.have_version);
            io.send(
                poll.caller,
                Message::Answer(poll.call, Rc::new(Answer::Directory(news))),
            );
        }
    }

    fn answer(
        &self,
        to: NodeId,
        id: CallId,
        cell: CellId,
        result: Result<Body, ErrorCode>,
        io: &mut Io<'_>,
    ) {
        let hint = match result {
            Err(ErrorCode::NotLeader) => self.replicas.get(&cell).and_then(Replica::hint),
            _ => None,
        };
        io.send(
            to,
            Message::Answer(id, Rc::new(Answer::Routed(result, hint))),
        );
    }
}

fn into_command(body: request::Body) -> Result<command::Body, Box<request::Body>> {
    Ok(match body {
        request::Body::SendMessage(send) => command::Body::SendMessage(send),
        request::Body::InviteMember(invite) => command::Body::InviteMember(invite),
        request::Body::LeaveChannel(leave) => command::Body::LeaveChannel(leave),
        question => return Err(Box::new(question)),
    })
}

fn result(state: &State, user: UserId, question: &request::Body) -> response::Result {
    match question {
        request::Body::Boot(_) => response::Result::Boot(state.boot(user)),
        request::Body::ReadLog(read) => response::Result::Log(state.page(read)),
        _ => response::Result::Error(ApiError::from(ErrorCode::UnknownMethod).to_wire()),
    }
}
