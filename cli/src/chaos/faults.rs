//! Does to a world what a schedule says.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use causeway_core_region::faults::{self as injected, FaultConfig, Plant};
use causeway_protocol::Name;
use causeway_protocol::backbone::Drain;
use causeway_transport::wan;
use tokio::task::spawn_blocking;

use super::guard::Guard;
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

/// What comes of an act.
pub struct Done {
    /// The world with its processes as they are now.
    pub world: World,
    /// What there is to tell.
    pub told: Option<String>,
    /// What the world should have done and did not.
    pub broken: Option<String>,
}

impl From<World> for Done {
    fn from(world: World) -> Self {
        Self {
            world,
            told: None,
            broken: None,
        }
    }
}

/// Carries an act out. The world's file tells afterwards which processes there
/// are.
///
/// # Errors
/// A node that is not as it should be, or a network that is not emulated.
pub async fn carry_out(world: World, act: Act, guard: Arc<Guard>) -> anyhow::Result<Done> {
    match act {
        Act::Drain(what, name) => drain(world, what, &name, &guard).await,
        Act::Undrain(what, name) => {
            let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
            let undrain = drain_of(what, name.as_str(), 0, false);
            operator.set_drain(undrain.clone()).await?;
            guard.undrained(&undrain);
            Ok(world.into())
        }
        act => spawn_blocking(move || carry_out_now(world, act, &guard))
            .await?
            .map(Done::from),
    }
}

/// The drain of this part of the world, as a run asks for it.
pub fn drain_asked(what: What, name: &Name) -> Drain {
    drain_of(what, name.as_str(), DRAIN_PERMILLE, true)
}

async fn drain(world: World, what: What, name: &Name, guard: &Guard) -> anyhow::Result<Done> {
    let began = Instant::now();
    let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
    let drain = drain_asked(what, name);
    guard.drains(&drain)?;
    operator.set_drain(drain.clone()).await?;
    let empty = wait_empty(&operator, &drain, DRAIN_TIMEOUT, |_| ());
    let left = guard.unless_over(empty).await??;
    let took = began.elapsed().as_secs_f64();
    let (told, broken) = match left.is_nothing() {
        true => (Some(format!("{name} is empty after {took:.1} s")), None),
        false => {
            let text = format!(
                "not_empty: {} leaders and {} sessions are still at {name} after {took:.0} s",
                left.leaders, left.sessions
            );
            (None, Some(text))
        }
    };
    Ok(Done {
        world,
        told,
        broken,
    })
}

fn carry_out_now(mut world: World, act: Act, guard: &Guard) -> anyhow::Result<World> {
    match act {
        Act::Kill(node) => processes::kill_node(world.node(node.as_str())?)?,
        Act::KillAll(nodes) => {
            let nodes: Vec<&WorldNode> = (nodes.iter())
                .map(|node| world.node(node.as_str()))
                .collect::<anyhow::Result<_>>()?;
            processes::kill_nodes(&nodes)?;
        }
        Act::Stop(node) => processes::stop_node(world.node(node.as_str())?)?,
        Act::Freeze(node) => processes::freeze_node(world.node(node.as_str())?)?,
        Act::Thaw(node) => processes::thaw_node(world.node(node.as_str())?)?,
        Act::Start(node) => {
            processes::start_again(world.node_mut(node.as_str())?)?;
            world.save()?;
        }
        Act::Inject(node, fault) => inject(world.node(node.as_str())?, fault)?,
        Act::Cut(cuts) => cut(&world, cuts)?,
        Act::Heal => guard.heal()?,
        Act::Drain(..) | Act::Undrain(..) => {}
    }
    Ok(world)
}

fn cut(world: &World, cuts: Vec<(Name, Name)>) -> anyhow::Result<()> {
    let file = world
        .wan
        .as_ref()
        .context("cuts take an emulated network, and this world has none")?;
    let mut config = wan::read(file)?.config().clone();
    for (from, to) in cuts {
        let links = config.links.entry(from).or_default();
        links.entry(to).or_default().cut = Some(true);
    }
    Ok(wan::write(file, &config)?)
}
