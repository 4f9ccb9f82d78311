//! A world at a glance, for people.

use std::fmt;

use super::glance::{ActiveDrain, Cell, Clock, Glance, Node, Pop, Region, Replica, State};
use super::table::{counted, table};

impl fmt::Display for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "as {} sees it", self.seen_by)?;
        section(
            f,
            "regions",
            &["region", "core nodes", "leaders", "state"],
            &self.regions,
            region,
        )?;
        let titles = [
            "node", "role", "place", "zone", "address", "version", "state", "load",
        ];
        section(f, "nodes", &titles, &self.nodes, node)?;
        if !self.drains.is_empty() {
            section(
                f,
                "drains",
                &["what", "name", "since", "rate"],
                &self.drains,
                drain,
            )?;
        }
        section(
            f,
            "PoPs",
            &["PoP", "edge nodes", "sessions", "state"],
            &self.pops,
            pop,
        )?;
        let titles = [
            "cell",
            "home",
            "leader",
            "term",
            "epoch",
            "applied",
            "replicas (entries behind)",
        ];
        section(f, "cells", &titles, &self.cells, cell)?;
        if !self.clocks.is_empty() {
            writeln!(f, "\nclocks")?;
        }
        self.clocks
            .iter()
            .try_for_each(|told| writeln!(f, "  {}", clock(told)))
    }
}

fn section<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    columns: &[&str],
    things: &[T],
    row: impl Fn(&T) -> Vec<String>,
) -> fmt::Result {
    let rows: Vec<_> = things.iter().map(row).collect();
    write!(f, "\n{title}\n{}", table(columns, &rows))
}

fn state(state: State) -> &'static str {
    match state {
        State::Serving => "serving",
        State::Draining => "draining",
        State::Drained => "drained",
        State::Silent => "silent",
        State::CutOff => "cut off",
        State::Away => "away",
    }
}

/// A time in the largest unit that says enough.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

fn region(region: &Region) -> Vec<String> {
    vec![
        region.name.clone(),
        format!("{} of {}", region.cores_up, region.cores),
        region.leaders.to_string(),
        state(region.state).to_owned(),
    ]
}

fn node(node: &Node) -> Vec<String> {
    let since = node.away_s;
    let since = since.map_or_else(String::new, |s| format!(" {}", span(s)));
    let load = match (node.role, node.sessions) {
        ("core", _) => counted(node.leaders, "leader"),
        (_, Some(sessions)) => counted(sessions, "session"),
        (_, None) => String::new(),
    };
    vec![
        node.name.clone(),
        node.role.to_owned(),
        node.place.clone(),
        node.zone.clone(),
        node.address.clone(),
        node.version.clone(),
        format!("{}{since}", state(node.state)),
        load,
    ]
}

fn drain(drain: &ActiveDrain) -> Vec<String> {
    let since = drain.for_s.map(|s| format!("{} ago", span(s)));
    let rate = f64::from(drain.permille_per_s) / 10.0;
    vec![
        drain.scope.to_owned(),
        drain.name.clone(),
        since.unwrap_or_else(|| "?".into()),
        format!("{rate} %/s"),
    ]
}

fn pop(pop: &Pop) -> Vec<String> {
    let silent = match pop.silent {
        0 => String::new(),
        silent => format!(", and those of {}", counted(silent, "silent edge node")),
    };
    vec![
        pop.name.clone(),
        format!("{} of {}", pop.edges_up, pop.edges),
        format!("{}{silent}", pop.sessions),
        state(pop.state).to_owned(),
    ]
}

fn cell(cell: &Cell) -> Vec<String> {
    let returning = cell.returning.iter();
    let returning = returning.map(|node| format!("{node} (hands back metadata)"));
    let replicas: Vec<String> = cell.replicas.iter().map(replica).chain(returning).collect();
    vec![
        cell.id.to_string(),
        cell.home_region.clone(),
        cell.leader.clone().unwrap_or_else(|| "nobody".into()),
        cell.term.to_string(),
        cell.epoch.to_string(),
        cell.applied.to_string(),
        replicas.join(", "),
    ]
}

/// How far a replica is that the leader does not reach means little: it says so.
fn replica(replica: &Replica) -> String {
    let learner = if replica.learner { " (learner)" } else { "" };
    let forgotten = if replica.forgotten {
        " (forgotten)"
    } else {
        ""
    };
    let away = if replica.away { " away" } else { "" };
    let behind = match replica.behind {
        Some(0) => String::new(),
        Some(behind) => format!(" -{behind}"),
        None if replica.away => String::new(),
        None => " silent".to_owned(),
    };
    format!("{}{learner}{forgotten}{away}{behind}", replica.node)
}

fn clock(clock: &Clock) -> String {
    format!(
        "{} refuses the metadata of {}: its clock was {} s ahead, {} s ago",
        clock.refused_by,
        clock.node,
        clock.ahead_ms / 1_000,
        clock.ago_ms / 1_000
    )
}
