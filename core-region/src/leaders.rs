//! Leaders announce themselves to every node they are connected to: at once when
//! elected, to whoever connects, and again from time to time.

use std::time::Duration;

use causeway_protocol::backbone::{LeaderHint, LeaderHints};
use causeway_protocol::{Method, NodeId, frame};
use causeway_transport::backbone::{Backbone, PeerEvent};
use tokio_util::sync::CancellationToken;

use crate::cells::Cells;

/// A hint that got lost is repeated by then.
const REPEAT_EVERY: Duration = Duration::from_secs(2);
/// A peer that takes no hint by then hears the next one.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// Announces until `stop`.
pub async fn announce(cells: Cells, backbone: Backbone, stop: CancellationToken) {
    let mut elections = cells.elections();
    let mut events = backbone.events();
    let mut repeat = tokio::time::interval(REPEAT_EVERY);
    loop {
        let to: Vec<NodeId> = tokio::select! {
            () = stop.cancelled() => return,
            _ = elections.changed() => everybody(&backbone),
            _ = repeat.tick() => everybody(&backbone),
            event = events.recv() => match event {
                Ok(PeerEvent::Up(peer)) => vec![peer.node],
                _ => continue,
            },
        };
        let hints = cells.led_here();
        if hints.is_empty() {
            continue;
        }
        for node in to {
            tokio::spawn(send(backbone.clone(), node, hints.clone()));
        }
    }
}

fn everybody(backbone: &Backbone) -> Vec<NodeId> {
    backbone.peers().into_iter().map(|peer| peer.node).collect()
}

async fn send(backbone: Backbone, node: NodeId, hints: Vec<LeaderHint>) {
    let sending = async {
        let mut way = backbone
            .open_one_way(node, Method::LeaderHints)
            .await
            .ok()?;
        let hints = frame::encode(&LeaderHints { hints });
        way.stream.write_chunk(hints).await.ok()?;
        way.stream.finish().ok()
    };
    // A hint is not worth more than one try: it is repeated anyway.
    let _ = tokio::time::timeout(SEND_TIMEOUT, sending).await;
}
