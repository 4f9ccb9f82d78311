//! Own messages that have no place in their channel yet. The client library
//! sends them; this is what the user sees of it.

use bytes::Bytes;
use causeway_client::Outgoing;
use causeway_protocol::{ChannelId, Timestamp};

/// Messages that wait or were refused, in all channels.
pub const PENDING_MAX: usize = 1_000;

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Counts the messages of this run.
    pub number: u64,
    /// The message.
    pub message: Outgoing,
    /// When it was written.
    pub written: Timestamp,
    /// Why it will never arrive; `None` while it may.
    pub refused: Option<String>,
}

/// The messages on their way, in the order in which they were written.
#[derive(Debug)]
pub struct Outbox {
    pending: Vec<Pending>,
    last: u64,
    /// Sets the ids of this run apart from those of other runs.
    nonce: u64,
}

impl Outbox {
    /// An empty outbox; `nonce` is drawn at random for each run.
    pub fn new(nonce: u64) -> Self {
        Self {
            pending: Vec::new(),
            last: 0,
            nonce,
        }
    }

    /// Takes a message and returns it as it goes to the client library. `None`
    /// when there is no room.
    pub fn write(
        &mut self,
        channel: ChannelId,
        text: String,
        thread: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Outgoing> {
        if self.pending.len() >= PENDING_MAX {
            return None;
        }
        self.last += 1;
        let id = [self.nonce.to_be_bytes(), self.last.to_be_bytes()].concat();
        let message = Outgoing {
            channel,
            client_msg_id: Bytes::from(id),
            text,
            thread,
        };
        self.pending.push(Pending {
            number: self.last,
            message: message.clone(),
            written: now,
            refused: None,
        });
        Some(message)
    }

    /// A message has its place: it is no longer pending.
    pub fn settle(&mut self, client_msg_id: &[u8]) -> Option<Pending> {
        let at = self.position(client_msg_id)?;
        Some(self.pending.remove(at))
    }

    /// A message will never arrive. Returns its channel.
    pub fn refuse(&mut self, client_msg_id: &[u8], reason: String) -> Option<ChannelId> {
        let at = self.position(client_msg_id)?;
        let pending = self.pending.get_mut(at)?;
        pending.refused = Some(reason);
        Some(pending.message.channel)
    }

    /// Takes the refused messages of a channel out of sight.
    pub fn drop_refused(&mut self, channel: ChannelId) {
        self.pending
            .retain(|pending| pending.refused.is_none() || pending.message.channel != channel);
    }

    /// The messages of a channel.
    pub fn of(&self, channel: ChannelId) -> impl DoubleEndedIterator<Item = &Pending> {
        let of_channel = move |pending: &&Pending| pending.message.channel == channel;
        self.pending.iter().filter(of_channel)
    }

    /// How many messages wait for their place.
    pub fn waiting(&self) -> usize {
        self.pending
            .iter()
            .filter(|pending| pending.refused.is_none())
            .count()
    }

    /// How many were refused and are still shown.
    pub fn refused(&self) -> usize {
        self.pending.len() - self.waiting()
    }

    fn position(&self, client_msg_id: &[u8]) -> Option<usize> {
        let mut pending = self.pending.iter();
        pending.position(|pending| pending.message.client_msg_id == client_msg_id)
    }
}
