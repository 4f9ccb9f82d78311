//! The play: clients write at a steady rate while things are done to the world, and every
//! write is noted with its beginning and its end.

use std::time::{Duration, Instant};

use anyhow::ensure;
use causeway_protocol::ApiError;
use causeway_protocol::client::response;
use tokio::sync::mpsc;

use super::cast::Cast;
use super::deeds::Stagehand;
use super::scenario::Due;
use super::workload::Workload;
use super::write::{Outcome, PhaseNumber, Write, request};
use crate::chaos::progress::Progress;

/// Answers that have not been noted.
const ANSWERS_MAX: usize = 64 * 1024;
/// The workload keeps its rate to this grain.
const GRAIN: Duration = Duration::from_millis(5);
/// A request is answered by then, with or without a connection.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

struct Answered {
    write: usize,
    answer: Result<response::Result, ApiError>,
    at: Instant,
}

/// Writes.
pub struct Play<'a> {
    cast: &'a Cast,
    workload: Workload,
    rate: f64,
    began: Instant,
    answers: mpsc::Sender<Answered>,
    answered: mpsc::Receiver<Answered>,
    under_way: usize,
    /// All writes, in the order in which they began.
    pub writes: Vec<Write>,
}

impl<'a> Play<'a> {
    /// So many writes a second, in a run that began then.
    pub fn new(cast: &'a Cast, workload: Workload, rate: f64, began: Instant) -> Self {
        let (answers, answered) = mpsc::channel(ANSWERS_MAX);
        Self {
            cast,
            workload,
            rate,
            began,
            answers,
            answered,
            under_way: 0,
            writes: Vec::new(),
        }
    }

    /// Who takes part.
    pub fn cast(&self) -> &'a Cast {
        self.cast
    }

    /// Has clients write for so long, and waits until all is answered and done.
    ///
    /// # Errors
    /// What could not be done to the world.
    pub async fn phase(
        &mut self,
        phase: PhaseNumber,
        length: Duration,
        deeds: Vec<Due>,
        hand: &mut Stagehand,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut grain = tokio::time::interval(GRAIN);
        let mut written = 0u32;
        hand.plan(deeds);
        loop {
            let since = start.elapsed();
            progress.set_position(self.began.elapsed().as_secs());
            hand.act(since, self.cast).await?;
            if since < length {
                while f64::from(written) < since.as_secs_f64() * self.rate {
                    written += 1;
                    self.write(phase, hand);
                }
            } else if self.under_way == 0 && hand.is_idle() {
                return Ok(());
            }
            ensure!(
                since < length + ANSWERED_WITHIN || !hand.is_idle(),
                "{} writes are not answered, not even by the client library",
                self.under_way
            );
            tokio::select! {
                Some(answered) = self.answered.recv() => {
                    self.note(answered);
                    while let Ok(answered) = self.answered.try_recv() {
                        self.note(answered);
                    }
                }
                _ = grain.tick() => {}
            }
        }
    }

    /// Clients whose region is down write nothing.
    fn write(&mut self, phase: PhaseNumber, hand: &Stagehand) {
        let parts = &self.cast.parts;
        let Some(wish) = self.workload.next(|n| hand.is_up(parts[n].region)) else {
            return;
        };
        let part = &parts[wish.client];
        let body = request(part.user, &wish.item, &wish.change);
        let (client, answers) = (part.client.clone(), self.answers.clone());
        let write = self.writes.len();
        self.under_way += 1;
        self.writes.push(Write {
            client: wish.client,
            user: part.user,
            region: part.region,
            phase,
            item: wish.item,
            change: wish.change,
            began: self.began.elapsed(),
            outcome: Outcome::UnderWay,
        });
        tokio::spawn(async move {
            let answer = client.request(body).await;
            let at = Instant::now();
            // The play is over if nobody listens.
            let _ = answers.send(Answered { write, answer, at }).await;
        });
    }

    fn note(&mut self, answered: Answered) {
        let at = answered.at.saturating_duration_since(self.began);
        self.under_way -= 1;
        self.writes[answered.write].outcome = Outcome::of(&answered.answer, at);
    }
}
