//! What churn is about: things of every type, each of which can be changed at will.

use bytes::Bytes;
use causeway_core_region::metadata::item::Item;
use causeway_core_region::metadata::shard::Intent;
use causeway_core_region::metadata::types::Mark;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

/// Kinds of metadata, as many as there are.
const KINDS: u32 = 15;
/// Whatever has a value has one of so many bytes.
const VALUE_BYTES: usize = 16;
/// Cursors end here.
const LAST_SEQ: u64 = u64::MAX;

/// A change of an element, at random.
pub fn any_change(element: u32, rng: &mut SmallRng) -> (Item, Intent) {
    let mut value = [0; VALUE_BYTES];
    rng.fill_bytes(&mut value);
    let value = Bytes::copy_from_slice(&value);
    let seq = rng.random_range(1..LAST_SEQ);
    change(element, rng.random(), value, seq)
}

/// The change after which an element is there, and as it is to be in the end.
pub fn last_change(element: u32) -> (Item, Intent) {
    let value = Bytes::from_static(&[b'!'; VALUE_BYTES]);
    change(element, true, value, LAST_SEQ)
}

fn change(element: u32, is_there: bool, value: Bytes, seq: u64) -> (Item, Intent) {
    let number = 1 + element / KINDS;
    let (channel, user, ts) = (number, number, number.into());
    let name = format!("name-{number:05}");
    let put = |note| match is_there {
        true => Intent::Put(note),
        false => Intent::Remove,
    };
    let set = |item| (item, Intent::Set(value.clone()));
    match element % KINDS {
        0 => {
            let reaction = Item::Reaction {
                channel,
                ts,
                emoji: name,
                user,
            };
            (reaction, put(Bytes::new()))
        }
        1 => (Item::Pin { channel, ts }, put(Bytes::new())),
        2 => (Item::Star { user, channel, ts }, put(Bytes::new())),
        3 => (Item::Emoji { name }, put(value)),
        4 if is_there => (Item::Member { channel, user }, Intent::Join),
        4 => (Item::Member { channel, user }, Intent::Leave),
        5 => set(Item::ChannelName { channel }),
        6 => set(Item::ChannelTopic { channel }),
        7 => (Item::ChannelPurpose { channel }, Intent::Put(value)),
        8 => set(Item::ChannelArchived { channel }),
        9 => set(Item::ProfileField { user, field: name }),
        10 => (Item::Status { user }, Intent::Put(value)),
        11 => set(Item::Preference { user, name }),
        12 => set(Item::Away { user }),
        13 => set(Item::DoNotDisturb { user }),
        _ => {
            let mark = Mark { seq, messages: seq };
            (Item::ReadCursor { user, channel }, Intent::Raise(mark))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn elements_are_things_of_their_own() {
        let items: BTreeSet<Item> = (0..1_000).map(|e| last_change(e).0).collect();
        assert_eq!(items.len(), 1_000);
    }

    #[test]
    fn there_are_all_kinds() {
        let tables: BTreeSet<u8> = (0..KINDS).map(|e| last_change(e).0.key()[0]).collect();
        assert_eq!(tables.len(), KINDS as usize);
    }

    #[test]
    fn whatever_is_changed_is_what_is_there_in_the_end() {
        let mut rng = SmallRng::seed_from_u64(1);
        for element in 0..100 {
            let (item, _) = any_change(element, &mut rng);
            assert_eq!(item, last_change(element).0);
        }
    }
}
