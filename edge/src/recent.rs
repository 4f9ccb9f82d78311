//! What the users of this edge node were answered last: the next answer, from
//! whichever replica, is not older.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::UserId;
use causeway_protocol::backbone::ApiCall;
use causeway_protocol::client::{self, request::Body, response};

use crate::flannel::Demand;

/// Users of whom something is remembered.
const USERS_MAX: usize = 100_000;
/// Replicas are this far behind at the most, or they are not asked.
const KEPT: Duration = Duration::from_secs(30);
/// Between looks for users who have asked for nothing lately.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What each of them was answered.
#[derive(Debug, Default)]
pub struct Recent {
    users: HashMap<UserId, Seen>,
    swept_at: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    position: u64,
    /// Their last write of metadata; empty = none.
    wrote: Bytes,
    /// The public channel that they have joined last, and by which write.
    joined: Option<(u64, Bytes)>,
    at: Instant,
}

impl Recent {
    /// Adds to a call what its user was answered.
    pub fn remind(&self, user: UserId, call: &mut ApiCall) {
        let Some(seen) = self.users.get(&user) else {
            return;
        };
        if let Some((channel, wrote)) = &seen.joined {
            call.joined = *channel;
            call.joined_wrote = wrote.clone();
        }
        if let Some(request) = &mut call.request {
            request.min_position = request.min_position.max(seen.position);
            if request.wrote.is_empty() {
                request.wrote = seen.wrote.clone();
            }
        }
    }

    /// What a user was answered, and has written.
    pub fn seen(&self, user: UserId) -> Demand {
        let seen = self.users.get(&user);
        seen.map_or_else(Demand::default, |seen| Demand {
            position: seen.position,
            wrote: seen.wrote.clone(),
            version: Bytes::new(),
        })
    }

    /// A user was told at `now` of something at this position.
    pub fn saw(&mut self, user: UserId, position: u64, now: Instant) {
        if let Some(seen) = self.of(user, now) {
            seen.position = seen.position.max(position);
        }
    }

    /// What is remembered of a user, if there is room.
    fn of(&mut self, user: UserId, now: Instant) -> Option<&mut Seen> {
        if user.is_platform() || !self.users.contains_key(&user) && !self.has_room(now) {
            return None;
        }
        let seen = self.users.entry(user).or_insert_with(|| Seen {
            position: 0,
            wrote: Bytes::new(),
            joined: None,
            at: now,
        });
        seen.at = now;
        Some(seen)
    }

    /// A user has asked for something, and was answered at `now`.
    pub fn answered(
        &mut self,
        user: UserId,
        asked: Asked,
        response: &client::Response,
        now: Instant,
    ) {
        let Some(seen) = self.of(user, now) else {
            return;
        };
        seen.position = seen.position.max(response.position);
        if !response.wrote.is_empty() {
            seen.wrote = response.wrote.clone();
        }
        match (asked, &response.result) {
            (Asked::ToJoin, Some(response::Result::Channel(channel)))
                if !response.wrote.is_empty() =>
            {
                seen.joined = Some((channel.id, response.wrote.clone()));
            }
            (Asked::ToLeave(channel), _) => {
                seen.joined.take_if(|(joined, _)| *joined == channel);
            }
            _ => {}
        }
    }

    /// Whether there is room for another user. Who has asked for nothing lately goes.
    fn has_room(&mut self, now: Instant) -> bool {
        let is_full = self.users.len() >= USERS_MAX;
        if is_full && self.swept_at.is_none_or(|at| now >= at + SWEEP_EVERY) {
            self.swept_at = Some(now);
            (self.users).retain(|_, seen| now.duration_since(seen.at) < KEPT);
        }
        self.users.len() < USERS_MAX
    }
}

/// What a request was about, as far as that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A public channel.
    ToJoin,
    /// This channel.
    ToLeave(u64),
    /// Anything else.
    ForMore,
}

impl Asked {
    /// Of a request.
    pub fn of(request: &client::Request) -> Self {
        match &request.body {
            Some(Body::JoinChannel(_)) => Self::ToJoin,
            Some(Body::LeaveChannel(leave)) => Self::ToLeave(leave.channel),
            _ => Self::ForMore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId(0x1_0000_0001);
    const WROTE: Bytes = Bytes::from_static(b"wrote");

    fn channel(id: u64) -> client::Response {
        let channel = client::Channel {
            id,
            ..client::Channel::default()
        };
        client::Response {
            wrote: WROTE,
            result: Some(response::Result::Channel(channel)),
            ..client::Response::default()
        }
    }

    fn at(position: u64, wrote: Bytes) -> client::Response {
        client::Response {
            position,
            wrote,
            ..client::Response::default()
        }
    }

    fn reminded(recent: &Recent, user: UserId, request: client::Request) -> ApiCall {
        let mut call = ApiCall {
            request: Some(request),
            ..ApiCall::default()
        };
        recent.remind(user, &mut call);
        call
    }

    #[test]
    fn the_next_answer_is_not_older() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.answered(ANN, Asked::ForMore, &at(7, WROTE), now);
        recent.answered(ANN, Asked::ForMore, &at(5, Bytes::new()), now);
        let call = reminded(&recent, ANN, client::Request::default());
        let request = call.request.unwrap();
        assert_eq!((request.min_position, request.wrote), (7, WROTE));
    }

    #[test]
    fn a_client_may_know_more_from_elsewhere() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.answered(ANN, Asked::ForMore, &at(7, WROTE), now);
        let request = client::Request {
            min_position: 9,
            wrote: Bytes::from_static(b"later"),
            ..client::Request::default()
        };
        let call = reminded(&recent, ANN, request.clone());
        assert_eq!(call.request, Some(request));
    }

    #[test]
    fn a_channel_is_joined_until_it_is_left() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let joined = |recent: &Recent| {
            let call = reminded(recent, ANN, client::Request::default());
            (call.joined, call.joined_wrote)
        };
        recent.answered(ANN, Asked::ToJoin, &channel(3), now);
        assert_eq!(joined(&recent), (3, WROTE));
        // It is the join that is remembered, whatever is written later.
        let later = at(1, Bytes::from_static(b"later"));
        recent.answered(ANN, Asked::ForMore, &later, now);
        recent.answered(ANN, Asked::ToLeave(4), &later, now);
        assert_eq!(joined(&recent), (3, WROTE));
        recent.answered(ANN, Asked::ToLeave(3), &later, now);
        assert_eq!(joined(&recent), (0, Bytes::new()));
    }

    #[test]
    fn who_was_refused_has_not_joined() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.answered(ANN, Asked::ToJoin, &at(1, Bytes::new()), now);
        recent.answered(ANN, Asked::ForMore, &channel(3), now);
        let call = reminded(&recent, ANN, client::Request::default());
        assert_eq!(call.joined, 0);
    }

    #[test]
    fn of_more_users_than_it_holds_the_late_ones_are_not_remembered() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        for number in 0..USERS_MAX as u64 {
            recent.answered(UserId(ANN.0 + number), Asked::ForMore, &at(1, WROTE), now);
        }
        let late = UserId(ANN.0 + USERS_MAX as u64);
        recent.answered(late, Asked::ForMore, &at(1, WROTE), now);
        let call = reminded(&recent, late, client::Request::default());
        assert_eq!(call.request, Some(client::Request::default()));
        recent.answered(late, Asked::ForMore, &at(1, WROTE), now + KEPT);
        let call = reminded(&recent, late, client::Request::default());
        assert_eq!(call.request.unwrap().wrote, WROTE);
    }
}
