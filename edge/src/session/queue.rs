//! A session's pushes on their way out: a bounded queue. A client that does not
//! keep up loses pushes, not messages: it is told where, and reads the log.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{Seq, Topic, UserId, frame};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::lane::{Lane, Laned};
use crate::hub::introductions::Person;

/// Frames that wait for a slow client.
const FRAMES_MAX: usize = 1_024;
/// Bytes of them.
const BYTES_MAX: usize = 1024 * 1024;
/// Events that wait; they are soon worth nothing.
const EVENTS_MAX: usize = 64;
/// Users of whom the client has been told, that are remembered.
const INTRODUCED_MAX: usize = 512;
/// Facts that wait until the client has what came before them.
const HELD_MAX: usize = 256;

/// The queue between the hub and a session's writer.
#[derive(Debug, Default)]
pub struct PushQueue {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    facts_lost: Notify,
    told_to_go: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Laned>,
    bytes: usize,
    /// Each with the time until which it is worth something.
    events: VecDeque<(Instant, Bytes)>,
    missed: HashMap<Topic, Seq>,
    /// Users of whom the client has been told; most clients are told of none.
    introduced: HashSet<UserId>,
    facts: Facts,
    /// Of the facts that were added last.
    version: Bytes,
    go_away: Option<Bytes>,
    closed: bool,
}

/// Facts about metadata: the last one that comes is right. So what has changed since
/// the client was last told must not overtake, or be overtaken by, what changes now.
#[derive(Debug)]
enum Facts {
    /// They go out as they come.
    Flow,
    /// They wait for what came before them to be read.
    Wait(VecDeque<(Bytes, Bytes)>),
    /// Some were dropped: all that has changed is to be read.
    Lost,
}

impl Default for Facts {
    fn default() -> Self {
        Self::Wait(VecDeque::new())
    }
}

impl PushQueue {
    /// Adds a topic's entries, or notes that they were dropped. Returns how many were
    /// added.
    pub fn push(&self, topic: Topic, entries: &[(Seq, Bytes)]) -> usize {
        let mut state = self.state.lock();
        let mut added = 0;
        for (seq, frame) in entries {
            if state.has_room(frame) {
                state.add(Lane::of(topic), frame.clone());
                added += 1;
            } else {
                state.miss(topic, *seq);
            }
        }
        drop(state);
        self.filled.notify_one();
        added
    }

    /// Adds those of whom the client has not been told, as far as there is room: they come
    /// before what is pushed next on the topic.
    pub fn introduce(&self, topic: Topic, people: &[Person]) {
        let mut state = self.state.lock();
        for person in people {
            if state.has_room(&person.frame) && state.is_new(person.user) {
                state.add(Lane::of(topic), person.frame.clone());
            }
        }
    }

    /// Adds an event, before all that is stored. Returns false if another had to go: that
    /// is no hole.
    pub fn push_event(&self, frame: Bytes, until: Instant) -> bool {
        let mut state = self.state.lock();
        let room = state.events.len() < EVENTS_MAX;
        if !room {
            state.events.pop_front();
        }
        state.events.push_back((until, frame));
        drop(state);
        self.filled.notify_one();
        room
    }

    /// Adds a frame if there is room. Whoever offers it tells the same later, if not.
    pub fn offer(&self, frame: Bytes) -> bool {
        let mut state = self.state.lock();
        let room = state.has_room(&frame);
        if room {
            state.add(Lane::FIRST, frame);
        }
        drop(state);
        self.filled.notify_one();
        room
    }

    /// Adds facts, or has them wait their turn. Whoever has taken these in, and all
    /// before, has so much of the metadata as `version` says.
    pub fn push_facts(&self, frame: Bytes, version: &Bytes) {
        let mut state = self.state.lock();
        let room = state.has_room(&frame);
        let lost = match &mut state.facts {
            Facts::Lost => return,
            Facts::Wait(waiting) if waiting.len() < HELD_MAX => {
                waiting.push_back((frame, version.clone()));
                return;
            }
            Facts::Flow if room => false,
            Facts::Wait(_) | Facts::Flow => true,
        };
        if lost {
            state.facts = Facts::Lost;
            drop(state);
            self.facts_lost.notify_one();
            return;
        }
        state.version = version.clone();
        state.add(Lane::FIRST, frame);
        drop(state);
        self.filled.notify_one();
    }

    /// Ends when facts have been dropped.
    pub async fn facts_lost(&self) {
        self.facts_lost.notified().await;
    }

    /// How far the client is with the facts that went out; empty if none have.
    pub fn version(&self) -> Bytes {
        self.state.lock().version.clone()
    }

    /// From now on facts wait. Returns how far the client is with those that went out;
    /// empty if none have.
    pub fn hold_facts(&self) -> Bytes {
        let mut state = self.state.lock();
        if !matches!(state.facts, Facts::Wait(_)) {
            state.facts = Facts::default();
        }
        state.version.clone()
    }

