//! SWIM as a state machine: foca, the timers it asks for, and the evidence that
//! QUIC gives. Takes inputs and `now`, returns what to send; does no IO.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::NodeId;
use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast, PeriodicParams, State, Timer};
use rand::rngs::StdRng;

use crate::codec::GossipCodec;
use crate::member::{Member, Membership};

/// Packets of gossip fit one QUIC datagram on any path.
const PACKET_BYTES_MAX: usize = 1_100;

/// How quickly the dead are noticed. The defaults mark a killed node down
/// within three seconds across an ocean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// One member is probed in each period.
    pub probe_period: Duration,
    /// A direct answer takes at most this long; the longest round trip.
    pub probe_round_trip: Duration,
    /// A suspect has this long to object.
    pub suspicion: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(800),
            probe_round_trip: Duration::from_millis(350),
            suspicion: Duration::from_millis(900),
        }
    }
}

/// How a connection to a member ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The member said that it is stopping.
    Stopped,
    /// It fell silent. Perhaps it is dead, perhaps only this path is.
    Silent,
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// To whom.
    pub to: Member,
    /// What.
    pub bytes: Bytes,
}

/// One node's view of the membership.
pub struct Swim {
    foca: Foca<Member, GossipCodec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Member>,
    timers: BinaryHeap<Reverse<Pending>>,
    timers_set: u64,
    suspicion: Duration,
    left: bool,
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Due {
    Foca(Timer<Member>),
    /// A member that fell silent has had time to object.
    Verdict(Member, u16),
}

#[derive(Debug, PartialEq, Eq)]
struct Pending {
    at: Instant,
    /// foca wants timers of one instant in its own order.
    order: u8,
    number: u64,
    due: Due,
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order, self.number).cmp(&(other.at, other.order, other.number))
    }
}

impl Swim {
    /// Starts alone, as `me`.
    pub fn new(me: Member, timings: Timings, rng: StdRng) -> Self {
        Self {
            foca: Foca::new(me, config(timings), rng, GossipCodec),
            runtime: AccumulatingRuntime::new(),
            timers: BinaryHeap::new(),
            timers_set: 0,
            suspicion: timings.suspicion,
            left: false,
        }
    }

    /// This node, in its present life.
    pub fn me(&self) -> &Member {
        self.foca.identity()
    }

    /// Whoever is alive, this node included until it leaves.
    pub fn membership(&self) -> Membership {
        let others = self.foca.iter_members().map(foca::Member::id);
        let me = (!self.left).then(|| self.foca.identity());
        Membership::new(others.chain(me).cloned())
    }

    /// Asks `member` to let this node in.
    pub fn announce(&mut self, member: Member, now: Instant) -> Vec<Packet> {
        let result = self.foca.announce(member, &mut self.runtime);
        self.after(result, now)
    }

    /// A packet has come in. Garbage changes nothing.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Vec<Packet> {
        let result = self.foca.handle_data(bytes, &mut self.runtime);
        self.after(result, now)
    }

    /// The connection to `node` has ended.
    pub fn evidence(&mut self, node: NodeId, evidence: Evidence, now: Instant) -> Vec<Packet> {
        let Some(member) = self.active(node) else {
            return Vec::new();
        };
        let (id, incarnation) = (member.id().clone(), member.incarnation());
        let state = match evidence {
            Evidence::Stopped => State::Down,
            Evidence::Silent => {
                let due = Due::Verdict(id.clone(), incarnation);
                self.set_timer(now + self.suspicion, due);
                State::Suspect
            }
        };
        self.declare(id, incarnation, state, now)
    }

    /// Runs whatever is due.
    pub fn tick(&mut self, now: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        while self.timers.peek().is_some_and(|head| head.0.at <= now) {
            let Some(Reverse(pending)) = self.timers.pop() else {
                break;
            };
            packets.extend(self.run(pending.due, now));
        }
        packets
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.peek().map(|head| head.0.at)
    }

    /// Says good-bye. The packets must still be sent; after that this view is
    /// of no more use.
    pub fn leave(&mut self, now: Instant) -> Vec<Packet> {
        self.left = true;
        let result = self.foca.leave_cluster(&mut self.runtime);
        self.after(result, now)
    }

    fn run(&mut self, due: Due, now: Instant) -> Vec<Packet> {
        match due {
            Due::Foca(timer) => {
                let result = self.foca.handle_timer(timer, &mut self.runtime);
                self.after(result, now)
            }
            Due::Verdict(suspect, incarnation) => {
                let objected = self.active(suspect.node).is_none_or(|member| {
                    *member.id() != suspect
                        || member.incarnation() != incarnation
                        || member.state() != State::Suspect
                });
                if objected {
                    return Vec::new();
                }
                self.declare(suspect, incarnation, State::Down, now)
            }
        }
    }

    fn active(&self, node: NodeId) -> Option<&foca::Member<Member>> {
        self.foca.iter_members().find(|m| m.id().node == node)
    }

    fn declare(&mut self, id: Member, incarnation: u16, state: State, now: Instant) -> Vec<Packet> {
        let update = foca::Member::new(id, incarnation, state);
        let result = self
            .foca
            .apply_many(std::iter::once(update), true, &mut self.runtime)
            .and_then(|()| self.foca.gossip(&mut self.runtime));
        self.after(result, now)
    }

    /// Takes from foca what it wants sent and timed.
    fn after(&mut self, result: Result<(), foca::Error>, now: Instant) -> Vec<Packet> {
        if let Err(error) = result {
            tracing::debug!(%error, "gossip was refused");
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.set_timer(now + after, Due::Foca(timer));
        }
        while let Some(notification) = self.runtime.to_notify() {
            tracing::debug!(?notification, "membership");
        }
        let mut packets = Vec::new();
        while let Some((to, bytes)) = self.runtime.to_send() {
            packets.push(Packet { to, bytes });
        }
        packets
    }

    fn set_timer(&mut self, at: Instant, due: Due) {
        self.timers_set += 1;
        let order = match &due {
            Due::Foca(timer) => foca_order(timer),
            Due::Verdict(..) => u8::MAX,
        };
        self.timers.push(Reverse(Pending {
            at,
            order,
            number: self.timers_set,
            due,
        }));
    }
}

