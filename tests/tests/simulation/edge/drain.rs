//! Emptying the node, as the product's `Drain` does.

use causeway_edge::drain::{Departures, TICK, go_away, open_pops};
use causeway_edge::hub::machine::SessionId;
use causeway_protocol::ErrorCode;

use super::Edge;
use crate::io::Io;
use crate::planted::Planted;

impl Edge {
    pub(super) fn drain(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        if self.drain_at.is_some_and(|at| now < at) {
            return;
        }
        self.drain_at = Some(now + TICK);
        let (members, routes) = (self.gossip.membership(), self.caller.routes());
        let drain = members.get(self.me).and_then(|me| routes.drains().of(me));
        let drain = drain.filter(|_| !io.has(Planted::DrainedEdgesKeepClients));
        let Some(permille) = drain.map(|drain| drain.permille_per_s) else {
            self.departures = Departures::default();
            return;
        };
        let here: Vec<SessionId> = self.sessions.keys().copied().collect();
        let due = self.departures.due(&here, permille, now, io.rng);
        let frame = go_away(
            ErrorCode::Draining,
            &open_pops(members, routes.drains(), self.me),
        );
        for id in due {
            io.ledger.clients_sent_away += 1;
            if let Some(session) = self.sessions.get(&id) {
                session.queue().go_away(frame.clone());
            }
        }
    }
}
