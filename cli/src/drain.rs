//! `causeway admin drain` and `undrain`: empties a part of a world, and shows how
//! far it is.

mod names;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use causeway_gossip::Member;
use causeway_gossip::drains::covers;
use causeway_protocol::backbone::{Drain, DrainScope, EdgeStatus, MemberRecord, NodeStatus};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use self::names::Names;
use crate::operator::Operator;
use crate::output::say;
use crate::status::{counted, drains};
use crate::world::World;

/// Between looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What the directory says has reached the nodes by then, but for those cut off.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// Nothing is left once it has been so for this long: a leader that is elected
/// just now belongs to nobody for a moment.
const STAYS_EMPTY: Duration = Duration::from_millis(600);

/// What is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// One core or edge node
    Node,
    /// A zone, as `region/zone`
    Zone,
    /// A region: its core nodes, and the edge nodes of the same place
    Region,
    /// The edge nodes of a PoP
    Pop,
}

impl What {
    fn of(scope: DrainScope) -> Option<Self> {
        match scope {
            DrainScope::Node => Some(Self::Node),
            DrainScope::Zone => Some(Self::Zone),
            DrainScope::Region => Some(Self::Region),
            DrainScope::Pop => Some(Self::Pop),
            DrainScope::Unspecified => None,
        }
    }

    /// As on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Zone => "zone",
            Self::Region => "region",
            Self::Pop => "pop",
        }
    }

    /// As in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Pop => "PoP",
            other => other.word(),
        }
    }
}

/// What is to be emptied, and how.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// What it is
    what: What,
    /// Its name
    name: String,
    /// Leaders and sessions that go each second, of those that are there
    #[arg(long, default_value = "10%", value_name = "PERCENT", value_parser = permille)]
    rate: u32,
    /// Stop watching after this many seconds; the drain goes on
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
}

/// What is to be filled again.
#[derive(Debug, Args)]
pub struct UndrainArgs {
    /// What it is
    what: What,
    /// Its name
    name: String,
}

/// A percentage in thousandths: `10%`, `0.5%`, `25`.
fn permille(text: &str) -> Result<u32, String> {
    let number = text.trim();
    let number = number.strip_suffix('%').unwrap_or(number);
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || tenth.len() != 1 || !digits(whole) || !digits(tenth) {
        return Err(format!(
            "`{text}` is no percentage with at most one decimal"
        ));
    }
    match format!("{whole}{tenth}").parse() {
        Ok(permille @ 1..=1_000) => Ok(permille),
        _ => Err("a rate is from 0.1% to 100% a second".into()),
    }
}

/// The drain of a part of the world.
pub fn drain_of(what: What, name: &str, permille_per_s: u32, active: bool) -> Drain {
    let scope = match what {
        What::Node => DrainScope::Node,
        What::Zone => DrainScope::Zone,
        What::Region => DrainScope::Region,
        What::Pop => DrainScope::Pop,
    };
    Drain {
        scope: scope.into(),
        name: name.to_owned(),
        permille_per_s,
        active,
        ..Drain::default()
    }
}

/// What there is to empty yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Cells that are led there.
    pub leaders: u64,
    /// Clients that are connected there.
    pub sessions: u64,
    /// Nodes that are there and do not tell.
    pub silent: u64,
}

impl Left {
    /// Whether nothing is left.
    pub fn is_nothing(self) -> bool {
        self.leaders == 0 && self.sessions == 0 && self.silent == 0
    }

    fn to_text(self) -> String {
        let (leaders, sessions) = (counted(self.leaders, "leader"), self.sessions);
        let known = format!("{leaders} and {}", counted(sessions, "session"));
        match self.silent {
            0 => known,
            silent => format!(
                "{known}, and what {} may have",
                counted(silent, "silent node")
            ),
        }
    }
}

fn is_covered(drain: &Drain, record: &MemberRecord) -> bool {
    let member = Member::from_wire(record);
    member.is_some_and(|member| covers(drain, &member))
}

