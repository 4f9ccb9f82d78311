//! A replica of one shard among others: what it takes from whom, what it tells
//! them, and when it must begin anew. The decisions; rows and clock are handed in.

use causeway_protocol::NodeId;

use super::actor::{Actor, Dot};
use super::collect::Collected;
use super::hybrid::{HybridClock, HybridTime};
use super::item::Item;
use super::op::Op;
use super::peers::{Counted, PeerReport, Peers, Us};
use super::pull::Missing;
use super::rebirth::{Life, Reissued};
use super::rows::{KeyValue, Rows, RowsMut};
use super::shard::{Intent, Received, Refusal, Shard};
use super::version::Version;
use crate::metadata_wire::{self as wire, Refused};
use crate::store::StoreError;

/// Why a replica cannot go on from what it has, and must take all rows of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anew {
    /// It had begun to, when it stopped.
    NotWhole,
    /// It is not counted any more, or only since later.
    Forgotten,
    /// It lacks operations that the others no longer have in their logs.
    Behind,
    /// It had lost what others know it to have had: its disk was set back.
    SetBack,
    /// It has operations whose time is so far ahead that nobody takes them.
    Clock,
}

/// One replica.
#[derive(Debug, Clone)]
pub struct Replica {
    me: Actor,
    shard: Shard,
    peers: Peers,
    /// What is on its disk.
    durable: Version,
    /// The epoch since which these rows have been going on.
    since: u64,
    /// What was there when this life began.
    at_start: Version,
    /// What a peer has that refuses the rest for its time.
    refused_by: Option<Version>,
    anew: Option<Anew>,
    /// Rows may have traces that nobody can ask for.
    has_traces: bool,
}

/// What is left to do for a replica that was replaced, and may have what no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// There is nothing that others lack.
    Nothing,
    /// They have it: the replica need not be counted any more.
    Done,
    /// The others have yet to tell what they have, or to get it.
    Waiting,
    /// Nobody has it: the replica must be counted for that.
    Wanted,
}

