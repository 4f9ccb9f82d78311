//! Lanes: streams to other nodes, on which frames travel in order. What has one key keeps
//! to one lane; several lanes keep a lost packet from holding up everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
type Queues = HashMap<(NodeId, u8), mpsc::Sender<Bytes>>;

/// The lanes of a node; clones share them.
///
/// A frame is dropped, and counted, when the node is out of reach, or when too many
/// wait. It is lost without being counted only with the connection on which it was under
/// way: both ends hear of that as a [`PeerEvent`](super::PeerEvent).
#[derive(Clone)]
pub struct Lanes {
    backbone: Backbone,
    method: Method,
    answers: Option<Answers>,
    queues: Arc<Mutex<Queues>>,
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
        let lane = (node, key % LANES);
        let mut queues = self.queues.lock();
        let sent = match queues.get(&lane) {
            Some(queue) => queue.try_send(frame),
            None => Err(TrySendError::Closed(frame)),
        };
        let sent = match sent {
            Err(TrySendError::Closed(frame)) => {
                // Nodes come and go under new ids: only lanes in use stay.
                queues.retain(|_, queue| !queue.is_closed());
                let queue = self.open(node);
                let sent = queue.try_send(frame);
                queues.insert(lane, queue);
                sent
            }
            sent => sent,
        };
        if sent.is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&self, node: NodeId) -> mpsc::Sender<Bytes> {
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

    /// Frames that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
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
    async fn run(mut self, mut queue: mpsc::Receiver<Bytes>, dropped: Arc<AtomicU64>) {
        let mut frames = Vec::with_capacity(WRITE_FRAMES_MAX);
        loop {
            let waiting = queue.recv_many(&mut frames, WRITE_FRAMES_MAX);
            match tokio::time::timeout(IDLE, waiting).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => {
                    // What was sent up to now is still carried.
                    queue.close();
                    continue;
                }
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
