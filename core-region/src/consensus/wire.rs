//! Raft's types as protobuf, for disk and wire.

use std::collections::BTreeSet;

use openraft::EntryPayload;
use thiserror::Error;

use super::types::{Command, Entry, LogId, Membership, SnapshotMeta, StoredMembership, Vote};
use crate::raft_wire as wire;

/// A message or record lacks a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a Raft message lacks its {0}")]
pub struct Missing(pub &'static str);

/// The wire form.
pub fn log_id(id: &LogId) -> wire::LogId {
    wire::LogId {
        term: id.leader_id.term,
        index: id.index,
    }
}

/// Reads the wire form.
pub fn read_log_id(id: &wire::LogId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

/// The wire form.
pub fn vote(vote: &Vote) -> wire::Vote {
    wire::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.voted_for,
        committed: vote.is_committed(),
    }
}

/// Reads the wire form.
pub fn read_vote(vote: Option<&wire::Vote>) -> Result<Vote, Missing> {
    let vote = vote.ok_or(Missing("vote"))?;
    Ok(match vote.committed {
        true => Vote::new_committed(vote.term, vote.node_id),
        false => Vote::new(vote.term, vote.node_id),
    })
}

/// The wire form.
pub fn membership(membership: &Membership) -> wire::Membership {
    let set = |nodes: &BTreeSet<u64>| wire::VoterSet {
        nodes: nodes.iter().copied().collect(),
    };
    wire::Membership {
        configs: membership.get_joint_config().iter().map(set).collect(),
        nodes: membership.nodes().map(|(id, ())| *id).collect(),
    }
}

/// Reads the wire form.
pub fn read_membership(membership: &wire::Membership) -> Membership {
    let set = |set: &wire::VoterSet| set.nodes.iter().copied().collect();
    let configs = membership.configs.iter().map(set).collect();
    Membership::new_with_defaults(configs, membership.nodes.iter().copied())
}

/// The wire form.
pub fn stored_membership(stored: &StoredMembership) -> wire::StoredMembership {
    wire::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id),
        membership: Some(membership(stored.membership())),
    }
}

/// Reads the wire form.
pub fn read_stored_membership(stored: &wire::StoredMembership) -> StoredMembership {
    let log_id = stored.log_id.as_ref().map(read_log_id);
    let membership = stored.membership.as_ref().map(read_membership);
    StoredMembership::new(log_id, membership.unwrap_or_default())
}

/// The wire form.
pub fn entry(entry: &Entry) -> wire::LogEntry {
    use wire::log_entry::Payload;
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank(wire::Blank {}),
        EntryPayload::Normal(Command(bytes)) => Payload::Command(bytes.clone()),
        EntryPayload::Membership(m) => Payload::Membership(membership(m)),
    };
    wire::LogEntry {
        log_id: Some(log_id(&entry.log_id)),
        payload: Some(payload),
    }
}

/// Reads the wire form.
pub fn read_entry(entry: wire::LogEntry) -> Result<Entry, Missing> {
    use wire::log_entry::Payload;
    let id = entry.log_id.as_ref().ok_or(Missing("log id"))?;
    let payload = match entry.payload.ok_or(Missing("payload"))? {
        Payload::Blank(_) => EntryPayload::Blank,
        Payload::Command(bytes) => EntryPayload::Normal(Command(bytes)),
        Payload::Membership(m) => EntryPayload::Membership(read_membership(&m)),
    };
    Ok(Entry {
        log_id: read_log_id(id),
        payload,
    })
}

/// What a snapshot contains, in the header of its stream.
pub fn read_snapshot_meta(header: &wire::SnapshotHeader) -> Result<SnapshotMeta, Missing> {
    let membership = header.membership.as_ref().ok_or(Missing("membership"))?;
    Ok(SnapshotMeta {
        last_log_id: header.last_log_id.as_ref().map(read_log_id),
        last_membership: read_stored_membership(membership),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip() {
        let voters = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 2, 4])];
        let membership = Membership::new_with_defaults(voters, [1, 2, 3, 4, 9]);
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Command(bytes::Bytes::from_static(b"x"))),
            EntryPayload::Membership(membership),
        ] {
            let original = Entry {
                log_id: LogId::new_term_index(3, 14),
                payload,
            };
            assert_eq!(read_entry(entry(&original)), Ok(original));
        }
    }

    #[test]
    fn votes_round_trip_and_missing_parts_are_named() {
        for original in [Vote::new(3, 7), Vote::new_committed(3, 7)] {
            assert_eq!(read_vote(Some(&vote(&original))), Ok(original));
        }
        assert_eq!(read_vote(None), Err(Missing("vote")));
        assert!(read_entry(wire::LogEntry::default()).is_err());
    }
}
