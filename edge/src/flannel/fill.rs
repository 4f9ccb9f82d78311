//! Reading what is kept from replicas: each part by one reading that all wait for who
//! want it, users' own data many at a time, and no more at once than the edge node may.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::backbone::flannel_ask::What;
use causeway_protocol::backbone::{
    FlannelAnswer, FlannelAsk, FlannelChannels, FlannelMembers, FlannelRows, FlannelShelves,
    ShelfAsk,
};
use causeway_protocol::{ApiError, ErrorCode, Seq, UserId};
use futures::future::FutureExt;
use tokio::sync::oneshot;

use super::cache::{Begun, Cache, Need, Part, Rows};
use super::channels::Channels;
use super::counters::Counters;
use super::gather::ask_of;
use super::held::{Flight, Held, Waiter, Why};
use super::shelf::{Demand, Filled, Shelf};
use super::users::Users;
use super::{Flannel, Kept, unavailable};

/// The feed of a workspace begins within this.
const LIVE_WITHIN: Duration = Duration::from_secs(1);
/// Others may leave as well.
const COUNT_AFTER: Duration = Duration::from_secs(1);
/// So many users whose data are read together are a crowd.
const CROWD: usize = 4;
/// The data of a crowd are read this often.
const CROWD_EVERY: Duration = Duration::from_millis(100);
/// Pages of one part.
const PAGES_MAX: usize = 2_000;
/// How often a part is read while more changes than is remembered.
const TRIES: usize = 3;

/// Where the feed was before something was read.
struct Before {
    step: u64,
    version: Bytes,
    at: Instant,
}

impl Before {
    /// Of an answer that was asked for since.
    fn filled(&self, answer: &FlannelAnswer) -> Filled {
        let is_whole = answer.metadata_version == self.version;
        Filled {
            at: self.at,
            position: answer.position,
            age_ms: answer.age_ms,
            only: (!is_whole).then(|| answer.metadata_version.clone()),
        }
    }
}

impl Flannel {
    /// Has a part there, if it can be had.
    ///
    /// # Errors
    /// [`ApiError`]: it is not there, and could not be read.
    pub(super) async fn ensure(&self, held: &Arc<Held>, part: Part) -> Result<(), ApiError> {
        let need = held.look(|cache| cache.need(part, Instant::now()));
        if matches!(need, Need::Better | Need::Now) && self.0.source.is_cut_off() {
            return match need {
                Need::Better => Ok(()),
                _ => Err(unavailable("no replica is within reach")),
            };
        }
        match need {
            Need::Nothing => Ok(()),
            Need::Sometime => {
                // Nobody waits for it.
                drop(self.flight(held, part));
                Ok(())
            }
            Need::Better => {
                // What is there is better than nothing.
                let _ = self.flight(held, part).await;
                Ok(())
            }
            Need::Now => self.flight(held, part).await,
        }
    }

    /// The reading of a part that is under way, or begins now.
    fn flight(&self, held: &Arc<Held>, part: Part) -> Flight {
        let mut flights = held.flights.lock();
        if let Some(flight) = flights.get(&part) {
            return flight.clone();
        }
        let (flannel, of) = (self.clone(), Arc::clone(held));
        let reading = async move {
            let read = flannel.read_part(&of, part).await;
            of.flights.lock().remove(&part);
            read
        };
        let flight = reading.boxed().shared();
        flights.insert(part, flight.clone());
        // It goes on when those who wait for it have gone.
        tokio::spawn(flight.clone());
        flight
    }

    async fn read_part(&self, held: &Arc<Held>, part: Part) -> Result<(), ApiError> {
        for _ in 0..TRIES {
            let (rows, begun) = self.pages(held, part).await?;
            let installed = {
                let mut cache = held.cache.lock();
                cache.install(rows, begun, &held.share.recent.lock())
            };
            if installed.is_ok() {
                self.weigh_part(held, part);
                self.follow(held);
                return Ok(());
            }
        }
        Err(unavailable("more changes than can be followed"))
    }

