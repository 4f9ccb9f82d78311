//! Who is looked at while a run plays: the leaders, if a region is struck, and the node
//! that is at fault, if one is.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cast::Cast;
use super::expectations::Expectation;
use super::milestones::{self, Look};
use super::progress::Progress;
use super::scenario::{Plan, Scenario};
use super::witness::{self, Sight, Witness};
use crate::operator::Operator;
use crate::world::World;

/// The lookers.
pub struct Watch {
    /// When they began.
    pub began: Instant,
    operator: Operator,
    looks: Option<JoinHandle<Vec<Look>>>,
    sights: Option<(Arc<Witness>, JoinHandle<Vec<Sight>>)>,
    over: CancellationToken,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// There is nothing by which the node at fault could be watched.
    pub async fn begin(
        cast: &Cast,
        plan: &Plan,
        world: &World,
        operator: &Operator,
    ) -> anyhow::Result<Self> {
        let witness = cast.witness(plan, world, operator).await?.map(Arc::new);
        let (began, over) = (Instant::now(), CancellationToken::new());
        let region = plan.region.clone().filter(|_| !plan.is_paced());
        let looks = region.map(|region| {
            let watch = milestones::watch(operator.clone(), region, began, over.clone());
            tokio::spawn(watch)
        });
        let sights = witness.map(|witness| {
            let (looking, operator, over) = (witness.clone(), operator.clone(), over.clone());
            let watch = async move { looking.watch(&operator, began, over).await };
            (witness, tokio::spawn(watch))
        });
        Ok(Self {
            began,
            operator: operator.clone(),
            looks,
            sights,
            over,
        })
    }

    /// Ends. Returns who led what, and what came of the node at fault.
    ///
    /// # Errors
    /// A looker that panicked.
    pub async fn end(
        self,
        scenario: Scenario,
        progress: &Progress,
    ) -> anyhow::Result<(Vec<Look>, Vec<Expectation>)> {
        self.over.cancel();
        let looks = match self.looks {
            Some(looks) => looks.await?,
            None => Vec::new(),
        };
        let Some((witness, sights)) = self.sights else {
            return Ok((looks, Vec::new()));
        };
        let sights = sights.await?;
        let mut expectations = witness::expectations(scenario, &witness, &sights, &looks);
        progress.set_message("waiting for leadership to come home");
        expectations.push(Expectation {
            what: format!("{} leads again", witness.faulty.node),
            met: witness.sees_it_lead(&self.operator).await,
        });
        Ok((looks, expectations))
    }
}
