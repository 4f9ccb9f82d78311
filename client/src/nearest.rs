//! Finding the nearest PoP: by the round trip as measured, not as promised.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use causeway_transport::Closed;
use causeway_transport::endpoint::bind;
use causeway_transport::wan::Wan;
use futures::FutureExt;
use quinn::Endpoint;

use crate::connection::{Connection, Dialer};
use crate::{ClientConfig, Pop, race};

/// A PoP that does not answer by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A PoP that wanted to be left is avoided for so long.
const AVOID: Duration = Duration::from_secs(60);

/// Binds an endpoint for clients, on an emulated network if there is one.
///
/// # Errors
/// The system's, such as an address that is not this machine's.
pub fn endpoint(local: SocketAddr, wan: Option<&Wan>) -> io::Result<Endpoint> {
    bind(local, None, wan)
}

/// A PoP that has been reached, and has not been greeted.
pub(crate) struct Arrived {
    /// Which.
    pub pop: Pop,
    /// The connection.
    pub connection: Connection,
    /// As measured by the handshake.
    pub round_trip: Duration,
    /// It was to be avoided, and no other answered.
    pub last_resort: bool,
}

/// Which PoPs not to connect to, as long as others answer, and which of them not even
/// then, for a while.
#[derive(Debug, Clone, Default)]
pub struct Avoid {
    left: Vec<(SocketAddr, Instant)>,
    /// Until when they want to be left alone.
    alone: Vec<(SocketAddr, Instant)>,
}

impl Avoid {
    /// An edge node wants to be left at `now`; `open` names the PoPs that let
    /// clients in, if known.
    pub fn told(&mut self, node: &Pop, open: &[String], all: &[Pop], now: Instant) {
        let is_open = |pop: &Pop| open.iter().any(|o| o == pop.name.as_str());
        // What was closed, and is open again, may be all that is left.
        let opened = |address| (all.iter()).any(|pop| pop.address == address && is_open(pop));
        self.left.retain(|(address, _)| !opened(*address));
        self.refused(node, open, all, now);
    }

    /// An edge node does not let the client in at `now`, and says who does, if it
    /// knows. Whoever refused before is not tried again on its word: that one may
    /// be as wrong about it.
    pub fn refused(&mut self, node: &Pop, open: &[String], all: &[Pop], now: Instant) {
        let is_open = |pop: &Pop| open.iter().any(|o| o == pop.name.as_str());
        let is_closed = |pop: &&Pop| match open.is_empty() {
            true => pop.name == node.name,
            false => pop.address == node.address || !is_open(pop),
        };
        for pop in all.iter().filter(is_closed) {
            self.left(pop.address, now);
        }
    }

    /// The edge node there is going away at `now`.
    pub fn left(&mut self, address: SocketAddr, now: Instant) {
        let is_old = |at: Instant| now.duration_since(at) >= AVOID;
        self.left.retain(|(a, at)| *a != address && !is_old(*at));
        self.left.push((address, now));
    }

    /// The PoP of this edge node wants to be left alone for so long from `now` on.
    pub fn wait(&mut self, node: &Pop, all: &[Pop], now: Instant, time: Duration) {
        let until = now + time;
        self.alone.retain(|(_, at)| *at > now);
        for pop in all.iter().filter(|pop| pop.name == node.name) {
            let longer = self.alone_until(pop, now).is_some_and(|at| at >= until);
            if !time.is_zero() && !longer {
                self.alone.retain(|(address, _)| *address != pop.address);
                self.alone.push((pop.address, until));
            }
        }
    }

    fn alone_until(&self, pop: &Pop, now: Instant) -> Option<Instant> {
        let mut alone = self.alone.iter();
        let waits = alone.find(|(address, at)| *address == pop.address && *at > now);
        waits.map(|(_, at)| *at)
    }

    /// From when on some PoP may be tried.
    pub fn free_at(&self, pops: &[Pop], now: Instant) -> Instant {
        let free = pops.iter().map(|pop| self.alone_until(pop, now));
        free.map(|until| until.unwrap_or(now)).min().unwrap_or(now)
    }

    /// How many nodes are not to be avoided at `now`.
    pub fn leaves(&self, pops: &[Pop], now: Instant) -> usize {
        self.split(pops, now).0.len()
    }

    /// The PoPs to try at `now`, and those to try if none of them answers. Whoever
    /// wants to be left alone is in neither.
    pub fn split<'a>(&self, pops: &'a [Pop], now: Instant) -> (Vec<&'a Pop>, Vec<&'a Pop>) {
        let avoided = |pop: &&Pop| {
            let mut left = self.left.iter();
            left.any(|(address, at)| *address == pop.address && now.duration_since(*at) < AVOID)
        };
        let free = (pops.iter()).filter(|pop| self.alone_until(pop, now).is_none());
        free.partition(|pop| !avoided(pop))
    }
}

