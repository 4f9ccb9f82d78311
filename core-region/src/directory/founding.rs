//! The birth of a world: one node founds the directory once every region that
//! the configuration names has a core node, and nobody knows of a directory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use causeway_gossip::{Gossip, Member, Membership};
use causeway_protocol::backbone::{Cell, Directory, DirectoryPoll, Replica, Survive};
use causeway_protocol::{CellId, Method, Name, NodeId};
use causeway_transport::backbone::Backbone;
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::{Placement, SharedBook, place_cells};
use crate::consensus::Consensus;
use crate::state_records::PlaceCells;

/// Between looks at who is there.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node that is asked whether it knows of a directory answers by then.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What a new world looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// Regions that must be there first; the directory has a voter in each.
    pub regions: Vec<Name>,
    /// Cells to create.
    pub cells: u32,
    /// What they survive.
    pub survive: Survive,
}

/// Founds the directory, if this is the node to do it: the first by name in the
/// first region. Returns once a directory is known, founded here or not.
pub async fn found(
    founding: Founding,
    directory: Arc<dyn Consensus>,
    book: SharedBook,
    gossip: Gossip,
    backbone: Backbone,
    stop: CancellationToken,
) {
    let me = backbone.node();
    while !stop.is_cancelled() && book.get().version() == 0 {
        let membership = gossip.membership();
        if let Some(voters) = voters(&membership, &founding.regions)
            && voters.first().map(|m| m.node) == Some(me)
            && nobody_knows(&backbone, &membership).await
        {
            found_here(&founding, directory.as_ref(), &membership, &voters).await;
        }
        let mut changed = book.watch();
        let known = changed.wait_for(|book| book.version() > 0);
        let waited = tokio::time::timeout(LOOK_EVERY, known);
        stop.run_until_cancelled(waited).await;
    }
}

/// One core node for each region, in the order of the regions; `None` while a
/// region is empty.
fn voters(membership: &Membership, regions: &[Name]) -> Option<Vec<Member>> {
    let first = |region| {
        membership
            .cores(Some(region))
            .min_by(|a, b| a.name.cmp(&b.name))
    };
    regions
        .iter()
        .map(|region| first(region).cloned())
        .collect()
}

/// A wiped disk must not found a second world: every core node is asked, and
/// each must answer that it knows of none.
async fn nobody_knows(backbone: &Backbone, membership: &Membership) -> bool {
    let others = membership.cores(None).filter(|m| m.node != backbone.node());
    let asked = others.map(|member| async move {
        let poll = DirectoryPoll {
            have_version: 0,
            at_once: true,
        };
        let body = poll.encode_to_vec().into();
        let ask = backbone.call(member.node, Method::Directory, body, ASK_TIMEOUT);
        let directory = ask.await.ok().map(Directory::decode);
        matches!(directory, Some(Ok(directory)) if directory.version == 0)
    });
    let answers = futures::future::join_all(asked).await;
    answers.into_iter().all(|knows_none| knows_none)
}

async fn found_here(
    founding: &Founding,
    directory: &dyn Consensus,
    membership: &Membership,
    voters: &[Member],
) {
    let nodes: BTreeSet<NodeId> = voters.iter().map(|m| m.node).collect();
    if let Err(error) = directory.found(nodes).await {
        tracing::error!(%error, "the directory was not founded");
        return;
    }
    let mut leadership = directory.leadership();
    if leadership.wait_for(|l| l.ready).await.is_err() {
        return;
    }
    let own = own_cell(voters);
    let mut placement = Placement::new(membership.cores(None).cloned(), [&own]);
    let cells = match placement.spread(1, founding.cells, founding.survive) {
        Ok(cells) => cells,
        Err(error) => {
            tracing::error!(%error, "no cells were created");
            Vec::new()
        }
    };
    let cells = std::iter::once(own).chain(cells).collect();
    match place_cells(directory, PlaceCells { cells }).await {
        Ok(()) => tracing::info!("a new world was founded"),
        Err(error) => tracing::error!(%error, "no cells were created"),
    }
}

/// The directory's own record.
fn own_cell(voters: &[Member]) -> Cell {
    let replica = |member: &Member| Replica {
        node_id: member.node.0,
        region: member.place.to_string(),
        zone: member.zone.to_string(),
        learner: false,
    };
    Cell {
        id: CellId::DIRECTORY.0,
        home_region: voters
            .first()
            .map(|m| m.place.to_string())
            .unwrap_or_default(),
        survive: Survive::Region.into(),
        replicas: voters.iter().map(replica).collect(),
        epoch: 1,
        version: 0,
    }
}
