//! What every replica says at the end, and when all of them say the same: first their
//! versions are compared, often, as that is cheap; then all that they show.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use causeway_core_region::metadata::version::Version;
use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::{CellId, ChannelId, UserId};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};

use super::cast::{Cast, Stage};
use super::item::{Item, State};
use super::questions;
use crate::operator::Operator;
use crate::world::World;

/// Between looks at the versions.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A replica that has not told its version by then is not where the others are.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// Between looks where the replicas are, as long as they are not where they belong.
const FIND_EVERY: Duration = Duration::from_millis(500);
/// Between looks at all that is shown, if it differs although versions do not.
const READ_EVERY: Duration = Duration::from_millis(500);
/// Questions under way at a time.
const AT_ONCE: usize = 16;

/// A replica of a workspace's cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The name of its node.
    pub node: String,
    /// Where that is asked.
    pub address: SocketAddr,
    /// The cell.
    pub cell: CellId,
    /// The workspace, by number.
    pub stage: usize,
}

/// All that a replica shows of a workspace.
pub struct Readback {
    /// The replica.
    pub replica: Replica,
    /// What was asked, in words, and answered.
    pub answers: Vec<(String, Answer)>,
    /// What that says.
    pub state: State,
    /// What it says that cannot be.
    pub odd: Vec<String>,
}

/// How the replicas are after some time.
pub struct Settled {
    /// When each workspace had a replica in each region, by the directory.
    pub found_at: Instant,
    /// When all were equal; `None` = never.
    pub equal_at: Option<Instant>,
    /// What they show.
    pub readbacks: Vec<Readback>,
    /// On what they disagree.
    pub different: Vec<String>,
}

/// Asks the replicas of a world.
pub struct Reader<'a> {
    /// The world.
    pub world: &'a World,
    /// Who asks.
    pub operator: &'a Operator,
    /// Of whose workspaces.
    pub cast: &'a Cast,
}

