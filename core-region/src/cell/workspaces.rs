//! Commands on workspaces and their users, by the platform.

use causeway_protocol::backbone::{EnsureUser, InitWorkspace};
use causeway_protocol::client::{entry::Kind, response};
use causeway_protocol::{Topic, UserId, WorkspaceId};

use super::machine::{Context, Done, answer};
use super::{access, tables, topic_log, views};
use crate::consensus::Outcome;
use crate::state::ReadState;
use crate::state_records::{UserRecord, WorkspaceRecord};

/// Makes room for a workspace that the directory has placed here. Again changes
/// nothing.
pub fn init(context: &mut Context<'_, '_>, init: InitWorkspace) -> Done {
    let workspace = WorkspaceId(init.workspace);
    let key = tables::workspace(workspace);
    if context.tx.get(&key)?.is_none() {
        let record = WorkspaceRecord {
            name: init.name,
            home_region: init.home_region,
            last_user: 0,
            last_channel: 0,
        };
        context.tx.put(key, &record);
    }
    Ok(Outcome::Placed(workspace))
}

/// Creates a user, or finds the one with the name.
pub fn ensure_user(context: &mut Context<'_, '_>, ensure: EnsureUser) -> Done {
    let workspace = WorkspaceId(ensure.workspace);
    let mut record = access::workspace(context.tx, workspace)?;
    let index = tables::user_name(workspace, &ensure.name);
    let known = context.tx.get(&index)?.and_then(|id| id.try_into().ok());
    if let Some(id) = known.map(u64::from_be_bytes).map(UserId) {
        let user: Option<UserRecord> = context.tx.record(&tables::user(id))?;
        let user = user.unwrap_or_default();
        return answer(response::Result::User(views::logged_user(id, &user)));
    }
    record.last_user += 1;
    let id = UserId::new(workspace, record.last_user);
    let user = UserRecord {
        name: ensure.name,
        real_name: ensure.real_name,
        deactivated: false,
        admin: ensure.admin,
        created_ts: context.now_us,
    };
    context.tx.put(tables::workspace(workspace), &record);
    context.tx.put_bytes(index, &id.0.to_be_bytes());
    context.tx.put(tables::user(id), &user);
    let view = views::logged_user(id, &user);
    let topic = Topic::Workspace(workspace);
    let added = Kind::UserAdded(view.clone());
    let entry = topic_log::append(context.tx, topic, context.now_us, |_, _| added)?;
    context.entries.push(entry);
    answer(response::Result::User(view))
}
