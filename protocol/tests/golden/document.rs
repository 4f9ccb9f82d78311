//! `PROTOCOL.md` says what the code does: its hex, its codes, its limits, its
//! ids and its methods.

use std::collections::BTreeSet;

use causeway_protocol::session::{Cause, End, Retry, State};
use causeway_protocol::{ChannelId, CloseCode, ErrorCode, Timestamp, UserId, WorkspaceId, limits};

use crate::all;
use crate::shape::Schema;

const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

/// The cells of each table row in the section with this heading.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = DOCUMENT
        .split_once(&format!("\n## {heading}\n"))
        .expect(heading);
    cells(section.split("\n## ").next().unwrap_or(section))
}

/// Those in the part of a section with this heading.
fn rows_of_part(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, part) = DOCUMENT
        .split_once(&format!("\n### {heading}\n"))
        .expect(heading);
    cells(part.split("\n##").next().unwrap_or(part))
}

fn cells(section: &'static str) -> Vec<Vec<&'static str>> {
    let rows = section.lines().filter_map(|line| {
        let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(cells.split(" | ").map(str::trim).collect::<Vec<_>>())
    });
    // The heads of tables and the lines below them are no rows.
    rows.filter(|row| row[0].starts_with('`')).collect()
}

fn unquoted(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// 168192 → `168,192`.
fn with_commas(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b","[..])).expect("digits and commas")
}

#[test]
fn its_hex_is_what_the_code_encodes() {
    let (schema, examples) = (Schema::compile(), all());
    let blocks: Vec<_> = DOCUMENT.split("\n```hex name=").skip(1).collect();
    for block in &blocks {
        let (name, rest) = block.split_once('\n').unwrap();
        let (shown, _) = rest.split_once("```").expect("the block ends");
        let example = examples.iter().find(|example| example.name == name);
        let wanted = schema.annotated(example.expect(name));
        assert_eq!(shown, wanted, "`{name}` should be:\n{wanted}");
    }
    let told: Vec<_> = blocks.iter().filter_map(|b| b.lines().next()).collect();
    for name in ["hello", "welcome", "send", "sent", "push"] {
        assert!(told.contains(&name), "{name} is not shown");
    }
}

#[test]
fn it_has_every_error_code_in_order_and_whether_a_retry_can_help() {
    let told: Vec<_> = (rows("Errors").into_iter())
        .map(|row| (unquoted(row[0]), row[1] == "yes"))
        .collect();
    let codes = ErrorCode::ALL.iter();
    let wanted: Vec<_> = codes
        .map(|code| (code.as_str(), code.is_retryable()))
        .collect();
    assert_eq!(told, wanted);
}

#[test]
fn it_has_every_close_code_in_order() {
    let told: Vec<_> = (rows_of_part("Close codes").into_iter())
        .map(|row| (unquoted(row[0]), unquoted(row[1]), unquoted(row[2])))
        .map(|(code, on_socket, name)| (code.parse(), on_socket.parse(), name))
        .collect();
    let codes = CloseCode::ALL.iter();
    let wanted: Vec<_> = codes
        .map(|c| (Ok(c.code()), Ok(c.on_socket()), c.as_str()))
        .collect();
    assert_eq!(told, wanted);
}

#[test]
fn it_has_every_state_of_a_session() {
    let (_, section) = DOCUMENT.split_once("\n## Sessions\n").unwrap();
    let (states, _) = section.split_once("\n### ").unwrap();
    let told: Vec<_> = cells(states).iter().map(|row| unquoted(row[0])).collect();
    let wanted: Vec<_> = State::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(told, wanted);
}

/// As the table of transitions has it.
fn kind(cause: Cause) -> String {
    match cause {
        Cause::Ended(_) => "an end".into(),
        Cause::Refused(code) if code.is_retryable() => "a refusal for now".into(),
        Cause::Refused(_) => "a refusal for good".into(),
        cause => format!("`{cause}`"),
    }
}

#[test]
fn it_has_every_transition_of_a_session() {
    let rows = rows_of_part("Transitions");
    let told: Vec<_> = (rows.iter())
        .flat_map(|row| row[2].split(", ").map(|by| (row[0], row[1], by.to_owned())))
        .collect();
    let states = State::ALL.iter().flat_map(|from| {
        Cause::all().filter_map(|cause| Some((*from, from.after(cause)?, kind(cause))))
    });
    let wanted: BTreeSet<_> = states
        .map(|(from, to, by)| (format!("`{from}`"), format!("`{to}`"), by))
        .collect();
    let distinct: BTreeSet<_> = (told.iter())
        .map(|(from, to, by)| ((*from).to_owned(), (*to).to_owned(), by.clone()))
        .collect();
    assert_eq!(distinct, wanted);
    assert_eq!(told.len(), wanted.len(), "some are told twice");
}

