//! Texts of ids, times, names and codes. Whatever is read is written alike.

#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use causeway_protocol::{ChannelId, ErrorCode, Name, Timestamp, UserId, WorkspaceId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    one_text::<ChannelId>(text);
    one_text::<UserId>(text);
    one_text::<WorkspaceId>(text);
    one_text::<Name>(text);
    if let Some(code) = ErrorCode::from_wire(text) {
        assert_eq!(code.as_str(), text);
    }
    // A ts may leave digits out.
    if let Ok(ts) = text.parse::<Timestamp>() {
        assert_eq!(ts.to_string().parse(), Ok(ts));
    }
});

fn one_text<T: FromStr<Err: Display> + Display>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => assert_eq!(value.to_string(), text),
        Err(error) => assert!(error.to_string().len() < 1_000),
    }
}