impl Reader<'_> {
    /// Waits until all replicas are equal, and reads all that they show; after `limit`,
    /// whatever that is.
    ///
    /// # Errors
    /// Replicas that are not there after `limit`, or do not answer.
    pub async fn settle(&self, limit: Duration) -> anyhow::Result<Settled> {
        let deadline = Instant::now() + limit;
        let mut found_at = None;
        loop {
            let replicas = self.find(deadline).await?;
            let found_at = *found_at.get_or_insert_with(Instant::now);
            let equal_at = self.wait_until_equal(&replicas, deadline).await;
            let readbacks = match self.read(&replicas).await {
                // A replica that is new may lack the log that all this is about.
                Err(_) if Instant::now() < deadline => {
                    tokio::time::sleep(READ_EVERY).await;
                    continue;
                }
                readbacks => readbacks?,
            };
            let different = differences(&readbacks);
            let equal_at = equal_at.filter(|_| different.is_empty());
            if equal_at.is_some() || Instant::now() > deadline {
                return Ok(Settled {
                    found_at,
                    equal_at,
                    readbacks,
                    different,
                });
            }
            tokio::time::sleep(READ_EVERY).await;
        }
    }

    /// The replicas of all workspaces, once each is on a node that answers.
    async fn find(&self, deadline: Instant) -> anyhow::Result<Vec<Replica>> {
        loop {
            let error = match self.look_for_replicas().await {
                Ok(replicas) => return Ok(replicas),
                Err(error) => error,
            };
            if Instant::now() > deadline {
                return Err(error.context("replicas are not there"));
            }
            tokio::time::sleep(FIND_EVERY).await;
        }
    }

    /// Where the replicas of all workspaces are, one in each region.
    ///
    /// # Errors
    /// A replica on a node that does not answer, or regions without one.
    pub async fn look_for_replicas(&self) -> anyhow::Result<Vec<Replica>> {
        let statuses = self.operator.statuses().await;
        let names = statuses.iter().filter_map(|status| status.self_.as_ref());
        let names: BTreeMap<u64, &String> = names.map(|me| (me.node_id, &me.name)).collect();
        let directory = self.operator.directory().await?;
        let mut replicas = Vec::new();
        for (number, stage) in self.cast.stages.iter().enumerate() {
            let workspace = stage.workspace.0;
            let shard = directory.shards.iter().find(|s| s.workspace == workspace);
            let cell = shard.and_then(|shard| directory.cells.iter().find(|c| c.id == shard.cell));
            let cell = cell.with_context(|| format!("{} has no cell", stage.workspace))?;
            let mut regions: Vec<&str> = cell.replicas.iter().map(|r| r.region.as_str()).collect();
            regions.sort_unstable();
            regions.dedup();
            let all = self.cast.regions.len();
            ensure!(
                regions.len() == all && cell.replicas.len() == all,
                "cell {} has not one replica in each region, as this takes",
                cell.id
            );
            for replica in &cell.replicas {
                let name = names.get(&replica.node_id);
                let name = name.with_context(|| format!("a node of cell {} is away", cell.id))?;
                replicas.push(Replica {
                    node: (*name).clone(),
                    address: self.world.node(name)?.backbone,
                    cell: CellId(cell.id),
                    stage: number,
                });
            }
        }
        Ok(replicas)
    }

    /// Returns when they were.
    async fn wait_until_equal(&self, replicas: &[Replica], deadline: Instant) -> Option<Instant> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < deadline {
            looks.tick().await;
            let versions = join_all(replicas.iter().map(|replica| self.version(replica))).await;
            let seen_at = Instant::now();
            if self.are_equal(replicas, &versions) {
                return Some(seen_at);
            }
        }
        None
    }

    fn are_equal(&self, replicas: &[Replica], versions: &[Option<Version>]) -> bool {
        (0..self.cast.stages.len()).all(|stage| {
            let of_stage = replicas.iter().zip(versions);
            let of_stage = of_stage.filter(|(replica, _)| replica.stage == stage);
            let versions: Option<Vec<&Version>> = of_stage.map(|(_, v)| v.as_ref()).collect();
            versions.is_some_and(|versions| {
                let pairs = versions.iter().zip(versions.iter().cycle().skip(1));
                pairs.into_iter().all(|(one, next)| one.has_all(next))
            })
        })
    }

    /// `None` if it does not tell.
    async fn version(&self, replica: &Replica) -> Option<Version> {
        let reader = self.cast.stages[replica.stage].users[0];
        let boot = self.ask(replica, reader, Body::Boot(client::Boot {}));
        match tokio::time::timeout(LOOK_TIMEOUT, boot).await {
            Ok(Ok(Answer::Boot(boot))) => Version::from_bytes(&boot.metadata_version),
            _ => None,
        }
    }

    async fn ask(&self, replica: &Replica, user: UserId, body: Body) -> anyhow::Result<Answer> {
        let (address, cell) = (replica.address, replica.cell);
        let asked = self.operator.ask_replica(address, cell, user, body).await;
        asked.with_context(|| format!("{} does not answer", replica.node))
    }

    /// All that replicas show.
    ///
    /// # Errors
    /// One that does not answer, or answers something else.
    pub async fn read(&self, replicas: &[Replica]) -> anyhow::Result<Vec<Readback>> {
        let reading = replicas.iter().map(|replica| self.read_one(replica));
        let reading: Vec<_> = reading.collect();
        futures::stream::iter(reading)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn read_one(&self, replica: &Replica) -> anyhow::Result<Readback> {
        let stage = &self.cast.stages[replica.stage];
        let reader = stage.users[0];
        let of_all = questions::of_workspace(stage).into_iter();
        let mut asked: Vec<(UserId, Body)> = of_all.map(|body| (reader, body)).collect();
        for user in &stage.users {
            asked.extend(questions::of_user().map(|body| (*user, body)));
        }
        let (mut answers, mut state) = (Vec::new(), State::new());
        for (user, body) in asked {
            let answer = self.ask(replica, user, body.clone()).await?;
            questions::take(&mut state, stage, user, &body, &answer)
                .with_context(|| format!("of {}", replica.node))?;
            answers.push((format!("{body:?} of {user}"), answer));
        }
        let odd = miscounted(stage, &answers, &state);
        Ok(Readback {
            replica: replica.clone(),
            answers,
            state,
            odd,
        })
    }
}

/// Channels whose members are not as many as is said.
fn miscounted(stage: &Stage, answers: &[(String, Answer)], state: &State) -> Vec<String> {
    let channels = answers.iter().filter_map(|(_, answer)| match answer {
        Answer::Channel(channel) => Some((ChannelId(channel.id), channel.members)),
        _ => None,
    });
    let wrong = channels.filter_map(|(channel, told)| {
        let is_in = |user: &&UserId| {
            let user = **user;
            state.contains_key(&Item::Member { channel, user })
        };
        let there = stage.users.iter().filter(is_in).count();
        let is_right = usize::try_from(told).is_ok_and(|told| told == there);
        (!is_right).then(|| format!("{channel} is said to have {told} members, and has {there}"))
    });
    wrong.collect()
}

/// Questions to which replicas of one workspace have different answers.
fn differences(readbacks: &[Readback]) -> Vec<String> {
    let mut different = Vec::new();
    let mut first = BTreeMap::<usize, &Readback>::new();
    for readback in readbacks {
        let one = *first.entry(readback.replica.stage).or_insert(readback);
        for ((question, answer), (_, other)) in one.answers.iter().zip(&readback.answers) {
            if answer != other {
                different.push(format!(
                    "{question}: {} answers {answer:?}, {} {other:?}",
                    one.replica.node, readback.replica.node
                ));
            }
        }
    }
    different
}
