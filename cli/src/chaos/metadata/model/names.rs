//! Names of channels: the last that each was given is its own. Of channels that were
//! given one name, the first keeps it, and the others are shown with their id.

use std::collections::BTreeMap;

use causeway_protocol::ChannelId;

use super::register::may_be_last;
use super::{Created, Item, Order, Rule, State, Violation, Writes, Written};

/// A channel that shows a name that it was given.
struct Bearer<'a> {
    channel: ChannelId,
    /// Whether the name is shown as it was given.
    is_plain: bool,
    /// The writes that may have given it.
    given_by: Vec<&'a Written>,
}

/// What is wrong with the names of channels.
pub fn check(
    order: &Order,
    items: &BTreeMap<&Item, Writes<'_>>,
    created: &Created,
    state: &State,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut bearers = BTreeMap::<&str, Vec<Bearer<'_>>>::new();
    for (item, shown) in state {
        let (Item::Name(channel), Some(shown)) = (item, shown.first()) else {
            continue;
        };
        let writes = items.get(item).map_or(&[][..], Vec::as_slice);
        match bearer(order, *channel, writes, shown) {
            Ok((name, bearer)) => bearers.entry(name).or_default().push(bearer),
            Err((rule, text)) => violations.push(Violation {
                rule,
                item: item.clone(),
                text,
            }),
        }
    }
    for (name, bearers) in bearers {
        let owner = created.get(name).copied();
        let wrong = wrong_bearer(order, owner, &bearers);
        violations.extend(wrong.map(|(channel, text)| Violation {
            rule: Rule::Name,
            item: Item::Name(channel),
            text: format!("`{name}`: {text}"),
        }));
    }
    violations
}

/// Which of its names a channel shows, and how.
fn bearer<'a>(
    order: &Order,
    channel: ChannelId,
    writes: &[&'a Written],
    shown: &str,
) -> Result<(&'a str, Bearer<'a>), (Rule, String)> {
    let with_id = |name: &str| format!("{name}-{channel}").to_lowercase();
    let is_shown = |name: &str| shown == name || shown == with_id(name);
    let of_shown = writes
        .iter()
        .copied()
        .filter(|w| w.text().is_some_and(is_shown));
    let of_shown: Vec<&Written> = of_shown.collect();
    let Some(name) = of_shown.iter().find_map(|write| write.text()) else {
        return Err((Rule::Unheard, format!("`{shown}` was never given to it")));
    };
    let last = of_shown
        .into_iter()
        .filter(|w| may_be_last(order, writes, w));
    let given_by: Vec<&Written> = last.collect();
    if given_by.is_empty() {
        return Err((Rule::LastWriter, format!("`{shown}` was overwritten")));
    }
    let bearer = Bearer {
        channel,
        is_plain: shown == name,
        given_by,
    };
    Ok((name, bearer))
}

/// A name that a channel was created with is nobody else's.
fn wrong_bearer(
    order: &Order,
    owner: Option<ChannelId>,
    bearers: &[Bearer<'_>],
) -> Option<(ChannelId, String)> {
    let mut plain = bearers.iter().filter(|bearer| bearer.is_plain);
    let Some(first) = plain.next() else {
        // The owner bears another name now, and keeps this one all the same.
        let is_kept = owner.is_some_and(|owner| bearers.iter().all(|b| b.channel != owner));
        let channel = bearers.first()?.channel;
        return (!is_kept).then(|| (channel, "nobody has it".into()));
    };
    if let Some(second) = plain.next() {
        return Some((second.channel, format!("{} has it, too", first.channel)));
    }
    if owner.is_some_and(|owner| owner != first.channel) {
        return Some((first.channel, "another was created with it".into()));
    }
    if owner.is_some() {
        return None;
    }
    let is_earlier = |other: &&Bearer<'_>| {
        let mut claims = other.given_by.iter();
        claims.all(|other| first.given_by.iter().all(|own| order.is_later(own, other)))
    };
    let others = bearers.iter().filter(|b| b.channel != first.channel);
    let earlier = others.into_iter().find(is_earlier)?;
    Some((first.channel, format!("{} had it first", earlier.channel)))
}
