//! Calls to channel servers that name topics.

use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::backbone::{Subscribe, TopicRef};
use causeway_protocol::{CellId, Method, NodeId, Topic};
use causeway_transport::backbone::Backbone;
use prost::Message;

/// A call is answered by then.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Topics in one call.
const TOPICS_MAX: usize = 1_000;

/// One call, of a bounded size.
#[derive(Debug)]
pub struct TopicCall {
    /// To whom.
    pub server: NodeId,
    /// The topics, with their cells.
    pub topics: Vec<(CellId, Topic)>,
}

impl TopicCall {
    /// As many calls as these topics need.
    pub fn split(server: NodeId, topics: Vec<(CellId, Topic)>) -> impl Iterator<Item = TopicCall> {
        let chunks: Vec<_> = topics.chunks(TOPICS_MAX).map(<[_]>::to_vec).collect();
        chunks
            .into_iter()
            .map(move |topics| Self { server, topics })
    }

    /// Makes it; `None` when it is not answered.
    pub async fn make(&self, backbone: &Backbone, method: Method) -> Option<Bytes> {
        let topics = self.topics.iter().map(|(cell, topic)| TopicRef {
            cell: cell.0,
            topic: Some(topic.to_wire()),
        });
        let topics = topics.collect();
        let body = Subscribe { topics }.encode_to_vec().into();
        let answer = backbone.call(self.server, method, body, TIMEOUT).await;
        answer.ok()
    }
}
