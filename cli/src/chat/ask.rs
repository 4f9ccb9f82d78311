//! What goes into the [`App`](super::app::App) and what comes out of it.

use std::time::Duration;

use causeway_client::{Age, Outgoing};
use causeway_protocol::client::{self, request, response};
use causeway_protocol::limits::PAGE_ROWS_MAX;
use causeway_protocol::{ApiError, ChannelId, Seq, UserId};

use super::mentions::OFFERED_MAX;

/// Something has happened.
#[derive(Debug)]
pub enum Input {
    /// The client library tells something.
    Client(causeway_client::Event),
    /// The client library has stopped and will tell nothing more.
    ClientGone,
    /// A key, the mouse, a paste, another size.
    Terminal(crossterm::event::Event),
    /// A request has been answered.
    Answer(Box<Answer>),
    /// The client library has not taken this message.
    NotTaken {
        /// Under its id.
        client_msg_id: bytes::Bytes,
        /// Why.
        reason: String,
    },
    /// Time has passed.
    Tick,
}

/// The end of a request.
#[derive(Debug)]
pub struct Answer {
    /// Which.
    pub ask: Ask,
    /// What came back.
    pub result: Result<response::Result, ApiError>,
    /// How old it may be.
    pub age: Age,
    /// How long that took.
    pub took: Duration,
}

/// Something is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Put this into the client library's outbox.
    Send(Outgoing),
    /// Make this request, and hand its answer in.
    Ask(Ask),
    /// This channel is on the screen.
    Open(Option<ChannelId>),
    /// These users are on the screen.
    Watch(Vec<UserId>),
    /// The user is writing there.
    Types(ChannelId),
    /// Give the connection up and look for the nearest PoP.
    Reconnect,
    /// Draw every cell, not only those that have changed.
    Redraw,
    /// End.
    Quit,
}

/// A request, and what its answer is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// A page of a channel's messages.
    History {
        /// Tells this request from earlier ones.
        number: u64,
        /// The request.
        read: client::ReadHistory,
    },
    /// A page of the list of all users.
    Users {
        /// Where the page before has ended.
        cursor: String,
    },
    /// One user.
    User(UserId),
    /// Users whom somebody may mean who types this behind an `@`.
    Complete {
        /// Where it is typed.
        channel: ChannelId,
        /// What is there already.
        prefix: String,
    },
    /// A page of the list of channels, to find one by its name and join it.
    FindChannel {
        /// The name.
        name: String,
        /// Where the page before has ended.
        cursor: String,
    },
    /// Join a channel.
    Join(ChannelId),
    /// Create a channel.
    Create {
        /// Its name.
        name: String,
        /// Whether only its members see it.
        private: bool,
    },
    /// Leave a channel.
    Leave(ChannelId),
    /// Change an own message.
    Edit(client::EditMessage),
    /// Delete an own message.
    Delete(client::DeleteMessage),
    /// The members of a channel.
    Members(ChannelId),
    /// Tell how far the user has read.
    MarkRead(ChannelId, Seq),
    /// Measure the round trip.
    Ping,
}

impl Ask {
    /// The request as it goes over the wire.
    pub fn body(&self) -> request::Body {
        use request::Body;
        match self.clone() {
            Self::History { read, .. } => Body::ReadHistory(read),
            Self::Users { cursor } => Body::ListUsers(client::ListUsers {
                limit: PAGE_ROWS_MAX,
                cursor,
            }),
            Self::User(user) => Body::GetUser(client::GetUser { user: user.0 }),
            Self::Complete { channel, prefix } => Body::CompleteMention(client::CompleteMention {
                channel: channel.0,
                prefix,
                limit: OFFERED_MAX,
            }),
            Self::FindChannel { cursor, .. } => Body::ListChannels(client::ListChannels {
                mine: false,
                limit: PAGE_ROWS_MAX,
                cursor,
            }),
            Self::Join(channel) => Body::JoinChannel(client::JoinChannel { channel: channel.0 }),
            Self::Create { name, private } => {
                Body::CreateChannel(client::CreateChannel { name, private })
            }
            Self::Leave(channel) => Body::LeaveChannel(client::LeaveChannel { channel: channel.0 }),
            Self::Edit(edit) => Body::EditMessage(edit),
            Self::Delete(delete) => Body::DeleteMessage(delete),
            Self::Members(channel) => Body::ListMembers(client::ListMembers {
                channel: channel.0,
                limit: PAGE_ROWS_MAX,
                cursor: String::new(),
            }),
            Self::MarkRead(channel, seq) => Body::MarkRead(client::MarkRead {
                channel: channel.0,
                seq: seq.0,
            }),
            Self::Ping => Body::Ping(client::Ping {}),
        }
    }
}