/// The order in which foca wants timers that are due together.
fn foca_order(timer: &Timer<Member>) -> u8 {
    match timer {
        Timer::SendIndirectProbe { .. } => 0,
        Timer::ProbeRandomMember(_) => 1,
        Timer::ChangeSuspectToDown { .. } => 2,
        Timer::PeriodicAnnounce(_) => 3,
        Timer::PeriodicGossip(_) => 4,
        Timer::RemoveDown(_) => 5,
        Timer::PeriodicAnnounceDown(_) => 6,
    }
}

fn config(timings: Timings) -> foca::Config {
    let count = |n| NonZeroUsize::new(n).expect("written as more than zero");
    let every = |frequency, members| {
        Some(PeriodicParams {
            frequency,
            num_members: count(members),
        })
    };
    foca::Config {
        probe_period: timings.probe_period,
        probe_rtt: timings.probe_round_trip,
        num_indirect_probes: count(3),
        max_transmissions: NonZeroU8::new(12).expect("written as more than zero"),
        suspect_to_down_after: timings.suspicion,
        remove_down_after: Some(Duration::from_secs(3_600)),
        max_packet_size: count(PACKET_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: every(Duration::from_secs(10), 1),
        // Partitions heal without help.
        periodic_announce_to_down_members: every(Duration::from_secs(2), 3),
        periodic_gossip: every(Duration::from_millis(250), 3),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rand::SeedableRng;
    use rand::seq::IndexedRandom;

    use super::*;
    use crate::member::{MemberInfo, Role};

    /// Member `n`, in its first life.
    pub(crate) fn member(n: u64) -> Member {
        life(n, 1)
    }

    fn life(n: u64, incarnation: u64) -> Member {
        Member::new(MemberInfo {
            node: NodeId(n),
            incarnation,
            name: format!("node-{n}").parse().unwrap(),
            role: Role::Core,
            place: "us-east".parse().unwrap(),
            zone: "us-east-a".parse().unwrap(),
            backbone: format!("127.0.0.1:{}", 1000 + n).parse().unwrap(),
            client: None,
            http: None,
            version: "0.1.0".into(),
        })
    }

    fn index(node: u64) -> usize {
        usize::try_from(node).expect("a small world")
    }

    /// Nodes on a virtual clock, every packet 130 ms under way (Tokyo to São
    /// Paulo).
    struct World {
        now: Instant,
        seed: u64,
        nodes: Vec<Option<Swim>>,
        wire: Vec<(Instant, u64, Bytes)>,
    }

    const ONE_WAY: Duration = Duration::from_millis(130);
    const STEP: Duration = Duration::from_millis(10);

    impl World {
        fn new(count: u64, seed: u64) -> Self {
            let mut world = Self {
                now: Instant::now(),
                seed,
                nodes: Vec::new(),
                wire: Vec::new(),
            };
            for n in 0..count {
                world.nodes.push(None);
                world.boot(n, 1);
            }
            world
        }

        fn boot(&mut self, n: u64, incarnation: u64) {
            let rng = StdRng::seed_from_u64(self.seed * 1_000 + n + incarnation);
            let mut swim = Swim::new(life(n, incarnation), Timings::default(), rng);
            let seed_node = u64::from(n == 0);
            let packets = swim.announce(life(seed_node, 0), self.now);
            self.nodes[index(n)] = Some(swim);
            self.post(packets);
        }

        fn post(&mut self, packets: Vec<Packet>) {
            let at = self.now + ONE_WAY;
            let wire = packets.into_iter().map(|p| (at, p.to.node.0, p.bytes));
            self.wire.extend(wire);
        }

        fn step(&mut self) {
            self.now += STEP;
            let now = self.now;
            let due: Vec<_> = self.wire.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, to, bytes) in due {
                if let Some(swim) = &mut self.nodes[index(to)] {
                    let packets = swim.receive(&bytes, now);
                    self.post(packets);
                }
            }
            for n in 0..self.nodes.len() {
                if let Some(swim) = &mut self.nodes[n] {
                    let packets = swim.tick(now);
                    self.post(packets);
                }
            }
        }

        /// Steps until `done`, and says how long it took.
        fn until(&mut self, limit: Duration, done: impl Fn(&Swim) -> bool) -> Duration {
            let start = self.now;
            while !self.nodes.iter().flatten().all(&done) {
                let took = self.now - start;
                assert!(took < limit, "seed {}: not done after {took:?}", self.seed);
                self.step();
            }
            self.now - start
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.step();
            }
        }
    }

    fn knows(node: u64, incarnation: u64) -> impl Fn(&Swim) -> bool {
        move |swim| {
            let membership = swim.membership();
            let known = membership.get(NodeId(node));
            known.is_some_and(|member| member.incarnation == incarnation)
        }
    }

    fn misses(node: u64) -> impl Fn(&Swim) -> bool {
        move |swim| swim.membership().get(NodeId(node)).is_none()
    }

    /// Everyone knows everyone.
    fn settled(count: u64, seed: u64) -> World {
        let mut world = World::new(count, seed);
        let full = move |swim: &Swim| swim.membership().len() == index(count);
        world.until(Duration::from_secs(5), full);
        world.run(Duration::from_secs(1));
        world
    }

    /// The nodes that QUIC tells of a silence, at the end of its idle timeout.
    fn tell(world: &mut World, node: u64, evidence: Evidence) {
        let now = world.now;
        for n in 0..world.nodes.len() {
            if let Some(swim) = &mut world.nodes[n] {
                let packets = swim.evidence(NodeId(node), evidence, now);
                world.post(packets);
            }
        }
    }

    #[test]
    fn a_killed_node_is_down_within_three_seconds_and_known_again_within_two() {
        for seed in 0..50 {
            let mut world = settled(7, seed);
            world.nodes[3] = None;
            world.run(Duration::from_millis(1_500));
            tell(&mut world, 3, Evidence::Silent);
            world.until(Duration::from_millis(1_500), misses(3));

            world.boot(3, 2);
            let took = world.until(Duration::from_secs(2), knows(3, 2));
            assert!(took <= Duration::from_secs(2));
        }
    }

    #[test]
    fn without_evidence_the_probes_find_the_dead() {
        for seed in 0..20 {
            let mut world = settled(7, seed);
            world.nodes[5] = None;
            world.until(Duration::from_secs(10), misses(5));
        }
    }

    #[test]
    fn a_quick_restart_is_known_by_its_new_life() {
        for seed in 0..20 {
            let mut world = settled(5, seed);
            world.boot(2, 2);
            world.until(Duration::from_secs(2), knows(2, 2));
        }
    }

    #[test]
    fn a_node_that_leaves_is_gone_at_once() {
        for seed in 0..20 {
            let mut world = settled(7, seed);
            let now = world.now;
            let packets = world.nodes[1].as_mut().unwrap().leave(now);
            world.post(packets);
            world.nodes[1] = None;
            tell(&mut world, 1, Evidence::Stopped);
            world.until(STEP, misses(1));
        }
    }

    #[test]
    fn one_lost_path_does_not_bury_a_living_node() {
        for seed in 0..20 {
            let mut world = settled(7, seed);
            let now = world.now;
            let packets =
                world.nodes[0]
                    .as_mut()
                    .unwrap()
                    .evidence(NodeId(4), Evidence::Silent, now);
            world.post(packets);
            for _ in 0..500 {
                world.step();
                assert!(world.nodes.iter().flatten().all(knows(4, 1)), "seed {seed}");
            }
        }
    }

    #[test]
    fn garbage_changes_nothing() {
        let mut world = settled(3, 1);
        let mut rng = StdRng::seed_from_u64(7);
        let now = world.now;
        for len in 0..1_200 {
            let bytes: Vec<u8> = (0..len)
                .map(|_| *(0..=255).collect::<Vec<u8>>().choose(&mut rng).unwrap())
                .collect();
            world.nodes[0].as_mut().unwrap().receive(&bytes, now);
        }
        assert!(world.nodes.iter().flatten().all(knows(2, 1)));
    }
}
