//! Lanes: one-way streams to other nodes, on which entries travel in order. A
//! topic keeps to its lane; several lanes keep a lost packet from holding up
//! every topic.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{Method, NodeId, Topic};
use causeway_transport::backbone::Backbone;
use parking_lot::Mutex;
use quinn::SendStream;
use tokio::sync::mpsc;

/// Lanes to each node.
const LANES: u8 = 4;
/// Entries that wait on a lane; more are dropped, and found missing by `seq`.
const LANE_ENTRIES_MAX: usize = 8_192;
/// Entries written at a time.
const WRITE_ENTRIES_MAX: usize = 64;
/// A lane that has carried nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The entrances of lanes, by node and number.
type Queues = HashMap<(NodeId, u8), mpsc::Sender<Bytes>>;

/// The lanes of a node; clones share them.
#[derive(Clone)]
pub struct Lanes {
    backbone: Backbone,
    queues: Arc<Mutex<Queues>>,
    dropped: Arc<AtomicU64>,
}

impl Lanes {
    /// Over this backbone.
    pub fn new(backbone: Backbone) -> Self {
        Self {
            backbone,
            queues: Arc::default(),
            dropped: Arc::default(),
        }
    }

    /// Sends a frame of `topic` to `node`, after those before it. Never waits.
    pub fn send(&self, node: NodeId, topic: Topic, frame: Bytes) {
        let [.., low] = topic.key();
        let lane = (node, low % LANES);
        let mut queues = self.queues.lock();
        let open = queues.get(&lane).filter(|queue| !queue.is_closed());
        let queue = match open {
            Some(queue) => queue,
            None => {
                let (sender, receiver) = mpsc::channel(LANE_ENTRIES_MAX);
                tokio::spawn(run(
                    self.backbone.clone(),
                    node,
                    receiver,
                    self.dropped.clone(),
                ));
                queues.insert(lane, sender);
                &queues[&lane]
            }
        };
        if queue.try_send(frame).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frames that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn run(
    backbone: Backbone,
    node: NodeId,
    mut queue: mpsc::Receiver<Bytes>,
    dropped: Arc<AtomicU64>,
) {
    let mut stream: Option<SendStream> = None;
    let mut frames = Vec::with_capacity(WRITE_ENTRIES_MAX);
    loop {
        let waiting = queue.recv_many(&mut frames, WRITE_ENTRIES_MAX);
        match tokio::time::timeout(IDLE, waiting).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        if let Err(error) = write(&backbone, node, &mut stream, &mut frames).await {
            stream = None;
            dropped.fetch_add(frames.len() as u64, Ordering::Relaxed);
            tracing::debug!(%node, error, "entries were dropped on a lane");
        }
        frames.clear();
    }
}

async fn write(
    backbone: &Backbone,
    node: NodeId,
    stream: &mut Option<SendStream>,
    frames: &mut [Bytes],
) -> Result<(), String> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let opened = backbone.open_one_way(node, Method::Publish).await;
            stream.insert(opened.map_err(|e| e.to_string())?)
        }
    };
    let written = stream.write_all_chunks(frames).await;
    written.map_err(|e| e.to_string())
}