/// Connects to the PoP that answers first: every one is asked at the same time,
/// and a handshake takes one round trip. The others are let go. Where no native
/// connection comes about, the next transport is tried beside it. With `elsewhere`,
/// PoPs that are to be avoided are not even the last resort.
pub(crate) async fn connect(
    config: &ClientConfig,
    avoid: &Avoid,
    elsewhere: bool,
) -> Result<Arrived, Closed> {
    let (first, rest) = avoid.split(&config.pops, Instant::now());
    match race(config, first).await {
        Err(_) if !elsewhere && !rest.is_empty() => {
            let arrived = race(config, rest).await?;
            Ok(Arrived {
                last_resort: true,
                ..arrived
            })
        }
        raced => raced,
    }
}

async fn race(config: &ClientConfig, pops: Vec<&Pop>) -> Result<Arrived, Closed> {
    let dial = |transport| {
        let dialer = Dialer::new(config, transport);
        let dialing = pops.iter().map(|pop| {
            let (dialer, pop) = (dialer.clone(), (*pop).clone());
            async move {
                let named = |Closed { end, reason }| Closed {
                    end,
                    reason: format!("{}: {reason}", pop.name),
                };
                let dialer = dialer.map_err(|e| named(Closed::not_reached(e)))?;
                match tokio::time::timeout(CONNECT_TIMEOUT, dialer.dial(&pop)).await {
                    Ok(Ok(reached)) => Ok(Arrived {
                        connection: reached.connection,
                        round_trip: reached.round_trip,
                        last_resort: false,
                        pop,
                    }),
                    Ok(Err(closed)) => Err(named(closed)),
                    Err(_) => {
                        let reason = format!("no answer within {CONNECT_TIMEOUT:?}");
                        Err(named(Closed::not_reached(reason)))
                    }
                }
            }
            .boxed()
        });
        dialing.collect()
    };
    race::run(&config.transports, dial).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(name: &str, host: u8) -> Pop {
        Pop {
            name: name.parse().unwrap(),
            address: ([127, 0, 0, host], 1).into(),
            https: None,
            server_name: name.into(),
        }
    }

    fn tried(avoid: &Avoid, pops: &[Pop], now: Instant) -> Vec<u8> {
        let (first, _) = avoid.split(pops, now);
        let hosts = first.iter().map(|pop| match pop.address {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        });
        hosts.collect()
    }

    #[test]
    fn what_wants_to_be_left_is_avoided_for_a_while() {
        let pops = [pop("a", 1), pop("a", 2), pop("b", 3), pop("c", 4)];
        let now = Instant::now();
        let told = |open: &[&str]| {
            let open: Vec<String> = open.iter().map(|o| (*o).to_owned()).collect();
            let mut avoid = Avoid::default();
            avoid.told(&pops[0], &open, &pops, now);
            avoid
        };
        assert_eq!(tried(&told(&[]), &pops, now), [3, 4]);
        // Told where to go, it does not go where nobody is let in either.
        assert_eq!(tried(&told(&["c"]), &pops, now), [4]);
        assert_eq!(tried(&told(&["a", "c"]), &pops, now), [2, 4]);
        assert_eq!(tried(&told(&[]), &pops, now + AVOID), [1, 2, 3, 4]);

        let mut avoid = told(&["b"]);
        avoid.told(&pops[2], &["a".to_owned()], &pops, now);
        assert_eq!(tried(&avoid, &pops, now), [1, 2], "a is open again");
    }

    #[test]
    fn pops_that_refuse_and_name_each_other_are_tried_once() {
        let pops = [pop("a", 1), pop("b", 2), pop("c", 3)];
        let others = |name: &str| -> Vec<String> {
            let others = pops.iter().filter(|pop| pop.name.as_str() != name);
            others.map(|pop| pop.name.to_string()).collect()
        };
        let now = Instant::now();
        let mut avoid = Avoid::default();
        avoid.told(&pops[0], &others("a"), &pops, now);
        assert_eq!(tried(&avoid, &pops, now), [2, 3]);
        avoid.refused(&pops[1], &others("b"), &pops, now);
        assert_eq!(tried(&avoid, &pops, now), [3]);
        avoid.refused(&pops[2], &others("c"), &pops, now);
        assert_eq!(tried(&avoid, &pops, now), [] as [u8; 0]);
    }

    #[test]
    fn whoever_wants_to_be_left_alone_is_not_even_the_last_resort() {
        let pops = [pop("a", 1), pop("a", 2), pop("b", 3)];
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut avoid = Avoid::default();
        avoid.refused(&pops[0], &[], &pops, now);
        avoid.wait(&pops[0], &pops, now, 2 * second);
        // What it says later makes it no shorter.
        avoid.wait(&pops[1], &pops, now, second);
        let last_resorts = |at| avoid.split(&pops, at).1.len();
        assert_eq!((tried(&avoid, &pops, now), last_resorts(now)), (vec![3], 0));
        assert_eq!(last_resorts(now + second), 0);
        assert_eq!(last_resorts(now + 2 * second), 2);
        assert_eq!(avoid.free_at(&pops, now), now);
        assert_eq!(avoid.free_at(&pops[..2], now), now + 2 * second);
    }
}