    async fn pages(&self, held: &Held, part: Part) -> Result<(Rows, Begun), ApiError> {
        let before = self.begin(held).await?;
        let (mut all, mut after) = (FlannelAnswer::default(), 0);
        let mut begun = None::<Begun>;
        for _ in 0..PAGES_MAX {
            let what = what(part, after);
            let mut answer = self.ask(held, &before, held.position(), what).await?;
            let filled = before.filled(&answer);
            let begun = begun.get_or_insert_with(|| Begun {
                step: before.step,
                seq: Seq(answer.workspace_seq),
                filled: filled.clone(),
            });
            if begun.filled.only.is_none() {
                begun.filled.only = filled.only;
            }
            if let Some(workspace) = answer.workspace.take() {
                held.cache.lock().workspace = Some(workspace);
            }
            held.reached(answer.position);
            all.users.append(&mut answer.users);
            all.channels.append(&mut answer.channels);
            all.emoji.append(&mut answer.emoji);
            all.members.append(&mut answer.members);
            after = answer.next;
            if after == 0 {
                break;
            }
        }
        let begun = begun.ok_or(ErrorCode::InternalError)?;
        Ok((rows(part, all), begun))
    }

    /// Waits until the feed tells what changes.
    async fn begin(&self, held: &Held) -> Result<Before, ApiError> {
        let mut progress = held.share.progress.clone();
        let live = progress.wait_for(|progress| progress.live);
        let is_live = tokio::time::timeout(LIVE_WITHIN, live).await;
        if !matches!(is_live, Ok(Ok(_))) {
            return Err(unavailable("nobody tells of the workspace's metadata yet"));
        }
        let recent = held.share.recent.lock();
        Ok(Before {
            step: recent.step(),
            version: recent.version().clone(),
            at: Instant::now(),
        })
    }

    async fn ask(
        &self,
        held: &Held,
        before: &Before,
        min_position: u64,
        what: What,
    ) -> Result<FlannelAnswer, ApiError> {
        let turn = self.0.turns.acquire().await;
        let _turn = turn.map_err(|_| unavailable("this node is about to end"))?;
        Counters::count(&self.0.counters.core_reads);
        let ask = FlannelAsk {
            cell: held.cell.0,
            workspace: held.workspace.0,
            metadata_version: before.version.clone(),
            min_position,
            what: Some(what),
        };
        self.0.source.ask(ask).await
    }

