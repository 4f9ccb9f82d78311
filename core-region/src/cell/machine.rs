//! The state machine of a cell of workspaces: takes commands in their order, and
//! changes the state alike on every replica.

use std::sync::Arc;

use bytes::Bytes;
use causeway_protocol::client::response;
use causeway_protocol::{ApiError, CellId, ErrorCode, Position, UserId};
use prost::Message;

use super::access::Stop;
use super::{channels, messages, workspaces};
use crate::consensus::{Applied, Machine, Outcome, TopicEntry};
use crate::faults::{Faults, Plant};
use crate::state::Tx;
use crate::state_records::{Command, command::Body};
use crate::store::StoreError;

/// Takes the entries that a leader has applied, on their way to subscribers.
/// Must not block; may drop, as holes are filled from the log.
pub trait Publish: Send + Sync + 'static {
    /// Entries of `cell`, in order.
    fn publish(&self, cell: CellId, position: Position, entries: Vec<TopicEntry>);
}

/// Applies commands to one cell.
pub struct CellMachine {
    cell: CellId,
    publish: Arc<dyn Publish>,
    faults: Faults,
}

impl CellMachine {
    /// For `cell`; what the leader applies goes to `publish`.
    pub fn new(cell: CellId, publish: Arc<dyn Publish>) -> Self {
        Self {
            cell,
            publish,
            faults: Faults::default(),
        }
    }

    /// The same, with a bug if one is planted.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }
}

/// A command under way: its time, its author, and the entries it appends.
pub struct Context<'a, 'b> {
    /// The state.
    pub tx: &'a mut Tx<'b>,
    /// The leader's clock when it proposed.
    pub now_us: u64,
    /// Who asks; 0 = the platform.
    pub actor: UserId,
    /// What was appended so far.
    pub entries: Vec<TopicEntry>,
    /// A planted bug: what was sent before is not looked up.
    pub skips_dedup: bool,
}

/// What a command leads to when it is carried out.
pub type Done = Result<Outcome, Stop>;

impl Machine for CellMachine {
    fn apply(&self, tx: &mut Tx<'_>, command: Bytes) -> Result<Applied, StoreError> {
        let Ok(command) = Command::decode(command) else {
            return Ok(Outcome::Refused(ErrorCode::Malformed.into()).into());
        };
        let mut context = Context {
            tx,
            now_us: command.proposed_at_us,
            actor: UserId(command.actor),
            entries: Vec::new(),
            skips_dedup: self.faults.has(Plant::SkipDedup),
        };
        match dispatch(&mut context, command.body) {
            Ok(outcome) => Ok(Applied {
                outcome,
                entries: context.entries,
            }),
            // A command checks before it writes: a refusal has changed nothing.
            Err(Stop::Refused(error)) => Ok(Outcome::Refused(error).into()),
            Err(Stop::Store(error)) => Err(error),
        }
    }

    fn reached(&self, position: Position, leading: bool, entries: Vec<TopicEntry>) {
        if leading && !entries.is_empty() {
            self.publish.publish(self.cell, position, entries);
        }
    }
}

fn dispatch(context: &mut Context<'_, '_>, body: Option<Body>) -> Done {
    match body {
        Some(Body::SendMessage(send)) => messages::send(context, send),
        Some(Body::EditMessage(edit)) => messages::edit(context, edit),
        Some(Body::DeleteMessage(delete)) => messages::delete(context, delete),
        Some(Body::CreateChannel(create)) => channels::create(context, create),
        Some(Body::LeaveChannel(leave)) => channels::leave(context, leave),
        Some(Body::InviteMember(invite)) => channels::invite(context, invite),
        Some(Body::KickMember(kick)) => channels::kick(context, kick),
        Some(Body::InitWorkspace(init)) => workspaces::init(context, init),
        Some(Body::EnsureUser(ensure)) => workspaces::ensure_user(context, ensure),
        Some(Body::EnsureChannel(ensure)) => channels::ensure(context, ensure),
        Some(Body::PlaceCells(_) | Body::PlaceWorkspace(_) | Body::SetDrain(_)) | None => {
            Err(ApiError::new(ErrorCode::UnknownMethod, "not a command of this cell").into())
        }
    }
}

/// An answer for a client.
pub fn answer(result: response::Result) -> Done {
    Ok(Outcome::Answer(Box::new(result)))
}
