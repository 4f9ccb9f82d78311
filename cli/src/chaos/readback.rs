//! What is stored at the end: every channel's log, read from every replica of its
//! cell.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use causeway_protocol::backbone::Directory;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{CellId, ChannelId, Name, UserId};
use futures::StreamExt;

use super::history::ReplicaLog;
use super::joins::{self, Roster};
use super::play::log_entry;
use crate::operator::Operator;
use crate::status;
use crate::world::World;

/// Replicas that came back may have a lot to catch up with.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Logs read at a time.
const AT_ONCE: usize = 16;

/// A replica to read.
pub struct Source {
    /// Its node's name.
    pub node: String,
    /// Its node.
    pub address: SocketAddr,
    /// Its cell.
    pub cell: CellId,
    /// The channel to read there.
    pub channel: ChannelId,
    /// On behalf of whom.
    pub reader: UserId,
}

/// What was read.
#[derive(Debug, Default)]
pub struct ReadBack {
    /// The logs.
    pub logs: Vec<ReplicaLog>,
    /// Who is in the channels that somebody joined.
    pub rosters: Vec<Roster>,
    /// Why something was not, or not in time.
    pub broken: Vec<String>,
}

/// Waits until the replicas have caught up, and reads the log of each channel,
/// as the member that comes with it, from each replica on a node that is not in
/// `gone`; and the members of channels, who are to have all who have `joined`.
pub async fn read(
    world: &World,
    operator: &Operator,
    channels: &BTreeMap<ChannelId, UserId>,
    joined: &[(ChannelId, UserId)],
    gone: &[Name],
) -> ReadBack {
    let mut read = ReadBack::default();
    let (names, settled) = settle(world, operator, gone).await;
    read.broken
        .extend(settled.err().map(|e| format!("not_settled: {e:#}")));
    let sources = match sources(world, operator, channels, &names).await {
        Ok(sources) => sources,
        Err(error) => {
            read.broken.push(format!("not_read: {error:#}"));
            return read;
        }
    };
    let logs = futures::stream::iter(&sources).map(|source| read_log(operator, source));
    for log in logs.buffered(AT_ONCE).collect::<Vec<_>>().await {
        match log {
            Ok(log) => read.logs.push(log),
            Err(error) => read.broken.push(format!("not_read: {error:#}")),
        }
    }
    read.broken.sort();
    read.broken.dedup();
    read.rosters = joins::read(operator, &sources, joined).await;
    read
}

/// The replicas of these channels, on the nodes with these names.
async fn sources(
    world: &World,
    operator: &Operator,
    channels: &BTreeMap<ChannelId, UserId>,
    names: &BTreeMap<u64, String>,
) -> anyhow::Result<Vec<Source>> {
    let directory = operator.directory().await?;
    let mut sources = Vec::new();
    for (channel, reader) in channels {
        let (cell, replicas) = home(&directory, *channel).context("a channel without a cell")?;
        for node in replicas {
            // A replica of a node that is gone cannot be asked.
            let Some(name) = names.get(&node) else {
                continue;
            };
            sources.push(Source {
                node: name.clone(),
                address: world.node(name)?.backbone,
                cell,
                channel: *channel,
                reader: *reader,
            });
        }
    }
    Ok(sources)
}

/// Waits until all nodes that should be there are, and have applied everything;
/// returns the names of those who are, by their ids, and what is missing.
pub async fn settle(
    world: &World,
    operator: &Operator,
    gone: &[Name],
) -> (BTreeMap<u64, String>, anyhow::Result<()>) {
    let expected = world
        .cores()
        .filter(|node| !gone.contains(&node.name))
        .count();
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let statuses = operator.statuses().await;
        let names: BTreeMap<u64, String> = statuses
            .iter()
            .filter_map(|status| status.self_.as_ref())
            .map(|me| (me.node_id, me.name.clone()))
            .collect();
        let there = |node: u64| names.contains_key(&node);
        if statuses.len() == expected && status::have_caught_up(&statuses, there) {
            return (names, Ok(()));
        }
        if Instant::now() > deadline {
            let problem = anyhow!(
                "{} of {expected} core nodes answer, and their replicas have not caught up after \
                 {} s:\n{}",
                statuses.len(),
                SETTLE_TIMEOUT.as_secs(),
                status::render(&statuses, &[]).unwrap_or_default()
            );
            return (names, Err(problem));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The cell of a channel, and the nodes with a replica of it.
pub fn home(directory: &Directory, channel: ChannelId) -> Option<(CellId, Vec<u64>)> {
    let workspace = channel.workspace().0;
    let shard = directory.shards.iter().find(|s| s.workspace == workspace)?;
    let cell = directory.cells.iter().find(|cell| cell.id == shard.cell)?;
    let replicas = cell.replicas.iter().map(|replica| replica.node_id);
    Some((CellId(cell.id), replicas.collect()))
}

async fn read_log(operator: &Operator, source: &Source) -> anyhow::Result<ReplicaLog> {
    let mut entries = Vec::new();
    loop {
        let from_seq = entries.len() as u64 + 1;
        let body = request::Body::ReadLog(client::ReadLog {
            topic: Some(causeway_protocol::Topic::Channel(source.channel).to_wire()),
            from_seq,
            to_seq: 0,
        });
        let answer = operator.ask_replica(source.address, source.cell, source.reader, body);
        let page = match answer.await {
            Ok(response::Result::Log(page)) => page,
            Ok(_) => bail!("{}: an unexpected answer", source.node),
            Err(error) => return Err(error.context(format!("{} does not answer", source.node))),
        };
        let count = page.entries.len();
        entries.extend(page.entries.into_iter().map(log_entry));
        if count == 0 || entries.len() as u64 >= page.last_seq {
            return Ok(ReplicaLog {
                node: source.node.clone(),
                channel: source.channel,
                entries,
            });
        }
    }
}
