//! Every stated limit on input, in one place. `PROTOCOL.md` repeats them.

/// Characters (Unicode scalar values) of a message's text.
pub const TEXT_CHARS_MAX: usize = 40_000;
/// Bytes of a client's message id.
pub const CLIENT_MSG_ID_BYTES_MAX: usize = 64;
/// Characters of the name of a channel or a user, and of a user's real name.
pub const NAME_CHARS_MAX: usize = 80;
/// Characters of a channel's topic or purpose.
pub const TOPIC_CHARS_MAX: usize = 250;
/// Characters of a status, and of a field of a profile.
pub const STATUS_CHARS_MAX: usize = 250;
/// Bytes of the name of an emoji, a field of a profile or a preference.
pub const KEY_BYTES_MAX: usize = 100;
/// Bytes of the value of a preference.
pub const VALUE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of an emoji's URL.
pub const EMOJI_URL_BYTES_MAX: usize = 256;
/// Different reactions to one message.
pub const EMOJI_PER_MESSAGE_MAX: usize = 50;
/// Users that an answer names of those who reacted alike; the count is of all.
pub const REACTORS_SHOWN_MAX: usize = 50;
/// Pins of a channel.
pub const PINS_MAX: usize = 100;
/// Stars of a user.
pub const STARS_MAX: usize = 2_000;
/// Emoji of a workspace.
pub const EMOJI_MAX: usize = 10_000;
/// Fields of a user's profile, also those that have been emptied.
pub const PROFILE_FIELDS_MAX: usize = 50;
/// The last second that a status or do-not-disturb may end at: of the year 9999.
pub const ENDS_S_MAX: u64 = 253_402_300_799;
/// Preferences of a user.
pub const PREFERENCES_MAX: usize = 500;
/// Bytes of one frame from a client: the longest text, and room for the rest.
pub const CLIENT_FRAME_BYTES_MAX: usize = 4 * TEXT_CHARS_MAX + 8 * 1024;
/// Bytes of one frame from a server to a client: a full page of history.
pub const SERVER_FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one WebSocket message from a client; it holds whole frames.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one frame between nodes.
pub const BACKBONE_FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rows of a page when the request does not say.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
/// Rows of a page at the most.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// A page ends early when it has this many bytes, to stay well inside a frame.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Cursors that a client may send in its `Hello`.
pub const HELLO_CURSORS_MAX: usize = 4_096;
/// Requests that a client may have under way on one connection.
pub const REQUESTS_IN_FLIGHT_MAX: u32 = 128;
/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// Hours for which a resend under the same `client_msg_id` is recognised.
pub const DEDUPLICATION_HOURS: u64 = 24;
/// Channels that a session may have open.
pub const OPEN_CHANNELS_MAX: usize = 64;
/// Users whose presence a session may watch.
pub const WATCHED_USERS_MAX: usize = 500;
/// Bytes of the payload of a custom event; its name is a key.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 512;
/// Milliseconds for which an event is good when it does not say, and typing always.
pub const EVENT_GOOD_FOR_MS_DEFAULT: u32 = 6_000;
/// Milliseconds for which an event may be good.
pub const EVENT_GOOD_FOR_MS_MAX: u32 = 30_000;
/// Events that a session may send within a second, in the long run.
pub const EVENTS_PER_S_MAX: u32 = 20;
/// Events that a session that has sent none for a while may send at once.
pub const EVENTS_AT_ONCE_MAX: u32 = 40;
/// Milliseconds between two typing events of a session in a channel that go on.
pub const TYPING_EVERY_MS: u64 = 3_000;
/// Users that are asked for by id at a time.
pub const GET_USERS_MAX: usize = 500;
/// Users that a mention is completed to when the request does not say.
pub const COMPLETIONS_DEFAULT: u32 = 20;
/// Users that a mention is completed to at the most.
pub const COMPLETIONS_MAX: u32 = 100;
