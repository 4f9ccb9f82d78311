//! Does to a world what a schedule says.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use causeway_core_region::faults::{self as injected, FaultConfig, Plant};
use causeway_protocol::Name;
use causeway_transport::wan::{self, LinkConfig};
use tokio::task::spawn_blocking;

use super::scenario::{Act, Layout};
use crate::drain::{What, drain_of, wait_empty};
use crate::operator::Operator;
use crate::world::{NodeRole, World, WorldNode, processes};

/// A world that runs answers by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Leaders and sessions that a drain moves each second, in a thousand.
const DRAIN_PERMILLE: u32 = 100;
/// A drain has ended by then.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Changed links, by where a datagram comes from and where it goes.
type Links = BTreeMap<Name, BTreeMap<Name, LinkConfig>>;

/// Where the world's nodes are.
pub fn layout(world: &World) -> Layout {
    let nodes = |place, role| {
        let here = world.nodes.iter();
        let here = here.filter(move |node| node.place == place && node.role == role);
        here.map(|node| node.name.clone()).collect()
    };
    let places = |places: &[Name], role: NodeRole| {
        let places = places.iter();
        places
            .map(|p| (p.clone(), nodes(p.clone(), role)))
            .collect()
    };
    Layout {
        regions: places(&world.regions, NodeRole::Core),
        pops: places(&world.pops, NodeRole::Edge),
        takes_faults: world.cores().all(|node| node.faults.is_some()),
    }
}

/// Plants a bug in every core node, or removes it.
///
/// # Errors
/// A world into which nothing can be injected.
pub fn plant(world: &World, plant: Option<Plant>) -> anyhow::Result<()> {
    world.cores().try_for_each(|node| {
        let file = faults_file(node)?;
        let config = FaultConfig {
            plant,
            ..injected::read(file)?
        };
        Ok(injected::write(file, &config)?)
    })
}

/// A planted bug stays where it is.
fn inject(node: &WorldNode, fault: FaultConfig) -> anyhow::Result<()> {
    let file = faults_file(node)?;
    let config = FaultConfig {
        plant: injected::read(file)?.plant,
        ..fault
    };
    Ok(injected::write(file, &config)?)
}

fn faults_file(node: &WorldNode) -> anyhow::Result<&Path> {
    let file = node.faults.as_deref();
    file.with_context(|| format!("{} has no [faults] file: see `dev --faults`", node.name))
}

/// Carries an act out. The world's file tells afterwards which processes there
/// are. Returns what there is to tell of it, too.
///
/// # Errors
/// A node that is not as it should be, a network that is not emulated, or a
/// drain that does not end.
pub async fn carry_out(world: World, act: Act) -> anyhow::Result<(World, Option<String>)> {
    match act {
        Act::Drain(what, name) => {
            let told = drain(&world, what, &name).await?;
            Ok((world, Some(told)))
        }
        Act::Undrain(what, name) => {
            let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
            let undrain = drain_of(what, name.as_str(), 0, false);
            operator.set_drain(undrain).await?;
            Ok((world, None))
        }
        act => Ok((
            spawn_blocking(move || carry_out_now(world, act)).await??,
            None,
        )),
    }
}

async fn drain(world: &World, what: What, name: &Name) -> anyhow::Result<String> {
    let began = Instant::now();
    let operator = Operator::connect(world, CONNECT_TIMEOUT).await?;
    let drain = drain_of(what, name.as_str(), DRAIN_PERMILLE, true);
    operator.set_drain(drain.clone()).await?;
    let left = wait_empty(&operator, &drain, DRAIN_TIMEOUT, |_| ()).await?;
    ensure!(
        left.is_nothing(),
        "{name} is not empty after {DRAIN_TIMEOUT:?}: {left:?}"
    );
    Ok(format!(
        "{name} is empty after {:.1} s",
        began.elapsed().as_secs_f64()
    ))
}

fn carry_out_now(mut world: World, act: Act) -> anyhow::Result<World> {
    match act {
        Act::Kill(node) => processes::kill_node(world.node(node.as_str())?)?,
        Act::KillAll(nodes) => {
            let nodes: Vec<&WorldNode> = (nodes.iter())
                .map(|node| world.node(node.as_str()))
                .collect::<anyhow::Result<_>>()?;
            processes::kill_nodes(&nodes)?;
        }
        Act::Stop(node) => processes::stop_node(world.node(node.as_str())?)?,
        Act::Start(node) => {
            processes::start_again(world.node_mut(node.as_str())?)?;
            world.save()?;
        }
        Act::Inject(node, fault) => inject(world.node(node.as_str())?, fault)?,
        Act::Cut(cuts) => change_links(&world, |links| {
            for (from, to) in cuts {
                let link = links.entry(from).or_default().entry(to).or_default();
                link.cut = Some(true);
            }
        })?,
        Act::Heal => change_links(&world, |links| {
            for link in links.values_mut().flat_map(|links| links.values_mut()) {
                link.cut = None;
            }
            for links in links.values_mut() {
                links.retain(|_, link| *link != LinkConfig::default());
            }
            links.retain(|_, links| !links.is_empty());
        })?,
        Act::Drain(..) | Act::Undrain(..) => {}
    }
    Ok(world)
}

fn change_links(world: &World, change: impl FnOnce(&mut Links)) -> anyhow::Result<()> {
    let file = world
        .wan
        .as_ref()
        .context("cuts take an emulated network, and this world has none")?;
    let mut config = wan::read(file)?.config().clone();
    change(&mut config.links);
    Ok(wan::write(file, &config)?)
}
