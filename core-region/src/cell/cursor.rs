//! Cursors of pages: opaque to clients, and checked when they come back.

use causeway_protocol::{ApiError, ChannelId, ErrorCode, Timestamp, WorkspaceId};

/// What a cursor counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The `ts` of the last message shown.
    Ts,
    /// The `seq` of the last reply shown.
    Seq,
    /// The id of the last row shown.
    Id,
}

/// Writing and reading of cursors.
pub struct Cursor;

impl Cursor {
    /// A cursor that goes on after `at`.
    pub fn write(kind: Kind, at: u64) -> String {
        format!("{}{at:x}", prefix(kind))
    }

    /// Reads a cursor; the empty one is `None`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidCursor`] for anything that was not written here, for
    /// the same kind of list.
    pub fn read(kind: Kind, cursor: &str) -> Result<Option<u64>, ApiError> {
        if cursor.is_empty() {
            return Ok(None);
        }
        let digits = cursor.strip_prefix(prefix(kind));
        let at = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match at {
            Some(at) if Self::write(kind, at) == cursor => Ok(Some(at)),
            _ => Err(ErrorCode::InvalidCursor.into()),
        }
    }
}

fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Ts => "t1-",
        Kind::Seq => "s1-",
        Kind::Id => "i1-",
    }
}

/// A cursor that goes on after a message of a channel, or after the channel itself.
pub fn write_place(channel: ChannelId, ts: Timestamp) -> String {
    format!("p1-{:x}-{:x}", channel.number(), ts.0)
}

/// Reads it; the empty one is `None`.
///
/// # Errors
/// As for [`Cursor::read`].
pub fn read_place(
    workspace: WorkspaceId,
    cursor: &str,
) -> Result<Option<(ChannelId, Timestamp)>, ApiError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let parts = cursor.strip_prefix("p1-").and_then(|s| s.split_once('-'));
    let place = parts.and_then(|(channel, ts)| {
        let channel = u32::from_str_radix(channel, 16).ok()?;
        let ts = u64::from_str_radix(ts, 16).ok()?;
        Some((ChannelId::new(workspace, channel), Timestamp(ts)))
    });
    match place {
        Some((channel, ts)) if write_place(channel, ts) == cursor => Ok(place),
        _ => Err(ErrorCode::InvalidCursor.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_round_trip(channel: u32, ts: u64) {
            let workspace = WorkspaceId(3);
            let place = (ChannelId::new(workspace, channel), Timestamp(ts));
            let cursor = write_place(place.0, place.1);
            prop_assert_eq!(read_place(workspace, &cursor), Ok(Some(place)));
            let longer = read_place(workspace, &(cursor.clone() + "0"));
            prop_assert_ne!(longer, Ok(Some(place)));
            prop_assert!(read_place(workspace, &cursor[1..]).is_err());
        }
    }

    proptest! {
        #[test]
        fn cursors_round_trip_and_do_not_fit_elsewhere(at: u64) {
            let cursor = Cursor::write(Kind::Ts, at);
            prop_assert_eq!(Cursor::read(Kind::Ts, &cursor), Ok(Some(at)));
            prop_assert!(Cursor::read(Kind::Id, &cursor).is_err());
        }

        #[test]
        fn garbage_is_refused(text in ".{1,20}") {
            if let Ok(Some(at)) = Cursor::read(Kind::Seq, &text) {
                prop_assert_eq!(Cursor::write(Kind::Seq, at), text);
            }
        }
    }
}
