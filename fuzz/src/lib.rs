//! What the fuzz targets share.

use std::fmt::Debug;

use bytes::Bytes;
use causeway_gossip::member::MemberInfo;
use causeway_gossip::{Member, Role};
use causeway_protocol::{NodeId, frame};
use prost::Message;

/// Decodes `body`. What was decoded must read back from its own encoding.
pub fn decode<M: Message + Default + PartialEq + Debug>(body: &Bytes) -> Option<M> {
    let message: M = frame::decode(body.clone()).ok()?;
    let encoded = message.encode_to_vec();
    assert_eq!(encoded.len(), message.encoded_len());
    let again = M::decode(&encoded[..]).expect("what was encoded is read");
    assert_eq!(again, message);
    Some(message)
}

/// Member `n`.
pub fn member(n: u16) -> Member {
    let name = |text: &str| text.parse().expect("a name");
    Member::new(MemberInfo {
        node: NodeId(n.into()),
        incarnation: 1,
        name: name(&format!("node-{n}")),
        role: Role::Core,
        place: name("us-east"),
        zone: name("us-east-a"),
        backbone: ([127, 0, 0, 1], n).into(),
        client: None,
        http: None,
        version: "0.1.0".into(),
    })
}
