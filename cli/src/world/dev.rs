//! `causeway dev`: a whole world on one machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use futures::future::try_join_all;

use super::files::{self, NewWorld};
use super::layout::{Plan, free_world};
use super::processes::{Processes, stop_strays};
use super::{World, WorldNode, demo, probe};
use crate::config::SurviveName;
use crate::operator::Operator;
use crate::output::say;
use crate::signals::Signals;
use crate::status;

/// A world that is not ready by then has failed.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long replicas may take to learn what has been created.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Flags of `causeway dev`.
#[derive(Debug, Clone, Args)]
pub struct DevArgs {
    /// Keep the world in this folder, and go on where it stopped
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Zones of each region
    #[arg(long, default_value_t = 1)]
    zones: usize,
    /// Core nodes of each zone
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Cells of a new world
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1024))]
    cells: u32,
    /// Let cells survive a zone of their home region, instead of a region
    #[arg(long)]
    survive_zone: bool,
    /// Do not emulate distances
    #[arg(long)]
    no_wan: bool,
    /// Let faults of disk and clock be injected into core nodes, as `chaos` does
    #[arg(long)]
    faults: bool,
}

impl DevArgs {
    /// A world to measure in: nothing is emulated.
    pub fn for_bench() -> Self {
        Self {
            no_wan: true,
            cells: 3,
            ..Self::default()
        }
    }

    /// A world for the chaos suite.
    pub fn for_chaos() -> Self {
        Self {
            faults: true,
            ..Self::default()
        }
    }
}

impl Default for DevArgs {
    fn default() -> Self {
        Self {
            data_dir: None,
            zones: 1,
            nodes: 1,
            cells: 12,
            survive_zone: false,
            no_wan: false,
            faults: false,
        }
    }
}

/// Starts a world, and runs it until Ctrl-C.
///
/// # Errors
/// What kept the world from starting.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    let start = Instant::now();
    let temporary = match args.data_dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("causeway-dev-").tempdir()?),
    };
    let folder = match (&args.data_dir, &temporary) {
        (Some(folder), _) => std::path::absolute(folder)?,
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => bail!("no folder for the world"),
    };
    let mut stop = Signals::new()?;
    let started = tokio::select! {
        started = start_world(&folder, &args) => Some(started?),
        () = stop.asked() => None,
    };
    let Some((world, mut processes)) = started else {
        // Processes stop with their standard input.
        return Ok(());
    };
    let file = world.file();
    link_default(&file)?;
    announce(&world, &file, start.elapsed(), temporary.is_some());
    loop {
        tokio::select! {
            () = stop.asked() => break,
            Some(ended) = processes.next_end() => tell_end(&world, &ended.name, &ended.status),
        }
    }
    say("stopping …");
    // Nodes that were killed and started again are in the file, and not ours.
    if let Ok(world) = World::load(Some(&file)) {
        stop_strays(&world.nodes);
    }
    processes.stop().await;
    say("stopped");
    Ok(())
}

/// Starts the world in `folder`, created where there is none, and waits until it
/// is ready and described in its file.
///
/// # Errors
/// What kept the world from starting.
pub async fn start_world(folder: &Path, args: &DevArgs) -> anyhow::Result<(World, Processes)> {
    start_world_with(folder, args, |_| ()).await
}

/// The same, with its nodes changed before they start.
///
/// # Errors
/// What kept the world from starting.
pub async fn start_world_with(
    folder: &Path,
    args: &DevArgs,
    change: impl FnOnce(&mut [WorldNode]),
) -> anyhow::Result<(World, Processes)> {
    let mut world = open_or_create(folder, args)?;
    change(&mut world.nodes);
    let mut processes = Processes::start(&mut world.nodes)?;
    let ended = tokio::select! {
        ready = bring_up(&mut world) => match ready {
            Ok(()) => None,
            Err(error) => {
                processes.stop().await;
                return Err(error);
            }
        },
        ended = processes.next_end() => ended,
    };
    if let Some(ended) = ended {
        processes.stop().await;
        let log = world.node(ended.name.as_str())?.log.display().to_string();
        bail!(
            "{} has ended ({}) while the world started; see {log}",
            ended.name,
            ended.status
        );
    }
    world.save()?;
    Ok((world, processes))
}