    /// Reads channels that are not known yet.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(super) async fn read_channels(&self, held: &Held, ids: Vec<u64>) -> Result<(), ApiError> {
        let before = self.begin(held).await?;
        let what = What::SomeChannels(FlannelChannels { channels: ids });
        let answer = self.ask(held, &before, 0, what).await?;
        let mut cache = held.cache.lock();
        let added = cache.add_channels(answer.channels, before.step, &held.share.recent.lock());
        added.map_err(|_| unavailable("more changes than can be followed"))
    }

    /// Has members counted again, where somebody has left; many channels at a time.
    pub(super) fn count_again(&self, held: &Arc<Held>) {
        let are_counted = |cache: &mut Cache| cache.channels().is_none_or(Channels::are_counted);
        if held.counting.load(Ordering::Relaxed)
            || held.look(are_counted)
            || held.counting.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (flannel, held) = (self.clone(), Arc::clone(held));
        tokio::spawn(async move {
            tokio::time::sleep(COUNT_AFTER).await;
            let uncounted = |cache: &mut Cache| cache.channels().map(Channels::uncounted);
            let channels = held.look(uncounted).unwrap_or_default();
            if let Err(error) = flannel.read_channels(&held, channels).await {
                tracing::debug!(%error, "members are not counted");
            }
            held.counting.store(false, Ordering::Relaxed);
        });
    }

    /// A user's own data for one who knows this much: as they are kept, or read with those
    /// of others.
    ///
    /// # Errors
    /// [`Why`]; what was read may be behind.
    pub(super) async fn shelf(
        &self,
        held: &Arc<Held>,
        user: UserId,
        demand: &Demand,
    ) -> Result<Box<Shelf>, Why> {
        if let Some(shelf) = held.good_shelf(user, demand, Instant::now()) {
            self.0.lru.lock().touch(&Kept::Shelf(user));
            return Ok(shelf);
        }
        let (waiter, read) = oneshot::channel();
        let ask = ask_of(user, &demand.wrote, &demand.version);
        let begins = held.gather.lock().want(ask, waiter);
        let begins = begins.map_err(|_| Why::Refused(ErrorCode::Ratelimited.into()))?;
        if begins {
            tokio::spawn(self.clone().read_shelves(Arc::clone(held)));
        }
        let nobody = || Why::Unread(unavailable("the reading has ended"));
        read.await.unwrap_or_else(|_| Err(nobody()))
    }

    /// Reads what is wanted, until nothing is.
    async fn read_shelves(self, held: Arc<Held>) {
        loop {
            let batch = held.gather.lock().next_batch();
            if batch.is_empty() {
                return;
            }
            let is_crowd = batch.len() >= CROWD;
            let next = tokio::time::Instant::now() + CROWD_EVERY;
            let asks = batch.iter().map(|(ask, _)| ask.clone()).collect();
            match self.some_shelves(&held, asks).await {
                Ok((before, answer)) => self.shelve(&held, &before, answer, batch),
                Err(error) => {
                    for (_, waiter) in batch {
                        // Whoever waited may have gone.
                        let _ = waiter.send(Err(Why::Unread(error.clone())));
                    }
                }
            }
            if is_crowd {
                // However many they are, the core is asked no more often.
                tokio::time::sleep_until(next).await;
            }
        }
    }

    async fn some_shelves(
        &self,
        held: &Held,
        users: Vec<ShelfAsk>,
    ) -> Result<(Before, FlannelAnswer), ApiError> {
        let before = self.begin(held).await?;
        let what = What::Shelves(FlannelShelves { users });
        let answer = self.ask(held, &before, 0, what).await?;
        match answer.shelves.is_empty() {
            true => Err(ErrorCode::InternalError.into()),
            false => Ok((before, answer)),
        }
    }

    /// Keeps what was read, and gives it to those who wait.
    fn shelve(
        &self,
        held: &Held,
        before: &Before,
        answer: FlannelAnswer,
        mut batch: Vec<(ShelfAsk, Waiter)>,
    ) {
        let filled = before.filled(&answer);
        let left = batch.split_off(batch.len().min(answer.shelves.len()));
        held.gather.lock().put_back(left);
        for ((ask, waiter), mut own) in batch.into_iter().zip(answer.shelves) {
            if let Some(refusal) = own.refusal.take() {
                // Whoever waits may have gone; here and below.
                let _ = waiter.send(Err(refused(ApiError::from_wire(refusal))));
                continue;
            }
            let demand = match std::mem::take(&mut own.behind) {
                true => Demand::default(),
                false => Demand {
                    position: 0,
                    wrote: ask.wrote,
                    version: ask.metadata_version,
                },
            };
            let shelf = Shelf::new(own, filled.clone(), demand);
            let kept = {
                let mut cache = held.cache.lock();
                let user = UserId(ask.user);
                let kept = cache.put_shelf(user, shelf, before.step, &held.share.recent.lock());
                kept.map(|shelf| Box::new(shelf.clone()))
            };
            if let Ok(shelf) = &kept {
                self.weigh(Kept::Shelf(UserId(ask.user)), shelf.bytes());
            }
            let _ = waiter.send(kept.map_err(|_| Why::Behind));
        }
    }

    /// Follows the workspace's topic, from what was read first.
    fn follow(&self, held: &Arc<Held>) {
        if !held.followed.swap(true, Ordering::Relaxed) {
            tokio::spawn(self.clone().run_follower(Arc::clone(held)));
        }
    }
}

/// A replica that is behind does not know who is new.
fn refused(error: ApiError) -> Why {
    match error.code {
        ErrorCode::UserNotFound | ErrorCode::WorkspaceNotFound => Why::Behind,
        _ => Why::Refused(error),
    }
}

fn what(part: Part, after: u64) -> What {
    match part {
        Part::Users => What::Users(FlannelRows { after }),
        Part::Channels => What::Channels(FlannelRows { after }),
        Part::Emoji => What::Emoji(FlannelRows { after }),
        Part::Members(channel) => What::Members(FlannelMembers {
            channel: channel.0,
            after,
        }),
    }
}

fn rows(part: Part, all: FlannelAnswer) -> Rows {
    match part {
        Part::Users => Rows::Users(Users::new(all.users)),
        Part::Channels => Rows::Channels(Channels::new(all.channels)),
        Part::Emoji => {
            let emoji = all.emoji.into_iter().map(|emoji| (emoji.name, emoji.url));
            Rows::Emoji(emoji.collect())
        }
        Part::Members(channel) => Rows::Members(channel, all.members.into_iter().collect()),
    }
}
