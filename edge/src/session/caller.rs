//! A session as its own requests see it: what they want of the session itself, and how
//! much they may.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::limits::{OPEN_CHANNELS_MAX, WATCHED_USERS_MAX};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Topic, UserId};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::notice::{Notice, Notices};
use crate::events::allowance::{Allowance, Verdict};
use crate::events::counters::Counters;
use crate::events::draft::Draft;
use crate::limits::{Limits, Quota};
use crate::mailbox::Refused;

/// A session that has not answered by then is too busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The answer to what was asked.
pub type Answer = Result<response::Result, ApiError>;

/// What a session is asked by its own client.
#[derive(Debug)]
pub enum Wish {
    /// Send an event.
    Send(Draft),
    /// These topics are on the screen.
    Show(BTreeSet<Topic>),
    /// So are these users.
    Watch(BTreeSet<UserId>),
}

/// A wish, and who waits for it.
#[derive(Debug)]
pub struct Asked {
    /// The wish.
    pub wish: Wish,
    /// Takes the answer.
    pub done: oneshot::Sender<Answer>,
}

/// Whose requests these are.
#[derive(Debug)]
pub struct Caller {
    user: UserId,
    quota: Quota,
    cut: CancellationToken,
    allowance: Mutex<Allowance>,
    notices: Arc<Notices>,
}

impl Caller {
    /// Of a session of this user, which is told here and ends with `cut`.
    pub fn new(user: UserId, quota: Quota, notices: Arc<Notices>, cut: CancellationToken) -> Self {
        Self {
            user,
            quota,
            cut,
            allowance: Mutex::default(),
            notices,
        }
    }

    /// The session's user.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Counts a request. One who was refused far too often is cut off.
    ///
    /// # Errors
    /// [`ErrorCode::Ratelimited`].
    pub fn may_ask(&self, limits: &Limits, body: Option<&request::Body>) -> Result<(), ApiError> {
        let asked = limits.request(&self.quota, self.user, body);
        asked.map_err(|refused| {
            if refused.flooding {
                self.cut.cancel();
            }
            refused.error
        })
    }

    /// Whether that is why it was cut off.
    pub fn has_flooded(&self) -> bool {
        self.quota.has_flooded()
    }

    /// Carries out what concerns the session itself.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`], [`ErrorCode::UserNotFound`],
    /// [`ErrorCode::NotInChannel`], [`ErrorCode::Ratelimited`].
    pub async fn send_event(&self, send: client::SendEvent, counters: &Counters) -> Answer {
        match self.draft(send, counters)? {
            Some(draft) => self.ask(Wish::Send(draft)).await,
            None => Ok(response::Result::Done(client::Done {})),
        }
    }

    /// An event that came without waiting for an answer.
    pub fn datagram(&self, bytes: Bytes, counters: &Counters) {
        let Ok(client::Request {
            body: Some(request::Body::SendEvent(send)),
            ..
        }) = client::Request::decode(bytes)
        else {
            return counters.add(|c| &c.invalid);
        };
        if let Ok(Some(draft)) = self.draft(send, counters)
            && self.hand_over(Wish::Send(draft)).is_err()
        {
            counters.add(|c| &c.too_many);
        }
    }

    /// Channels are on the screen.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`]: too many.
    pub async fn open_channels(&self, open: client::OpenChannels) -> Answer {
        if open.channels.len() > OPEN_CHANNELS_MAX {
            let text = format!("up to {OPEN_CHANNELS_MAX} channels can be open");
            return Err(ApiError::new(ErrorCode::InvalidArguments, text));
        }
        let channels = open.channels.iter();
        let topics = channels.map(|open| Topic::Channel(ChannelId(open.channel)));
        self.ask(Wish::Show(topics.collect())).await
    }

    /// Users are on the screen.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`]: too many. [`ErrorCode::UserNotFound`]: not of
    /// this workspace.
    pub async fn watch_presence(&self, watch: client::WatchPresence) -> Answer {
        if watch.users.len() > WATCHED_USERS_MAX {
            let text = format!("the presence of up to {WATCHED_USERS_MAX} users is told");
            return Err(ApiError::new(ErrorCode::InvalidArguments, text));
        }
        let users: BTreeSet<UserId> = watch.users.into_iter().map(UserId).collect();
        let workspace = self.user.workspace();
        if users.iter().any(|user| user.workspace() != workspace) {
            return Err(ErrorCode::UserNotFound.into());
        }
        self.ask(Wish::Watch(users)).await
    }

    /// The event, if it goes on.
    fn draft(
        &self,
        send: client::SendEvent,
        counters: &Counters,
    ) -> Result<Option<Draft>, ApiError> {
        let draft = Draft::read(send).inspect_err(|_| counters.add(|c| &c.invalid))?;
        let typing = draft.typing();
        match self.allowance.lock().take(typing, Instant::now()) {
            Verdict::Pass => Ok(Some(draft)),
            Verdict::Known => {
                counters.add(|c| &c.repeated);
                Ok(None)
            }
            Verdict::TooMany(wait) => {
                counters.add(|c| &c.too_many);
                let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
                Err(ApiError {
                    retry_after_ms: wait_ms.max(1),
                    ..ApiError::new(ErrorCode::Ratelimited, "too many events")
                })
            }
        }
    }

