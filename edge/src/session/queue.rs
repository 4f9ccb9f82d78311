//! A session's pushes on their way out: a bounded queue. A client that does not
//! keep up loses pushes, not messages: it is told where, and reads the log.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{Seq, Topic, frame};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Frames that wait for a slow client.
const FRAMES_MAX: usize = 1_024;
/// Bytes of them.
const BYTES_MAX: usize = 1024 * 1024;

/// The queue between the hub and a session's writer.
#[derive(Debug, Default)]
pub struct PushQueue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    missed: HashMap<Topic, Seq>,
    go_away: Option<Bytes>,
    closed: bool,
}

impl PushQueue {
    /// Adds a frame, or notes that it was dropped. Returns whether it was added.
    pub fn push(&self, topic: Topic, seq: Seq, frame: Bytes) -> bool {
        let mut state = self.state.lock();
        let room = state.frames.len() < FRAMES_MAX
            && state.bytes + frame.len() <= BYTES_MAX.max(frame.len());
        if room {
            state.bytes += frame.len();
            state.frames.push_back(frame);
        } else {
            state.miss(topic, seq);
        }
        drop(state);
        self.filled.notify_one();
        room
    }

    /// Notes that the session misses entries up to `head`.
    pub fn missed(&self, topic: Topic, head: Seq) {
        self.state.lock().miss(topic, head);
        self.filled.notify_one();
    }

    /// The client is to go elsewhere; full or not, this is told soon.
    pub fn go_away(&self, frame: Bytes) {
        self.state.lock().go_away = Some(frame);
        self.filled.notify_one();
    }

    /// Ends the queue: the writer writes what is left, then stops.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits for frames and moves up to `most` into `frames`; false at the end.
    pub async fn take(&self, frames: &mut Vec<Bytes>, most: usize) -> bool {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.state.lock();
                let count = most.min(state.frames.len());
                frames.extend(state.frames.drain(..count));
                state.bytes -= frames.iter().map(Bytes::len).sum::<usize>();
                frames.extend(state.go_away.take());
                if state.frames.is_empty() {
                    frames.extend(state.take_missed());
                }
                if !frames.is_empty() {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            filled.await;
        }
    }
}

impl State {
    fn miss(&mut self, topic: Topic, seq: Seq) {
        let head = self.missed.entry(topic).or_insert(seq);
        *head = seq.max(*head);
    }

    /// After the frames that came before: what was dropped, as one frame.
    fn take_missed(&mut self) -> Option<Bytes> {
        if self.missed.is_empty() {
            return None;
        }
        let heads = std::mem::take(&mut self.missed).into_iter();
        let heads = heads.map(|(topic, seq)| client::Cursor {
            topic: Some(topic.to_wire()),
            seq: seq.0,
        });
        Some(frame::encode(&client::ServerFrame {
            body: Some(server_frame::Body::Missed(client::Missed {
                heads: heads.collect(),
            })),
        }))
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::ChannelId;

    use super::*;

    const TOPIC: Topic = Topic::Channel(ChannelId(1));

    fn push(queue: &PushQueue, seq: u64, bytes: usize) -> bool {
        queue.push(TOPIC, Seq(seq), vec![0; bytes].into())
    }

    async fn take(queue: &PushQueue, most: usize) -> Vec<Bytes> {
        let mut frames = Vec::new();
        queue.take(&mut frames, most).await;
        frames
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_tells_up_to_where() {
        let queue = PushQueue::default();
        let mut taken = 0;
        for seq in 1..=FRAMES_MAX as u64 {
            assert!(push(&queue, seq, 10));
        }
        assert!(!push(&queue, 2_000, 10));
        assert!(!push(&queue, 2_001, 10));
        loop {
            let frames = take(&queue, 100).await;
            taken += frames.len();
            if taken > FRAMES_MAX {
                let last = frames.last().cloned().unwrap().slice(frame::HEADER_BYTES..);
                let last: client::ServerFrame = frame::decode(last).unwrap();
                let Some(server_frame::Body::Missed(missed)) = last.body else {
                    panic!("the last frame tells what was missed");
                };
                assert_eq!(missed.heads[0].seq, 2_001);
                break;
            }
        }
        assert!(push(&queue, 2_002, 10));
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_a_single_large_frame_still_passes() {
        let queue = PushQueue::default();
        assert!(push(&queue, 1, 2 * BYTES_MAX));
        assert!(!push(&queue, 2, 10));
        assert_eq!(take(&queue, 10).await.len(), 2);
        assert!(push(&queue, 3, 10));
    }

    #[tokio::test]
    async fn a_closed_queue_is_emptied_and_then_ends() {
        let queue = PushQueue::default();
        push(&queue, 1, 10);
        queue.close();
        let mut frames = Vec::new();
        assert!(queue.take(&mut frames, 10).await);
        frames.clear();
        assert!(!queue.take(&mut frames, 10).await);
    }
}
