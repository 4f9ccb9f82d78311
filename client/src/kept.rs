//! The boot data that a client keeps over a break, so that it need be told only what it
//! lacks. A state machine over what comes in.

use std::collections::BTreeMap;

use causeway_protocol::Topic;
use causeway_protocol::client::{
    self, BootData, Channel, ChannelHead, entry::Kind as EntryKind, fact::Kind,
};

/// The data, as of what came in last.
#[derive(Debug, Default)]
pub struct Kept {
    boot: Option<BootData>,
    /// The last welcome had only a difference.
    by_difference: bool,
    /// Of some channel they are not as it is now: it came with what the log knows of it. A
    /// difference would not tell that.
    is_partial: bool,
}

impl Kept {
    /// Whether there are any that a difference makes whole.
    pub fn is_there(&self) -> bool {
        self.boot.is_some() && !self.is_partial
    }

    /// Let in, with data or the difference from what is here. Returns all of them.
    pub fn booted(&mut self, boot: BootData) -> BootData {
        self.by_difference = boot.difference;
        self.is_partial &= boot.difference;
        let all = match (boot.difference, self.boot.take()) {
            (true, Some(kept)) => merged(kept, boot),
            _ => boot,
        };
        self.boot = Some(all.clone());
        all
    }

    /// More has changed than was told. Returns whether all is to be asked for.
    pub fn start_over(&mut self) -> bool {
        self.boot = None;
        self.is_partial = false;
        std::mem::take(&mut self.by_difference)
    }

    /// Facts have come in.
    pub fn facts(&mut self, push: &client::MetadataPush) {
        let Some(boot) = &mut self.boot else {
            return;
        };
        for fact in push.facts.iter().filter_map(|fact| fact.kind.as_ref()) {
            self.is_partial |= matches!(fact, Kind::Joined(channel) if channel.name.is_empty());
            take_fact(boot, fact);
        }
    }

    /// An entry has been delivered.
    pub fn entry(&mut self, topic: Topic, entry: &client::Entry) {
        let Some(boot) = &mut self.boot else {
            return;
        };
        match (topic, &entry.kind) {
            (Topic::Channel(id), kind) => {
                if let Some(channel) = find(boot, id.0) {
                    channel.last_seq = channel.last_seq.max(entry.seq);
                    if matches!(kind, Some(EntryKind::Posted(_))) {
                        channel.last_ts = channel.last_ts.max(entry.ts);
                    }
                }
            }
            (_, Some(EntryKind::ChannelJoined(channel))) => self.is_partial |= put(boot, channel),
            (_, Some(EntryKind::ChannelLeft(channel))) => remove(boot, *channel),
            _ => {}
        }
    }
}

/// What is kept, with what it lacked.
fn merged(kept: BootData, difference: BootData) -> BootData {
    let mut heads: BTreeMap<u64, ChannelHead> = (difference.heads.into_iter())
        .map(|head| (head.channel, head))
        .collect();
    let mut channels: BTreeMap<u64, Channel> = BTreeMap::new();
    for channel in kept.channels {
        if !difference.gone.contains(&channel.id) {
            let head = heads.remove(&channel.id);
            channels.insert(channel.id, with_head(channel, head));
        }
    }
    for channel in difference.channels {
        channels.insert(channel.id, channel);
    }
    BootData {
        channels: channels.into_values().collect(),
        user_seq: difference.user_seq,
        workspace_seq: difference.workspace_seq,
        metadata_version: difference.metadata_version,
        ..kept
    }
}

/// Without a head, nothing is unread.
fn with_head(channel: Channel, head: Option<ChannelHead>) -> Channel {
    match head {
        None => Channel {
            unread: 0,
            ..channel
        },
        Some(head) => Channel {
            last_seq: head.last_seq,
            last_ts: head.last_ts,
            members: head.members,
            read_seq: head.read_seq,
            unread: head.unread,
            ..channel
        },
    }
}

fn take_fact(boot: &mut BootData, fact: &Kind) {
    match fact {
        Kind::Channel(told) => {
            if let Some(known) = find(boot, told.id).filter(|_| !told.name.is_empty()) {
                known.name.clone_from(&told.name);
                known.topic.clone_from(&told.topic);
                known.purpose.clone_from(&told.purpose);
                known.other_purposes.clone_from(&told.other_purposes);
                known.archived = told.archived;
            }
        }
        Kind::Joined(channel) => drop(put(boot, channel)),
        Kind::Left(channel) => remove(boot, *channel),
        Kind::ReadCursor(cursor) => {
            if let Some(known) = find(boot, cursor.channel) {
                known.read_seq = known.read_seq.max(cursor.seq);
            }
        }
        Kind::Preference(told) => {
            let known = &mut boot.preferences;
            match known.binary_search_by(|known| known.name.cmp(&told.name)) {
                Ok(at) => known[at] = told.clone(),
                Err(at) => known.insert(at, told.clone()),
            }
        }
        Kind::Profile(profile) => {
            let own = boot.self_.as_mut();
            if let Some(own) = own.filter(|own| own.id == profile.user) {
                own.profile = Some(profile.clone());
            }
        }
        _ => {}
    }
}

