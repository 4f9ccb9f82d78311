//! Mentions in the text of a message, in Slack's form: `<@U04000001>`, also with a name
//! behind a bar, and `<!channel>`, `<!here>` and `<!everyone>`.

use crate::id::UserId;

/// Mentions that are looked for in one text.
pub const MENTIONS_MAX: usize = 100;

/// Who is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mention {
    /// A user.
    User(UserId),
    /// Everybody in the channel.
    All,
}

/// The mentions in a text, the first [`MENTIONS_MAX`] of them.
pub fn mentions(text: &str) -> impl Iterator<Item = Mention> + '_ {
    let marked = text.split('<').skip(1);
    let inside = marked.filter_map(|rest| rest.split_once('>').map(|(inside, _)| inside));
    inside.filter_map(read).take(MENTIONS_MAX)
}

/// Whether a text mentions a user, alone or with everybody.
pub fn is_mentioned(text: &str, user: UserId) -> bool {
    mentions(text).any(|mention| mention == Mention::All || mention == Mention::User(user))
}

fn read(inside: &str) -> Option<Mention> {
    let what = inside.split('|').next()?;
    match what {
        "!channel" | "!here" | "!everyone" => Some(Mention::All),
        _ => what.strip_prefix('@')?.parse().ok().map(Mention::User),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<Mention> {
        mentions(text).collect()
    }

    #[test]
    fn users_and_everybody_are_found_and_nothing_else() {
        let ann = Mention::User(UserId(4_294_967_297));
        assert_eq!(of("hi <@U04000001>, and <@U04000001|ann>!"), [ann, ann]);
        assert_eq!(of("<!channel> <!here|here> <!everyone>"), [Mention::All; 3]);
        for text in [
            "",
            "ann",
            "@U04000001",
            "<@U04000001",
            "<@C04000005>",
            "<@>",
            "<!subteam^S1>",
            "<https://a.example|@U04000001>",
            "a < b > c",
        ] {
            assert_eq!(of(text), [], "{text}");
        }
        assert!(is_mentioned("<<@U04000001>", UserId(4_294_967_297)));
        assert!(!is_mentioned("<@U04000001>", UserId(4_294_967_298)));
        assert!(is_mentioned("<!here>", UserId(4_294_967_298)));
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_is_read_within_bounds(text in "[<>@!|U0-9a-z海]{0,400}") {
            prop_assert!(mentions(&text).count() <= MENTIONS_MAX);
        }
    }
}
