//! The nodes of a world as Prometheus finds them: a file for its `file_sd_configs`.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::NodeRole;
use super::layout::PlannedNode;

/// Beside the world's file.
const FILE: &str = "prometheus.json";

/// A node, and what it is called.
#[derive(Debug, PartialEq, Serialize)]
struct Target {
    targets: [String; 1],
    labels: Labels,
}

#[derive(Debug, PartialEq, Serialize)]
struct Labels {
    instance: String,
    role: &'static str,
    place: String,
    zone: String,
}

/// Writes the file.
///
/// # Errors
/// The system's.
pub fn write(folder: &Path, nodes: &[PlannedNode]) -> anyhow::Result<()> {
    let targets: Vec<Target> = nodes.iter().map(target).collect();
    let path = folder.join(FILE);
    std::fs::write(&path, serde_json::to_string_pretty(&targets)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn target(node: &PlannedNode) -> Target {
    Target {
        targets: [node.http().to_string()],
        labels: Labels {
            instance: node.name.to_string(),
            role: match node.role {
                NodeRole::Core => "core",
                NodeRole::Edge => "edge",
            },
            place: node.place.to_string(),
            zone: node.zone.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Plan;
    use super::*;

    #[test]
    fn every_node_is_named_with_its_address() {
        let plan = Plan {
            zones: 1,
            nodes: 1,
            world: 7,
        };
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &plan.nodes().unwrap()).unwrap();
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let targets: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(targets.as_array().map(Vec::len), Some(7));
        assert_eq!(targets[0]["targets"][0], "127.64.7.1:7480");
        assert_eq!(targets[0]["labels"]["instance"], "us-east-1");
        assert_eq!(targets[0]["labels"]["role"], "core");
        assert_eq!(targets[6]["labels"]["role"], "edge");
    }
}
