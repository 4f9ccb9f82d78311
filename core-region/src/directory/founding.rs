//! The birth of a world: the node that the configuration names founds the
//! directory once all expected core nodes are there and none knows of one; the
//! leader of a directory that is empty fills it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use causeway_gossip::{Gossip, Member, Membership};
use causeway_protocol::backbone::{Cell, Directory, DirectoryPoll, Survive};
use causeway_protocol::{ApiError, CellId, Method, Name, NodeId};
use causeway_transport::backbone::Backbone;
use prost::Message;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::placement::{PlacementError, replica_on};
use super::{Placement, SharedBook, place_cells};
use crate::consensus::{ChangeError, Consensus};
use crate::state_records::PlaceCells;

/// Between looks at who is there.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node that is asked whether it knows of a directory answers by then.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What a new world looks like. Every core node may have this in its
/// configuration; it means something until there is a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// The node that founds the directory. One alone: two that do not see each
    /// other yet would found two.
    pub by: Name,
    /// Core nodes that must be there first, so that cells are spread over all.
    pub core_nodes: usize,
    /// Regions that must have one of them; the directory has a voter in each.
    pub regions: Vec<Name>,
    /// Cells to create.
    pub cells: u32,
    /// What they survive.
    pub survive: Survive,
}

/// Why a world is not founded yet.
#[derive(Debug, Clone, PartialEq, Error)]
enum Obstacle {
    #[error("voter {0} of the directory is away")]
    VoterMissing(NodeId),
    #[error(transparent)]
    Placement(#[from] PlacementError),
    #[error(transparent)]
    Group(#[from] ChangeError),
    #[error(transparent)]
    Directory(#[from] ApiError),
}

/// What founding needs of the node.
pub struct Founder {
    /// What is to be founded.
    pub founding: Founding,
    /// The name of this node.
    pub name: Name,
    /// This node's replica of the directory.
    pub directory: Arc<dyn Consensus>,
    /// What this node knows of the directory.
    pub book: SharedBook,
    /// The members.
    pub gossip: Gossip,
    /// The way to ask them.
    pub backbone: Backbone,
}

impl Founder {
    /// Founds the directory if that is this node's task, and fills it if this
    /// node leads it. Any node may be killed between any two steps: the next
    /// look goes on where the last one stopped. Returns once a directory is
    /// known.
    pub async fn run(self, stop: CancellationToken) {
        let mut obstacle = None;
        while !stop.is_cancelled() && self.book.get().version() == 0 {
            let looked = self.look().await.err();
            if let Some(error) = looked.as_ref().filter(|_| looked != obstacle) {
                tracing::error!(%error, "the world cannot be founded yet");
            }
            obstacle = looked;
            let mut changed = self.book.watch();
            let known = changed.wait_for(|book| book.version() > 0);
            let waited = tokio::time::timeout(LOOK_EVERY, known);
            stop.run_until_cancelled(waited).await;
        }
    }

    async fn look(&self) -> Result<(), Obstacle> {
        let membership = self.gossip.membership();
        if membership.cores(None).count() < self.founding.core_nodes {
            return Ok(());
        }
        let status = self.directory.status();
        if status.leadership.ready {
            return self.fill(&membership, &status.voters).await;
        }
        if !status.members.is_empty() || self.founding.by != self.name {
            return Ok(());
        }
        let Some(voters) = voters(&membership, &self.founding.regions) else {
            return Ok(());
        };
        self.plan(&membership, &voters)?;
        if nobody_knows(&self.backbone, &membership).await {
            self.directory.found(voters).await?;
        }
        Ok(())
    }

    /// Writes the directory's own record and the cells into it.
    async fn fill(
        &self,
        membership: &Membership,
        voters: &BTreeSet<NodeId>,
    ) -> Result<(), Obstacle> {
        let cells = self.plan(membership, voters)?;
        place_cells(self.directory.as_ref(), PlaceCells { cells }).await?;
        tracing::info!("a new world was founded");
        Ok(())
    }

    fn plan(
        &self,
        membership: &Membership,
        voters: &BTreeSet<NodeId>,
    ) -> Result<Vec<Cell>, Obstacle> {
        let member = |node: &NodeId| membership.get(*node).ok_or(Obstacle::VoterMissing(*node));
        let voters = voters.iter().map(member).collect::<Result<Vec<_>, _>>()?;
        let own = own_cell(&self.founding, &voters);
        let mut placement = Placement::new(membership.cores(None).cloned(), [&own]);
        let cells = placement.spread(1, self.founding.cells, self.founding.survive)?;
        Ok(std::iter::once(own).chain(cells).collect())
    }
}

/// One core node for each region; `None` while a region is empty.
fn voters(membership: &Membership, regions: &[Name]) -> Option<BTreeSet<NodeId>> {
    let first = |region| {
        let cores = membership.cores(Some(region));
        cores.min_by(|a, b| a.name.cmp(&b.name)).map(|m| m.node)
    };
    regions.iter().map(first).collect()
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

/// The directory's own record; its home is the first region.
fn own_cell(founding: &Founding, voters: &[&Member]) -> Cell {
    let home = founding.regions.first();
    Cell {
        id: CellId::DIRECTORY.0,
        home_region: home.map(Name::to_string).unwrap_or_default(),
        survive: Survive::Region.into(),
        replicas: voters.iter().map(|member| replica_on(member)).collect(),
        epoch: 1,
        ..Cell::default()
    }
}