    /// Adds facts that have been read, when there is room. Returns false at the end.
    pub async fn push_read(&self, frame: Bytes) -> bool {
        loop {
            let emptied = self.emptied.notified();
            {
                let mut state = self.state.lock();
                if state.closed {
                    return false;
                }
                if state.has_room(&frame) {
                    state.add(Lane::FIRST, frame);
                    break;
                }
            }
            emptied.await;
        }
        self.filled.notify_one();
        true
    }

    /// All up to `version` has been read and added: those that wait go out. Returns
    /// false if some were dropped meanwhile.
    pub fn release_facts(&self, version: Bytes) -> bool {
        let mut state = self.state.lock();
        state.version = version;
        let waiting = match std::mem::replace(&mut state.facts, Facts::Flow) {
            Facts::Wait(waiting) => waiting,
            Facts::Flow => VecDeque::new(),
            Facts::Lost => {
                state.facts = Facts::Lost;
                return false;
            }
        };
        for (frame, _) in waiting {
            state.add(Lane::FIRST, frame);
        }
        drop(state);
        self.filled.notify_one();
        true
    }

    /// How many frames wait.
    pub fn frames(&self) -> u32 {
        u32::try_from(self.state.lock().frames.len()).unwrap_or(u32::MAX)
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
        self.told_to_go.notify_one();
    }

    /// Ends when the client is to be told to go elsewhere.
    pub async fn told_to_go(&self) {
        self.told_to_go.notified().await;
    }

