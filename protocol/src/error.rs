//! Errors as clients see them: a stable code, a sentence, whether a retry helps.

use std::fmt;

use thiserror::Error;

use crate::client;

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $text:literal, $retryable:literal; )*) => {
        /// Stable codes of errors. Slack's code where Slack has one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $( $(#[$doc])* $name, )* }

        impl ErrorCode {
            /// Every code, in the order of `PROTOCOL.md`.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// Whether the same request may succeed later.
            pub fn is_retryable(self) -> bool {
                match self { $( Self::$name => $retryable, )* }
            }
        }
    };
}

codes! {
    /// The first request of a connection was not `Hello`.
    NotAuthed = "not_authed", false;
    /// The token is not one of ours, or is cut short.
    InvalidAuth = "invalid_auth", false;
    /// The token's time is over.
    TokenExpired = "token_expired", false;
    /// The user has been deactivated.
    AccountInactive = "account_inactive", false;
    /// No such channel for this caller: unknown, private or of another tenant.
    ChannelNotFound = "channel_not_found", false;
    /// The caller is not a member of the channel.
    NotInChannel = "not_in_channel", false;
    /// No such user in this workspace.
    UserNotFound = "user_not_found", false;
    /// No such workspace.
    WorkspaceNotFound = "workspace_not_found", false;
    /// No message has this `ts`.
    MessageNotFound = "message_not_found", false;
    /// No thread starts at this `thread_ts`.
    ThreadNotFound = "thread_not_found", false;
    /// Only its author edits a message.
    CantUpdateMessage = "cant_update_message", false;
    /// Only its author or an admin deletes a message.
    CantDeleteMessage = "cant_delete_message", false;
    /// The text is empty.
    NoText = "no_text", false;
    /// The text has more than 40,000 characters.
    MsgTooLong = "msg_too_long", false;
    /// The caller has reacted to the message with this emoji already.
    AlreadyReacted = "already_reacted", false;
    /// The caller has not reacted to the message with this emoji.
    NoReaction = "no_reaction", false;
    /// The message has as many different reactions as a message may have.
    TooManyEmoji = "too_many_emoji", false;
    /// The message is pinned to its channel already.
    AlreadyPinned = "already_pinned", false;
    /// The message is not pinned to its channel.
    NoPin = "no_pin", false;
    /// The channel has as many pins as a channel may have.
    TooManyPins = "too_many_pins", false;
    /// The caller has starred this already.
    AlreadyStarred = "already_starred", false;
    /// The caller has not starred this.
    NotStarred = "not_starred", false;
    /// The channel is archived.
    IsArchived = "is_archived", false;
    /// The channel is archived already.
    AlreadyArchived = "already_archived", false;
    /// The channel is not archived.
    NotArchived = "not_archived", false;
    /// A topic or a purpose has more than 250 characters.
    TooLong = "too_long", false;
    /// No emoji of the workspace has this name.
    EmojiNotFound = "emoji_not_found", false;
    /// There are as many of them as there may be.
    TooMany = "too_many", false;
    /// The name is in use.
    NameTaken = "name_taken", false;
    /// The name is empty, too long, or has characters that names may not have.
    InvalidName = "invalid_name", false;
    /// The cursor is not one of ours.
    InvalidCursor = "invalid_cursor", false;
    /// A field is missing, out of range or of the wrong kind.
    InvalidArguments = "invalid_arguments", false;
    /// A private channel is joined by invitation only.
    MethodNotSupportedForChannelType = "method_not_supported_for_channel_type", false;
    /// No such method.
    UnknownMethod = "unknown_method", false;
    /// No region has this name.
    RegionNotFound = "region_not_found", false;
    /// Only operators and admins may do this.
    NotAllowed = "not_allowed", false;
    /// The frame cannot be decoded.
    Malformed = "malformed", false;
    /// The frame is over the limit.
    TooLarge = "too_large", false;
    /// Too many requests; wait `retry_after_ms`.
    Ratelimited = "ratelimited", true;
    /// A quorum is out of reach, or no answer came in time. Safe to repeat
    /// under the same `client_msg_id`.
    Unavailable = "unavailable", true;
    /// This node does not lead the cell; the routes are being refreshed.
    NotLeader = "not_leader", true;
    /// The leader's disk is nearly full: nothing was done, and leadership moves to
    /// a node with room.
    StorageFull = "storage_full", true;
    /// The node is being drained: reconnect elsewhere.
    Draining = "draining", true;
    /// A bug. The node's log has the details.
    InternalError = "internal_error", true;
}

impl ErrorCode {
    /// Reads a code; an unknown one (of a newer version) is `None`.
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn after_colon(message: &str) -> String {
    match message.is_empty() {
        true => String::new(),
        false => format!(": {message}"),
    }
}

/// A refusal with its code and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}{}", after_colon(message))]
pub struct ApiError {
    /// The stable code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Wait at least this long before a retry; 0 = as the caller likes.
    pub retry_after_ms: u32,
}

impl ApiError {
    /// An error without a waiting time.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: 0,
        }
    }

    /// The wire form.
    pub fn to_wire(&self) -> client::Error {
        client::Error {
            code: self.code.as_str().to_owned(),
            message: self.message.clone(),
            retryable: self.code.is_retryable(),
            retry_after_ms: self.retry_after_ms,
            pops: Vec::new(),
        }
    }

    /// Reads the wire form. A code of a newer version becomes `unavailable`
    /// when it may be retried and `invalid_arguments` when not; its text is kept
    /// in the message.
    pub fn from_wire(error: client::Error) -> Self {
        let (code, message) = match ErrorCode::from_wire(&error.code) {
            Some(code) => (code, error.message),
            None => {
                let code = if error.retryable {
                    ErrorCode::Unavailable
                } else {
                    ErrorCode::InvalidArguments
                };
                (code, format!("{}: {}", error.code, error.message))
            }
        };
        Self {
            code,
            message,
            retry_after_ms: error.retry_after_ms,
        }
    }

    /// This error as the answer to a request.
    pub fn into_response(self) -> client::Response {
        client::Response {
            result: Some(client::response::Result::Error(self.to_wire())),
            ..client::Response::default()
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_snake_case_and_read_back() {
        for &code in ErrorCode::ALL {
            let text = code.as_str();
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert_eq!(ErrorCode::from_wire(text), Some(code));
        }
    }

    #[test]
    fn the_wire_form_round_trips_and_newer_codes_keep_their_meaning() {
        for &code in ErrorCode::ALL {
            let error = ApiError::new(code, "why");
            assert_eq!(ApiError::from_wire(error.to_wire()), error);
        }
        let newer = client::Error {
            code: "on_fire".into(),
            message: "run".into(),
            retryable: true,
            retry_after_ms: 7,
            ..client::Error::default()
        };
        let read = ApiError::from_wire(newer);
        assert_eq!(read.code, ErrorCode::Unavailable);
        assert_eq!(read.message, "on_fire: run");
        assert_eq!(read.retry_after_ms, 7);
    }
}