fn open_or_create(folder: &Path, args: &DevArgs) -> anyhow::Result<World> {
    let binary = std::env::current_exe().context("where is this program?")?;
    let file = folder.join("world.json");
    if !file.exists() {
        let new = NewWorld {
            plan: Plan {
                zones: args.zones,
                nodes: args.nodes,
                world: free_world(folder)?,
            },
            cells: args.cells,
            survive: match args.survive_zone {
                true => SurviveName::Zone,
                false => SurviveName::Region,
            },
            wan: !args.no_wan,
            faults: args.faults,
        };
        return files::create(folder, &new, &binary);
    }
    let mut world = World::load(Some(&file))?;
    ensure!(
        world.nodes.iter().all(is_free),
        "the world in {} seems to run already: its addresses are in use",
        folder.display()
    );
    for node in &mut world.nodes {
        // The world may have been built by an earlier version of this program.
        if let Some(program) = node.command.first_mut() {
            *program = binary.display().to_string();
        }
    }
    Ok(world)
}

fn is_free(node: &WorldNode) -> bool {
    std::net::UdpSocket::bind(node.backbone).is_ok()
}

/// Waits until every node is ready, and the demonstration workspaces are there.
async fn bring_up(world: &mut World) -> anyhow::Result<()> {
    let roots = world.roots()?;
    let ready = world
        .nodes
        .iter()
        .map(|node| probe::ready(node, &roots, READY_TIMEOUT));
    let all_ready = try_join_all(ready);
    if world.workspaces.is_empty() {
        let operator = Operator::connect(world, READY_TIMEOUT).await?;
        let populate = populate(world, &operator);
        let (_, workspaces) = tokio::try_join!(all_ready, populate)?;
        world.workspaces = workspaces;
        settle(&operator).await;
    } else {
        all_ready.await?;
    }
    Ok(())
}

/// Creates the demonstration workspaces as soon as the cells can be asked.
async fn populate(
    world: &World,
    operator: &Operator,
) -> anyhow::Result<Vec<super::WorldWorkspace>> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        match demo::create(world, operator).await {
            Ok(workspaces) => return Ok(workspaces),
            Err(error) if Instant::now() > deadline => return Err(error),
            // The world is being founded: creating again changes nothing.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Waits until every replica knows what has been created, so that it can be
/// used at every PoP.
async fn settle(operator: &Operator) {
    let settled = async {
        while !status::is_settled(&operator.statuses().await) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // A replica may be slow; the world can be used without it.
    let _ = tokio::time::timeout(SETTLE_TIMEOUT, settled).await;
}

/// Lets the other commands find this world without being told.
fn link_default(file: &Path) -> anyhow::Result<()> {
    let link = super::default_file();
    if let Some(folder) = link.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let fresh = link.with_extension(format!("{}", std::process::id()));
    std::os::unix::fs::symlink(file, &fresh)?;
    std::fs::rename(&fresh, &link).with_context(|| format!("cannot write {}", link.display()))
}

fn announce(world: &World, file: &Path, took: Duration, temporary: bool) {
    let mut text = format!(
        "\nCauseway is up after {:.1} s: {} core nodes in {} regions, {} PoPs.\n\n",
        took.as_secs_f64(),
        world.cores().count(),
        world.regions.len(),
        world.pops.len()
    );
    for node in &world.nodes {
        let client = node
            .client
            .map(|a| format!("clients {a}  "))
            .unwrap_or_default();
        text += &format!(
            "  {:16} pid {:<8} {client}{} {}\n",
            node.name.as_str(),
            node.pid,
            if node.client.is_some() {
                "https"
            } else {
                "http"
            },
            node.http
        );
    }
    if world.wan.is_some() {
        text += "\nDistances are emulated. ";
        text += "Change them: ./x causeway chaos wan --from us-east --to eu-west --cut\n";
    }
    text += &format!("\nThe world is described in {}", file.display());
    text += if temporary {
        "\n  (it vanishes with this command; keep it with --data-dir FOLDER)\n"
    } else {
        "\n"
    };
    text += "\nTry, in another terminal:\n";
    text += "  ./x causeway chat --workspace harbor --user ada --at nyc\n";
    text += "  ./x causeway chat --workspace harbor --user chen --at nrt\n";
    text += "  ./x causeway admin status\n";
    text += &web_call(world).unwrap_or_default();
    text += "\nCtrl-C stops everything.\n";
    say(&text);
}

/// A call to the Web API, to paste.
fn web_call(world: &World) -> Option<String> {
    let edge = world.nodes.iter().find(|node| node.client.is_some())?;
    let user = world.workspaces.first()?.users.first()?;
    Some(format!(
        "  curl --cacert {} https://{}/api/users.list \\\n    -H \"Authorization: Bearer $(./x causeway admin token issue {})\"\n",
        world.ca.display(),
        edge.http,
        user.id,
    ))
}

fn tell_end(world: &World, name: &causeway_protocol::Name, status: &str) {
    let again = world.node(name.as_str()).map(|node| node.command.join(" "));
    say(&format!(
        "{name} has ended ({status}). It is not restarted; to start it again:\n  \
         ./x causeway chaos start {name}\n  (or {})",
        again.unwrap_or_default()
    ));
}
