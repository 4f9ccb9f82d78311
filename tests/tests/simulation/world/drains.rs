//! The operator, who drains and opens again: what the directory's leader lets
//! pass comes about.

use std::time::Duration;

use causeway_core_region::directory::check_drain;
use causeway_protocol::CellId;
use causeway_protocol::backbone::Drain;

use super::{Event, Process, World};
use crate::atlas;
use crate::message::Host;
use crate::oracle::quiet;
use crate::plan::empty_within;

/// The operator looks again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl World {
    /// Has the directory's leader carry the operator's wish out, or waits for
    /// one.
    pub(super) fn operate(&mut self, drain: Drain, open_after: Option<Duration>) {
        let Some(host) = self.directory_leader() else {
            return self.after(LOOK_AGAIN, Event::Operate(drain, open_after));
        };
        let Some(core) = self.core(host) else {
            return;
        };
        let Some(directory) = core.replica(CellId::DIRECTORY) else {
            return;
        };
        let book = directory.state().book();
        if book.drains().is_active(&drain) == drain.active {
            return self.is_carried_out(drain, open_after);
        }
        let members = core.gossip().membership();
        if drain.active && check_drain(&drain, members, book.drains(), book.cells()).is_err() {
            self.ledger.drains_refused += 1;
            return;
        }
        let wish = Drain {
            version: book.version(),
            ..drain.clone()
        };
        self.step(host, |process, io| {
            if let Process::Core(core) = process {
                core.propose_drain(wish, io);
            }
        });
        self.after(LOOK_AGAIN, Event::Operate(drain, open_after));
    }

    fn is_carried_out(&mut self, drain: Drain, open_after: Option<Duration>) {
        if !drain.active {
            self.ledger.drains_undone += 1;
            return;
        }
        self.ledger.drains += 1;
        self.oracle.expects_no_errors |= self.calm;
        self.after(empty_within(&drain), Event::CheckEmpty(drain.clone()));
        if let Some(open_after) = open_after {
            let opened = Drain {
                active: false,
                ..drain
            };
            self.after(open_after, Event::Operate(opened, None));
        }
    }

    pub(super) fn check_empty(&mut self, drain: &Drain) {
        let book = self.directory_leader().and_then(|host| self.core(host));
        let active = book.is_some_and(|core| core.book().drains().is_active(drain));
        if self.calm
            && active
            && let Err(found) = quiet::empty(self)
        {
            self.oracle.violated(found.invariant, found.detail);
        }
    }

    fn directory_leader(&self) -> Option<Host> {
        let leads = |host: &Host| {
            let directory = self.core(*host)?.replica(CellId::DIRECTORY)?;
            directory.is_ready(self.instant(*host)).then_some(())
        };
        atlas::cores().find(|host| leads(host).is_some())
    }
}