    /// Ends the queue: the writer writes what is left, then stops.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// Waits for frames and moves up to `most` into `frames`; false at the end.
    pub async fn take(&self, frames: &mut Vec<Laned>, most: usize) -> bool {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.state.lock();
                // Stored frames are not kept waiting by events alone.
                state.take_events(frames, most.div_ceil(2), Instant::now());
                let events = frames.len();
                let count = (most - events).min(state.frames.len());
                frames.extend(state.frames.drain(..count));
                let taken = frames[events..].iter().map(|laned| laned.frame.len());
                state.bytes -= taken.sum::<usize>();
                if state.frames.is_empty() {
                    // What a burst has taken is given back.
                    state.frames = VecDeque::new();
                }
                self.emptied.notify_waiters();
                frames.extend(state.go_away.take().map(Laned::first));
                if state.frames.is_empty() {
                    state.take_missed(frames);
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
    fn has_room(&self, frame: &Bytes) -> bool {
        self.frames.len() < FRAMES_MAX && self.bytes + frame.len() <= BYTES_MAX.max(frame.len())
    }

    /// Whether this user is told of for the first time, as far as that is remembered.
    fn is_new(&mut self, user: UserId) -> bool {
        if self.introduced.len() >= INTRODUCED_MAX {
            self.introduced.clear();
        }
        self.introduced.insert(user)
    }

    fn add(&mut self, lane: Lane, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(Laned { lane, frame });
    }

    /// Moves up to `most` events that are still worth something at `now`.
    fn take_events(&mut self, frames: &mut Vec<Laned>, most: usize, now: Instant) {
        while frames.len() < most
            && let Some((until, frame)) = self.events.pop_front()
        {
            if now < until {
                frames.push(Laned {
                    lane: Lane::EVENTS,
                    frame,
                });
            }
        }
        if self.events.is_empty() {
            // Most sessions are told of few events.
            self.events = VecDeque::new();
        }
    }

    fn miss(&mut self, topic: Topic, seq: Seq) {
        let head = self.missed.entry(topic).or_insert(seq);
        *head = seq.max(*head);
    }

    /// After the frames that came before: what was dropped, as one frame on each lane.
    fn take_missed(&mut self, frames: &mut Vec<Laned>) {
        let mut lanes = BTreeMap::<Lane, Vec<client::Cursor>>::new();
        for (topic, seq) in std::mem::take(&mut self.missed) {
            let heads = lanes.entry(Lane::of(topic)).or_default();
            heads.push(client::Cursor {
                topic: Some(topic.to_wire()),
                seq: seq.0,
            });
        }
        frames.extend(lanes.into_iter().map(|(lane, heads)| {
            let frame = frame::encode(&client::ServerFrame {
                body: Some(server_frame::Body::Missed(client::Missed { heads })),
            });
            Laned { lane, frame }
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use causeway_protocol::ChannelId;

    use super::*;

    const TOPIC: Topic = Topic::Channel(ChannelId(1));

    fn push(queue: &PushQueue, seq: u64, bytes: usize) -> bool {
        queue.push(TOPIC, &[(Seq(seq), vec![0; bytes].into())]) == 1
    }

    #[tokio::test]
    async fn users_are_told_of_once_and_before_what_comes_next() {
        let queue = PushQueue::default();
        let person = |user| Person {
            user: UserId(user),
            frame: Bytes::from(format!("user {user}")),
        };
        queue.introduce(TOPIC, &[person(1), person(2)]);
        assert!(push(&queue, 1, 3));
        queue.introduce(TOPIC, &[person(2), person(3)]);
        let told = take(&queue, 10).await;
        assert_eq!(told, [&b"user 1"[..], b"user 2", &[0; 3], b"user 3"]);
        // Forgotten, they are told again.
        for user in 0..2 * INTRODUCED_MAX as u64 {
            queue.introduce(TOPIC, &[person(1_000 + user)]);
            let known = queue.state.lock().introduced.len();
            assert!(known <= INTRODUCED_MAX);
            take(&queue, 10).await;
        }
        queue.introduce(TOPIC, &[person(1)]);
        assert_eq!(take(&queue, 10).await, [&b"user 1"[..]]);
    }

    async fn take(queue: &PushQueue, most: usize) -> Vec<Bytes> {
        let mut frames = Vec::new();
        queue.take(&mut frames, most).await;
        frames.into_iter().map(|laned| laned.frame).collect()
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
    async fn what_is_missed_is_told_on_the_lane_of_its_channel_after_its_entries() {
        let queue = PushQueue::default();
        let other = Topic::Channel(ChannelId(2));
        assert_ne!(Lane::of(TOPIC), Lane::of(other));
        for topic in [TOPIC, other] {
            assert_eq!(
                queue.push(topic, &[(Seq(1), Bytes::from_static(b"entry"))]),
                1
            );
            queue.missed(topic, Seq(5));
        }
        facts(&queue, 9);
        assert!(queue.release_facts(vec![9].into()));
        let mut frames = Vec::new();
        queue.take(&mut frames, 10).await;
        let lanes: Vec<Lane> = frames.iter().map(|laned| laned.lane).collect();
        let (one, two) = (Lane::of(TOPIC), Lane::of(other));
        assert_eq!(lanes, [one, two, Lane::FIRST, one, two]);
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_a_single_large_frame_still_passes() {
        let queue = PushQueue::default();
        assert!(push(&queue, 1, 2 * BYTES_MAX));
        assert!(!push(&queue, 2, 10));
        assert_eq!(take(&queue, 10).await.len(), 2);
        assert!(push(&queue, 3, 10));
    }

    fn facts(queue: &PushQueue, n: u8) {
        queue.push_facts(vec![n].into(), &vec![n].into());
    }

    async fn all(queue: &PushQueue) -> Vec<u8> {
        take(queue, 10_000)
            .await
            .iter()
            .map(|frame| frame[0])
            .collect()
    }

    #[tokio::test]
    async fn facts_wait_until_what_came_before_has_been_read() {
        let queue = PushQueue::default();
        facts(&queue, 5);
        assert!(queue.hold_facts().is_empty());
        facts(&queue, 6);
        assert!(queue.push_read(vec![3].into()).await);
        assert!(queue.release_facts(vec![4].into()));
        facts(&queue, 7);
        assert_eq!(all(&queue).await, [3, 5, 6, 7]);
        assert_eq!(queue.hold_facts()[..], [7]);
    }

    #[tokio::test]
    async fn facts_that_are_dropped_are_noticed_also_while_others_are_read() {
        let queue = PushQueue::default();
        queue.hold_facts();
        (0..=HELD_MAX).for_each(|_| facts(&queue, 1));
        queue.facts_lost().await;
        assert!(!queue.release_facts(vec![9].into()));
        assert_eq!(queue.hold_facts()[..], [9]);
        assert!(queue.release_facts(vec![9].into()));
        for seq in 0..FRAMES_MAX as u64 {
            push(&queue, seq, 1);
        }
        facts(&queue, 10);
        queue.facts_lost().await;
        assert_eq!(queue.hold_facts()[..], [9]);
    }

    #[tokio::test]
    async fn events_go_first_while_they_are_worth_something_and_leave_no_hole() {
        let queue = PushQueue::default();
        let now = Instant::now();
        let (past, future) = (now, now + Duration::from_secs(60));
        push(&queue, 1, 10);
        assert!(queue.push_event(vec![1].into(), past));
        assert!(queue.push_event(vec![2].into(), future));
        assert_eq!(take(&queue, 1_000).await, [vec![2], vec![0; 10]]);
        for n in (0..).take(EVENTS_MAX) {
            assert!(queue.push_event(vec![n].into(), future));
        }
        assert!(
            !queue.push_event(vec![99].into(), future),
            "the oldest goes"
        );
        push(&queue, 2, 10);
        let first = take(&queue, 10).await;
        assert_eq!((first.len(), &first[0][..]), (6, &[1][..]), "half of them");
        assert_eq!(take(&queue, 1_000).await.len(), EVENTS_MAX - 5);
    }

    #[tokio::test]
    async fn what_is_offered_to_a_full_queue_is_not_missed() {
        let queue = PushQueue::default();
        assert!(queue.offer(vec![1].into()));
        for seq in 1..FRAMES_MAX as u64 {
            push(&queue, seq, 1);
        }
        assert!(!queue.offer(vec![2].into()));
        assert_eq!(take(&queue, 10_000).await.len(), FRAMES_MAX);
        assert!(queue.offer(vec![2].into()));
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
