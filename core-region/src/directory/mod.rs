//! The directory: which cells there are, who holds their replicas, and which
//! shard is in which cell. It is itself a cell, number 0.

mod book;
mod counting;
mod drain;
mod founding;
mod keeper;
mod machine;
mod placement;
mod replacement;
mod returning;

use std::sync::Arc;

use bytes::Bytes;
use causeway_gossip::sync::POLL_HOLD;
use causeway_protocol::backbone::{Cell, CreateWorkspace, Directory, DirectoryPoll, Drain};
use causeway_protocol::{ApiError, ErrorCode, Method, Name, UserId, WorkspaceId};
use causeway_transport::backbone::Services;
use causeway_transport::tls::Role;
use prost::Message;
use tokio::sync::watch;

use crate::cell::{propose, refusal, validate};
use crate::consensus::{Consensus, Outcome};
use crate::state_records::{PlaceCells, command::Body};

pub use book::Book;
pub use counting::recount;
pub use drain::check_drain;
pub use founding::{Founder, Founding};
pub use keeper::Keeper;
pub use machine::DirectoryMachine;
pub use placement::{Placement, PlacementError};
pub use replacement::{Absence, replacements};
pub use returning::{admit, dismiss, returning};

/// A node's copy of the directory; clones share it.
#[derive(Debug, Clone)]
pub struct SharedBook(watch::Sender<Arc<Book>>);

impl Default for SharedBook {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl SharedBook {
    /// The copy as it is now.
    pub fn get(&self) -> Arc<Book> {
        self.0.borrow().clone()
    }

    /// For waiting until it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Book>> {
        self.0.subscribe()
    }

    /// For whoever writes into it.
    pub fn sender(&self) -> watch::Sender<Arc<Book>> {
        self.0.clone()
    }

    /// Takes in what another copy has that this one has not.
    pub fn apply(&self, directory: &Directory) {
        self.0
            .send_if_modified(|book| Arc::make_mut(book).apply(directory));
    }

    /// Serves those who follow the directory: an answer as soon as there is
    /// something new, or after a while.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let book = self.clone();
        let roles = &[Role::Core, Role::Edge, Role::Operator];
        services.call(Method::Directory, roles, move |_, body: Bytes| {
            let mut book = book.watch();
            async move {
                let poll = DirectoryPoll::decode(body)
                    .map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
                if !poll.at_once {
                    let newer = book.wait_for(|book| book.version() > poll.have_version);
                    // Either way the copy is answered as it is.
                    let _ = tokio::time::timeout(POLL_HOLD, newer).await;
                }
                let answer = book.borrow().since(poll.have_version);
                Ok(answer.encode_to_vec().into())
            }
        })
    }
}

/// Places a workspace, or finds the one with this name.
///
/// # Errors
/// [`ErrorCode::RegionNotFound`], [`ErrorCode::InvalidName`], and those of
/// [`propose`].
pub async fn place_workspace(
    directory: &dyn Consensus,
    name: &str,
    home: &Name,
) -> Result<WorkspaceId, ApiError> {
    validate::workspace_name(name)?;
    let create = CreateWorkspace {
        name: name.to_owned(),
        home_region: home.to_string(),
    };
    match propose_here(directory, Body::PlaceWorkspace(create)).await? {
        Outcome::Placed(workspace) => Ok(workspace),
        other => Err(unexpected(&other)),
    }
}

/// Writes cells into the directory.
///
/// # Errors
/// [`ErrorCode::InvalidArguments`] for an epoch that is not new, and those of
/// [`propose`].
pub async fn place_cells(directory: &dyn Consensus, place: PlaceCells) -> Result<(), ApiError> {
    match propose_here(directory, Body::PlaceCells(place)).await? {
        Outcome::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Changes cells, on the directory's leader: as `decide` finds them once its copy is the
/// latest. Returns how many.
///
/// # Errors
/// What `decide` says, and those of [`place_cells`].
pub async fn change_cells(
    directory: &dyn Consensus,
    decide: impl FnOnce() -> Result<Vec<Cell>, ApiError>,
) -> Result<usize, ApiError> {
    // Another's copy may be older than what was placed before this.
    directory.turn().await.map_err(refusal)?;
    let cells = decide()?;
    let count = cells.len();
    if count > 0 {
        place_cells(directory, PlaceCells { cells }).await?;
    }
    Ok(count)
}

/// Begins or undoes a drain. Returns whether it was done: not if another came
/// between what `drain.version` saw and this.
///
/// # Errors
/// Those of [`propose`].
pub async fn set_drain(directory: &dyn Consensus, drain: Drain) -> Result<bool, ApiError> {
    match propose_here(directory, Body::SetDrain(drain)).await? {
        Outcome::Done => Ok(true),
        Outcome::Overtaken => Ok(false),
        other => Err(unexpected(&other)),
    }
}

async fn propose_here(directory: &dyn Consensus, body: Body) -> Result<Outcome, ApiError> {
    // Nothing in the directory has a time.
    let (_, outcome) = propose(directory, 0, UserId(0), body).await?;
    match outcome {
        Outcome::Refused(error) => Err(error),
        outcome => Ok(outcome),
    }
}

fn unexpected(outcome: &Outcome) -> ApiError {
    ApiError::new(
        ErrorCode::InternalError,
        format!("the directory answered {outcome:?}"),
    )
}
