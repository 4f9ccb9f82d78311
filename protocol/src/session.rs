//! The states of a client's session, what leads from one to the next, and whether a
//! retry can help. `PROTOCOL.md` has the same as tables.

use std::fmt;

use crate::{CloseCode, ErrorCode};

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// There has been none yet: a PoP is looked for, or its welcome awaited.
    Connecting,
    /// A PoP serves it.
    Live,
    /// It has lost its connection, and comes back with its cursors.
    Resuming,
    /// It is served, and was told to go elsewhere.
    Draining,
    /// It is over, for good.
    Closed,
}

impl State {
    /// Every state, in the order of `PROTOCOL.md`.
    pub const ALL: &'static [Self] = &[
        Self::Connecting,
        Self::Live,
        Self::Resuming,
        Self::Draining,
        Self::Closed,
    ];

    /// For programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Resuming => "resuming",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }

    /// Whether a PoP is looked for, and nobody serves the session meanwhile.
    pub fn is_seeking(self) -> bool {
        matches!(self, Self::Connecting | Self::Resuming)
    }

    /// Whether a PoP serves the session.
    pub fn is_served(self) -> bool {
        matches!(self, Self::Live | Self::Draining)
    }

    /// Where `cause` leads; the same state again is a try that has failed. `None`: it
    /// changes nothing here.
    pub fn after(self, cause: Cause) -> Option<Self> {
        match (self, cause) {
            (Self::Closed, _) => None,
            (_, Cause::LetGo) => Some(Self::Closed),
            (Self::Live, Cause::Welcomed) => None,
            (_, Cause::Welcomed) => Some(Self::Live),
            (Self::Live, Cause::GoAway) => Some(Self::Draining),
            (Self::Live | Self::Draining, Cause::Ended(_) | Cause::Reconnect) => {
                Some(Self::Resuming)
            }
            (Self::Connecting | Self::Resuming, Cause::Ended(_)) => Some(self),
            (Self::Connecting | Self::Resuming, Cause::Refused(code)) => {
                match code.is_retryable() {
                    true => Some(self),
                    false => Some(Self::Closed),
                }
            }
            // While it is served, a refusal elsewhere costs nothing.
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a retry can help, and where and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// At once, at any PoP.
    AtOnce,
    /// At once, at another PoP.
    Elsewhere,
    /// At any PoP, after the longest pause.
    Later,
    /// It cannot, or there is nothing to retry.
    No,
}

impl Retry {
    /// As `PROTOCOL.md` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::Elsewhere => "elsewhere",
            Self::Later => "later",
            Self::No => "no",
        }
    }

    /// Whether it can.
    pub fn can_help(self) -> bool {
        self != Self::No
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The end of a connection, or of the try to make one, for which no close code of this
/// version was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Nothing has come in for too long.
    TimedOut,
    /// It broke.
    Broken,
    /// It was closed with a code of a newer version.
    UnknownCode,
    /// No PoP answered.
    NotReached,
    /// TLS did not come about: the PoP's certificate is not to be trusted, or it
    /// speaks another protocol.
    TlsFailed,
    /// The hello was not answered, or with something else.
    Unanswered,
}

impl Loss {
    /// Every loss, in the order of `PROTOCOL.md`.
    pub const ALL: &'static [Self] = &[
        Self::TimedOut,
        Self::Broken,
        Self::UnknownCode,
        Self::NotReached,
        Self::TlsFailed,
        Self::Unanswered,
    ];

    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::UnknownCode => "unknown_code",
            Self::NotReached => "not_reached",
            Self::TlsFailed => "tls_failed",
            Self::Unanswered => "unanswered",
        }
    }

    /// Whether a retry can help.
    pub fn retry(self) -> Retry {
        match self {
            Self::TimedOut | Self::Broken | Self::NotReached => Retry::AtOnce,
            Self::Unanswered => Retry::Elsewhere,
            // A newer edge node may have had a reason to be left alone.
            Self::UnknownCode | Self::TlsFailed => Retry::Later,
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Either side has closed it.
    Said(CloseCode),
    /// It is gone.
    Lost(Loss),
}

impl End {
    /// Reads the code of a QUIC connection or a WebTransport session.
    pub fn from_wire(code: u64) -> Self {
        CloseCode::from_wire(code).map_or(Self::Lost(Loss::UnknownCode), Self::Said)
    }

    /// Reads the code of a WebSocket. One that is not for applications comes from
    /// something between client and edge node.
    pub fn from_socket(code: u16) -> Self {
        match CloseCode::from_socket(code) {
            Some(code) => Self::Said(code),
            None if CloseCode::is_on_socket(code) => Self::Lost(Loss::UnknownCode),
            None => Self::Lost(Loss::Broken),
        }
    }

    /// Every end, in the order of `PROTOCOL.md`.
    pub fn all() -> impl Iterator<Item = Self> {
        let said = CloseCode::ALL.iter().copied().map(Self::Said);
        said.chain(Loss::ALL.iter().copied().map(Self::Lost))
    }

    /// The code that was said, if one was.
    pub fn code(self) -> Option<CloseCode> {
        match self {
            Self::Said(code) => Some(code),
            Self::Lost(_) => None,
        }
    }

    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Said(code) => code.as_str(),
            Self::Lost(loss) => loss.as_str(),
        }
    }

    /// Whether a retry can help.
    pub fn retry(self) -> Retry {
        match self {
            Self::Said(code) => code.retry(),
            Self::Lost(loss) => loss.retry(),
        }
    }
}

