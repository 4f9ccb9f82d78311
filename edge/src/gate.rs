//! Whether this edge node takes clients: not while it is being drained, and not
//! while it reaches no core node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use causeway_gossip::{Gossip, Router};
use causeway_protocol::client::{self, Hello};
use causeway_protocol::{ApiError, ErrorCode, Name};
use causeway_transport::tls::Role;

use crate::drain::open_pops;

/// Clients of a node that is cut off go at this rate, in a thousand a second: at
/// once, but not in one instant.
const CUT_OFF_PERMILLE: u32 = 1_000;

/// Since when no core node has been within reach: a pure decision.
#[derive(Debug)]
pub struct Reach {
    patience: Duration,
    alone_since: Option<Instant>,
}

impl Reach {
    /// Without a core node for `patience`, a node is cut off.
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            alone_since: None,
        }
    }

    /// Whether the node is cut off at `now`, when it is connected to so many core
    /// nodes.
    pub fn is_cut_off(&mut self, cores: usize, now: Instant) -> bool {
        if cores > 0 {
            self.alone_since = None;
            return false;
        }
        let since = *self.alone_since.get_or_insert(now);
        now.duration_since(since) >= self.patience
    }
}

/// Why clients are to go elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// An operator wants it, at so many in a thousand a second.
    Draining(u32),
    /// No core node is within reach.
    CutOff,
}

impl Closed {
    /// Of the sessions that are here, so many in a thousand go each second.
    pub fn permille(self) -> u32 {
        match self {
            Self::Draining(permille) => permille,
            Self::CutOff => CUT_OFF_PERMILLE,
        }
    }

    /// What clients are told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Draining(_) => ErrorCode::Draining,
            Self::CutOff => ErrorCode::Unavailable,
        }
    }
}

/// Lets clients in, or not; clones share it.
#[derive(Clone)]
pub struct Gate {
    gossip: Gossip,
    router: Router,
    cut_off: Arc<AtomicBool>,
}

impl Gate {
    /// Open, unless the directory says otherwise.
    pub fn new(gossip: Gossip, router: Router) -> Self {
        Self {
            gossip,
            router,
            cut_off: Arc::default(),
        }
    }

    /// Looks at `now` whether core nodes are within reach.
    pub fn look(&self, reach: &mut Reach, now: Instant) {
        let peers = self.router.backbone().peers();
        let cores = peers.iter().filter(|p| p.identity.role == Role::Core);
        let cut_off = reach.is_cut_off(cores.count(), now);
        if self.cut_off.swap(cut_off, Ordering::Relaxed) != cut_off {
            match cut_off {
                true => tracing::warn!("no core node is within reach: clients are sent elsewhere"),
                false => tracing::info!("core nodes are within reach again"),
            }
        }
    }

    /// Whether no core node is within reach.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Why no clients are taken, if so.
    pub fn closed(&self) -> Option<Closed> {
        if self.is_cut_off() {
            return Some(Closed::CutOff);
        }
        let membership = self.gossip.membership();
        let me = membership.get(self.router.backbone().node())?;
        let routes = self.router.routes().get();
        let drain = routes.drains().of(me)?;
        Some(Closed::Draining(drain.permille_per_s))
    }

    /// Where clients can go instead.
    pub fn elsewhere(&self) -> BTreeSet<Name> {
        let routes = self.router.routes().get();
        let me = self.router.backbone().node();
        open_pops(&self.gossip.membership(), routes.drains(), me)
    }

    /// The answer to a hello that is not let in.
    pub fn refusal(&self, hello: &Hello) -> Option<client::Error> {
        refusal(self.closed()?, hello, &self.elsewhere())
    }
}

/// Whoever can go elsewhere does.
fn refusal(closed: Closed, hello: &Hello, elsewhere: &BTreeSet<Name>) -> Option<client::Error> {
    if hello.nowhere_else || elsewhere.is_empty() {
        return None;
    }
    let text = match closed {
        Closed::Draining(_) => "this PoP is being drained: connect to another",
        Closed::CutOff => "this PoP reaches no region: connect to another",
    };
    Some(client::Error {
        pops: elsewhere.iter().map(Name::to_string).collect(),
        ..ApiError::new(closed.code(), text).to_wire()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_cut_off_once_it_was_alone_for_long() {
        let patience = Duration::from_secs(2);
        let mut reach = Reach::new(patience);
        let start = Instant::now();
        assert!(!reach.is_cut_off(0, start), "it has just started");
        assert!(!reach.is_cut_off(1, start + patience));
        assert!(!reach.is_cut_off(0, start + patience * 2));
        assert!(reach.is_cut_off(0, start + patience * 3));
        assert!(!reach.is_cut_off(3, start + patience * 3), "open again");
        assert!(!reach.is_cut_off(0, start + patience * 4));
    }

    #[test]
    fn whoever_can_go_elsewhere_is_refused() {
        let elsewhere = BTreeSet::from(["gru".parse().unwrap(), "nyc".parse().unwrap()]);
        let (hello, lost) = (
            Hello::default(),
            Hello {
                nowhere_else: true,
                ..Hello::default()
            },
        );
        for (closed, code) in [
            (Closed::Draining(100), "draining"),
            (Closed::CutOff, "unavailable"),
        ] {
            let refused = refusal(closed, &hello, &elsewhere).unwrap();
            assert_eq!((refused.code.as_str(), refused.retryable), (code, true));
            assert_eq!(refused.pops, ["gru", "nyc"]);
            assert_eq!(refusal(closed, &lost, &elsewhere), None);
            assert_eq!(refusal(closed, &hello, &BTreeSet::new()), None);
        }
    }
}