    fn hand_over(&self, wish: Wish) -> Result<oneshot::Receiver<Answer>, ApiError> {
        let (done, answer) = oneshot::channel();
        let asked = Box::new(Asked { wish, done });
        match self.notices.put(Notice::Asked(asked)) {
            Ok(()) => Ok(answer),
            Err(Refused::Full) => {
                let text = "this session has too much to do";
                Err(ApiError::new(ErrorCode::Ratelimited, text))
            }
            Err(Refused::Closed) => Err(ErrorCode::Unavailable.into()),
        }
    }

    async fn ask(&self, wish: Wish) -> Answer {
        match timeout(ANSWER_WITHIN, self.hand_over(wish)?).await {
            Ok(Ok(answer)) => answer,
            // Over, or too busy.
            Ok(Err(_)) | Err(_) => Err(ErrorCode::Unavailable.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use causeway_protocol::WorkspaceId;
    use causeway_protocol::client::{OpenChannel, SendEvent, Typing, send_event};

    use super::super::notice::notices;
    use super::*;

    fn caller() -> (Caller, Arc<Notices>) {
        let notices = Arc::new(notices());
        let user = UserId::new(WorkspaceId(1), 7);
        let quota = Limits::default().hello(user).unwrap();
        let cut = CancellationToken::new();
        let caller = Caller::new(user, quota, Arc::clone(&notices), cut);
        (caller, notices)
    }

    fn wish(notices: &Notices) -> Option<Wish> {
        match notices.try_take()? {
            Notice::Asked(asked) => Some(asked.wish),
            other => panic!("{other:?}"),
        }
    }

    fn typing(channel: u64) -> SendEvent {
        SendEvent {
            channel,
            kind: Some(send_event::Kind::Typing(Typing::default())),
            good_for_ms: 0,
        }
    }

    fn datagram(send: SendEvent) -> Bytes {
        let request = client::Request {
            body: Some(request::Body::SendEvent(send)),
            ..client::Request::default()
        };
        request.encode_to_vec().into()
    }

    fn code(answer: Answer) -> ErrorCode {
        answer.expect_err("refused").code
    }

    #[tokio::test]
    async fn a_thousand_typing_events_a_second_become_one() {
        let (caller, notices) = caller();
        let counters = Counters::default();
        for _ in 0..1_000 {
            caller.datagram(datagram(typing(5)), &counters);
        }
        let Some(Wish::Send(draft)) = wish(&notices) else {
            panic!("no event");
        };
        assert_eq!(draft.typing(), Some(ChannelId(5)));
        assert!(wish(&notices).is_none());
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        let refused = count(&counters.repeated) + count(&counters.too_many);
        assert_eq!(refused, 999);
        assert!(count(&counters.too_many) > 900);
        let again = caller.send_event(typing(6), &counters).await;
        assert_eq!(code(again), ErrorCode::Ratelimited);
    }

    #[tokio::test]
    async fn what_is_no_event_is_counted_and_harms_nobody() {
        let (caller, notices) = caller();
        let counters = Counters::default();
        let ping = client::Request {
            body: Some(request::Body::Ping(client::Ping {})),
            ..client::Request::default()
        };
        let mut nothing = typing(5);
        nothing.kind = None;
        for bytes in [
            Bytes::new(),
            vec![0xff; 40].into(),
            ping.encode_to_vec().into(),
            datagram(nothing),
        ] {
            caller.datagram(bytes, &counters);
        }
        assert_eq!(counters.invalid.load(Relaxed), 4);
        assert!(wish(&notices).is_none());
    }

    #[tokio::test]
    async fn what_is_too_much_or_of_another_workspace_is_refused() {
        let (caller, _notices) = caller();
        let channel = OpenChannel { channel: 1 };
        let open = client::OpenChannels {
            channels: vec![channel; OPEN_CHANNELS_MAX + 1],
        };
        let refused = caller.open_channels(open).await;
        assert_eq!(code(refused), ErrorCode::InvalidArguments);
        let users = vec![caller.user().0; WATCHED_USERS_MAX + 1];
        let refused = caller.watch_presence(client::WatchPresence { users }).await;
        assert_eq!(code(refused), ErrorCode::InvalidArguments);
        let users = vec![UserId::new(WorkspaceId(2), 7).0];
        let refused = caller.watch_presence(client::WatchPresence { users }).await;
        assert_eq!(code(refused), ErrorCode::UserNotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_busy_or_over_is_not_waited_for() {
        let (caller, notices) = caller();
        let watch = || client::WatchPresence { users: Vec::new() };
        let refused = caller.watch_presence(watch()).await;
        assert_eq!(code(refused), ErrorCode::Unavailable, "busy");
        notices.close();
        let refused = caller.watch_presence(watch()).await;
        assert_eq!(code(refused), ErrorCode::Unavailable, "over");
    }
}
