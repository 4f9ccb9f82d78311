//! What nodes, and the operator's tool, send each other. Bytes are read as each
//! kind of message: a node cannot know what it is sent.

#![no_main]

use bytes::Bytes;
use causeway_fuzz::decode;
use causeway_gossip::Member;
use causeway_protocol::backbone::{
    AdminCall, AdminReply, ApiCall, Directory, DirectoryPoll, Heads, LeaderHints, MemberRecord,
    MetadataFacts, MetadataPublish, MetadataSubscribe, MetadataSubscribed, MetadataUnsubscribe,
    PeerHello, Publish, Reply, RoutedReply, Subscribe, Unsubscribe,
};
use causeway_protocol::client::MetadataPush;
use causeway_protocol::{Method, Topic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(number) = data.first_chunk::<2>() {
        let number = u16::from_be_bytes(*number);
        if let Some(method) = Method::from_number(number) {
            assert_eq!(method.number(), number);
        }
    }
    let body = Bytes::copy_from_slice(data);
    decode::<PeerHello>(&body);
    decode::<Reply>(&body);
    decode::<ApiCall>(&body);
    decode::<RoutedReply>(&body);
    decode::<LeaderHints>(&body);
    decode::<Heads>(&body);
    decode::<Unsubscribe>(&body);
    decode::<DirectoryPoll>(&body);
    decode::<Directory>(&body);
    decode::<AdminCall>(&body);
    decode::<AdminReply>(&body);
    decode::<MetadataSubscribe>(&body);
    decode::<MetadataUnsubscribe>(&body);
    if let Some(publish) = decode::<MetadataPublish>(&body) {
        publish.facts.iter().for_each(facts);
    }
    if let Some(subscribed) = decode::<MetadataSubscribed>(&body) {
        subscribed.facts.iter().for_each(facts);
    }
    if let Some(publish) = decode::<Publish>(&body) {
        let _ = Topic::from_wire(publish.topic.as_ref());
    }
    if let Some(subscribe) = decode::<Subscribe>(&body) {
        for topic in &subscribe.topics {
            let _ = Topic::from_wire(topic.topic.as_ref());
        }
    }
    if let Some(member) = decode::<MemberRecord>(&body).and_then(|r| Member::from_wire(&r)) {
        let wire = member.to_wire();
        let again = Member::from_wire(&wire).expect("what was written is read");
        assert_eq!(again.to_wire(), wire);
    }
});

fn facts(facts: &MetadataFacts) {
    let _ = Topic::from_wire(facts.topic.as_ref());
    decode::<MetadataPush>(&facts.push);
}