#[test]
fn it_has_every_cause_of_a_transition_and_whether_a_retry_can_help() {
    let told: Vec<_> = (rows_of_part("Causes").into_iter())
        .map(|row| (unquoted(row[0]), row[2]))
        .collect();
    let others = [
        Cause::GoAway,
        Cause::Reconnect,
        Cause::Welcomed,
        Cause::LetGo,
    ];
    let causes = End::all().map(Cause::Ended).chain(others);
    let wanted: Vec<_> = causes
        .map(|cause| (cause.code(), cause.retry().as_str()))
        .collect();
    assert_eq!(told, wanted);
    // Refusals are told in a sentence.
    for refused in ErrorCode::ALL.iter().copied() {
        let retry = match refused.is_retryable() {
            true => Retry::Elsewhere,
            false => Retry::No,
        };
        assert_eq!(Cause::Refused(refused).retry(), retry, "{refused}");
    }
}

#[test]
fn it_has_every_limit() {
    macro_rules! values {
        ($($name:ident)*) => { [$((stringify!($name), u64::try_from(limits::$name).unwrap())),*] };
    }
    let wanted = values!(
        TEXT_CHARS_MAX
        CLIENT_MSG_ID_BYTES_MAX
        NAME_CHARS_MAX
        TOPIC_CHARS_MAX
        STATUS_CHARS_MAX
        KEY_BYTES_MAX
        VALUE_BYTES_MAX
        EMOJI_URL_BYTES_MAX
        EMOJI_PER_MESSAGE_MAX
        REACTORS_SHOWN_MAX
        PINS_MAX
        STARS_MAX
        EMOJI_MAX
        PROFILE_FIELDS_MAX
        ENDS_S_MAX
        PREFERENCES_MAX
        CLIENT_FRAME_BYTES_MAX
        SERVER_FRAME_BYTES_MAX
        SOCKET_MESSAGE_BYTES_MAX
        BACKBONE_FRAME_BYTES_MAX
        PAGE_ROWS_DEFAULT
        PAGE_ROWS_MAX
        PAGE_BYTES_MAX
        HELLO_CURSORS_MAX
        REQUESTS_IN_FLIGHT_MAX
        TOKEN_BYTES_MAX
        DEDUPLICATION_HOURS
        OPEN_CHANNELS_MAX
        COUNTED_MEMBERS_MIN
        WATCHED_USERS_MAX
        EVENT_PAYLOAD_BYTES_MAX
        EVENT_GOOD_FOR_MS_DEFAULT
        EVENT_GOOD_FOR_MS_MAX
        EVENTS_PER_S_MAX
        EVENTS_AT_ONCE_MAX
        TYPING_EVERY_MS
        GET_USERS_MAX
        COMPLETIONS_DEFAULT
        COMPLETIONS_MAX
    );
    let source = include_str!("../../src/limits.rs");
    let constants = source.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("pub const ")?.split_once(':')?;
        Some(name)
    });
    let names: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, constants.collect::<Vec<_>>());

    let rows = rows("Limits");
    let told: Vec<_> = rows
        .iter()
        .map(|row| (unquoted(row[0]), row[1].to_owned()))
        .collect();
    let wanted = wanted.map(|(name, value)| (name, with_commas(value)));
    assert_eq!(told[..wanted.len()], wanted);
}

#[test]
fn its_ids_and_times_are_written_as_the_code_writes_them() {
    let rows = rows("Ids and times");
    assert!(!rows.is_empty());
    for row in rows {
        let (number, text) = (unquoted(row[1]), unquoted(row[0]));
        let number: u64 = number.replace(',', "").parse().expect(number);
        let written = match text.chars().next() {
            Some('T') => WorkspaceId(u32::try_from(number).unwrap()).to_string(),
            Some('C') => ChannelId(number).to_string(),
            Some('U') => UserId(number).to_string(),
            _ => Timestamp(number).to_string(),
        };
        assert_eq!(text, written);
    }
}

#[test]
fn it_has_every_request_and_every_kind_of_entry() {
    let schema = Schema::compile();
    let cases = |message: &str| schema.cases(&format!("causeway.client.v1.{message}"));
    let told = |heading| -> Vec<String> {
        let names = rows(heading).into_iter();
        names.map(|row| unquoted(row[0]).to_owned()).collect()
    };
    assert_eq!(told("Requests"), cases("Request"));
    assert_eq!(told("Topics and their logs"), cases("Entry"));
}
