//! The door of a listener: asks [`admission`](super::admission), counts what it decides,
//! and gives whoever comes in a place that is given back when it is dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use quinn::Incoming;

use super::admission::{Admission, Count, Decision, Reason, Stage};
use super::config::LimitsConfig;
use super::meter::Meter;
use super::rate::Rate;

/// A listener's door; clones share it.
#[derive(Debug, Clone)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    admission: Mutex<Admission>,
    requests: Rate,
    accepted: AtomicU64,
    retried: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

/// A connection's place, from its first packet to its end.
#[derive(Debug)]
pub struct Place {
    door: Door,
    address: IpAddr,
    stage: Stage,
}

impl Door {
    /// For QUIC.
    pub fn quic(config: &LimitsConfig) -> Self {
        Self::new(config.connections, config)
    }

    /// For TCP.
    pub fn tcp(config: &LimitsConfig) -> Self {
        Self::new(config.tcp_connections, config)
    }

    fn new(connections: u32, config: &LimitsConfig) -> Self {
        Self(Arc::new(Inner {
            admission: Mutex::new(Admission::new(connections, config)),
            requests: config.requests_per_connection,
            accepted: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            refused: Default::default(),
        }))
    }

    /// Lets a QUIC connection in, or answers it: with a Retry, or that it is refused.
    pub fn let_in(&self, incoming: Incoming) -> Option<(Incoming, Place)> {
        let proven = incoming.remote_address_validated();
        let address = incoming.remote_address();
        match self.ask(address, proven) {
            Ok(place) => Some((incoming, place)),
            Err(Decision::Retry) => {
                // Fails only for one that was proven.
                let _ = incoming.retry();
                None
            }
            Err(_) => {
                incoming.refuse();
                None
            }
        }
    }

    /// Whether a TCP connection is let in: its address is proven.
    pub fn let_in_tcp(&self, address: SocketAddr) -> Option<Place> {
        self.ask(address, true).ok()
    }

    fn ask(&self, address: SocketAddr, proven: bool) -> Result<Place, Decision> {
        let address = address.ip();
        let decision = self.0.admission.lock().arrives(address, proven);
        let counter = match decision {
            Decision::Accept => &self.0.accepted,
            Decision::Retry => &self.0.retried,
            Decision::Refuse(reason) => &self.0.refused[reason as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match decision {
            Decision::Accept => Ok(Place {
                door: self.clone(),
                address,
                stage: Stage::Handshake,
            }),
            _ => Err(decision),
        }
    }

    /// What is there.
    pub fn count(&self) -> Count {
        self.0.admission.lock().count()
    }

    /// How many were let in.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// How many had to prove their address.
    pub fn retried(&self) -> u64 {
        self.0.retried.load(Ordering::Relaxed)
    }

    /// How many were refused for a reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.0.refused[reason as usize].load(Ordering::Relaxed)
    }
}

impl Place {
    /// Counts what is asked on this connection.
    pub fn meter(&self) -> Meter {
        Meter::new(self.door.0.requests)
    }

    /// The handshake is done.
    pub fn established(&mut self) {
        if self.stage == Stage::Handshake {
            self.stage = Stage::Open;
            self.door.0.admission.lock().established(self.address);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut admission = self.door.0.admission.lock();
        admission.leaves(self.address, self.stage);
    }
}
