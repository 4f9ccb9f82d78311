//! Faults as they strike, and their end.

use std::time::Duration;

use causeway_protocol::NodeId;

use super::founding::disks;
use super::{Event, Process, TALK_ON, World};
use crate::atlas;
use crate::core::Disks;
use crate::message::{Host, Link, LinkChange};
use crate::plan::{Fault, Hosts, hosts};

/// A node that is asked to stop has this long to hand over.
const STOPPING: Duration = Duration::from_millis(700);

impl World {
    pub(super) fn strike(&mut self, fault: Fault) {
        let text = format!("{fault:?}");
        self.trace
            .note(self.now, Host(0), 99, |line| line.push_str(&text));
        match fault {
            Fault::Crash(host, away) => self.crash(host, away),
            Fault::Blackout(hosts, away) => {
                for host in atlas::cores().filter(|host| hosts & 1 << host.0 != 0) {
                    self.crash(host, away);
                }
            }
            Fault::PowerFailure(stall, away) => {
                for host in atlas::cores() {
                    self.machines[host.0].stalled_until = self.now + stall * 2;
                }
                let all = hosts(atlas::cores());
                self.after(stall, Event::Fault(Fault::Blackout(all, away)));
            }
            Fault::Gone(host) => {
                self.crash(host, Duration::ZERO);
                self.machines[host.0].gone = true;
            }
            Fault::Wipe(host, away) => {
                self.crash(host, away);
                self.ledger.disks_wiped += 1;
                let node = NodeId(self.machines[host.0].node.0 + 100);
                let empty = disks(node, &self.cells, self.deduplicates());
                let machine = &mut self.machines[host.0];
                machine.node = node;
                machine.process = Process::Off(empty);
            }
            Fault::Stop(host, away) => self.stop(host, away),
            Fault::Cut(from, to, time) => self.cut(&[(from, to)], time),
            Fault::Split(a, b, time) => self.cut(&[(a, b), (b, a)], time),
            Fault::Stall(host, time) => {
                self.ledger.disk_stalls += 1;
                self.machines[host.0].stalled_until = self.now + time;
            }
            Fault::Loss(per_mille, time) => {
                self.network.lose(Some(per_mille));
                self.after(time, Event::LossEnds);
            }
            Fault::Drain(drain, open_after) => self.operate(drain, open_after),
            Fault::Reconnect(host) => self.step(host, |process, io| {
                if let Process::Client(client) = process {
                    client.reconnect(io);
                }
            }),
        }
    }

    fn crash(&mut self, host: Host, away: Duration) {
        let machine = &mut self.machines[host.0];
        let off = Process::Off(Disks::default());
        let disks = match std::mem::replace(&mut machine.process, off) {
            Process::Core(core) => {
                let (disks, lost) = core.crash();
                self.ledger.unsynced_entries_lost += lost;
                self.ledger.crashes += 1;
                disks
            }
            Process::Off(disks) => disks,
            Process::Edge(_) | Process::Client(_) => {
                self.ledger.crashes += 1;
                Disks::default()
            }
        };
        machine.process = Process::Off(disks);
        self.after(away, Event::Back(host));
    }

    fn stop(&mut self, host: Host, away: Duration) {
        let life = self.machines[host.0].life;
        if self.running(host).is_none() {
            return;
        }
        self.ledger.stops += 1;
        self.step(host, |process, io| {
            if let Process::Core(core) = process {
                core.prepare_to_stop(io);
            }
        });
        self.after(STOPPING, Event::Leave(host, life, away));
    }

    /// A stopping node is done: it says good-bye, and its peers hear it.
    pub(super) fn leave(&mut self, host: Host, away: Duration) {
        self.step(host, |process, io| match process {
            Process::Core(core) => core.leave(io),
            Process::Edge(edge) => edge.leave(io),
            _ => {}
        });
        for (peer, node) in self.links.close_all(host) {
            self.tell_link(
                peer,
                LinkChange {
                    peer: node,
                    host,
                    link: Link::Stopped,
                },
            );
        }
        self.crash(host, away);
        self.ledger.crashes -= 1;
    }

    fn cut(&mut self, cuts: &[(Hosts, Hosts)], time: Duration) {
        self.ledger.cuts += 1;
        for (from, to) in cuts {
            let cut = self.network.cut(*from, *to);
            self.after(time, Event::Mend(cut));
        }
    }

    pub(super) fn heal(&mut self) {
        self.healed_at = Some(self.now);
        self.network.heal();
        for host in atlas::nodes() {
            self.machines[host.0].stalled_until = self.now;
            self.start(host);
        }
        self.after(TALK_ON, Event::LookForQuiet);
    }
}
