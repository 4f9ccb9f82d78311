//! A node's SWIM, and what it believes of who is there.

use std::sync::Arc;

use causeway_gossip::Membership;
use causeway_gossip::member::Member;
use causeway_gossip::swim::{Evidence, Packet, Swim, Timings};
use causeway_protocol::NodeId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::atlas;
use crate::clock::Time;
use crate::io::Io;
use crate::message::{Host, Link, LinkChange, Message};

/// Between announcements to a seed that is not a member.
const SEEK_EVERY_MS: u64 = 500;

pub struct Gossip {
    swim: Swim,
    membership: Arc<Membership>,
    seek_at: Time,
}

impl Gossip {
    pub fn start(node: NodeId, io: &mut Io<'_>) -> Self {
        let member = atlas::member(io.host, node, io.wall_us());
        let rng = StdRng::seed_from_u64(io.rng.random());
        let swim = Swim::new(member, Timings::default(), rng);
        Self {
            membership: Arc::new(swim.membership()),
            swim,
            seek_at: Time::default(),
        }
    }

    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// Returns whether the membership has changed.
    pub fn receive(&mut self, bytes: &[u8], io: &mut Io<'_>) -> bool {
        let packets = self.swim.receive(bytes, io.instant());
        self.after(packets, io)
    }

    /// As [`receive`](Self::receive).
    pub fn link(&mut self, change: LinkChange, io: &mut Io<'_>) -> bool {
        let evidence = match change.link {
            Link::Up => return false,
            Link::Silent => Evidence::Silent,
            Link::Stopped => Evidence::Stopped,
        };
        let packets = self.swim.evidence(change.peer, evidence, io.instant());
        self.after(packets, io)
    }

    /// As [`receive`](Self::receive).
    pub fn tick(&mut self, io: &mut Io<'_>) -> bool {
        let mut packets = self.seek(io);
        if self.swim.deadline().is_some_and(|at| at <= io.instant()) {
            packets.extend(self.swim.tick(io.instant()));
        }
        self.after(packets, io)
    }

    pub fn leave(&mut self, io: &mut Io<'_>) {
        let packets = self.swim.leave(io.instant());
        self.after(packets, io);
    }

    /// Every region has a seed; those that are not members yet are asked.
    fn seek(&mut self, io: &mut Io<'_>) -> Vec<Packet> {
        if io.now < self.seek_at {
            return Vec::new();
        }
        self.seek_at = io.now + std::time::Duration::from_millis(SEEK_EVERY_MS);
        let missing = |host: &Host| {
            let address = atlas::address(*host);
            self.membership.iter().all(|m| m.backbone != address)
        };
        let seeds: Vec<Member> = (atlas::cores().step_by(2))
            .filter(missing)
            .map(|host| atlas::member(host, NodeId(0), 0))
            .collect();
        let announced = seeds.into_iter();
        announced
            .flat_map(|seed| self.swim.announce(seed, io.instant()))
            .collect()
    }

    fn after(&mut self, packets: Vec<Packet>, io: &mut Io<'_>) -> bool {
        for Packet { to, bytes } in packets {
            io.send_to(atlas::host_at(to.backbone), Message::Gossip(bytes));
        }
        let fresh = self.swim.membership();
        let changed = !self.membership.iter().eq(fresh.iter());
        if changed {
            self.membership = Arc::new(fresh);
        }
        changed
    }
}
