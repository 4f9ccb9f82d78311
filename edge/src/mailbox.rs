//! A bounded queue with one reader. While it is empty it holds next to no memory, unlike
//! a channel, which keeps room for messages to come: every session has one.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The queue; shared by its writers and its reader.
#[derive(Debug)]
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    filled: Notify,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    closed: bool,
}

/// Why something was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too much waits.
    Full,
    /// Nobody reads any more.
    Closed,
}

impl<T> Mailbox<T> {
    /// Empty; `most` can wait.
    pub fn new(most: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            filled: Notify::new(),
            most,
        }
    }

    /// Adds something.
    ///
    /// # Errors
    /// [`Refused`]; it is dropped.
    pub fn put(&self, item: T) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.queue.len() >= self.most {
            return Err(Refused::Full);
        }
        state.queue.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// The next, in order. Nothing is lost when this is dropped.
    pub async fn take(&self) -> T {
        loop {
            if let Some(item) = self.try_take() {
                return item;
            }
            self.filled.notified().await;
        }
    }

    /// The next, if there is one.
    pub fn try_take(&self) -> Option<T> {
        let mut state = self.state.lock();
        let item = state.queue.pop_front();
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        item
    }

    /// Nothing is read any more: what waits is dropped.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.queue);
        drop(state);
        self.filled.notify_waiters();
        // Whoever waits for one of these learns of it.
        drop(dropped);
    }

    /// Waits until nothing is read any more.
    #[cfg(test)]
    pub async fn closed(&self) {
        loop {
            let closed = self.filled.notified();
            if self.state.lock().closed {
                return;
            }
            closed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_in_comes_out_in_order_and_too_much_is_refused() {
        let mailbox = Mailbox::new(2);
        assert_eq!(mailbox.put(1), Ok(()));
        assert_eq!(mailbox.put(2), Ok(()));
        assert_eq!(mailbox.put(3), Err(Refused::Full));
        assert_eq!(mailbox.take().await, 1);
        assert_eq!(mailbox.take().await, 2);
        assert_eq!(mailbox.try_take(), None);
        assert_eq!(mailbox.put(4), Ok(()));
        mailbox.close();
        assert_eq!(mailbox.put(5), Err(Refused::Closed));
        assert_eq!(mailbox.try_take(), None);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let mailbox = std::sync::Arc::new(Mailbox::new(2));
        let reader = tokio::spawn({
            let mailbox = std::sync::Arc::clone(&mailbox);
            async move { mailbox.take().await }
        });
        tokio::task::yield_now().await;
        mailbox.put(7).unwrap();
        assert_eq!(reader.await.unwrap(), 7);
    }
}
