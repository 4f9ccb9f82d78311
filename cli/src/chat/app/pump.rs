//! What follows from the state, whatever has brought it about: pages that are to
//! be loaded, reading that is to be told, names that are to be asked for.

use causeway_protocol::Timestamp;

use super::App;
use crate::chat::ask::Ask;
use crate::chat::scroll::Scroll;
use crate::chat::timeline::Load;

/// Marks of reading go out at most this often.
const MARK_PAUSE_US: u64 = 1_000_000;
/// The round trip is measured this often.
const PING_PAUSE_US: u64 = 10_000_000;
/// Between a page that could not be read and the next try.
const LOAD_PAUSE_US: u64 = 2_000_000;
/// With fewer rows than this in memory, older ones are loaded at once.
const ROWS_WANTED: usize = 60;

impl App {
    /// Does what is due; after every input.
    pub(super) fn pump(&mut self) {
        let now = self.now;
        if self
            .notice
            .as_ref()
            .is_some_and(|notice| notice.is_over(now))
        {
            self.notice = None;
        }
        self.see();
        self.pump_company();
        self.pump_mentions();
        if self.people.take_forgotten() {
            self.want_names();
        }
        if !self.link.is_up() {
            return;
        }
        self.pump_loads();
        self.pump_marks();
        for ask in self.people.asks(now) {
            self.ask(ask);
        }
        if !self.pinging && passed(now, self.pinged_at, PING_PAUSE_US) {
            (self.pinging, self.pinged_at) = (true, now);
            self.ask(Ask::Ping);
        }
    }

    /// What is on the screen has been read.
    fn see(&mut self) {
        let at_bottom = self.scroll == Scroll::Bottom;
        if let Some(channel) = self.channel_mut()
            && at_bottom
            && channel.timeline.is_live()
        {
            channel.see();
        }
    }

    fn pump_loads(&mut self) {
        let failed = |at| !passed(self.now, at, LOAD_PAUSE_US);
        if self.load_failed_at.is_some_and(failed) {
            return;
        }
        let Some(channel) = self.channel() else {
            return;
        };
        if !channel.timeline.is_loaded() {
            self.load(Load::Latest);
        } else if channel.timeline.rows().len() < ROWS_WANTED && channel.timeline.has_room() {
            self.load(Load::Older);
        }
    }

    fn pump_marks(&mut self) {
        if self.marking || !passed(self.now, self.marked_at, MARK_PAUSE_US) {
            return;
        }
        let due = self.channels.iter().find_map(|(id, channel)| {
            (channel.read_seq > channel.marked_seq).then_some((id, channel.read_seq))
        });
        if let Some((id, seq)) = due {
            (self.marking, self.marked_at) = (true, self.now);
            self.ask(Ask::MarkRead(id, seq));
        }
    }
}

/// Whether `pause_us` lie between the two. A clock that was set back must not
/// make a pause longer, so the distance counts in both directions.
fn passed(now: Timestamp, since: Timestamp, pause_us: u64) -> bool {
    now.0.abs_diff(since.0) >= pause_us
}
