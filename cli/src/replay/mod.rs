//! `causeway replay`: real conversations through real clients, and a ledger of
//! what became of every message.

mod export;
mod play;
mod problem;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use causeway_protocol::Name;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::export::Export;
use crate::ledger::{Floor, Report, Scene};
use crate::operator::Operator;
use crate::output::say;
use crate::world::World;

/// A world that runs answers by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Flags of `causeway replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A Slack export: the folder with users.json and channels.json
    path: PathBuf,
    /// The world's file [default: the world started last]
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// The workspace to replay into; it is created where it is missing
    #[arg(long, default_value = "replay")]
    workspace: String,
    /// Its home region
    #[arg(long, default_value = "us-east")]
    home: Name,
    /// Times as fast as it once happened, 0.001 to 1000000 [default: as fast as
    /// acknowledgements allow]
    #[arg(long, value_parser = speed)]
    speed: Option<f64>,
    /// Print one JSON object instead of the ledger for people
    #[arg(long)]
    json: bool,
}

/// Replays an export; exits with 1 when anything was lost, doubled or out of
/// order.
///
/// # Errors
/// No such export or world, or a stage that cannot be set.
pub async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let export = Export::read(&args.path)?;
    let world = World::load(args.world.as_deref())?;
    let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
    let stop = CancellationToken::new();
    let wan = world.follow_wan(&stop)?;
    let progress = progress_bar(&args)?;
    let stage = stage::set(
        &world,
        &operator,
        wan.as_ref(),
        &export,
        &args.workspace,
        &args.home,
        &progress,
    )
    .await?;
    progress.reset();
    progress.set_message("");
    let places = stage.places.clone();
    let start = Instant::now();
    let (ledger, members) = play::run(&export, stage, args.speed, &progress).await;
    let took = start.elapsed();
    progress.finish_and_clear();
    stop.cancel();
    let model = wan.as_ref().map(|wan| wan.model().as_ref().clone());
    let report = ledger.report(&Scene {
        places: &places,
        members: &members,
        floor: &|_| Floor {
            wan: model.as_ref(),
            regions: &world.regions,
            home: &args.home,
        },
    });
    let told = Told {
        report: &report,
        skipped: export.skipped,
        unknown_members: export.unknown_members,
    };
    if args.json {
        say(&serde_json::to_string(&told)?);
    } else {
        say(&render(&told, &args, places.len(), took));
    }
    Ok(match report.is_clean() && report.errors == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The ledger, and what of the export never came into it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Messages without a text.
    skipped: usize,
    /// Members of channels whom the export does not know.
    unknown_members: usize,
}

/// Beyond these bounds, either nothing would happen or everything at once.
fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok();
    let speed = speed.filter(|speed| (0.001..=1_000_000.0).contains(speed));
    speed.ok_or_else(|| "a speed is a number from 0.001 to 1000000".into())
}

fn progress_bar(args: &ReplayArgs) -> anyhow::Result<ProgressBar> {
    let style = "{elapsed_precise} {bar:40} {pos}/{len} {per_sec} eta {eta} {wide_msg}";
    let progress = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    if args.json {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}

/// The ledger, for people.
fn render(told: &Told<'_>, args: &ReplayArgs, clients: usize, took: Duration) -> String {
    let report = told.report;
    let seconds = took.as_secs_f64();
    let mut text = format!(
        "{} into {} (home {}), {clients} clients, {seconds:.1} s\n\n",
        args.path.display(),
        args.workspace,
        args.home,
    );
    for (name, value) in [
        ("sent", report.sent),
        ("acknowledged", report.acknowledged),
        ("already there", report.already_there),
        ("deliveries", report.deliveries),
        ("lost", report.lost),
        ("duplicated", report.duplicated),
        ("out of order", report.out_of_order),
        ("refused", report.refused),
        ("errors", report.errors),
        ("disconnects", report.disconnects),
        ("without a text", told.skipped as u64),
        ("unknown members", told.unknown_members as u64),
    ] {
        text += &format!("{name:>16}  {value}\n");
    }
    text += "\nlatency, ms              p50      p99      max    floor  deliveries\n";
    for pair in &report.pairs {
        let latency = pair.latency_ms;
        text += &format!(
            "  {:>6} → {:<6} {:>12.1} {:>8.1} {:>8.1} {:>8.1}  {}\n",
            pair.from.as_str(),
            pair.to.as_str(),
            latency.p50,
            latency.p99,
            latency.max,
            pair.floor_ms,
            pair.deliveries
        );
    }
    for (name, q) in [
        ("added to the floor", report.added_ms),
        ("longest pause, by channel", report.pause_ms),
    ] {
        text += &format!(
            "\n{name:>26}  p50 {:.1} ms  p99 {:.1} ms  max {:.1} ms",
            q.p50, q.p99, q.max
        );
    }
    text += match report.is_clean() {
        true => "\n\nevery acknowledged message arrived everywhere once, in order",
        false => "\n\nTHE LEDGER DOES NOT ADD UP",
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_have_bounds() {
        for (text, value) in [("0.001", 0.001), ("2", 2.0), ("1e6", 1e6)] {
            assert_eq!(speed(text), Ok(value));
        }
        for text in ["1e-300", "0", "-1", "1e7", "inf", "NaN", "fast", ""] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
