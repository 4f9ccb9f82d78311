//! The last facts of a workspace that were passed on: whoever is not far behind is told
//! from here, and no replica is asked.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::Topic;
use causeway_protocol::client::{fact::Kind, server_frame};

use crate::pushed;

/// Steps that are kept.
const STEPS_MAX: usize = 2_000;
/// Bytes of them.
const BYTES_MAX: usize = 256 * 1024;

/// Facts that were passed on together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What they are about, and the frame as clients receive it.
    pub frames: Vec<(Topic, Bytes)>,
    /// Whoever has them, and all before, has this.
    pub version: Bytes,
}

/// The last of them, by number.
#[derive(Debug, Default)]
pub struct RecentFacts {
    /// The step after which the first of `steps` comes.
    base: u64,
    /// Of that step; empty = nothing has been passed on yet.
    base_version: Bytes,
    steps: VecDeque<Facts>,
    bytes: usize,
    by_version: HashMap<Bytes, u64>,
    /// When the replica that tells was last within reach.
    heard_at: Option<Instant>,
}

impl RecentFacts {
    /// More has changed than was told: nobody goes on from before.
    pub fn start_over(&mut self, version: Bytes) {
        let step = self.step() + 1;
        *self = Self {
            base: step,
            base_version: version.clone(),
            by_version: HashMap::from([(version, step)]),
            heard_at: self.heard_at,
            ..Self::default()
        };
    }

    /// These are being passed on.
    pub fn add(&mut self, facts: Facts) {
        if self.base_version.is_empty() {
            return self.start_over(facts.version);
        }
        self.bytes += size(&facts);
        let version = facts.version.clone();
        self.steps.push_back(facts);
        let step = self.step();
        // Of several steps that end alike, the first tells most.
        self.by_version.entry(version).or_insert(step);
        while self.steps.len() > STEPS_MAX || self.bytes > BYTES_MAX {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some(first) = self.steps.pop_front() else {
            return;
        };
        if self.by_version.get(&self.base_version) == Some(&self.base) {
            self.by_version.remove(&self.base_version);
        }
        self.base += 1;
        self.bytes -= size(&first);
        self.base_version = first.version;
    }

    /// The replica that tells is within reach.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// For how long it has not been; `None` = it has never been.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let heard_at = self.heard_at?;
        Some(now.saturating_duration_since(heard_at))
    }

    /// The last step.
    pub fn step(&self) -> u64 {
        self.base + self.steps.len() as u64
    }

    /// Whoever has all steps has this; empty = nothing has been passed on yet.
    pub fn version(&self) -> &Bytes {
        self.steps
            .back()
            .map_or(&self.base_version, |last| &last.version)
    }

    /// The step with which somebody has this version, if it is not too long ago.
    pub fn step_of(&self, version: &Bytes) -> Option<u64> {
        self.by_version.get(version).copied()
    }

    /// What came after a step; `None` if that was too long ago.
    pub fn since(&self, step: u64) -> Option<impl Iterator<Item = &Facts>> {
        let known = usize::try_from(step.checked_sub(self.base)?).ok()?;
        (known <= self.steps.len()).then(|| self.steps.range(known..))
    }
}

impl Facts {
    /// What they say, and of what.
    pub fn decoded(&self) -> impl Iterator<Item = (Topic, Kind)> + '_ {
        let frames = self.frames.iter();
        frames.flat_map(|(topic, frame)| kinds(frame).map(|kind| (*topic, kind)))
    }
}

/// The facts in a frame.
pub fn kinds(framed: &Bytes) -> impl Iterator<Item = Kind> + use<> {
    let facts = match pushed::body(framed) {
        Some(server_frame::Body::Metadata(push)) => push.facts,
        _ => Vec::new(),
    };
    facts.into_iter().filter_map(|fact| fact.kind)
}

fn size(facts: &Facts) -> usize {
    let frames = facts.frames.iter().map(|(_, frame)| frame.len());
    facts.version.len() + frames.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;

    use super::*;

    fn version(n: u64) -> Bytes {
        Bytes::copy_from_slice(&n.to_be_bytes())
    }

    fn facts(n: u64, bytes: usize) -> Facts {
        let topic = Topic::Workspace(WorkspaceId(1));
        Facts {
            frames: vec![(topic, vec![0; bytes].into())],
            version: version(n),
        }
    }

    fn versions(recent: &RecentFacts, since: u64) -> Option<Vec<Bytes>> {
        let since = recent.since(since)?;
        Some(since.map(|facts| facts.version.clone()).collect())
    }

    #[test]
    fn who_is_a_little_behind_is_told_what_came_since() {
        let mut recent = RecentFacts::default();
        recent.add(facts(1, 0));
        let begun = recent.step();
        recent.add(facts(2, 10));
        recent.add(facts(3, 10));
        assert_eq!(recent.step_of(&version(1)), Some(begun));
        assert_eq!(versions(&recent, begun), Some(vec![version(2), version(3)]));
        let last = recent.step();
        assert_eq!(
            (recent.step_of(&version(3)), recent.version()),
            (Some(last), &version(3))
        );
        assert_eq!(versions(&recent, last), Some(vec![]));
        assert_eq!(versions(&recent, last + 1), None, "nobody was told of it");
    }

    #[test]
    fn who_is_far_behind_asks_a_replica() {
        let mut recent = RecentFacts::default();
        recent.add(facts(1, 0));
        let begun = recent.step();
        for n in 2..=10 {
            recent.add(facts(n, BYTES_MAX / 4));
        }
        assert!(recent.since(begun).is_none());
        assert_eq!(recent.step_of(&version(1)), None);
        let kept = recent.step_of(&version(9)).unwrap();
        assert_eq!(versions(&recent, kept), Some(vec![version(10)]));
    }

    #[test]
    fn nobody_goes_on_over_what_was_not_told() {
        let mut recent = RecentFacts::default();
        recent.add(facts(1, 0));
        let before = recent.step();
        recent.start_over(version(5));
        assert!(recent.since(before).is_none());
        assert_eq!(recent.step_of(&version(1)), None);
        assert_eq!(
            versions(&recent, recent.step_of(&version(5)).unwrap()),
            Some(vec![])
        );
    }

    #[test]
    fn of_steps_that_end_alike_the_first_tells_most() {
        let mut recent = RecentFacts::default();
        recent.add(facts(1, 0));
        recent.add(facts(2, 1));
        recent.add(facts(2, 2));
        let step = recent.step_of(&version(2)).unwrap();
        assert_eq!(versions(&recent, step), Some(vec![version(2)]));
    }
}
