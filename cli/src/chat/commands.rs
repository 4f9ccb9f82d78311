//! Lines that begin with a slash, as they are meant.

/// What `/help` shows.
pub const HELP: &[&str] = &[
    "Enter sends; Alt+Enter begins a new line",
    "Up, Down: lines typed before; Tab: completes a name after @",
    "Alt+Up, Alt+Down or Ctrl+P, Ctrl+N: other channel",
    "Ctrl+K: go to a channel by the beginning of its name",
    "PageUp, PageDown, wheel: scroll; at the top, older messages load",
    "Ctrl+Up, Ctrl+Down (or with Shift): mark a message",
    "Shift and the mouse: select text, as the terminal does it",
    "Esc: close, unmark, back to the newest, dismiss refused messages",
    "Ctrl+R: reconnect to the nearest PoP; Ctrl+L: draw everything anew",
    "Ctrl+C: quit",
    "",
    "/join NAME              join a public channel, or go to it",
    "/create NAME [private]  create a channel",
    "/leave                  leave this channel",
    "/reply TEXT             reply to the marked or the last message",
    "/edit [TEXT]            change your marked or last message",
    "/delete                 delete your marked or last message",
    "/who                    members of this channel",
    "/quit",
    "//TEXT                  send a line that begins with a slash",
    "",
    "# public channel   ◆ private channel",
    "◷ on its way   ✗ refused   ↳ in a thread",
];

/// A line that was entered.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A message.
    Text(&'a str),
    /// Join this channel.
    Join(&'a str),
    /// Create this channel, private or not.
    Create(&'a str, bool),
    /// Leave the shown channel.
    Leave,
    /// Change a message; without a text, offer the present one.
    Edit(&'a str),
    /// Delete a message.
    Delete,
    /// Reply in a thread.
    Reply(&'a str),
    /// List the members.
    Who,
    /// List keys and commands.
    Help,
    /// End.
    Quit,
    /// A command that lacks something, and how it is meant.
    Usage(&'static str),
    /// No such command.
    Unknown(&'a str),
}

/// Reads a line.
pub fn parse(line: &str) -> Line<'_> {
    let Some(command) = line.strip_prefix('/') else {
        return Line::Text(line);
    };
    if command.starts_with('/') {
        return Line::Text(command);
    }
    let (name, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim();
    let mut words = rest.split_whitespace();
    let first = words.next().map(|name| name.trim_start_matches('#'));
    match (name, first.filter(|name| !name.is_empty())) {
        ("join", Some(channel)) => Line::Join(channel),
        ("join", None) => Line::Usage("/join NAME"),
        ("create", Some(channel)) => match (words.next(), words.next()) {
            (None, _) => Line::Create(channel, false),
            (Some("private"), None) => Line::Create(channel, true),
            _ => Line::Usage("/create NAME, or /create NAME private"),
        },
        ("create", None) => Line::Usage("/create NAME [private]"),
        ("leave", _) => Line::Leave,
        ("edit", _) => Line::Edit(rest),
        ("delete", _) => Line::Delete,
        ("reply", _) if rest.is_empty() => Line::Usage("/reply TEXT"),
        ("reply", _) => Line::Reply(rest),
        ("who", _) => Line::Who,
        ("help", _) => Line::Help,
        ("quit", _) => Line::Quit,
        _ => Line::Unknown(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_texts_or_commands() {
        assert_eq!(parse("hello / there"), Line::Text("hello / there"));
        assert_eq!(parse("//etc/hosts"), Line::Text("/etc/hosts"));
        assert_eq!(parse("/join #tide"), Line::Join("tide"));
        assert_eq!(parse("/create tide"), Line::Create("tide", false));
        assert_eq!(parse("/create tide private"), Line::Create("tide", true));
        assert_eq!(parse("/edit  now\nthen "), Line::Edit("now\nthen"));
        assert_eq!(parse("/reply so be it"), Line::Reply("so be it"));
        assert_eq!(parse("/who"), Line::Who);
    }

    #[test]
    fn commands_that_lack_something_say_how_they_are_meant() {
        for line in [
            "/join",
            "/join #",
            "/create",
            "/create a b",
            "/reply ",
            "/create a private b",
        ] {
            assert!(matches!(parse(line), Line::Usage(_)), "{line}");
        }
        assert_eq!(parse("/frobnicate now"), Line::Unknown("frobnicate"));
        assert_eq!(parse("/"), Line::Unknown(""));
    }
}
