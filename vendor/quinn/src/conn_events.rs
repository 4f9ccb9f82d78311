//! The way of an endpoint's events to one of its connections.
//!
//! It takes no memory while no event is under way, unlike a channel, which allocates room
//! for many of them ahead.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::ConnectionEvent;

/// Creates a queue without a limit, like an unbounded channel.
pub(crate) fn queue() -> (Sender, Receiver) {
    let queue = Arc::<Queue>::default();
    (Sender(queue.clone()), Receiver(queue))
}

#[derive(Debug, Default)]
struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    events: VecDeque<ConnectionEvent>,
    receiver: Option<Waker>,
    sender_dropped: bool,
    receiver_dropped: bool,
}

impl Queue {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The end of the endpoint.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Queue>);

/// The connection is gone.
#[derive(Debug)]
pub(crate) struct SendError;

impl Sender {
    pub(crate) fn send(&self, event: ConnectionEvent) -> Result<(), SendError> {
        let waker = self.0.with(|state| {
            if state.receiver_dropped {
                return Err(SendError);
            }
            state.events.push_back(event);
            Ok(state.receiver.take())
        })?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let waker = self.0.with(|state| {
            state.sender_dropped = true;
            state.receiver.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The end of the connection.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Queue>);

impl Receiver {
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        self.0.with(|state| {
            if let Some(event) = state.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            // Whoever has had its events keeps no room for more.
            state.events = VecDeque::new();
            if state.sender_dropped {
                return Poll::Ready(None);
            }
            match &mut state.receiver {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let rest = self.0.with(|state| {
            state.receiver_dropped = true;
            std::mem::take(&mut state.events)
        });
        drop(rest);
    }
}
