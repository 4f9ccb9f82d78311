//! What a session learns besides its pushes.

use bytes::Bytes;
use causeway_protocol::{Seq, Topic, client};

use super::caller::Asked;
use crate::mailbox::Mailbox;

/// Notices that wait for a session.
const WAITING_MAX: usize = 16 * 1024;

/// Something for a session to act on.
#[derive(Debug)]
pub enum Notice {
    /// From the hub: read the log up to `head`, and attach again.
    Behind {
        /// The topic.
        topic: Topic,
        /// Where the topic is.
        head: Seq,
    },
    /// From the hub: the session has all there is of its own user topic.
    OwnAttached,
    /// From the hub: a frame of the session's own user topic. Channels come and go with it.
    UserFrame {
        /// As the client receives it.
        frame: Bytes,
        /// The version of metadata that the client had before.
        known: Bytes,
    },
    /// These entries of a topic have been read from the log, and pushed.
    Read {
        /// The topic.
        topic: Topic,
        /// The entries; none if the log did not answer.
        entries: Vec<client::Entry>,
    },
    /// Facts of the session's own user topic have been read, and pushed.
    OwnFacts {
        /// The facts.
        facts: Vec<client::Fact>,
        /// The version of metadata that the client had before.
        known: Bytes,
    },
    /// The client asks something of the session itself.
    Asked(Box<Asked>),
}

/// Where a session is told. One that lets it fill up is cut off.
pub type Notices = Mailbox<Notice>;

/// An empty one.
pub fn notices() -> Notices {
    Mailbox::new(WAITING_MAX)
}
