//! The replicas of a node, as `CellHost` keeps them: started by the directory,
//! released by leaders, sent home, and campaigning when a leader is lost.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use causeway_core_region::homecoming::HOMECOMING_PERMILLE;
use causeway_core_region::succession::Campaign;
use causeway_core_region::surplus::{self, OnDisk, Word};
use causeway_core_region::{RaftTimings, assignment, homecoming};
use causeway_protocol::backbone::{Cell, LeaderHint};
use causeway_protocol::{CellId, NodeId};

use super::Core;
use crate::io::Io;
use crate::message::Message;
use crate::planted::Planted;
use crate::raft::{Remains, Replica};
use crate::state::State;

/// A campaign of this node for one cell.
pub struct Campaigning {
    cell: CellId,
    campaign: Campaign,
    try_at: Instant,
}

impl Core {
    /// What the directory's replica here holds goes into the node's copy.
    pub(super) fn copy_directory(&mut self, io: &mut Io<'_>) {
        let Some(directory) = self.replicas.get(&CellId::DIRECTORY) else {
            return;
        };
        if directory.applied().0 == 0 {
            return;
        }
        let news = directory.state().book().since(self.book.version());
        if news.version > self.book.version() && self.book.apply(&news) {
            self.book_changed(io);
        }
    }

    pub(super) fn book_changed(&mut self, io: &mut Io<'_>) {
        let directory = self.book.since(0);
        self.caller
            .update(|routes| routes.apply_directory(&directory));
        self.follow_ring();
        self.answer_polls(io);
        let records: Vec<Cell> = self.book.cells().cloned().collect();
        for record in &records {
            let cell = CellId(record.id);
            if !self.replicas.contains_key(&cell) && self.starts(record) {
                self.start_replica(cell, io);
            }
        }
    }

    fn starts(&mut self, record: &Cell) -> bool {
        let cell = CellId(record.id);
        if assignment::starts(record, self.me) {
            self.released.remove(&cell);
            return true;
        }
        let on_disk = OnDisk {
            has_rows: self.idle.contains_key(&cell),
            released_in: self.released.get(&cell).copied(),
        };
        surplus::starts(record, self.me, on_disk)
    }

    /// Asks the leaders of cells that the directory has given to other nodes
    /// whether their groups still count this one.
    pub(super) fn ask_about_surplus(&mut self, io: &mut Io<'_>) {
        for record in self.book.cells() {
            let cell = CellId(record.id);
            if !surplus::is_surplus(record, self.me) || !self.replicas.contains_key(&cell) {
                continue;
            }
            let route = self.caller.routes().cell(cell);
            let leader = route.and_then(|route| route.leader);
            if let Some(leader) = leader.filter(|leader| leader.node != self.me) {
                io.send(leader.node, Message::AskWord(cell));
            }
        }
    }

    pub(super) fn give_word(&self, from: NodeId, cell: CellId, io: &mut Io<'_>) {
        let held = self.replicas.get(&cell).zip(self.book.cell(cell));
        let status = held.map(|(replica, record)| (record, replica.status(io.instant())));
        let word = status.and_then(|(record, status)| surplus::word(record, &status, from));
        if let Some(word) = word {
            io.send(from, Message::Word(cell, word));
        }
    }

    pub(super) fn release(&mut self, cell: CellId, word: Word, io: &mut Io<'_>) {
        let held = self.replicas.get(&cell).zip(self.book.cell(cell));
        let Some((replica, record)) = held else {
            return;
        };
        let term = replica.leadership(io.instant()).term;
        if !surplus::is_released(record, self.me, term, word) || io.has(Planted::NoRelease) {
            return;
        }
        if let Some(replica) = self.replicas.remove(&cell) {
            io.ledger.replicas_released += 1;
            self.known.remove(&cell);
            self.idle.insert(cell, replica.crash().0);
            self.released.insert(cell, word.epoch);
        }
    }

    fn start_replica(&mut self, cell: CellId, io: &mut Io<'_>) {
        let deduplicates = !io.has(Planted::NoDeduplication);
        let new = || Remains::founded(None, State::founded(cell, &[], deduplicates));
        let remains = self.idle.remove(&cell).unwrap_or_else(new);
        self.replicas
            .insert(cell, Replica::start(cell, self.me, remains));
        self.asks_to_lead(cell, io);
    }

    pub(super) fn asks_to_lead(&mut self, cell: CellId, io: &mut Io<'_>) {
        let Some(record) = self.book.cell(cell) else {
            return;
        };
        let (drains, members) = (self.book.drains(), self.gossip.membership());
        let is_drained = |replica: &_| drains.cover(replica, members);
        if assignment::leads_if_nobody_does(record, self.me, is_drained) {
            let wait = RaftTimings::default().heartbeat * 2;
            self.starting.push((cell, io.instant() + wait));
        }
    }

