//! What a run is asked for: within which limits, and how to ask for it again.

use std::path::PathBuf;

use anyhow::ensure;
use causeway_transport::Transport;
use serde::{Serialize, Serializer};

/// Clients of one run; each is a connection of this process.
const CLIENTS_MAX: usize = 20_000;
/// Operations a second.
const RATE_MAX: f64 = 100_000.0;
/// Operations of one run: each is remembered until it is judged.
const OPERATIONS_MAX: f64 = 20_000_000.0;
/// Seconds of one run. A shorter fault is over before anybody notices it.
pub const SECONDS: std::ops::RangeInclusive<u64> = 3..=86_400;

/// What a run comes from. Field names are a contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Terms {
    /// Which scenario.
    pub scenario: &'static str,
    /// What the workload and the faults come from.
    pub seed: u64,
    /// Seconds from the first fault to the end of the workload.
    pub duration: u64,
    /// Clients that take part.
    pub clients: usize,
    /// Operations a second, of all clients together.
    pub rate: f64,
    /// The world's file; `None` = a world of its own.
    pub world: Option<PathBuf>,
    /// The bug that was planted.
    pub plant: Option<String>,
    /// Whether times are judged, too.
    pub strict: bool,
    /// What clients' connections are made of.
    #[serde(serialize_with = "as_text")]
    pub transport: Transport,
}

fn as_text<S: Serializer>(transport: &Transport, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(transport)
}

impl Terms {
    /// Refuses what no memory holds.
    ///
    /// # Errors
    /// More operations than one run may have.
    pub fn check(&self) -> anyhow::Result<()> {
        let operations = self.rate * self.duration as f64;
        ensure!(
            operations <= OPERATIONS_MAX,
            "--rate times --duration is {operations:.0} operations, and a run remembers \
             {OPERATIONS_MAX:.0} at the most: lower one of them"
        );
        Ok(())
    }

    /// The command that runs the same again.
    pub fn command(&self) -> String {
        let Self {
            scenario,
            seed,
            duration,
            clients,
            rate,
            world,
            plant,
            strict,
            transport,
        } = self;
        let mut command = format!(
            "causeway chaos {scenario} --seed {seed} --duration {duration} --clients {clients} \
             --rate {rate}"
        );
        if let Some(world) = world {
            command += &format!(" --world {}", world.display());
        }
        if let Some(plant) = plant {
            command += &format!(" --plant {plant}");
        }
        if *strict {
            command += " --strict";
        }
        if *transport != Transport::Native {
            command += &format!(" --transport {transport}");
        }
        command
    }
}

/// A number of clients.
pub fn clients(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(clients @ 1..=CLIENTS_MAX) => Ok(clients),
        _ => Err(format!("a number of clients is from 1 to {CLIENTS_MAX}")),
    }
}

/// A transport that the emulated network carries: faults must reach the clients.
pub fn transport(text: &str) -> Result<Transport, String> {
    match text.parse() {
        Ok(Transport::WebSocket) => {
            Err("faults of the network do not reach TCP: take native or webtransport".into())
        }
        Ok(transport) => Ok(transport),
        Err(error) => Err(error.to_string()),
    }
}

/// A number of operations a second.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(rate),
        _ => Err(format!("a rate is more than 0, and {RATE_MAX} at the most")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            scenario: "kill-region",
            seed: 7,
            duration: 24,
            clients: 48,
            rate: 100.0,
            world: None,
            plant: None,
            strict: false,
            transport: Transport::Native,
        }
    }

    #[test]
    fn a_run_can_be_had_again() {
        let again = "causeway chaos kill-region --seed 7 --duration 24 --clients 48 --rate 100";
        assert_eq!(terms().command(), again);
        let elsewhere = Terms {
            rate: 0.5,
            world: Some("w/world.json".into()),
            plant: Some("skip-dedup".into()),
            transport: Transport::WebTransport,
            ..terms()
        };
        assert!(
            elsewhere
                .command()
                .ends_with("--world w/world.json --plant skip-dedup --transport webtransport")
        );
    }

    #[test]
    fn what_no_run_can_do_is_refused() {
        for text in ["0", "-1", "NaN", "inf", "1e9", "much"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "20001", "-1", "many"] {
            assert!(clients(text).is_err(), "{text}");
        }
        assert_eq!(clients("1"), Ok(1));
        assert!(transport("websocket").is_err());
        assert!(terms().check().is_ok());
        let long = Terms {
            rate: 1e5,
            duration: 86_400,
            ..terms()
        };
        assert!(long.check().is_err());
    }
}