/// The nodes that a drain covers, of those that the others reach.
fn covered<'a>(drain: &Drain, statuses: &'a [NodeStatus]) -> Vec<&'a MemberRecord> {
    let best = statuses.iter().max_by_key(|status| status.members.len());
    let members = best.into_iter().flat_map(|status| &status.members);
    members.filter(|m| is_covered(drain, m)).collect()
}

/// What the nodes tell of what a drain covers.
pub fn left(drain: &Drain, statuses: &[NodeStatus], edges: &[EdgeStatus]) -> Left {
    let cores = statuses.iter().filter_map(|s| Some((s.self_.as_ref()?, s)));
    let cores = cores.filter(|(me, _)| is_covered(drain, me));
    // Every node knows best what it leads itself.
    let leaders = cores.flat_map(|(me, status)| {
        let led = status.cells.iter();
        led.filter(|cell| cell.leader == me.node_id)
    });
    let edges = edges
        .iter()
        .filter_map(|e| Some((e.self_.as_ref()?, e.sessions)));
    let edges: Vec<_> = edges.filter(|(me, _)| is_covered(drain, me)).collect();
    let tells = |member: &&MemberRecord| {
        let cores = statuses.iter().filter_map(|s| s.self_.as_ref());
        let mut told = cores.chain(edges.iter().map(|(me, _)| *me));
        told.any(|me| me.node_id == member.node_id)
    };
    let silent = covered(drain, statuses).into_iter().filter(|m| !tells(m));
    Left {
        leaders: leaders.count() as u64,
        sessions: edges.iter().map(|(_, sessions)| sessions).sum(),
        silent: silent.count() as u64,
    }
}

/// Empties a part of the world, and waits until it is empty.
///
/// # Errors
/// The world's refusal, or that something is left when the time is over.
pub async fn drain(operator: &Operator, world: &World, args: DrainArgs) -> anyhow::Result<()> {
    let DrainArgs { what, name, .. } = &args;
    let statuses = operator.statuses().await;
    Names::new(&statuses, world).check(*what, name)?;
    let drain = drain_of(*what, name, args.rate, true);
    let away = covered(&drain, &statuses).is_empty();
    let before = look(operator, &drain).await?.left;
    let asked = Drain {
        away,
        ..drain.clone()
    };
    operator.set_drain(asked).await?;
    if away {
        say(&format!(
            "{name} is away: nothing is there to move, and nothing goes there when it is back"
        ));
        return Ok(());
    }
    let undo = format!("`causeway admin undrain {} {name}` undoes it", what.word());
    tokio::select! {
        watched = watch(operator, &drain, &args, before, &undo) => watched,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            bail!("no longer watching; the drain of {name} goes on. {undo}")
        }
    }
}

/// Shows how far a drain is, until nothing is left.
async fn watch(
    operator: &Operator,
    drain: &Drain,
    args: &DrainArgs,
    before: Left,
    undo: &str,
) -> anyhow::Result<()> {
    let (began, name) = (Instant::now(), &args.name);
    let total = before.leaders + before.sessions;
    let style = "{elapsed_precise} {bar:30} {pos}/{len} {wide_msg}";
    let progress = ProgressBar::new(total).with_style(ProgressStyle::with_template(style)?);
    progress.enable_steady_tick(LOOK_EVERY);
    let limit = Duration::from_secs(args.timeout);
    let watched = watch_until_empty(operator, drain, limit, |left| {
        let gone = total.saturating_sub(left.leaders + left.sessions);
        progress.set_position(gone);
        progress.set_message(format!("{} to go", left.to_text()));
    });
    let looked = watched.await?;
    progress.finish_and_clear();
    let left = looked.left;
    if looked.undone {
        bail!(
            "somebody has undone the drain of {name} meanwhile; {} are there",
            left.to_text()
        );
    }
    if !left.is_nothing() {
        bail!(
            "after {} s, {} are still at {name}; the drain goes on. \
             `causeway admin status` shows where; {undo}",
            args.timeout,
            left.to_text(),
        );
    }
    let seconds = began.elapsed().as_secs_f64();
    let gone = before.to_text();
    say(&format!(
        "{name} is empty after {seconds:.1} s: {gone} have gone elsewhere"
    ));
    Ok(())
}

