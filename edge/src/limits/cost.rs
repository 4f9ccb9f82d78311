//! What a request weighs: one like any other is one.

use std::num::NonZeroU32;

use causeway_protocol::client::request::Body;
use causeway_protocol::limits::WATCHED_USERS_MAX;

/// Limiters of requests count in tenths.
pub const PARTS: u32 = 10;

const TENTH: NonZeroU32 = NonZeroU32::MIN;
const ONE: NonZeroU32 = NonZeroU32::new(PARTS).expect("not zero");
const TWO: NonZeroU32 = NonZeroU32::new(2 * PARTS).expect("not zero");

/// Users whose presence is watched that weigh one: channel servers are asked for each.
const USERS_AT_ONE: usize = 50;

/// The parts that a request takes: a ping stays at the edge, and a page that a replica
/// answers with may have a mebibyte.
pub fn parts(body: Option<&Body>) -> NonZeroU32 {
    match body {
        Some(Body::Ping(_)) => TENTH,
        Some(
            Body::ReadHistory(_)
            | Body::ReadReplies(_)
            | Body::ReadLog(_)
            | Body::ListChannels(_)
            | Body::ListMembers(_)
            | Body::ListUsers(_)
            | Body::ListPins(_)
            | Body::ListStars(_)
            | Body::ListEmoji(_)
            | Body::ListPreferences(_)
            | Body::Boot(_)
            | Body::SyncMetadata(_),
        ) => TWO,
        Some(Body::WatchPresence(watch)) => {
            let users = watch.users.len().min(WATCHED_USERS_MAX);
            let more = u32::try_from(users / USERS_AT_ONE).unwrap_or(u32::MAX);
            ONE.saturating_add(more.saturating_mul(PARTS))
        }
        _ => ONE,
    }
}
