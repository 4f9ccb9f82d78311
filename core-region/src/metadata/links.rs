//! Links: a stream to each peer, on which operations leave as soon as they are on
//! the disk, and reports come back once they are on the peer's. What is lost with a
//! link is found missing when versions are compared.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{Method, NodeId};
use causeway_transport::backbone::{Backbone, CallError};
use causeway_transport::stream::FrameReader;
use parking_lot::Mutex;
use quinn::SendStream;
use tokio::sync::mpsc;

use super::exchange::Exchange;
use crate::metadata_wire as wire;

/// Frames that wait on a link; more are dropped.
const WAITING_MAX: usize = 8 * 1024;
/// Frames written at a time.
const WRITE_FRAMES_MAX: usize = 64;
/// A link that has carried nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The links of a node; clones share them.
#[derive(Clone)]
pub struct Links {
    backbone: Backbone,
    queues: Arc<Mutex<HashMap<NodeId, mpsc::Sender<Bytes>>>>,
}

impl Links {
    /// Over this backbone.
    pub fn new(backbone: Backbone) -> Self {
        Self {
            backbone,
            queues: Arc::default(),
        }
    }

    /// Sends a frame of operations to a peer, after those before it. Never waits.
    /// The peer's reports go to `exchange`.
    pub fn send(&self, node: NodeId, frame: Bytes, exchange: &Exchange) {
        let mut queues = self.queues.lock();
        let open = queues.get(&node).filter(|queue| !queue.is_closed());
        let queue = match open {
            Some(queue) => queue,
            None => {
                let (sender, receiver) = mpsc::channel(WAITING_MAX);
                let run = run(self.backbone.clone(), node, receiver, exchange.clone());
                tokio::spawn(run);
                queues.insert(node, sender);
                &queues[&node]
            }
        };
        // A full queue means that the peer is away, or far behind.
        let _ = queue.try_send(frame);
    }
}

async fn run(
    backbone: Backbone,
    node: NodeId,
    mut queue: mpsc::Receiver<Bytes>,
    exchange: Exchange,
) {
    let mut frames = Vec::with_capacity(WRITE_FRAMES_MAX);
    let mut stream: Option<SendStream> = None;
    loop {
        let waiting = queue.recv_many(&mut frames, WRITE_FRAMES_MAX);
        match tokio::time::timeout(IDLE, waiting).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        if write(&backbone, node, &mut stream, &mut frames, &exchange)
            .await
            .is_err()
        {
            stream = None;
        }
        frames.clear();
    }
}

async fn write(
    backbone: &Backbone,
    node: NodeId,
    stream: &mut Option<SendStream>,
    frames: &mut [Bytes],
    exchange: &Exchange,
) -> Result<(), CallError> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let (send, reports) = backbone.open(node, Method::MetadataShip).await?;
            tokio::spawn(read_reports(node, reports, exchange.clone()));
            stream.insert(send)
        }
    };
    let written = stream.write_all_chunks(frames).await;
    written.map_err(|e| CallError::Unreachable {
        node,
        reason: e.to_string(),
    })
}

/// Ends with the stream.
async fn read_reports(node: NodeId, mut reports: FrameReader, exchange: Exchange) {
    while let Ok(Some(report)) = reports.message::<wire::Report>().await {
        exchange.hear(node, report);
    }
}
