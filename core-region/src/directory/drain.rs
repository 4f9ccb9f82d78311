//! Whether a drain makes sense: a pure decision of the directory's leader. What
//! is left must be able to lead every cell, and to take every client.

use std::collections::HashSet;

use causeway_gossip::drains::covers;
use causeway_gossip::{Drains, Member, Membership, Role};
use causeway_protocol::backbone::{Cell, Drain};
use causeway_protocol::{ApiError, ErrorCode};

/// Leaders and sessions that go each second, in a thousand, at the most: all.
const PERMILLE_MAX: u32 = 1_000;

/// Lets a drain pass that leaves enough.
///
/// # Errors
/// [`ErrorCode::InvalidArguments`] when nothing is covered, or the rate makes no
/// sense; [`ErrorCode::NotAllowed`] when what is left cannot do the work.
pub fn check_drain<'a>(
    drain: &Drain,
    members: &Membership,
    drains: &Drains,
    cells: impl Iterator<Item = &'a Cell>,
) -> Result<(), ApiError> {
    let invalid = |text: String| Err(ApiError::new(ErrorCode::InvalidArguments, text));
    if !(1..=PERMILLE_MAX).contains(&drain.permille_per_s) {
        return invalid(format!("{} ‰ a second is no rate", drain.permille_per_s));
    }
    let leaving: Vec<&Member> = members.iter().filter(|m| covers(drain, m)).collect();
    if leaving.is_empty() {
        return match drain.away {
            // It takes nothing away, and holds for when they are back.
            true => Ok(()),
            false => invalid(format!("no node that runs belongs to `{}`", drain.name)),
        };
    }
    let stays = |member: &&Member| !covers(drain, member) && drains.of(member).is_none();
    let staying: Vec<&Member> = members.iter().filter(stays).collect();
    let refused = |text: String| Err(ApiError::new(ErrorCode::NotAllowed, text));
    let edge = |member: &&&Member| member.role == Role::Edge;
    if leaving.iter().any(|m| edge(&m)) && !staying.iter().any(|m| edge(&m)) {
        return refused("no edge node would be left for the clients".into());
    }
    let heirs: HashSet<u64> = staying.iter().map(|m| m.node.0).collect();
    let led = |cell: &&Cell| {
        let mut voters = cell.replicas.iter().filter(|r| !r.learner);
        voters.any(|voter| heirs.contains(&voter.node_id))
    };
    let orphans: Vec<String> = (cells.filter(|cell| !led(cell)))
        .map(|cell| cell.id.to_string())
        .collect();
    match orphans.is_empty() {
        true => Ok(()),
        false => refused(format!(
            "nobody would be left to lead the cells {}",
            orphans.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use causeway_gossip::member::MemberInfo;
    use causeway_protocol::NodeId;
    use causeway_protocol::backbone::{DrainScope, Replica};

    use super::*;

    fn member(node: u64, role: Role, place: &str) -> Member {
        Member::new(MemberInfo {
            node: NodeId(node),
            incarnation: 1,
            name: format!("{place}-{node}").parse().unwrap(),
            role,
            place: place.parse().unwrap(),
            zone: "a".parse().unwrap(),
            backbone: ([127, 0, 0, 1], 1).into(),
            client: None,
            http: None,
            version: String::new(),
        })
    }

    fn drain(scope: DrainScope, name: &str) -> Drain {
        Drain {
            scope: scope.into(),
            name: name.into(),
            permille_per_s: 100,
            active: true,
            version: 1,
            ..Drain::default()
        }
    }

    fn check(drain: &Drain, before: &[Drain]) -> Result<(), ErrorCode> {
        let members = Membership::new([
            member(1, Role::Core, "us"),
            member(2, Role::Core, "eu"),
            member(3, Role::Core, "ap"),
            member(4, Role::Edge, "nyc"),
            member(5, Role::Edge, "fra"),
        ]);
        let replica = |node_id| Replica {
            node_id,
            learner: node_id == 3,
            ..Replica::default()
        };
        let cell = Cell {
            id: 7,
            replicas: [1, 2, 3].map(replica).into(),
            ..Cell::default()
        };
        let mut drains = Drains::default();
        for drain in before {
            drains.apply(drain);
        }
        check_drain(drain, &members, &drains, [cell].iter()).map_err(|e| e.code)
    }

    #[test]
    fn somebody_must_be_left_to_lead_and_to_let_clients_in() {
        let us = drain(DrainScope::Region, "us");
        let eu = drain(DrainScope::Region, "eu");
        let nyc = drain(DrainScope::Pop, "nyc");
        let fra = drain(DrainScope::Pop, "fra");
        assert_eq!(check(&us, &[]), Ok(()));
        assert_eq!(check(&us, std::slice::from_ref(&nyc)), Ok(()));
        // The third replica is a learner.
        assert_eq!(
            check(&eu, std::slice::from_ref(&us)),
            Err(ErrorCode::NotAllowed)
        );
        assert_eq!(check(&nyc, &[]), Ok(()));
        assert_eq!(check(&nyc, &[fra]), Err(ErrorCode::NotAllowed));
    }

    #[test]
    fn what_covers_nothing_is_refused() {
        let refused = Err(ErrorCode::InvalidArguments);
        assert_eq!(check(&drain(DrainScope::Region, "mars"), &[]), refused);
        assert_eq!(check(&drain(DrainScope::Unspecified, "us"), &[]), refused);
        let at_once = Drain {
            permille_per_s: 1_001,
            ..drain(DrainScope::Region, "us")
        };
        assert_eq!(check(&at_once, &[]), refused);
    }

    #[test]
    fn what_is_away_can_be_drained_by_whoever_knows_it() {
        let away = Drain {
            away: true,
            ..drain(DrainScope::Node, "us-9")
        };
        assert_eq!(check(&away, &[]), Ok(()));
    }
}
