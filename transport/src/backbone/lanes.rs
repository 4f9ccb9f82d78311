//! Lanes: streams to other nodes, on which frames travel in order. What has one key keeps
//! to one lane; several lanes keep a lost packet from holding up everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{Method, NodeId};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Backbone, CallError, OneWay};
use crate::stream::FrameReader;

/// Lanes to each node.
const LANES: u8 = 4;
/// Frames that wait on a lane; more are dropped, and found missing by their number.
const LANE_FRAMES_MAX: usize = 8_192;
/// Frames written at a time.
const WRITE_FRAMES_MAX: usize = 64;
/// A lane that has carried nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Takes what a node answers on a lane.
type Answers = Arc<dyn Fn(NodeId, FrameReader) + Send + Sync>;

/// The entrances of lanes, by node and number.
type Queues = HashMap<(NodeId, u8), mpsc::Sender<Waiting>>;

/// A frame that waits on a lane.
struct Waiting {
    frame: Bytes,
    /// It is not sent any more after this.
    until: Option<Instant>,
}

/// The lanes of a node; clones share them.
///
/// A frame is dropped, and counted, when the node is out of reach, when too many wait, or
/// when it has waited too long. It is lost without being counted only with the connection
/// on which it was under way: both ends hear of that as a
/// [`PeerEvent`](super::PeerEvent).
#[derive(Clone)]
pub struct Lanes {
    backbone: Backbone,
    method: Method,
    answers: Option<Answers>,
    queues: Arc<Mutex<Queues>>,
    taken: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

impl Lanes {
    /// Over this backbone, for the frames that `method` takes.
    pub fn new(backbone: Backbone, method: Method) -> Self {
        Self {
            backbone,
            method,
            answers: None,
            queues: Arc::default(),
            taken: Arc::default(),
            dropped: Arc::default(),
        }
    }

    /// The same, where `method` answers: each lane's answers go to `answers`, from every
    /// stream that the lane opens.
    pub fn with_answers(
        backbone: Backbone,
        method: Method,
        answers: impl Fn(NodeId, FrameReader) + Send + Sync + 'static,
    ) -> Self {
        Self {
            answers: Some(Arc::new(answers)),
            ..Self::new(backbone, method)
        }
    }

    /// Sends a frame to `node`, after those before it with the same key. Never waits.
    pub fn send(&self, node: NodeId, key: u8, frame: Bytes) {
        self.enqueue(node, key, Waiting { frame, until: None });
    }

    /// The same, of a frame that is worth nothing once it has waited until then.
    pub fn send_until(&self, node: NodeId, key: u8, frame: Bytes, until: Instant) {
        let until = Some(until);
        self.enqueue(node, key, Waiting { frame, until });
    }

    fn enqueue(&self, node: NodeId, key: u8, waiting: Waiting) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let lane = (node, key % LANES);
        let mut queues = self.queues.lock();
        let sent = match queues.get(&lane) {
            Some(queue) => queue.try_send(waiting),
            None => Err(TrySendError::Closed(waiting)),
        };
        let sent = match sent {
            Err(TrySendError::Closed(waiting)) => {
                // Nodes come and go under new ids: only lanes in use stay.
                queues.retain(|_, queue| !queue.is_closed());
                let queue = self.open(node);
                let sent = queue.try_send(waiting);
                queues.insert(lane, queue);
                sent
            }
            sent => sent,
        };
        if sent.is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&self, node: NodeId) -> mpsc::Sender<Waiting> {
        let (sender, queue) = mpsc::channel(LANE_FRAMES_MAX);
        let lane = Lane {
            backbone: self.backbone.clone(),
            method: self.method,
            answers: self.answers.clone(),
            node,
            way: None,
            chunks: Vec::with_capacity(WRITE_FRAMES_MAX),
        };
        tokio::spawn(lane.run(queue, self.dropped.clone()));
        sender
    }

    /// Frames that were taken so far, also those that were dropped.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Frames that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Frames that wait on all lanes.
    pub fn waiting(&self) -> usize {
        let queues = self.queues.lock();
        let waiting = queues.values().map(|q| q.max_capacity() - q.capacity());
        waiting.sum()
    }
}

struct Lane {
    backbone: Backbone,
    method: Method,
    answers: Option<Answers>,
    node: NodeId,
    way: Option<OneWay>,
    /// Frames on their way out: writing uses them up.
    chunks: Vec<Bytes>,
}

impl Lane {
    async fn run(mut self, mut queue: mpsc::Receiver<Waiting>, dropped: Arc<AtomicU64>) {
        let mut waiting = Vec::with_capacity(WRITE_FRAMES_MAX);
        let mut frames = Vec::with_capacity(WRITE_FRAMES_MAX);
        loop {
            let receiving = queue.recv_many(&mut waiting, WRITE_FRAMES_MAX);
            match tokio::time::timeout(IDLE, receiving).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => {
                    // What was sent up to now is still carried.
                    queue.close();
                    continue;
                }
            }
            let late = take_in_time(&mut waiting, &mut frames);
            dropped.fetch_add(late, Ordering::Relaxed);
            if frames.is_empty() {
                continue;
            }
            if let Err(error) = self.write(&frames).await {
                dropped.fetch_add(frames.len() as u64, Ordering::Relaxed);
                tracing::debug!(node = %self.node, %error, "frames were dropped on a lane");
            }
            frames.clear();
        }
    }

    /// Writes, and once more if the connection breaks meanwhile: at worst a frame
    /// arrives twice.
    async fn write(&mut self, frames: &[Bytes]) -> Result<(), CallError> {
        if self.write_once(frames).await.is_ok() {
            return Ok(());
        }
        self.write_once(frames).await
    }

    async fn open(&self) -> Result<OneWay, CallError> {
        let (node, method) = (self.node, self.method);
        let Some(answers) = &self.answers else {
            return self.backbone.open_one_way(node, method).await;
        };
        let (way, answered) = self.backbone.open_both_ways(node, method).await?;
        answers(node, answered);
        Ok(way)
    }

    /// Writes on the connection in use, which may be another than the time before.
    async fn write_once(&mut self, frames: &[Bytes]) -> Result<(), CallError> {
        let current = self.backbone.connection(self.node);
        let open = (self.way.take()).filter(|way| Some(way.connection) == current);
        let mut way = match open {
            Some(way) => way,
            None => self.open().await?,
        };
        self.chunks.clear();
        self.chunks.extend_from_slice(frames);
        let written = way.stream.write_all_chunks(&mut self.chunks).await;
        written.map_err(|e| CallError::unreachable(self.node, &e))?;
        self.way = Some(way);
        Ok(())
    }
}

/// Moves the frames that are still worth something; returns how many are not.
fn take_in_time(waiting: &mut Vec<Waiting>, frames: &mut Vec<Bytes>) -> u64 {
    let mut late = 0;
    for Waiting { frame, until } in waiting.drain(..) {
        match until {
            Some(until) if Instant::now() > until => late += 1,
            _ => frames.push(frame),
        }
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_waited_too_long_is_left_out() {
        let now = Instant::now();
        let (past, future) = (
            now - Duration::from_millis(1),
            now + Duration::from_secs(60),
        );
        let waits = |frame: &'static [u8], until| Waiting {
            frame: Bytes::from_static(frame),
            until,
        };
        let mut waiting = vec![
            waits(b"always", None),
            waits(b"late", Some(past)),
            waits(b"in time", Some(future)),
        ];
        let mut frames = Vec::new();
        assert_eq!(take_in_time(&mut waiting, &mut frames), 1);
        assert_eq!(frames, ["always", "in time"]);
        assert!(waiting.is_empty());
    }
}
