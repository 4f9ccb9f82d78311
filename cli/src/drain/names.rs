//! What there is to drain, by name: what runs, what is remembered, and what the
//! world's file has.

use std::collections::BTreeSet;

use anyhow::bail;
use causeway_protocol::backbone::{NodeStatus, Role};

use super::What;
use crate::world::{NodeRole, World};

/// A node, as far as drains are concerned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    name: String,
    is_core: bool,
    place: String,
    zone: String,
}

/// All nodes that anybody knows of.
pub struct Names(BTreeSet<Known>);

impl Names {
    /// From what the core nodes tell and the world's file.
    pub fn new(statuses: &[NodeStatus], world: &World) -> Self {
        let told = statuses.iter().flat_map(|status| {
            let away = status.away.iter().filter_map(|away| away.member.as_ref());
            status.members.iter().chain(away)
        });
        let told = told.map(|member| Known {
            name: member.name.clone(),
            is_core: member.role() == Role::Core,
            place: member.place.clone(),
            zone: member.zone.clone(),
        });
        let written = world.nodes.iter().map(|node| Known {
            name: node.name.to_string(),
            is_core: node.role == NodeRole::Core,
            place: node.place.to_string(),
            zone: node.zone.to_string(),
        });
        Self(told.chain(written).collect())
    }

    /// The names of one kind.
    fn of(&self, what: What) -> BTreeSet<String> {
        let nodes = self.0.iter();
        let names = nodes.filter_map(|node| match what {
            What::Node => Some(node.name.clone()),
            What::Zone => node
                .is_core
                .then(|| format!("{}/{}", node.place, node.zone)),
            What::Region => node.is_core.then(|| node.place.clone()),
            What::Pop => (!node.is_core).then(|| node.place.clone()),
        });
        names.collect()
    }

    /// Lets a name pass that is one of its kind.
    ///
    /// # Errors
    /// With what was perhaps meant, and what there is.
    pub fn check(&self, what: What, name: &str) -> anyhow::Result<()> {
        let names = self.of(what);
        if names.contains(name) {
            return Ok(());
        }
        let there_are: Vec<String> = names.into_iter().collect();
        let hint = self.hint(name).unwrap_or_default();
        bail!(
            "there is no {} `{name}`{hint}; there are {}",
            what.noun(),
            there_are.join(", ")
        )
    }

    /// What else has this name.
    fn hint(&self, name: &str) -> Option<String> {
        let kinds = [What::Node, What::Region, What::Pop, What::Zone];
        let other = kinds.into_iter().find(|kind| self.of(*kind).contains(name));
        if let Some(kind) = other {
            return Some(format!(
                " (`{name}` is a {}: `{} {name}`)",
                kind.noun(),
                kind.word()
            ));
        }
        let zones = self.of(What::Zone);
        let zone = zones
            .iter()
            .find(|zone| zone.ends_with(&format!("/{name}")))?;
        Some(format!(" (the zone is `zone {zone}`)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let node = |name: &str, is_core, place: &str, zone: &str| Known {
            name: name.into(),
            is_core,
            place: place.into(),
            zone: zone.into(),
        };
        Names(BTreeSet::from([
            node("us-east-1", true, "us-east", "us-east-a"),
            node("eu-west-1", true, "eu-west", "eu-west-a"),
            node("nyc-1", false, "nyc", "nyc"),
        ]))
    }

    fn refused(what: What, name: &str) -> String {
        names().check(what, name).unwrap_err().to_string()
    }

    #[test]
    fn what_there_is_passes() {
        for (what, name) in [
            (What::Node, "nyc-1"),
            (What::Zone, "us-east/us-east-a"),
            (What::Region, "eu-west"),
            (What::Pop, "nyc"),
        ] {
            names().check(what, name).unwrap();
        }
    }

    #[test]
    fn what_there_is_not_is_told_with_what_there_is() {
        assert_eq!(
            refused(What::Region, "mars"),
            "there is no region `mars`; there are eu-west, us-east"
        );
        for (told, part) in [
            (
                refused(What::Region, "us-east-1"),
                "is a node: `node us-east-1`",
            ),
            (refused(What::Zone, "us-east-a"), "`zone us-east/us-east-a`"),
            (refused(What::Pop, "us-east"), "there are nyc"),
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