    pub(super) fn campaign_against(&mut self, lost: NodeId, io: &mut Io<'_>) {
        for record in self.book.cells() {
            let cell = CellId(record.id);
            let led_by = self.replicas.get(&cell).and_then(Replica::leader);
            if led_by != Some(lost) || !assignment::campaigns(record, self.me) {
                continue;
            }
            let (drains, members) = (self.book.drains(), self.gossip.membership());
            let is_drained = |replica: &_| drains.cover(replica, members);
            let mut campaign = Campaign::new(record, self.me, lost, is_drained);
            if let Some(wait) = campaign.next_wait() {
                self.campaigns.push(Campaigning {
                    cell,
                    campaign,
                    try_at: io.instant() + wait,
                });
            }
        }
    }

    pub(super) fn tick_campaigns(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        for mut campaigning in std::mem::take(&mut self.campaigns) {
            let Some(replica) = self.replicas.get_mut(&campaigning.cell) else {
                continue;
            };
            if campaigning.campaign.is_won_by(replica.leader()) {
                continue;
            }
            if now >= campaigning.try_at {
                io.ledger.campaigns_after_loss += 1;
                replica.campaign(io);
                let Some(wait) = campaigning.campaign.next_wait() else {
                    continue;
                };
                campaigning.try_at = now + wait;
            }
            self.campaigns.push(campaigning);
        }
        for (cell, _) in self.starting.extract_if(.., |(_, at)| now >= *at) {
            if let Some(replica) = self.replicas.get_mut(&cell)
                && replica.leader().is_none()
            {
                replica.campaign(io);
            }
        }
    }

    /// Leaders go home, and have their groups changed to what the directory
    /// says.
    pub(super) fn look_home(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let alive: HashSet<NodeId> = self.gossip.membership().iter().map(|m| m.node).collect();
        self.present.update(&alive, now);
        let (members, routes) = (self.gossip.membership(), self.caller.routes());
        let drain = |node| members.get(node).and_then(|m| routes.drains().of(m));
        let is_drained = |node| drain(node).is_some() && !io.has(Planted::DrainedNodesLead);
        let distance = |node| {
            let round_trip = self.caller.round_trip(node, io.host);
            round_trip.unwrap_or(Duration::MAX)
        };
        let mut moves = Vec::new();
        for record in self.book.cells() {
            let cell = CellId(record.id);
            let Some(replica) = self.replicas.get_mut(&cell) else {
                continue;
            };
            let status = replica.status(now);
            let heirs = homecoming::heirs(record, self.me, is_drained, distance);
            let heir = homecoming::successor(&heirs, &status, &self.present, now);
            moves.extend(heir.map(|heir| (cell, heir)));
            if let Some((voters, learners)) = assignment::change_of_members(record, &status) {
                replica.set_members(record.epoch, voters, learners);
            }
        }
        let permille = drain(self.me).map_or(HOMECOMING_PERMILLE, |d| d.permille_per_s);
        let allowance = self.pace.allowance(moves.len(), permille);
        if io.has(Planted::NoHomecoming) {
            return;
        }
        for (cell, heir) in moves.into_iter().take(allowance) {
            io.ledger.homecomings += 1;
            if let Some(replica) = self.replicas.get_mut(&cell) {
                replica.transfer(heir, io);
            }
        }
    }

    pub(super) fn hand_over_all(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        for replica in self.replicas.values_mut() {
            let status = replica.status(now);
            let others = status
                .matched
                .iter()
                .filter(|(n, _)| status.voters.contains(n));
            if let Some((furthest, _)) = others.max_by_key(|(_, matched)| *matched) {
                replica.transfer(*furthest, io);
            }
        }
    }

    /// Takes note of elections, and announces those that this node has won.
    pub(super) fn follow_leadership(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let mut elected = false;
        let mut hints = Vec::new();
        for (cell, replica) in &self.replicas {
            let is = replica.leadership(now);
            let before = self.known.insert(*cell, (is.term, is.leader, is.ready));
            if before == Some((is.term, is.leader, is.ready)) {
                continue;
            }
            hints.extend(replica.hint());
            elected |= is.ready;
        }
        if !hints.is_empty() {
            self.caller.hint(&hints);
        }
        if elected {
            self.announce(io);
        }
    }

    pub(super) fn announce(&mut self, io: &mut Io<'_>) {
        let everybody: Vec<NodeId> = self.caller.connected().collect();
        self.announce_to(&everybody, io);
    }

    pub(super) fn announce_to(&mut self, nodes: &[NodeId], io: &mut Io<'_>) {
        let now = io.instant();
        let led = self
            .replicas
            .values()
            .filter(|replica| replica.is_ready(now));
        let hints: Vec<LeaderHint> = led.filter_map(Replica::hint).collect();
        if hints.is_empty() || io.has(Planted::NoHints) {
            return;
        }
        let hints = Rc::new(hints);
        for node in nodes {
            io.send(*node, Message::Hints(Rc::clone(&hints)));
        }
    }
}
