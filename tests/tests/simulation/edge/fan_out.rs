//! The hub's actions, carried out.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use causeway_edge::hub::machine::{Action, SessionId};
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{CellId, NodeId, Seq, Topic, UserId, frame};

use super::Edge;
use super::upstream::Purpose;
use crate::io::Io;
use crate::message::{Call, CallId, Message};
use crate::planted::Planted;

/// A subscription is answered by then.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A subscription without an answer.
pub struct Subscribing {
    server: NodeId,
    topics: Vec<(CellId, Topic)>,
    until: Instant,
}

/// What a session learns besides its pushes.
enum Notice {
    Behind(Topic, Seq),
    UserEntry(bytes::Bytes),
}

type TopicsByServer = BTreeMap<(NodeId, CellId), Vec<(CellId, Topic)>>;

impl Edge {
    pub(super) fn carry_out(&mut self, io: &mut Io<'_>) {
        let (mut subscribe, mut unsubscribe) = (TopicsByServer::new(), TopicsByServer::new());
        loop {
            let actions = self.hub.actions();
            if actions.is_empty() {
                break;
            }
            let mut notices = Vec::new();
            for action in actions {
                match action {
                    Action::Deliver {
                        sessions,
                        topic,
                        seq,
                        frame,
                    } => notices.extend(self.deliver(&sessions, topic, seq, &frame)),
                    Action::Missed {
                        sessions,
                        topic,
                        head,
                    } => self.miss(&sessions, topic, head, io),
                    // Metadata has simulations of its own.
                    Action::Attached { .. } | Action::Tell { .. } | Action::Count { .. } => {}
                    Action::Behind {
                        session,
                        topic,
                        head,
                    } => notices.push((session, Notice::Behind(topic, head))),
                    Action::Subscribe {
                        server,
                        cell,
                        topic,
                    } => subscribe
                        .entry((server, cell))
                        .or_default()
                        .push((cell, topic)),
                    Action::Unsubscribe {
                        server,
                        cell,
                        topic,
                    } => unsubscribe
                        .entry((server, cell))
                        .or_default()
                        .push((cell, topic)),
                    Action::Fetch {
                        cell,
                        topic,
                        from,
                        to,
                    } => self.fetch(cell, topic, (from, to), io),
                }
            }
            for (session, notice) in notices {
                self.on_notice(session, notice, io);
            }
        }
        for ((server, _), topics) in subscribe {
            self.subscribe(server, topics, io);
        }
        for ((server, _), topics) in unsubscribe {
            io.ledger.channel_servers_moved += 1;
            let call = self.caller.call_id();
            io.send(
                server,
                Message::Call(call, Rc::new(Call::Unsubscribe(topics))),
            );
        }
    }

    fn deliver(
        &self,
        sessions: &[SessionId],
        topic: Topic,
        seq: Seq,
        frame: &bytes::Bytes,
    ) -> Vec<(SessionId, Notice)> {
        let mut notices = Vec::new();
        for id in sessions {
            let Some(session) = self.sessions.get(id) else {
                continue;
            };
            session.queue().push(topic, &[(seq, frame.clone())]);
            if matches!(topic, Topic::User(_)) {
                notices.push((*id, Notice::UserEntry(frame.clone())));
            }
        }
        notices
    }

    fn miss(&mut self, sessions: &[SessionId], topic: Topic, head: Seq, io: &mut Io<'_>) {
        for id in sessions {
            if let Some(session) = self.sessions.get(id) {
                session.queue().missed(topic, head);
            }
            if matches!(topic, Topic::User(_)) {
                self.cut(*id, io);
            }
        }
    }

    fn fetch(&mut self, cell: CellId, topic: Topic, missing: (Seq, Seq), io: &mut Io<'_>) {
        if !io.has(Planted::HolesStay) {
            let platform = UserId::platform(topic.workspace());
            self.read_log(cell, platform, topic, missing, Purpose::Fetch(topic), io);
        }
    }

    fn on_notice(&mut self, id: SessionId, notice: Notice, io: &mut Io<'_>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let steps = match notice {
            Notice::Behind(topic, head) => session.topics.behind(topic, head),
            Notice::UserEntry(framed) => match entry(framed) {
                Some(entry) => session.topics.user_entry(&entry),
                None => Vec::new(),
            },
        };
        self.take(id, steps, io);
    }

    fn subscribe(&mut self, server: NodeId, topics: Vec<(CellId, Topic)>, io: &mut Io<'_>) {
        let call = self.caller.call_id();
        io.send(
            server,
            Message::Call(call, Rc::new(Call::Subscribe(topics.clone()))),
        );
        let subscribing = Subscribing {
            server,
            topics,
            until: io.instant() + SUBSCRIBE_TIMEOUT,
        };
        self.subscribing.insert(call, subscribing);
    }

    pub(super) fn on_heads(&mut self, call: CallId, heads: &[Option<Seq>], io: &mut Io<'_>) {
        let Some(asked) = self.subscribing.remove(&call) else {
            return;
        };
        for ((_, topic), head) in asked.topics.into_iter().zip(heads) {
            self.hub
                .subscribed(topic, asked.server, *head, io.instant());
        }
    }

    pub(super) fn expire_subscriptions(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let (due, waiting) = std::mem::take(&mut self.subscribing)
            .into_iter()
            .partition(|(_, asked)| now >= asked.until);
        self.subscribing = waiting;
        let due: BTreeMap<CallId, Subscribing> = due;
        for asked in due.into_values() {
            for (_, topic) in asked.topics {
                self.hub.subscribe_failed(topic, asked.server, now);
            }
        }
    }
}

fn entry(framed: bytes::Bytes) -> Option<client::Entry> {
    let body = framed.slice(frame::HEADER_BYTES..);
    match frame::decode::<client::ServerFrame>(body).ok()?.body? {
        server_frame::Body::Push(push) => push.entry,
        _ => None,
    }
}
