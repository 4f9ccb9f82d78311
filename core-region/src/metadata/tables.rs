//! The keys of a shard's metadata, within the cell's and workspace's prefix.

use causeway_protocol::{CellId, NodeId, WorkspaceId};

use super::actor::{Actor, Dot};
use super::item::Item;
use crate::store::keys::Key;

fn table(number: u8) -> Key {
    Key::default().u8(number)
}

/// Everything of a cell's metadata.
pub fn cell(cell: CellId) -> Key {
    Key::default().u32(cell.0)
}

/// The epoch since which a cell's metadata has been going on here, among the node's
/// facts.
pub fn since(cell: CellId) -> Key {
    Key::default().bytes(b"metadata/since/").u32(cell.0)
}

/// What the hybrid clock has reserved, among the node's facts.
pub fn clock() -> Key {
    Key::default().bytes(b"metadata/clock")
}

/// Everything of a shard's metadata: the prefix of the keys below.
pub fn shard(id: CellId, workspace: WorkspaceId) -> Key {
    cell(id).u32(workspace.0)
}

/// `ShardInfo`.
pub fn info() -> Key {
    table(1)
}

/// The log: `Op`s by actor and number.
pub fn logs() -> Key {
    table(2)
}

/// The operations of one actor.
pub fn log(actor: Actor) -> Key {
    logs().u64(actor.node.0).u64(actor.life)
}

/// One operation.
pub fn op(dot: &Dot) -> Key {
    log(dot.actor).u64(dot.counter)
}

/// Rows by item.
pub fn rows() -> Key {
    table(3)
}

/// The row of an item.
pub fn row(item: &Item) -> Key {
    rows().bytes(&item.key())
}

/// Index: the items that an actor has touched, by its last operation on each.
pub fn indexes() -> Key {
    table(4)
}

/// The same of one actor.
pub fn index(actor: Actor) -> Key {
    indexes().u64(actor.node.0).u64(actor.life)
}

/// The item whose last operation by the actor is this one.
pub fn indexed(dot: &Dot) -> Key {
    index(dot.actor).u64(dot.counter)
}

/// `Gone`: rows that are no more, in the order in which they went.
pub fn gone(number: u64) -> Key {
    table(5).u64(number)
}

/// All rows that are no more.
pub fn all_gone() -> Key {
    table(5)
}

/// Index: the public channels of which the user is a member.
pub fn memberships(user: u32) -> Key {
    table(6).u32(user)
}

/// One of them.
pub fn membership(user: u32, channel: u32) -> Key {
    memberships(user).u32(channel)
}

/// How many members a public channel has.
pub fn member_count(channel: u32) -> Key {
    table(7).u32(channel)
}

/// Index: the channels that were given this name, the first to have it first.
pub fn names(name: &str) -> Key {
    table(8).bytes(name.as_bytes()).u8(0)
}

/// One of them.
pub fn name(name: &str, stamp: super::types::Stamp, channel: u32) -> Key {
    let stamped = names(name).u64(stamp.time.0);
    let stamped = stamped.u64(stamp.actor.node.0).u64(stamp.actor.life);
    stamped.u32(channel)
}

/// How many users have reacted to the message with the emoji.
pub fn reaction_count(channel: u32, ts: u64, emoji: &str) -> Key {
    reaction_counts(channel, ts).bytes(emoji.as_bytes())
}

/// The same of all emoji.
pub fn reaction_counts(channel: u32, ts: u64) -> Key {
    table(9).u32(channel).u64(ts)
}

/// The name that a channel had before its present one.
pub fn former_name(channel: u32) -> Key {
    table(10).u32(channel)
}

/// What had been collected some time ago, and before that.
pub fn marks() -> [Key; 2] {
    [table(12).u8(0), table(12).u8(1)]
}

/// The tables that a replica takes from another when it begins anew.
pub fn resynced() -> [Key; 3] {
    [rows(), all_gone(), logs()]
}

/// The tables that follow from the rows: memberships, names and counts.
pub fn derived() -> (Key, Key) {
    (table(6), table(11))
}

/// The actor and number at the end of a log's or an index's key.
pub fn dot_of(key: &[u8]) -> Option<Dot> {
    let (rest, number) = key.split_last_chunk::<8>()?;
    let (rest, life) = rest.split_last_chunk::<8>()?;
    let node = rest.last_chunk::<8>()?;
    let actor = Actor {
        node: NodeId(u64::from_be_bytes(*node)),
        life: u64::from_be_bytes(*life),
    };
    Some(Dot::new(actor, u64::from_be_bytes(*number)))
}