/// Waits until nothing is left, or `limit`; tells of each look.
///
/// # Errors
/// When no core node answers.
pub async fn wait_empty(
    operator: &Operator,
    drain: &Drain,
    limit: Duration,
    tell: impl FnMut(Left),
) -> anyhow::Result<Left> {
    let looked = watch_until_empty(operator, drain, limit, tell).await?;
    Ok(looked.left)
}

/// The same, until the drain is undone.
async fn watch_until_empty(
    operator: &Operator,
    drain: &Drain,
    limit: Duration,
    mut tell: impl FnMut(Left),
) -> anyhow::Result<Look> {
    let deadline = Instant::now() + limit;
    let mut empty_since = None;
    let mut begun = false;
    loop {
        let look = look(operator, drain).await?;
        // Until the copies of the directory have it, it has not begun.
        begun |= look.active;
        tell(look.left);
        let now = Instant::now();
        let since = match look.left.is_nothing() {
            true => *empty_since.get_or_insert(now),
            false => {
                empty_since = None;
                now
            }
        };
        let undone = begun && !look.active;
        if undone || now - since >= STAYS_EMPTY || now >= deadline {
            return Ok(Look { undone, ..look });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is seen of a drain at a time.
struct Look {
    left: Left,
    /// Some node knows the drain.
    active: bool,
    /// None does any more.
    undone: bool,
}

async fn look(operator: &Operator, drain: &Drain) -> anyhow::Result<Look> {
    let (statuses, edges) = tokio::join!(operator.statuses(), operator.edge_statuses());
    let told = (!statuses.is_empty()).then_some(());
    told.context("no core node tells its status")?;
    let mut told = statuses.iter().flat_map(|status| &status.drains);
    Ok(Look {
        left: left(drain, &statuses, &edges),
        active: told.any(|told| is_same(told, drain)),
        undone: false,
    })
}

fn is_same(a: &Drain, b: &Drain) -> bool {
    a.scope == b.scope && a.name == b.name
}

/// Undoes a drain.
///
/// # Errors
/// The world's refusal, such as that there is none.
pub async fn undrain(operator: &Operator, world: &World, args: UndrainArgs) -> anyhow::Result<()> {
    let UndrainArgs { what, name } = &args;
    let drain = drain_of(*what, name, 0, false);
    let statuses = operator.statuses().await;
    let in_force = drains(&statuses);
    let others = others_over(&drain, &statuses);
    if !in_force.iter().any(|d| is_same(d, &drain)) {
        Names::new(&statuses, world).check(*what, name)?;
        if !others.is_empty() {
            bail!(
                "{name} is not drained by itself, but by {}",
                listed(&others)
            );
        }
    }
    operator.set_drain(drain.clone()).await?;
    wait_known(operator, &drain).await?;
    say(&match others.is_empty() {
        true => format!("{name} is open again; {}", comes_back(*what, name, world)),
        false => format!(
            "the drain of {} {name} is undone; what is under {} stays drained",
            what.noun(),
            listed(&others)
        ),
    });
    Ok(())
}

/// Waits until the nodes know that a drain is undone, so that the next command
/// finds the world as this one left it.
async fn wait_known(operator: &Operator, drain: &Drain) -> anyhow::Result<()> {
    let deadline = Instant::now() + KNOWN_WITHIN;
    while look(operator, drain).await?.active && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Other drains that cover some of the same nodes.
fn others_over<'a>(drain: &Drain, statuses: &'a [NodeStatus]) -> Vec<&'a Drain> {
    let nodes = covered(drain, statuses);
    let others = drains(statuses).iter().filter(|d| !is_same(d, drain));
    others
        .filter(|other| nodes.iter().any(|node| is_covered(other, node)))
        .collect()
}

fn listed(drains: &[&Drain]) -> String {
    let named = drains.iter().map(|drain| {
        let what = What::of(drain.scope()).map_or("?", What::word);
        format!("`{what} {}`", drain.name)
    });
    named.collect::<Vec<_>>().join(" and ")
}

/// What happens at a place that is open again.
fn comes_back(what: What, name: &str, world: &World) -> &'static str {
    let mut edges = world.edges();
    let is_edge = match what {
        What::Pop => true,
        What::Node => edges.any(|node| node.name.as_str() == name),
        What::Zone | What::Region => false,
    };
    match is_edge {
        true => "clients are let in",
        false => "leaders come home within seconds",
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::backbone::{CellStatus, Role};

    use super::*;
    use crate::status::tests::record;

    #[test]
    fn what_is_left_is_counted_where_it_is() {
        let status = |node, place, leaders: [u64; 2]| NodeStatus {
            self_: Some(record(node, Role::Core, place)),
            cells: leaders
                .map(|leader| CellStatus {
                    leader,
                    ..CellStatus::default()
                })
                .into(),
            ..NodeStatus::default()
        };
        let edge = |node, place, sessions| EdgeStatus {
            self_: Some(record(node, Role::Edge, place)),
            sessions,
            ..EdgeStatus::default()
        };
        let statuses = [status(1, "us", [1, 2]), status(2, "eu", [2, 2])];
        let edges = [edge(3, "us", 5), edge(4, "eu", 6)];
        let left = |what, name| left(&drain_of(what, name, 100, true), &statuses, &edges);
        let counted = |leaders, sessions| Left {
            leaders,
            sessions,
            silent: 0,
        };
        assert_eq!(left(What::Region, "us"), counted(1, 5));
        assert_eq!(left(What::Pop, "eu"), counted(0, 6));
        assert_eq!(left(What::Node, "eu-2"), counted(2, 0));
        assert!(left(What::Region, "ap").is_nothing());
    }

    #[test]
    fn of_a_node_that_does_not_tell_it_is_not_known_what_is_left() {
        let told = NodeStatus {
            self_: Some(record(1, Role::Core, "us")),
            members: vec![record(1, Role::Core, "us"), record(2, Role::Core, "eu")],
            ..NodeStatus::default()
        };
        let left = |name| {
            left(
                &drain_of(What::Region, name, 100, true),
                std::slice::from_ref(&told),
                &[],
            )
        };
        assert!(left("us").is_nothing());
        assert_eq!(left("eu").silent, 1);
        assert!(!left("eu").is_nothing());
    }

    #[test]
    fn other_drains_over_the_same_nodes_are_found() {
        let in_force = drain_of(What::Region, "us", 100, true);
        let status = NodeStatus {
            members: vec![record(1, Role::Core, "us"), record(2, Role::Core, "eu")],
            drains: vec![in_force.clone()],
            ..NodeStatus::default()
        };
        let others = |what, name| {
            let drain = drain_of(what, name, 0, false);
            others_over(&drain, std::slice::from_ref(&status)).len()
        };
        assert_eq!(others(What::Node, "us-1"), 1);
        assert_eq!(others(What::Zone, "us/a"), 1);
        assert_eq!(
            (others(What::Node, "eu-2"), others(What::Region, "us")),
            (0, 0)
        );
    }

    #[test]
    fn rates_are_percentages() {
        assert_eq!(permille("10%"), Ok(100));
        assert_eq!(permille("0.5%"), Ok(5));
        assert_eq!(permille("100"), Ok(1_000));
        for text in ["0%", "101%", "-1%", "10%%", "%", "much", "NaN"] {
            assert!(permille(text).is_err(), "{text}");
        }
    }
}
