//! Following the directory: the product's choice of whom to ask, around polls
//! that may be lost.

use std::rc::Rc;
use std::time::{Duration, Instant};

use causeway_gossip::Membership;
use causeway_gossip::sync::source;
use causeway_protocol::NodeId;

use crate::caller::Caller;
use crate::io::Io;
use crate::message::{Call, CallId, Message};

const POLL_TIMEOUT: Duration = Duration::from_secs(12);
const POLL_PAUSE: Duration = Duration::from_millis(200);

#[derive(Default)]
pub struct Follower {
    asked: Option<(NodeId, CallId, Instant)>,
    avoid: Option<NodeId>,
    not_before: Option<Instant>,
}

impl Follower {
    pub fn poll<P>(
        &mut self,
        me: NodeId,
        have_version: u64,
        caller: &mut Caller<P>,
        members: &Membership,
        io: &mut Io<'_>,
    ) {
        let now = io.instant();
        if let Some((node, _, until)) = self.asked
            && (now >= until || !caller.is_connected(node))
        {
            // The poll ends with its connection.
            (self.asked, self.avoid) = (None, Some(node));
            self.not_before = Some(now + POLL_PAUSE);
        }
        if self.asked.is_some() || self.not_before.is_some_and(|at| now < at) {
            return;
        }
        let here = io.host;
        let round_trip = |node| caller.round_trip(node, here);
        let source = source(me, members, caller.routes(), self.avoid, round_trip);
        if let Some(node) = source.filter(|node| caller.is_connected(*node)) {
            let call = caller.call_id();
            self.asked = Some((node, call, now + POLL_TIMEOUT));
            io.send(
                node,
                Message::Call(call, Rc::new(Call::Directory { have_version })),
            );
        } else {
            self.not_before = Some(now + POLL_PAUSE);
        }
    }

    /// Whether this is the answer that is waited for.
    pub fn answered(&mut self, call: CallId) -> bool {
        let waited_for = self.asked.is_some_and(|(_, asked, _)| asked == call);
        if waited_for {
            (self.asked, self.avoid) = (None, None);
        }
        waited_for
    }
}
