//! What follows from the rows, kept for reading: whose member a user is, how many
//! members a channel has, which channels were given a name, and which they gave up.

use causeway_protocol::{ChannelId, WorkspaceId};

use super::item::Item;
use super::rows::{KeyValue, Rows, RowsMut};
use super::tables;
use super::types::Value;
use crate::store::StoreError;
use crate::store::keys::Key;

/// Follows a change of a row.
///
/// # Errors
/// [`StoreError`].
pub fn follow(
    rows: &mut impl RowsMut,
    item: &Item,
    before: &Value,
    after: &Value,
) -> Result<(), StoreError> {
    match (item, before, after) {
        (Item::Member { channel, user }, Value::Membership(before), Value::Membership(after)) => {
            match (before.is_member(), after.is_member()) {
                (false, true) => {
                    rows.put(tables::membership(*user, *channel), Vec::new());
                    count(rows, tables::member_count(*channel), 1)
                }
                (true, false) => {
                    rows.delete(tables::membership(*user, *channel));
                    count(rows, tables::member_count(*channel), -1)
                }
                _ => Ok(()),
            }
        }
        (
            Item::Reaction {
                channel, ts, emoji, ..
            },
            before,
            after,
        ) => {
            let key = tables::reaction_count(*channel, *ts, emoji);
            match (before.is_there(), after.is_there()) {
                (false, true) => count(rows, key, 1),
                (true, false) => count(rows, key, -1),
                _ => Ok(()),
            }
        }
        (Item::ChannelName { channel }, Value::Register(before), Value::Register(after)) => {
            let (old, new) = (before.get(), after.get());
            if let (Some((old, _)), Some((new, _))) = (old, new)
                && old != new
            {
                rows.put(tables::former_name(*channel), old.to_vec());
            }
            for (register, is_new) in [(before, false), (after, true)] {
                let Some((name, stamp)) = register.get() else {
                    continue;
                };
                let key = tables::name(&String::from_utf8_lossy(name), stamp, *channel);
                match is_new {
                    true => rows.put(key, Vec::new()),
                    false => rows.delete(key),
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn count(rows: &mut impl RowsMut, key: Key, by: i32) -> Result<(), StoreError> {
    match counted(rows.get(&key)?.as_deref()).saturating_add_signed(by) {
        0 => rows.delete(key),
        count => rows.put(key, count.to_be_bytes().to_vec()),
    }
    Ok(())
}

fn counted(stored: Option<&[u8]>) -> u32 {
    let count = stored.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    count.unwrap_or(0)
}

/// How many members a public channel has.
///
/// # Errors
/// [`StoreError`].
pub fn member_count(rows: &impl Rows, channel: u32) -> Result<u32, StoreError> {
    Ok(counted(
        rows.get(&tables::member_count(channel))?.as_deref(),
    ))
}

/// How often the messages of a channel from `first` up to `last` were reacted to, by
/// message and emoji: up to `limit` of these.
///
/// # Errors
/// [`StoreError`].
pub fn reaction_counts(
    rows: &impl Rows,
    channel: u32,
    (first, last): (u64, u64),
    limit: usize,
) -> Result<Vec<(u64, String, u32)>, StoreError> {
    let from = tables::reaction_counts(channel, first);
    let to = tables::reaction_counts(channel, last).end();
    let rows = rows.first(&from, &to, limit)?;
    let counts = rows.into_iter().filter_map(|(key, count)| {
        // After the table's number and the channel's.
        let (ts, emoji) = key.get(5..)?.split_first_chunk::<8>()?;
        let emoji = std::str::from_utf8(emoji).ok()?.to_owned();
        Some((u64::from_be_bytes(*ts), emoji, counted(Some(&count))))
    });
    Ok(counts.collect())
}

/// The public channels of which a user is a member, after channel number `after`.
///
/// # Errors
/// [`StoreError`].
pub fn memberships(
    rows: &impl Rows,
    user: u32,
    after: Option<u32>,
    limit: usize,
) -> Result<Vec<u32>, StoreError> {
    let all = tables::memberships(user);
    let from = match after {
        Some(after) => tables::membership(user, after).u8(0),
        None => all.clone(),
    };
    let rows = rows.first(&from, &all.end(), limit)?;
    Ok(rows.iter().filter_map(last_u32).collect())
}

/// The channel that was the first to be given this name, of those that have it.
///
/// # Errors
/// [`StoreError`].
pub fn first_named(
    rows: &impl Rows,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Option<ChannelId>, StoreError> {
    Ok(named(rows, workspace, name, 1)?.first().copied())
}

/// Those that have it, the first claim first.
///
/// # Errors
/// [`StoreError`].
pub fn named(
    rows: &impl Rows,
    workspace: WorkspaceId,
    name: &str,
    limit: usize,
) -> Result<Vec<ChannelId>, StoreError> {
    let all = tables::names(name);
    let channels = rows.first(&all, &all.end(), limit)?;
    let channels = channels.iter().filter_map(last_u32);
    Ok(channels.map(|n| ChannelId::new(workspace, n)).collect())
}

/// The name that a channel had before it was given its present one.
///
/// # Errors
/// [`StoreError`].
pub fn former_name(rows: &impl Rows, channel: u32) -> Result<Option<String>, StoreError> {
    let name = rows.get(&tables::former_name(channel))?;
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
}

fn last_u32((key, _): &KeyValue) -> Option<u32> {
    Some(u32::from_be_bytes(*key.last_chunk::<4>()?))
}

/// The bounds of the tables that follow from the rows.
pub fn bounds() -> (Key, Key) {
    tables::derived()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use causeway_protocol::NodeId;

    use super::*;
    use crate::metadata::actor::Actor;
    use crate::metadata::hybrid::HybridTime;
    use crate::metadata::rows::MemoryRows;
    use crate::metadata::types::{Register, Stamp};

    fn named_at(name: &'static str, ms: u64) -> Value {
        let actor = Actor {
            node: NodeId(1),
            life: 1,
        };
        let time = HybridTime::at_ms(ms);
        let mut register = Register::default();
        register.set(Bytes::from_static(name.as_bytes()), Stamp { time, actor });
        Value::Register(register)
    }

    #[test]
    fn who_has_a_name_and_who_gave_it_up_is_known() {
        let (mut rows, workspace) = (MemoryRows::default(), WorkspaceId(1));
        let mut rename = |channel, before: &Value, after: &Value| {
            follow(&mut rows, &Item::ChannelName { channel }, before, after).unwrap();
        };
        let (nameless, plans) = (Value::Register(Register::default()), named_at("plans", 1));
        rename(1, &nameless, &plans);
        rename(2, &nameless, &named_at("plans", 2));
        rename(1, &plans, &named_at("dreams", 3));
        let named = |name| named(&rows, workspace, name, 8).unwrap();
        assert_eq!(named("plans"), [ChannelId::new(workspace, 2)]);
        assert_eq!(named("dreams"), [ChannelId::new(workspace, 1)]);
        let former = |channel| former_name(&rows, channel).unwrap();
        assert_eq!(former(1).as_deref(), Some("plans"));
        assert_eq!(former(2), None);
    }
}
