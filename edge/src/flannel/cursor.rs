//! Cursors of the PoP's own lists: opaque to clients, and checked when they come back.

use causeway_protocol::{ApiError, ErrorCode};

/// Goes on after a word, and whose it is.
pub fn word_cursor(word: &str, id: u64) -> String {
    let digits: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("w1-{id:x}-{digits}")
}

/// Reads it; the empty one is `None`.
///
/// # Errors
/// [`ErrorCode::InvalidCursor`].
pub fn after_word(cursor: &str) -> Result<Option<(String, u64)>, ApiError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let parts = cursor.strip_prefix("w1-").and_then(|s| s.split_once('-'));
    let read = parts.and_then(|(id, digits)| {
        let id = u64::from_str_radix(id, 16).ok()?;
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let word = String::from_utf8(bytes.collect::<Option<_>>()?).ok()?;
        Some((word, id))
    });
    match read {
        Some((word, id)) if word_cursor(&word, id) == cursor => Ok(Some((word, id))),
        _ => Err(ErrorCode::InvalidCursor.into()),
    }
}

/// Goes on after an id.
pub fn id_cursor(id: u64) -> String {
    format!("m1-{id:x}")
}

/// Reads it; the empty one is `None`.
///
/// # Errors
/// [`ErrorCode::InvalidCursor`].
pub fn after_id(cursor: &str) -> Result<Option<u64>, ApiError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let digits = cursor.strip_prefix("m1-");
    match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(id) if id_cursor(id) == cursor => Ok(Some(id)),
        _ => Err(ErrorCode::InvalidCursor.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_round_trip_and_do_not_fit_elsewhere(word in ".{0,20}", id: u64) {
            let cursor = word_cursor(&word, id);
            prop_assert_eq!(after_word(&cursor), Ok(Some((word, id))));
            prop_assert!(after_id(&cursor).is_err());
            prop_assert_eq!(after_id(&id_cursor(id)), Ok(Some(id)));
            prop_assert!(after_word(&id_cursor(id)).is_err());
        }

        #[test]
        fn garbage_is_refused(text in ".{1,20}|[wm]1-[0-9a-f+-]{0,9}") {
            if let Ok(Some((word, id))) = after_word(&text) {
                prop_assert_eq!(word_cursor(&word, id), text.clone());
            }
            if let Ok(Some(id)) = after_id(&text) {
                prop_assert_eq!(id_cursor(id), text);
            }
        }
    }
}