/// What leads from one state to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A PoP has let the client in.
    Welcomed,
    /// The edge node wants to be left.
    GoAway,
    /// The connection has ended, or none came about.
    Ended(End),
    /// The hello was refused.
    Refused(ErrorCode),
    /// The application wants another connection.
    Reconnect,
    /// The application needs the session no more.
    LetGo,
}

impl Cause {
    /// Every cause.
    pub fn all() -> impl Iterator<Item = Self> {
        let refusals = ErrorCode::ALL.iter().copied().map(Self::Refused);
        [Self::Welcomed, Self::GoAway, Self::Reconnect, Self::LetGo]
            .into_iter()
            .chain(End::all().map(Self::Ended))
            .chain(refusals)
    }

    /// The stable code; of a refused hello, that of the error.
    pub fn code(self) -> &'static str {
        match self {
            Self::Welcomed => "welcomed",
            Self::GoAway => "go_away",
            Self::Ended(end) => end.as_str(),
            Self::Refused(code) => code.as_str(),
            Self::Reconnect => "reconnect",
            Self::LetGo => "let_go",
        }
    }

    /// Whether a retry can help.
    pub fn retry(self) -> Retry {
        match self {
            Self::Welcomed | Self::LetGo => Retry::No,
            Self::GoAway => Retry::Elsewhere,
            Self::Ended(end) => end.retry(),
            Self::Refused(code) if code.is_retryable() => Retry::Elsewhere,
            Self::Refused(_) => Retry::No,
            Self::Reconnect => Retry::AtOnce,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_snake_case() {
        let codes: Vec<_> = Cause::all().map(Cause::code).collect();
        let snake = |code: &&str| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(codes.iter().all(snake), "{codes:?}");
        let distinct: BTreeSet<_> = codes.iter().collect();
        assert_eq!(distinct.len(), codes.len());
    }

    #[test]
    fn a_code_means_the_same_on_every_transport() {
        for &code in CloseCode::ALL {
            let end = End::from_wire(code.code().into());
            assert_eq!(end, End::Said(code));
            assert_eq!(End::from_socket(code.on_socket()), end);
        }
        assert_eq!(End::from_wire(99), End::Lost(Loss::UnknownCode));
        assert_eq!(End::from_socket(4_099), End::Lost(Loss::UnknownCode));
        assert_eq!(End::from_socket(1_001), End::Lost(Loss::Broken));
    }

    #[test]
    fn closed_is_final_and_nothing_else_is() {
        for &state in State::ALL {
            let led = Cause::all().filter_map(|cause| state.after(cause));
            assert_eq!(led.count() == 0, state == State::Closed, "{state}");
        }
    }

    /// Without a session, whatever is not for good leads to another try; what is for
    /// good leads to none.
    #[test]
    fn whoever_seeks_is_told_by_the_retry_whether_to_go_on() {
        for seeking in [State::Connecting, State::Resuming] {
            for cause in Cause::all() {
                match seeking.after(cause) {
                    Some(State::Closed) => assert!(!cause.retry().can_help(), "{cause}"),
                    Some(after) if after == seeking => assert!(cause.retry().can_help()),
                    Some(after) => assert_eq!((after, cause), (State::Live, Cause::Welcomed)),
                    None => assert!(matches!(cause, Cause::GoAway | Cause::Reconnect)),
                }
            }
        }
    }
}
