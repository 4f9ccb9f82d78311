//! A server for tests: logs of channels, and answers as the platform gives them.

use std::collections::BTreeMap;

use causeway_protocol::client::{self, entry::Kind, response::Result as Body};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId, WorkspaceId};

use crate::chat::ask::Ask;

/// Ten o'clock on Tuesday, the 14th of May 2024, UTC.
pub const TEN: u64 = 1_715_680_800_000_000;
pub const MINUTE: u64 = 60_000_000;
/// Rows that a page looks at for each that it returns.
const SCAN_FACTOR: usize = 20;

pub fn workspace() -> WorkspaceId {
    WorkspaceId(1)
}

pub fn user(number: u32) -> UserId {
    UserId::new(workspace(), number)
}

pub fn channel(number: u32) -> ChannelId {
    ChannelId::new(workspace(), number)
}

/// The user at the keyboard.
pub const ADA: u32 = 1;
pub const BOB: u32 = 2;
pub const CAROL: u32 = 3;
pub const NAMES: [&str; 3] = ["ada", "bob", "carol"];

pub fn a_user(number: u32) -> client::User {
    let name = NAMES
        .get(number as usize - 1)
        .copied()
        .unwrap_or("somebody");
    client::User {
        id: user(number).0,
        name: name.into(),
        ..client::User::default()
    }
}

#[derive(Debug, Default)]
pub struct Log {
    pub entries: Vec<client::Entry>,
    /// By `ts`, as they are now.
    pub messages: BTreeMap<u64, client::Message>,
}

impl Log {
    fn append(&mut self, kind: impl FnOnce(u64, u64) -> Kind) -> client::Entry {
        let seq = self.entries.len() as u64 + 1;
        let ts = TEN + seq * MINUTE;
        let kind = kind(seq, ts);
        if let Kind::Posted(message) = &kind {
            self.messages.insert(ts, message.clone());
        }
        let entry = client::Entry {
            seq,
            ts,
            messages: self.messages.len() as u64,
            kind: Some(kind),
        };
        self.entries.push(entry.clone());
        entry
    }

    pub fn post(&mut self, of: u32, text: &str) -> client::Entry {
        self.post_as(of, text, 0, b"")
    }

    pub fn reply(&mut self, of: u32, text: &str, thread_ts: u64) -> client::Entry {
        self.post_as(of, text, thread_ts, b"")
    }

    pub fn post_as(&mut self, of: u32, text: &str, thread_ts: u64, id: &[u8]) -> client::Entry {
        let entry = self.append(|seq, ts| {
            Kind::Posted(client::Message {
                channel: channel(1).0,
                seq,
                ts,
                user: user(of).0,
                text: text.into(),
                thread_ts,
                client_msg_id: id.to_vec().into(),
                ..client::Message::default()
            })
        });
        if let Some(root) = self.messages.get_mut(&thread_ts) {
            root.reply_count += 1;
            root.latest_reply_ts = entry.ts;
        }
        entry
    }

    pub fn edit(&mut self, ts: u64, text: &str) -> client::Entry {
        let mut message = self.messages[&ts].clone();
        message.text = text.into();
        let edited = self.append(|_, at| {
            message.edited_ts = at;
            Kind::Edited(message.clone())
        });
        self.messages.insert(ts, message);
        edited
    }

    pub fn delete(&mut self, ts: u64) -> client::Entry {
        let message = self.messages.get_mut(&ts).unwrap();
        message.text.clear();
        message.deleted = true;
        let (seq, by) = (message.seq, message.user);
        self.append(|_, _| Kind::Deleted(client::Deleted { seq, ts, user: by }))
    }

    pub fn join(&mut self, of: u32) -> client::Entry {
        self.append(|_, _| Kind::MemberJoined(user(of).0))
    }

    pub fn history(&self, read: &client::ReadHistory) -> client::MessagePage {
        let after = read.oldest_ts;
        let before = if read.latest_ts == 0 {
            u64::MAX
        } else {
            read.latest_ts
        };
        let cursor: Option<u64> = read.cursor.parse().ok();
        let wanted = |ts: &u64| {
            let past = cursor.is_none_or(|at| {
                if read.oldest_first {
                    *ts > at
                } else {
                    *ts < at
                }
            });
            past && *ts > after && *ts < before
        };
        let mut found: Vec<_> = self.messages.iter().filter(|(ts, _)| wanted(ts)).collect();
        if !read.oldest_first {
            found.reverse();
        }
        let limit = read.limit as usize;
        let mut page = client::MessagePage::default();
        let mut last = 0;
        for (scanned, (ts, message)) in found.into_iter().enumerate() {
            if page.messages.len() == limit || scanned == limit * SCAN_FACTOR {
                page.next_cursor = last.to_string();
                break;
            }
            last = *ts;
            if !message.deleted {
                page.messages.push(message.clone());
            }
        }
        page
    }
}

/// One channel, and whoever is in the workspace.
#[derive(Debug, Default)]
pub struct World {
    pub log: Log,
}

impl World {
    pub fn answer(&self, ask: &Ask) -> Result<Body, ApiError> {
        match ask {
            Ask::History { read, .. } => Ok(Body::Messages(self.log.history(read))),
            Ask::Users { .. } => Ok(Body::Users(client::UserPage {
                users: vec![a_user(ADA), a_user(BOB)],
                next_cursor: String::new(),
            })),
            Ask::Complete { prefix, .. } => {
                let users = [ADA, BOB, CAROL].map(a_user).into_iter();
                Ok(Body::Users(client::UserPage {
                    users: users.filter(|user| user.name.starts_with(prefix)).collect(),
                    next_cursor: String::new(),
                }))
            }
            Ask::User(id) if *id == user(CAROL) => Ok(Body::User(a_user(CAROL))),
            Ask::MarkRead(..) | Ask::Leave(_) => Ok(Body::Done(client::Done {})),
            Ask::Ping => Ok(Body::Pong(client::Pong {})),
            Ask::Edit(_) | Ask::Delete(_) => Ok(Body::Sent(client::Sent::default())),
            Ask::Members(_) => Ok(Body::Members(client::MemberPage {
                users: vec![user(ADA).0, user(CAROL).0],
                next_cursor: String::new(),
            })),
            _ => Err(ErrorCode::ChannelNotFound.into()),
        }
    }
}
