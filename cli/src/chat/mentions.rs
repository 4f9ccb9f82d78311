//! Mentions: a name is completed as one types it behind `@`, goes out as the id that it
//! means, and is shown as a name again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use causeway_protocol::mention::{Mention, mentions};
use causeway_protocol::{ChannelId, UserId, client};

use super::app::App;
use super::ask::Ask;
use super::people::People;
use super::text::one_line;

/// Names that are offered at a time.
pub const OFFERED_MAX: u32 = 5;
/// Names that were taken and are remembered. With more the memory starts over.
const TAKEN_MAX: usize = 100;

/// Users that are asked for, of those whom a message mentions: others choose how many.
const WANTED_MAX: usize = 10;

/// Names for what is being typed, and whom those mean that were taken.
#[derive(Debug, Default)]
pub struct Completion {
    /// Where, and what stands behind the `@`, as it was asked for last.
    asked: Option<(ChannelId, String)>,
    offered: Vec<(UserId, String)>,
    taken: BTreeMap<String, UserId>,
}

impl Completion {
    /// Something else is being typed. Returns whether it is to be asked for.
    fn types(&mut self, typed: Option<(ChannelId, String)>) -> bool {
        if self.asked == typed {
            return false;
        }
        self.asked = typed;
        self.offered.clear();
        self.asked.is_some()
    }

    /// Users whose names begin like that. An answer that comes too late is of no use.
    fn found(&mut self, channel: ChannelId, prefix: &str, users: &[client::User]) {
        let is_wanted = |(at, typed): &(ChannelId, String)| *at == channel && typed == prefix;
        if self.asked.as_ref().is_some_and(is_wanted) {
            let named = users.iter().filter(|user| !user.name.is_empty());
            let offered = named.map(|user| (UserId(user.id), one_line(&user.name)));
            self.offered = offered.take(OFFERED_MAX as usize).collect();
        }
    }

    /// Takes the first name that is offered.
    fn take(&mut self) -> Option<String> {
        let (user, name) = self.offered.drain(..).next()?;
        if self.taken.len() >= TAKEN_MAX {
            self.taken.clear();
        }
        self.taken.insert(name.clone(), user);
        Some(name)
    }

    /// A text as it goes out: with ids in place of names that were taken.
    pub fn spelled(&self, text: &str) -> String {
        let mut spelled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            let (before, from) = rest.split_at(at);
            spelled += before;
            match self.meant(&from[1..]).filter(|_| may_begin(&spelled)) {
                Some((name, user)) => {
                    spelled += &format!("<@{user}>");
                    rest = &from[1 + name.len()..];
                }
                None => {
                    spelled.push('@');
                    rest = &from[1..];
                }
            }
        }
        spelled + rest
    }

    /// The longest of the names that a text begins with.
    fn meant(&self, text: &str) -> Option<(&str, UserId)> {
        let taken = self.taken.iter().map(|(name, user)| (&**name, *user));
        let fitting = taken.filter(|(name, _)| text.strip_prefix(name).is_some_and(ends_a_name));
        fitting.max_by_key(|(name, _)| name.len())
    }
}

/// Whether an `@` behind this begins a mention: not in an address, nor in an id.
pub fn may_begin(before: &str) -> bool {
    let last = before.chars().next_back();
    last.is_none_or(|c| !c.is_alphanumeric() && c != '<')
}

/// Whether a name is over where this follows.
fn ends_a_name(rest: &str) -> bool {
    let mut signs = rest.chars();
    match signs.next() {
        Some('.' | '-' | '_') => !signs.next().is_some_and(char::is_alphanumeric),
        sign => !sign.is_some_and(char::is_alphanumeric),
    }
}

/// A text with names in place of ids.
pub fn named<'a>(text: &'a str, people: &People) -> Cow<'a, str> {
    let (mut named, mut rest) = (String::new(), text);
    while let Some((before, marked)) = rest.split_once("<@") {
        named += before;
        match id(marked) {
            Some((user, after)) => {
                named += "@";
                named += &people.name(user);
                rest = after;
            }
            None => {
                named += "<@";
                rest = marked;
            }
        }
    }
    match named.is_empty() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(named + rest),
    }
}

/// The id that a mention is of, and what comes behind it.
fn id(marked: &str) -> Option<(UserId, &str)> {
    let (inside, after) = marked.split_once('>')?;
    let id = inside.split('|').next()?;
    Some((id.parse().ok()?, after))
}

