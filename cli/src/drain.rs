//! `causeway admin drain` and `undrain`: empties a part of a world, and shows how
//! far it is.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use causeway_gossip::Member;
use causeway_gossip::drains::covers;
use causeway_protocol::backbone::{Drain, DrainScope, EdgeStatus, NodeStatus};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::operator::Operator;
use crate::output::say;

/// Between looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(200);
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
    let number = text.trim().trim_end_matches('%');
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
}

impl Left {
    /// Whether nothing is left.
    pub fn is_nothing(self) -> bool {
        self.leaders == 0 && self.sessions == 0
    }
}

/// What the nodes tell of what a drain covers.
pub fn left(drain: &Drain, statuses: &[NodeStatus], edges: &[EdgeStatus]) -> Left {
    let covered = |record: Option<&_>| {
        let member = record.and_then(Member::from_wire);
        member.is_some_and(|member| covers(drain, &member))
    };
    // Every node knows best what it leads itself.
    let leaders = statuses.iter().filter(|s| covered(s.self_.as_ref()));
    let leaders = leaders.flat_map(|status| {
        let me = status.self_.as_ref().map_or(0, |me| me.node_id);
        status.cells.iter().filter(move |cell| cell.leader == me)
    });
    let edges = edges.iter().filter(|e| covered(e.self_.as_ref()));
    Left {
        leaders: leaders.count() as u64,
        sessions: edges.map(|edge| edge.sessions).sum(),
    }
}

/// Empties a part of the world, and waits until it is empty.
///
/// # Errors
/// The world's refusal, or that something is left when the time is over.
pub async fn drain(operator: &Operator, args: DrainArgs) -> anyhow::Result<()> {
    let drain = drain_of(args.what, &args.name, args.rate, true);
    let began = Instant::now();
    let before = look(operator, &drain).await?;
    operator.set_drain(drain.clone()).await?;
    let total = before.leaders + before.sessions;
    let style = "{elapsed_precise} {bar:30} {pos}/{len} {wide_msg}";
    let progress = ProgressBar::new(total).with_style(ProgressStyle::with_template(style)?);
    progress.enable_steady_tick(LOOK_EVERY);
    let limit = Duration::from_secs(args.timeout);
    let left = wait_empty(operator, &drain, limit, |left| {
        let gone = total.saturating_sub(left.leaders + left.sessions);
        progress.set_position(gone);
        progress.set_message(format!(
            "{} leaders and {} sessions to go",
            left.leaders, left.sessions
        ));
    });
    let left = left.await?;
    progress.finish_and_clear();
    if !left.is_nothing() {
        bail!(
            "after {} s, {} leaders and {} sessions are still at {}; the drain goes on. \
             `causeway admin status` shows where; `causeway admin undrain` undoes it",
            args.timeout,
            left.leaders,
            left.sessions,
            args.name
        );
    }
    say(&format!(
        "{} is empty after {:.1} s: {} leaders and {} sessions have gone elsewhere",
        args.name,
        began.elapsed().as_secs_f64(),
        before.leaders,
        before.sessions
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
    mut tell: impl FnMut(Left),
) -> anyhow::Result<Left> {
    let deadline = Instant::now() + limit;
    let mut empty_since = None;
    loop {
        let left = look(operator, drain).await?;
        tell(left);
        let now = Instant::now();
        let since = match left.is_nothing() {
            true => *empty_since.get_or_insert(now),
            false => {
                empty_since = None;
                now
            }
        };
        if now - since >= STAYS_EMPTY || now >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(operator: &Operator, drain: &Drain) -> anyhow::Result<Left> {
    let (statuses, edges) = tokio::join!(operator.statuses(), operator.edge_statuses());
    let told = (!statuses.is_empty()).then_some(());
    told.context("no core node tells its status")?;
    Ok(left(drain, &statuses, &edges))
}

/// Undoes a drain.
///
/// # Errors
/// The world's refusal, such as that there is none.
pub async fn undrain(operator: &Operator, args: UndrainArgs) -> anyhow::Result<()> {
    let drain = drain_of(args.what, &args.name, 0, false);
    operator.set_drain(drain).await?;
    say(&format!(
        "{} is open again; leaders come home within seconds",
        args.name
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use causeway_protocol::backbone::{CellStatus, MemberRecord, Role};

    use super::*;

    fn record(node_id: u64, role: Role, place: &str) -> MemberRecord {
        MemberRecord {
            node_id,
            name: format!("{place}-{node_id}"),
            role: role.into(),
            place: place.into(),
            zone: "a".into(),
            backbone_address: "127.0.0.1:1".into(),
            ..MemberRecord::default()
        }
    }

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
        let counted = |leaders, sessions| Left { leaders, sessions };
        assert_eq!(left(What::Region, "us"), counted(1, 5));
        assert_eq!(left(What::Pop, "eu"), counted(0, 6));
        assert_eq!(left(What::Node, "eu-2"), counted(2, 0));
        assert!(left(What::Region, "ap").is_nothing());
    }

    #[test]
    fn rates_are_percentages() {
        assert_eq!(permille("10%"), Ok(100));
        assert_eq!(permille("0.5%"), Ok(5));
        assert_eq!(permille("100"), Ok(1_000));
        for text in ["0%", "101%", "-1%", "much", "NaN"] {
            assert!(permille(text).is_err(), "{text}");
        }
    }
}