fn place(boot: &BootData, id: u64) -> Result<usize, usize> {
    boot.channels
        .binary_search_by_key(&id, |channel| channel.id)
}

fn find(boot: &mut BootData, id: u64) -> Option<&mut Channel> {
    let at = place(boot, id).ok()?;
    boot.channels.get_mut(at)
}

/// A channel that is there is told again without what has come in meanwhile. Returns whether
/// it was not.
fn put(boot: &mut BootData, channel: &Channel) -> bool {
    let Err(at) = place(boot, channel.id) else {
        return false;
    };
    let channel = Channel {
        is_member: true,
        ..channel.clone()
    };
    boot.channels.insert(at, channel);
    true
}

fn remove(boot: &mut BootData, id: u64) {
    if let Ok(at) = place(boot, id) {
        boot.channels.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{ChannelId, UserId};

    use super::*;

    fn channel(id: u64, last_seq: u64, unread: u32) -> Channel {
        Channel {
            id,
            name: format!("channel-{id}"),
            last_seq,
            unread,
            is_member: true,
            ..Channel::default()
        }
    }

    fn kept() -> Kept {
        let mut kept = Kept::default();
        kept.booted(BootData {
            self_: Some(client::User {
                id: 1,
                ..client::User::default()
            }),
            channels: vec![channel(2, 5, 0), channel(4, 5, 2), channel(6, 5, 0)],
            ..BootData::default()
        });
        kept
    }

    fn fact(kept: &mut Kept, kind: Kind) {
        kept.facts(&client::MetadataPush {
            facts: vec![client::Fact { kind: Some(kind) }],
            ..client::MetadataPush::default()
        });
    }

    fn difference() -> BootData {
        BootData {
            difference: true,
            user_seq: 7,
            channels: vec![channel(3, 1, 0)],
            heads: vec![ChannelHead {
                channel: 2,
                last_seq: 9,
                unread: 4,
                ..ChannelHead::default()
            }],
            gone: vec![6],
            ..BootData::default()
        }
    }

    #[test]
    fn a_difference_makes_it_whole_again() {
        let mut kept = kept();
        let all = kept.booted(difference());
        let seen: Vec<_> = (all.channels.iter())
            .map(|c| (c.id, c.last_seq, c.unread))
            .collect();
        assert_eq!(seen, [(2, 9, 4), (3, 1, 0), (4, 5, 0)]);
        assert_eq!((all.user_seq, all.difference), (7, false));
        assert_eq!(all.self_.map(|user| user.id), Some(1));
        assert!(kept.start_over(), "not all of it was told");
        assert!(!kept.is_there() && !kept.start_over());
    }

    #[test]
    fn facts_and_entries_keep_it_as_it_is_now() {
        let mut kept = kept();
        let renamed = Channel {
            name: "renamed".into(),
            ..channel(2, 0, 0)
        };
        fact(&mut kept, Kind::Channel(renamed));
        fact(&mut kept, Kind::Joined(channel(5, 3, 0)));
        fact(&mut kept, Kind::Left(4));
        let preference = client::Preference {
            name: "theme".into(),
            value: "dark".into(),
        };
        fact(&mut kept, Kind::Preference(preference.clone()));
        let entry = |seq, kind| client::Entry {
            seq,
            ts: seq * 10,
            kind: Some(kind),
            ..client::Entry::default()
        };
        let own = Topic::User(UserId(1));
        kept.entry(own, &entry(1, EntryKind::ChannelJoined(channel(7, 0, 0))));
        kept.entry(own, &entry(2, EntryKind::ChannelLeft(6)));
        let posted = EntryKind::Posted(client::Message::default());
        kept.entry(Topic::Channel(ChannelId(5)), &entry(8, posted));
        let boot = kept.boot.unwrap();
        let seen: Vec<_> = boot.channels.iter().map(|c| (c.id, c.last_seq)).collect();
        assert_eq!(seen, [(2, 5), (5, 8), (7, 0)]);
        assert_eq!(
            (&*boot.channels[0].name, boot.channels[1].last_ts),
            ("renamed", 80)
        );
        assert_eq!(boot.preferences, [preference]);
    }

    /// It may have been given another name since it was created.
    #[test]
    fn a_channel_of_which_only_the_log_has_told_calls_for_whole_boot_data() {
        let mut kept = kept();
        let joined = |id| client::Entry {
            kind: Some(EntryKind::ChannelJoined(channel(id, 0, 0))),
            ..client::Entry::default()
        };
        let own = Topic::User(UserId(1));
        kept.entry(own, &joined(2));
        assert!(kept.is_there(), "it has been there before");
        kept.entry(own, &joined(7));
        assert!(!kept.is_there());
        kept.booted(difference());
        assert!(!kept.is_there(), "the difference had been asked for before");
        kept.booted(BootData::default());
        assert!(kept.is_there());
        fact(&mut kept, Kind::Joined(Channel::default()));
        assert!(!kept.is_there(), "nobody knows its name");
    }

    #[test]
    fn whole_boot_data_take_the_place_of_what_was_kept() {
        let mut kept = kept();
        let whole = BootData {
            channels: vec![channel(9, 1, 0)],
            ..BootData::default()
        };
        assert_eq!(kept.booted(whole.clone()), whole);
        assert!(!kept.start_over());
    }
}
