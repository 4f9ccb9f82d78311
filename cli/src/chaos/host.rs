//! The world of a run: one of its own or somebody else's, looked after until the run
//! is over, however it ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use causeway_protocol::Name;
use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::own_world::OwnWorld;
use super::progress::Progress;
use super::terms::Terms;
use crate::operator::Operator;
use crate::output::note;
use crate::signals::Signals;
use crate::world::World;

/// A world that runs answers by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a shell makes of a process that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// What a run is given.
pub struct Stage {
    /// The world.
    pub world: World,
    /// Its operator.
    pub operator: Operator,
    /// What leaves the world as it was.
    pub guard: Arc<Guard>,
}

/// What a run leaves.
pub struct Ran {
    /// Whether the promise was kept.
    pub clean: bool,
    /// Nodes that are dead on purpose.
    pub gone: Vec<Name>,
}

/// Ctrl-C and the like: the first ends the run in good order, the second at once.
pub struct Interrupt(CancellationToken);

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn listen() -> anyhow::Result<Self> {
        let mut signals = Signals::new()?;
        let token = CancellationToken::new();
        let asked = token.clone();
        tokio::spawn(async move {
            signals.asked().await;
            asked.cancel();
            signals.asked().await;
            note("ended at once: what the run has done to the world is not undone");
            std::process::exit(INTERRUPTED.into());
        });
        Ok(Self(token))
    }
}

/// Runs something in a world, and leaves the world as it was: the whole of somebody
/// else's; of a world of the run's own, nothing but its folder, if something is wrong.
///
/// # Errors
/// The run's, or a world that cannot be reached.
pub async fn host<F>(
    own: Option<OwnWorld>,
    terms: &Terms,
    interrupt: Interrupt,
    progress: &Progress,
    run: impl FnOnce(Stage) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<Ran>>,
{
    let began = Instant::now();
    let file = own.as_ref().map(OwnWorld::file);
    let file = file.or_else(|| terms.world.clone());
    let mut held = None;
    let ran = interrupt.0.run_until_cancelled(async {
        let stage = open(file).await?;
        held = Some((stage.operator.clone(), Arc::clone(&stage.guard)));
        run(stage).await
    });
    let ran = ran.await;
    progress.finish_and_clear();
    if ran.is_none() {
        let after = began.elapsed().as_secs_f64();
        note(&format!(
            "interrupted after {after:.1} s, cleaning up (again: at once): {}",
            terms.command()
        ));
    }
    match own {
        Some(own) => {
            if let Some((_, guard)) = held {
                // Whatever is not done by now is done to a world that ends.
                let _ = guard.quiet().await;
            }
            let is_bad = matches!(&ran, Some(Err(_) | Ok(Ran { clean: false, .. })));
            // With a planted bug, that is how it should be.
            let keep = is_bad && terms.plant.is_none();
            if let Some(kept) = own.stop(keep).await {
                note(&format!(
                    "the world's files and logs are in {}",
                    kept.display()
                ));
            }
        }
        None => {
            if let Some((operator, guard)) = held {
                let gone = match &ran {
                    Some(Ok(ran)) => &ran.gone[..],
                    _ => &[],
                };
                for problem in guard.restore(&operator, gone).await {
                    note(&format!("not as it was before: {problem}"));
                }
            }
        }
    }
    let Some(ran) = ran else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    Ok(match ran?.clean {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn open(file: Option<PathBuf>) -> anyhow::Result<Stage> {
    let world = World::load(file.as_deref())?;
    let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
    let guard = Guard::of(&world, &operator).await;
    let guard = guard.context("the run has not begun")?;
    Ok(Stage {
        world,
        operator,
        guard: Arc::new(guard),
    })
}
