//! The thin shell around [`Swim`]: datagrams, timers and connections in, packets
//! and membership out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::NodeId;
use causeway_transport::backbone::{Backbone, Peer, PeerEvent};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::away::Away;
use crate::member::{Member, MemberInfo, Membership};
use crate::swim::{Evidence, Packet, Swim, Timings};

/// Packets that wait for the gossip task; more are dropped, as gossip may be.
const INBOX_MAX: usize = 1_024;
/// How often a node that is alone asks its seeds.
const JOIN_EVERY: Duration = Duration::from_millis(200);
/// How often a node that has company asks seeds that are not part of it, so that
/// two halves of a world that parted at birth find each other.
const SEEDS_EVERY: Duration = Duration::from_secs(10);
/// After leaving, packets get this long to go out.
const FAREWELL: Duration = Duration::from_millis(100);

/// How to join.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// This node.
    pub me: MemberInfo,
    /// Backbone addresses of nodes to ask first.
    pub seeds: Vec<SocketAddr>,
    /// How quickly the dead are noticed.
    pub timings: Timings,
}

/// Where datagrams of peers go: made before the backbone, which is made before
/// the [`Gossip`] that uses it.
#[derive(Debug)]
pub struct Inbox {
    sender: mpsc::Sender<Bytes>,
    receiver: mpsc::Receiver<Bytes>,
}

impl Default for Inbox {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        Self { sender, receiver }
    }
}

impl Inbox {
    /// The handler to register for datagrams.
    pub fn handler(&self) -> impl Fn(&Peer, Bytes) + Send + Sync + 'static {
        let sender = self.sender.clone();
        move |_, bytes| {
            // Full: gossip repeats itself.
            let _ = sender.try_send(bytes);
        }
    }
}

/// A node's membership, kept up to date by a task; clones share it.
#[derive(Debug, Clone)]
pub struct Gossip {
    membership: watch::Receiver<Arc<Membership>>,
    away: Arc<Mutex<Away>>,
}

impl Gossip {
    /// Starts alone; [`run`](GossipTask::run) joins the others.
    pub fn new(config: GossipConfig, backbone: Backbone, inbox: Inbox) -> (Self, GossipTask) {
        let swim = Swim::new(
            Member::new(config.me),
            config.timings,
            rand::make_rng::<StdRng>(),
        );
        let (publish, membership) = watch::channel(Arc::new(swim.membership()));
        let away = Arc::<Mutex<Away>>::default();
        let task = GossipTask {
            swim,
            seeds: config.seeds,
            backbone,
            inbox,
            publish,
            away: Arc::clone(&away),
        };
        (Self { membership, away }, task)
    }

    /// Who was here, and is not now.
    pub fn away(&self) -> Away {
        self.away.lock().clone()
    }

    /// Who is alive now.
    pub fn membership(&self) -> Arc<Membership> {
        self.membership.borrow().clone()
    }

    /// For waiting until it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Membership>> {
        self.membership.clone()
    }
}

/// The task behind [`Gossip`]; foca's timers have this one owner.
pub struct GossipTask {
    swim: Swim,
    seeds: Vec<SocketAddr>,
    backbone: Backbone,
    inbox: Inbox,
    publish: watch::Sender<Arc<Membership>>,
    away: Arc<Mutex<Away>>,
}

impl GossipTask {
    /// Gossips until `stop`, then takes leave.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut events = self.backbone.events();
        let (joined, mut found) = mpsc::channel::<Member>(16);
        let seeking = tokio::spawn(seek(
            self.seeds.clone(),
            self.backbone.clone(),
            self.publish.subscribe(),
            joined,
        ));
        loop {
            let deadline = self.swim.deadline();
            let packets = tokio::select! {
                () = stop.cancelled() => break,
                Some(bytes) = self.inbox.receiver.recv() => self.swim.receive(&bytes, Instant::now()),
                Some(seed) = found.recv() => self.swim.announce(seed, Instant::now()),
                event = events.recv() => self.on_event(event),
                () = sleep_until(deadline) => self.swim.tick(Instant::now()),
            };
            self.send(packets);
            self.publish_changes();
        }
        seeking.abort();
        let packets = self.swim.leave(Instant::now());
        self.send(packets);
        tokio::time::sleep(FAREWELL).await;
    }

    fn on_event(&mut self, event: Result<PeerEvent, broadcast::error::RecvError>) -> Vec<Packet> {
        match event {
            Ok(PeerEvent::Down { peer, stopping }) => {
                let evidence = if stopping {
                    Evidence::Stopped
                } else {
                    Evidence::Silent
                };
                self.swim.evidence(peer.node, evidence, Instant::now())
            }
            // Missed events: the probes find what they would have told.
            Ok(PeerEvent::Up(_)) | Err(_) => Vec::new(),
        }
    }

    fn send(&self, packets: Vec<Packet>) {
        for Packet { to, bytes } in packets {
            if to.node != NodeId(0) {
                self.backbone.set_address(to.node, to.backbone);
            }
            self.backbone.send_datagram(to.node, bytes);
        }
    }

    fn publish_changes(&self) {
        let fresh = self.swim.membership();
        self.publish.send_if_modified(|known| {
            if known.iter().eq(fresh.iter()) {
                return false;
            }
            for member in fresh.iter() {
                self.backbone.set_address(member.node, member.backbone);
            }
            log_changes(known, &fresh);
            self.away.lock().update(known, &fresh, Instant::now());
            *known = Arc::new(fresh);
            true
        });
    }
}

fn log_changes(before: &Membership, after: &Membership) {
    for member in after.iter() {
        if before.get(member.node) != Some(member) {
            tracing::info!(?member, place = %member.place, "a member is up");
        }
    }
    for member in before.iter() {
        if after.get(member.node).is_none() {
            tracing::info!(?member, place = %member.place, "a member is down");
        }
    }
}

/// Connects to seeds that are not members yet, and passes on who they are.
async fn seek(
    seeds: Vec<SocketAddr>,
    backbone: Backbone,
    membership: watch::Receiver<Arc<Membership>>,
    found: mpsc::Sender<Member>,
) {
    loop {
        let known = membership.borrow().clone();
        let missing = |seed: &&SocketAddr| known.iter().all(|m| m.backbone != **seed);
        for seed in seeds.iter().filter(missing) {
            if let Ok(peer) = backbone.connect(*seed).await
                && found.send(stand_in(peer, *seed)).await.is_err()
            {
                return;
            }
        }
        let alone = known.len() <= 1;
        tokio::time::sleep(if alone { JOIN_EVERY } else { SEEDS_EVERY }).await;
    }
}

/// A member of which only address and node are known: enough to announce to.
fn stand_in(peer: Peer, backbone: SocketAddr) -> Member {
    let place = peer.identity.name.clone();
    Member::new(MemberInfo {
        node: peer.node,
        incarnation: 0,
        name: peer.identity.name,
        role: crate::member::Role::Core,
        zone: place.clone(),
        place,
        backbone,
        client: None,
        http: None,
        version: String::new(),
    })
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
