//! What is being emptied before it is worked on, as the directory says: nodes,
//! zones, regions and PoPs from which leaders and clients go elsewhere.

use std::collections::BTreeMap;

use causeway_protocol::NodeId;
use causeway_protocol::backbone::{Drain, DrainScope, Replica};

use crate::member::{Member, Membership, Role};

/// Drains by scope and name, those that are undone among them: a copy must hear
/// of both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drains(BTreeMap<(i32, String), Drain>);

impl Drains {
    /// Takes in a record. Returns whether it is news; an older one is not.
    pub fn apply(&mut self, drain: &Drain) -> bool {
        let key = (drain.scope, drain.name.clone());
        let known = self.0.get(&key);
        if known.is_some_and(|known| known.version >= drain.version) {
            return false;
        }
        self.0.insert(key, drain.clone());
        true
    }

    /// The records that are later than `version`.
    pub fn since(&self, version: u64) -> impl Iterator<Item = &Drain> {
        self.0.values().filter(move |d| d.version > version)
    }

    /// Those in force.
    pub fn active(&self) -> impl Iterator<Item = &Drain> {
        self.0.values().filter(|drain| drain.active)
    }

    /// Whether a drain of the same scope and name is in force.
    pub fn is_active(&self, drain: &Drain) -> bool {
        let known = self.0.get(&(drain.scope, drain.name.clone()));
        known.is_some_and(|known| known.active)
    }

    /// The drain that a node is under; of several, the fastest.
    pub fn of(&self, member: &Member) -> Option<&Drain> {
        let over = self.active().filter(|drain| covers(drain, member));
        over.max_by_key(|drain| drain.permille_per_s)
    }

    /// Whether a replica's node is under a drain. Of a node that is no member its
    /// name is not known, but its region and zone are.
    pub fn cover(&self, replica: &Replica, members: &Membership) -> bool {
        let member = members.get(NodeId(replica.node_id));
        self.active().any(|drain| match (member, drain.scope()) {
            (Some(member), _) => covers(drain, member),
            (None, DrainScope::Region) => drain.name == replica.region,
            (None, DrainScope::Zone) => is_zone(drain, &replica.region, &replica.zone),
            (None, _) => false,
        })
    }
}

/// Whether a drain is meant for a node.
pub fn covers(drain: &Drain, member: &Member) -> bool {
    match drain.scope() {
        DrainScope::Node => drain.name == member.name.as_str(),
        DrainScope::Zone => is_zone(drain, member.place.as_str(), member.zone.as_str()),
        DrainScope::Region => drain.name == member.place.as_str(),
        DrainScope::Pop => member.role == Role::Edge && drain.name == member.place.as_str(),
        DrainScope::Unspecified => false,
    }
}

fn is_zone(drain: &Drain, region: &str, zone: &str) -> bool {
    drain.name.split_once('/') == Some((region, zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::MemberInfo;

    fn member(name: &str, role: Role, place: &str, zone: &str) -> Member {
        Member::new(MemberInfo {
            node: NodeId(1),
            incarnation: 1,
            name: name.parse().unwrap(),
            role,
            place: place.parse().unwrap(),
            zone: zone.parse().unwrap(),
            backbone: ([127, 0, 0, 1], 1).into(),
            client: None,
            http: None,
            version: String::new(),
        })
    }

    fn drain(scope: DrainScope, name: &str, version: u64, active: bool) -> Drain {
        Drain {
            scope: scope.into(),
            name: name.into(),
            permille_per_s: 100,
            active,
            version,
            ..Drain::default()
        }
    }

    #[test]
    fn a_drain_covers_what_it_names() {
        let core = member("us-1", Role::Core, "us", "a");
        let edge = member("nyc-1", Role::Edge, "us", "us");
        let covered = |scope, name| {
            let drain = drain(scope, name, 1, true);
            [covers(&drain, &core), covers(&drain, &edge)]
        };
        assert_eq!(covered(DrainScope::Node, "us-1"), [true, false]);
        assert_eq!(covered(DrainScope::Zone, "us/a"), [true, false]);
        assert_eq!(covered(DrainScope::Zone, "eu/a"), [false, false]);
        assert_eq!(covered(DrainScope::Zone, "a"), [false, false]);
        assert_eq!(covered(DrainScope::Region, "us"), [true, true]);
        assert_eq!(covered(DrainScope::Pop, "us"), [false, true]);
        assert_eq!(covered(DrainScope::Unspecified, "us"), [false, false]);
    }

    #[test]
    fn a_replica_is_covered_by_where_it_is_also_while_its_node_is_away() {
        let replica = Replica {
            node_id: 1,
            region: "us".into(),
            zone: "a".into(),
            ..Replica::default()
        };
        let there = Membership::new([member("us-1", Role::Core, "us", "a")]);
        let covered = |scope, name| {
            let mut drains = Drains::default();
            drains.apply(&drain(scope, name, 1, true));
            [&there, &Membership::default()].map(|members| drains.cover(&replica, members))
        };
        assert_eq!(covered(DrainScope::Node, "us-1"), [true, false]);
        assert_eq!(covered(DrainScope::Region, "us"), [true, true]);
        assert_eq!(covered(DrainScope::Zone, "us/a"), [true, true]);
        assert_eq!(covered(DrainScope::Zone, "us/b"), [false, false]);
    }

    #[test]
    fn the_latest_word_counts() {
        let core = member("us-1", Role::Core, "us", "a");
        let mut drains = Drains::default();
        assert!(drains.apply(&drain(DrainScope::Region, "us", 5, true)));
        assert!(drains.of(&core).is_some());
        assert!(!drains.apply(&drain(DrainScope::Region, "us", 4, false)));
        assert!(drains.apply(&drain(DrainScope::Region, "us", 6, false)));
        assert_eq!(drains.of(&core), None);
        assert_eq!((drains.since(5).count(), drains.since(6).count()), (1, 0));
    }
}
