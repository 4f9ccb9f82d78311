//! Gathers what many users want to be read: what comes while a reading is under way is
//! read together, after it. A state machine; the reading is done around it.

use std::collections::VecDeque;

use causeway_protocol::UserId;
use causeway_protocol::backbone::ShelfAsk;
use prost::Message;

/// Users that are read together.
pub const TOGETHER_MAX: usize = 2_048;
/// Bytes of what they say that they know.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Users that wait.
const WAITING_MAX: usize = 32 * 1024;

/// Who waits, with whoever is to be told.
#[derive(Debug)]
pub struct Gather<T> {
    waiting: VecDeque<(ShelfAsk, T)>,
    reading: bool,
}

/// There is no room to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<T> Default for Gather<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            reading: false,
        }
    }
}

impl<T> Gather<T> {
    /// A user's own data are wanted. Returns whether a reading is to begin.
    ///
    /// # Errors
    /// [`Full`].
    pub fn want(&mut self, ask: ShelfAsk, whom: T) -> Result<bool, Full> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Full);
        }
        self.waiting.push_back((ask, whom));
        Ok(!std::mem::replace(&mut self.reading, true))
    }

    /// What is to be read next; none = the reading is over.
    pub fn next(&mut self) -> Vec<(ShelfAsk, T)> {
        let mut bytes = 0;
        let fits = self
            .waiting
            .iter()
            .take(TOGETHER_MAX)
            .take_while(|(ask, _)| {
                bytes += ask.encoded_len();
                bytes <= BYTES_MAX
            });
        // One alone always fits.
        let count = fits.count().max(1).min(self.waiting.len());
        self.reading = count > 0;
        self.waiting.drain(..count).collect()
    }

    /// These were not read: there was too much before them. They come next.
    pub fn put_back(&mut self, left: Vec<(ShelfAsk, T)>) {
        for one in left.into_iter().rev() {
            self.waiting.push_front(one);
        }
    }
}

/// What a user asks for.
pub fn ask_of(user: UserId, wrote: &bytes::Bytes, version: &bytes::Bytes) -> ShelfAsk {
    ShelfAsk {
        user: user.0,
        wrote: wrote.clone(),
        metadata_version: version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(user: u64) -> ShelfAsk {
        ShelfAsk {
            user,
            ..ShelfAsk::default()
        }
    }

    fn users(batch: &[(ShelfAsk, u64)]) -> Vec<u64> {
        batch.iter().map(|(ask, _)| ask.user).collect()
    }

    #[test]
    fn who_comes_while_one_is_read_is_read_with_the_others() {
        let mut gather = Gather::default();
        assert_eq!(gather.want(ask(1), 1), Ok(true));
        assert_eq!(users(&gather.next()), [1]);
        for user in 2..=4 {
            assert_eq!(gather.want(ask(user), user), Ok(false));
        }
        assert_eq!(users(&gather.next()), [2, 3, 4]);
        assert!(gather.next().is_empty());
        assert_eq!(gather.want(ask(5), 5), Ok(true), "the reading was over");
    }

    #[test]
    fn what_was_left_comes_next_in_its_order() {
        let mut gather = Gather::default();
        for user in 1..=3 {
            let _ = gather.want(ask(user), user);
        }
        let mut batch = gather.next();
        let _ = gather.want(ask(4), 4);
        gather.put_back(batch.split_off(1));
        assert_eq!(users(&gather.next()), [2, 3, 4]);
    }

    #[test]
    fn what_users_say_that_they_know_fits_into_a_frame() {
        let mut gather = Gather::default();
        for user in 1..=40 {
            let metadata_version = vec![0; 160 * 1024].into();
            let ask = ShelfAsk {
                user,
                metadata_version,
                ..ShelfAsk::default()
            };
            let _ = gather.want(ask, user);
        }
        assert_eq!(gather.next().len(), 25);
        assert_eq!(gather.next().len(), 15);
    }

    #[test]
    fn a_thousand_boots_are_one_reading_and_the_line_is_bounded() {
        let mut gather = Gather::default();
        for user in 0..WAITING_MAX as u64 {
            assert_eq!(gather.want(ask(user), user), Ok(user == 0));
        }
        assert_eq!(gather.want(ask(0), 0), Err(Full));
        assert_eq!(gather.next().len(), TOGETHER_MAX);
        assert_eq!(gather.want(ask(0), 0), Ok(false));
    }
}
