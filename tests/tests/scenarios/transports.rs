//! The client library over each transport: connections break in mid-stream, PoPs
//! change, and everything comes once and in order.

use std::collections::BTreeSet;

use bytes::Bytes;
use causeway_client::{Client, ClientConfig, Event, Outgoing, Pop, endpoint};
use causeway_protocol::{ChannelId, Topic, client};
use causeway_transport::Transport;
use causeway_transport::endpoint::Liveness;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::world::{PATIENCE, Running, Site};

const MESSAGES: usize = 60;
/// After so many, the reader's connection breaks.
const BREAK_AFTER: usize = 20;

/// A user of `harbor`, connected in this way.
struct User {
    client: Client,
    events: Receiver<Event>,
    channel: ChannelId,
}

impl User {
    async fn connect(world: &Running, number: usize, pops: Vec<Pop>, kinds: &[Transport]) -> Self {
        let (client, events) = Client::start(ClientConfig {
            pops,
            roots: world.world.roots().expect("roots"),
            token: world.workspace("harbor").users[number].token.clone(),
            client: "scenario".into(),
            endpoint: endpoint(([127, 0, 0, 1], 0).into(), None).expect("an endpoint"),
            transports: kinds.to_vec(),
            liveness: Liveness::CLIENT_PLANE,
            out_of_order: false,
        });
        let mut user = Self {
            client,
            events,
            channel: ChannelId(0),
        };
        let (boot, _) = user.connected().await;
        user.channel = ChannelId(boot.channels[0].id);
        user
    }

    async fn event(&mut self) -> Event {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("the client lives")
    }

    /// Waits until it is connected, and tells by what.
    async fn connected(&mut self) -> (client::BootData, Transport) {
        loop {
            if let Event::Connected {
                boot, transport, ..
            } = self.event().await
            {
                return (*boot, transport);
            }
        }
    }

    async fn post(&self, id: &str) {
        let message = Outgoing {
            channel: self.channel,
            client_msg_id: Bytes::copy_from_slice(id.as_bytes()),
            text: id.into(),
            thread: None,
        };
        self.client.send(message).await.expect("room");
    }

    /// Reads the channel until `last` has come, and tells what came in which order, and
    /// by which transports the client was connected meanwhile.
    async fn read(&mut self, last: &str, kinds: &mut BTreeSet<Transport>) -> Vec<String> {
        let mut texts = Vec::<String>::new();
        while texts.last().is_none_or(|text| text != last) {
            match self.event().await {
                Event::Entry { topic, entry, .. } if topic == Topic::Channel(self.channel) => {
                    if let Some(client::entry::Kind::Posted(message)) = entry.kind {
                        texts.push(message.text);
                    }
                }
                Event::Connected { transport, .. } => {
                    kinds.insert(transport);
                }
                _ => {}
            }
        }
        texts
    }
}

/// All of `ids`, after whatever was posted between the boot data, which a PoP may have
/// kept for a while, and the first of them.
fn comes_once_and_in_order(texts: &[String], ids: &[String], posted: &[String]) {
    assert!(texts.len() >= ids.len(), "{texts:?}");
    assert!(posted.ends_with(texts), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_each_transport_everything_comes_once_and_in_order_across_breaks() {
    let site = Site::new();
    let world = site.start(&[]);
    let pops = world.world.offered_pops();
    let mut posted = Vec::new();
    for transport in Transport::ALL {
        let mut ann = User::connect(&world, 0, pops.clone(), &[transport]).await;
        let mut ben = User::connect(&world, 1, pops.clone(), &[transport]).await;
        let ids: Vec<String> = (0..MESSAGES).map(|n| format!("{transport}-{n}")).collect();
        for id in &ids {
            ann.post(id).await;
        }
        posted.extend(ids.clone());
        let (last, mut kinds) = (&ids[MESSAGES - 1], BTreeSet::new());
        let mut texts = ben.read(&ids[BREAK_AFTER], &mut kinds).await;
        ben.client.reconnect().await;
        texts.extend(ben.read(last, &mut kinds).await);
        comes_once_and_in_order(&texts, &ids, &posted);
        assert!(kinds.is_subset(&[transport].into()), "{kinds:?}");
        // Ann's own come to her, too.
        comes_once_and_in_order(&ann.read(last, &mut kinds).await, &ids, &posted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_does_not_get_through_a_websocket_does() {
    let site = Site::new();
    let world = site.start(&[]);
    // Nobody listens there for QUIC.
    let deaf = world.world.offered_pops().into_iter().map(|pop| Pop {
        address: ([127, 0, 0, 1], 9).into(),
        ..pop
    });
    let mut ann = User::connect(&world, 0, deaf.collect(), &Transport::ALL).await;
    ann.client.reconnect().await;
    let (_, transport) = ann.connected().await;
    assert_eq!(transport, Transport::WebSocket);
    ann.post("over TCP").await;
    let texts = ann.read("over TCP", &mut BTreeSet::new()).await;
    assert_eq!(texts, ["over TCP"]);
}