impl Replica {
    /// As the rows tell, of `node` in this `life` of its process; they have been going
    /// on since the epoch `since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(rows: &impl Rows, node: NodeId, life: u64, since: u64) -> Result<Self, StoreError> {
        let shard = Shard::open(rows)?;
        Ok(Self {
            me: Actor { node, life },
            at_start: shard.version().clone(),
            durable: shard.version().clone(),
            shard,
            peers: Peers::default(),
            since,
            refused_by: None,
            anew: None,
            has_traces: true,
        })
    }

    /// Who writes here.
    pub fn me(&self) -> Actor {
        self.me
    }

    /// The rows.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// All operations that it has.
    pub fn version(&self) -> &Version {
        self.shard.version()
    }

    /// What of them is on its disk.
    pub fn durable(&self) -> &Version {
        &self.durable
    }

    /// Whether its rows are whole.
    pub fn is_whole(&self) -> bool {
        !self.shard.info().resyncing
    }

    /// Whether it must begin anew, and why.
    pub fn must_begin_anew(&self, counted: &Counted) -> Option<Anew> {
        if !self.is_whole() {
            return Some(Anew::NotWhole);
        }
        if !counted.has(self.me.node, self.since) {
            return Some(Anew::Forgotten);
        }
        self.anew
    }

    /// What is left to do if its node was replaced: others may lack what it wrote, or
    /// somebody else who does not count.
    pub fn left_to_hand_back(&self, counted: &Counted) -> Left {
        let me = self.me.node;
        let is_counted = counted.nodes.contains_key(&me);
        let others = counted.nodes.keys().filter(|node| **node != me);
        let told: Vec<Option<&Version>> = others.map(|node| self.peers.last(*node)).collect();
        let alone = self.alone(counted);
        let has_them = |told: &Version| alone.iter().all(|(actor, last)| told.get(*actor) >= *last);
        let all_have = alone.is_empty() || told.iter().all(|told| told.is_some_and(has_them));
        let begins_anew = match is_counted {
            true => self.must_begin_anew(counted).is_some(),
            false => !self.is_whole(),
        };
        if all_have && !begins_anew {
            return match is_counted {
                true => Left::Done,
                false => Left::Nothing,
            };
        }
        let mut known = told.iter().flatten().peekable();
        // From whoever has it, the others get it. What is not whole hears nobody.
        let nobody_has = known.peek().is_some() && !known.any(|told| has_them(told));
        match !is_counted && (begins_anew || nobody_has) {
            true => Left::Wanted,
            false => Left::Waiting,
        }
    }

    /// The last operations of those who cannot be asked for them, as far as not all that
    /// counted are known to have had them.
    fn alone(&self, counted: &Counted) -> Vec<(Actor, u64)> {
        let (me, info) = (self.me.node, self.shard.info());
        let can_be_asked = |node| node != me && counted.nodes.contains_key(&node);
        let alone = info.version.iter().filter(|(actor, last)| {
            !can_be_asked(actor.node) && info.truncated.get(*actor) < *last
        });
        alone.collect()
    }

    /// Whether it can give its rows to one that must begin anew; to one whose clock was
    /// ahead, only if its own times are not.
    pub fn is_source(&self, is_ahead: bool, counted: &Counted) -> bool {
        match self.must_begin_anew(counted) {
            None => true,
            Some(Anew::Clock) => !is_ahead,
            Some(_) => false,
        }
    }

    /// Whether users are served. Whoever has a time that is too far ahead has everything
    /// all the same.
    pub fn serves(&self, counted: &Counted) -> bool {
        self.is_source(false, counted)
    }

    /// Does what a user wants; `None` when it is so already.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn write(
        &mut self,
        rows: &mut impl RowsMut,
        clock: &mut HybridClock,
        now_us: u64,
        item: Item,
        intent: Intent,
    ) -> Result<Option<Op>, StoreError> {
        // The node's clock may have been set back for another shard.
        let time = clock.tick(now_us).max(self.shard.latest().next());
        self.shard.write(rows, self.me, time, item, intent)
    }

    /// All that had been written when `version` was told is on the disk now.
    pub fn synced(&mut self, version: &Version) {
        if self.shard.version().has_all(version) {
            self.durable.merge(version);
        }
    }

    /// What it tells a peer.
    pub fn report(&self, to: NodeId, counted: &Counted) -> PeerReport {
        PeerReport {
            me: self.me,
            version: self.durable.clone(),
            believed: self.peers.believed(to),
            epoch: counted.epoch,
            since: self.since,
        }
    }

    /// Whether `node`, whose rows have been going on since the epoch `since`, may be
    /// heard: it is counted.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admits(&self, node: NodeId, since: u64, counted: &Counted) -> Result<(), Refused> {
        if !counted.has(node, since) {
            return Err(Refused::NotCounted);
        }
        if !self.is_whole() {
            return Err(Refused::Busy);
        }
        Ok(())
    }

    /// A peer that is counted has told what it has. Returns whether this replica
    /// lacks some of it.
    pub fn hear(&mut self, node: NodeId, report: PeerReport, counted: &Counted) -> bool {
        if !counted.has(node, report.since) {
            return false;
        }
        let lacks = !self.version().has_all(&report.version);
        if !self.at_start.has_all(&report.believed) {
            self.anew = Some(Anew::SetBack);
        }
        self.peers.hear(node, report, &self.shard.info().truncated);
        lacks
    }

    /// Whether a peer has told that it has the operation.
    pub fn is_had_by(&self, node: NodeId, dot: &Dot) -> bool {
        self.peers.last(node).is_some_and(|told| told.has(dot))
    }

    /// A peer that has only `theirs` has refused the rest for its time.
    pub fn is_refused(&mut self, theirs: Version) {
        self.refused_by = Some(theirs);
    }

    /// To be called now and then: notes whether what a peer refuses is too far ahead by
    /// this node's own clock, too. Before that is right, beginning anew is of no use.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn look_at_clock(&mut self, rows: &impl Rows, now_us: u64) -> Result<(), StoreError> {
        let is_ahead = |time: HybridTime| time.too_far_ahead(now_us).is_some();
        if let Some(theirs) = &self.refused_by
            && is_ahead(self.shard.latest())
            && is_ahead(self.shard.latest_since(rows, theirs)?)
        {
            self.anew.get_or_insert(Anew::Clock);
        }
        Ok(())
    }

    /// Whether somebody was told of operations that nobody has any more: of those that
    /// only a disk had that is gone, or that were written again as others.
    pub fn has_lost(&self, told: &Version, counted: &Counted) -> bool {
        let version = self.version();
        let mut lacking = version.lacking(told);
        version.is_exceeded_by(told)
            || lacking.any(|dot| self.peers.have_lost(self.me, &dot, counted))
    }

    /// What somebody was told of, and this replica lacks, and may yet get.
    pub fn may_get(&self, told: &Version, counted: &Counted) -> Version {
        let lacking = self.version().lacking(told);
        let is_lost = |dot: &Dot| self.peers.have_lost(self.me, dot, counted);
        lacking.filter(|dot| !is_lost(dot)).collect()
    }

    /// What it lacks is in a peer's log no more.
    pub fn is_behind(&mut self) {
        if self.anew != Some(Anew::SetBack) {
            self.anew = Some(Anew::Behind);
        }
    }

    /// What it lacked was in the log of a peer that is counted.
    pub fn has_caught_up(&mut self) {
        if self.anew == Some(Anew::Behind) {
            self.anew = None;
        }
    }

    /// Takes operations of `actor`, from a peer that [is admitted](Self::admits).
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn receive(
        &mut self,
        rows: &mut impl RowsMut,
        clock: &mut HybridClock,
        now_us: u64,
        actor: Actor,
        ops: Vec<wire::Op>,
    ) -> Result<Received, StoreError> {
        self.shard.receive(rows, actor, ops, clock, now_us)
    }

    /// What a peer with `have` lacks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn missing(
        &self,
        rows: &impl Rows,
        have: &Version,
        bytes_max: usize,
    ) -> Result<Missing, StoreError> {
        self.shard.missing(rows, have, bytes_max)
    }

    /// To be called now and then: forgets operations that wait in vain.
    pub fn expire_early(&mut self) {
        self.shard.early.expire();
    }

    /// Collects what every replica that counts has, up to about `budget` operations.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn collect(
        &mut self,
        rows: &mut impl RowsMut,
        counted: &Counted,
        budget: usize,
    ) -> Result<Collected, StoreError> {
        self.peers.keep(counted);
        if !self.serves(counted) {
            return Ok(Collected::default());
        }
        let version = self.shard.version().clone();
        let us = Us {
            me: self.me,
            version: &version,
            durable: &self.durable,
        };
        let Some(stable) = self.peers.stable(&us, counted) else {
            return Ok(Collected::default());
        };
        let mut collected = self.shard.collect(rows, &stable, budget)?;
        self.has_traces |= collected.aged;
        if !collected.more {
            let over = self.peers.settled_lives(&us, &stable, counted);
            self.shard.forget_lives(rows, &over);
            for life in over {
                if self.shard.version().get(life) == u64::MAX {
                    self.durable.complete_before(life.node, life.life + 1);
                    self.has_traces = true;
                }
            }
            if self.has_traces {
                self.has_traces = self.shard.forget_traces(rows, budget)?;
                collected.more = self.has_traces;
            }
        }
        Ok(collected)
    }

    /// Begins to take all rows of a peer.
    pub fn begin_resync(&mut self, rows: &mut impl RowsMut) {
        self.shard.begin_resync(rows);
        self.durable = Version::default();
        self.peers = Peers::default();
    }

    /// Takes some of them.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn take_rows(
        &mut self,
        rows: &mut impl RowsMut,
        taken: Vec<KeyValue>,
    ) -> Result<(), StoreError> {
        self.shard.take_rows(rows, taken)
    }

    /// Has all rows, of a peer that counts this one since the epoch `since`, and goes
    /// on in another life.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn end_resync(
        &mut self,
        rows: &mut impl RowsMut,
        theirs: &wire::ShardInfo,
        (life, since, counted): (u64, u64, &Counted),
        clock: &mut HybridClock,
        now_us: u64,
    ) -> Result<Reissued, StoreError> {
        self.me.life = life;
        let life = Life {
            actor: self.me,
            was_away: self.since != since,
            counted,
        };
        self.since = since;
        (self.anew, self.refused_by) = (None, None);
        let reissued = self.shard.end_resync(rows, theirs, &life, clock, now_us)?;
        self.at_start = self.version().clone();
        Ok(reissued)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Clock(_) => Self::Clock,
            Refusal::Invalid(_) => Self::Invalid,
        }
    }
}