impl App {
    /// Asks whom the user may mean, when that has changed: now, or not at all.
    pub(super) fn pump_mentions(&mut self) {
        let prefix = self.input.mention().filter(|_| self.popup.is_none());
        let typed = self.current.zip(prefix.map(str::to_owned));
        if self.completion.types(typed.clone())
            && self.link.is_up()
            && let Some((channel, prefix)) = typed
        {
            self.ask(Ask::Complete { channel, prefix });
        }
    }

    /// Whom the user may mean.
    pub(super) fn on_completed(
        &mut self,
        channel: ChannelId,
        prefix: &str,
        users: &[client::User],
    ) {
        for user in users {
            self.people.learn(user);
        }
        self.completion.found(channel, prefix, users);
    }

    /// Puts the first name that is offered into the line.
    pub(super) fn complete(&mut self) {
        if let Some(name) = self.completion.take() {
            self.recall.forget_place();
            if !self.input.complete(&name) {
                self.complain("the line is full: the rest was not taken");
            }
            self.has_typed();
        }
    }

    /// The names that are offered, as a sentence.
    pub(super) fn offered_text(&self) -> Option<String> {
        let names = self.completion.offered.iter();
        let names: Vec<_> = names.map(|(_, name)| format!("@{name}")).collect();
        (!names.is_empty()).then(|| format!("Tab: {}", names.join(" · ")))
    }

    /// Those who are mentioned have come into sight.
    pub(super) fn want_mentioned(&mut self, text: &str) {
        for mention in mentions(text).take(WANTED_MAX) {
            if let Mention::User(user) = mention {
                self.people.want(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;

    use super::*;

    fn user(number: u32, name: &str) -> client::User {
        client::User {
            id: UserId::new(WorkspaceId(1), number).0,
            name: name.into(),
            ..client::User::default()
        }
    }

    /// These names have been taken, of users with the numbers 1, 2, ….
    fn taken(names: &[&str]) -> Completion {
        let mut completion = Completion::default();
        for (number, name) in (1..).zip(names) {
            let channel = ChannelId(5);
            completion.types(Some((channel, (*name).to_owned())));
            completion.found(channel, name, &[user(number, name)]);
            assert_eq!(completion.take().as_deref(), Some(*name));
        }
        completion
    }

    #[test]
    fn names_that_were_taken_go_out_as_ids_and_others_as_they_are() {
        let completion = taken(&["bo", "bo.lee", "海"]);
        for (text, wanted) in [
            ("@bo, see @bo.lee.", "<@U04000001>, see <@U04000002>."),
            ("(@bo)@海", "(<@U04000001>)<@U04000003>"),
            ("@bob @bo-b @ann @", "@bob @bo-b @ann @"),
            ("a@bo and <@bo", "a@bo and <@bo"),
            ("no names", "no names"),
        ] {
            assert_eq!(completion.spelled(text), wanted);
        }
    }

    #[test]
    fn what_was_taken_is_bounded() {
        let names: Vec<String> = (0..=TAKEN_MAX).map(|n| format!("user{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(taken(&names).taken.len(), 1);
    }

    #[test]
    fn an_answer_to_what_is_no_longer_typed_is_of_no_use() {
        let mut completion = Completion::default();
        let typed = |prefix: &str| Some((ChannelId(5), prefix.to_owned()));
        assert!(completion.types(typed("b")) && !completion.types(typed("b")));
        assert!(completion.types(typed("bo")));
        completion.found(ChannelId(5), "b", &[user(1, "bea")]);
        assert_eq!(completion.take(), None);
        completion.found(ChannelId(5), "bo", &[user(2, ""), user(3, "bo")]);
        assert!(!completion.types(None), "nothing is to be asked for");
        assert_eq!(completion.take(), None);
    }

    #[test]
    fn ids_are_shown_as_names_and_all_else_as_it_is() {
        let mut people = People::default();
        people.learn(&user(1, "bo"));
        for (text, wanted) in [
            ("<@U04000001> and <@U04000001|x>!", "@bo and @bo!"),
            ("hi <@U04000002>", "hi @U04000002"),
            ("<@bo> <@ <@U04000001", "<@bo> <@ <@U04000001"),
            ("plain", "plain"),
        ] {
            assert_eq!(named(text, &people), wanted);
        }
    }
}
