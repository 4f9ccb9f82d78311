//! Reading a Slack export in its folder form: `users.json`, `channels.json`, and
//! a folder of days for each channel.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use causeway_protocol::Timestamp;
use causeway_protocol::limits::{NAME_CHARS_MAX, TEXT_CHARS_MAX};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{ExportError, Place, Problem, Problems};

/// An export, ready to be replayed.
#[derive(Debug, Default)]
pub struct Export {
    /// Its users, by their id in the export.
    pub users: BTreeMap<String, ExportUser>,
    /// Its channels.
    pub channels: Vec<ExportChannel>,
    /// Messages without a text, such as those of files: there is nothing to send.
    pub skipped: usize,
    /// Members of channels whom `users.json` does not have and who never wrote.
    pub unknown_members: usize,
}

/// A user of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportUser {
    /// The name, unique in the export.
    pub name: String,
    /// The name in full.
    pub real_name: String,
}

/// A channel of an export.
#[derive(Debug, Clone)]
pub struct ExportChannel {
    /// The name.
    pub name: String,
    /// Members, and whoever has ever posted; ids of the export.
    pub members: BTreeSet<String>,
    /// Messages in order of time.
    pub messages: Vec<ExportMessage>,
}

/// A message of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportMessage {
    /// When it was sent.
    pub ts: Timestamp,
    /// By whom; an id of the export.
    pub user: String,
    /// The text.
    pub text: String,
}

#[derive(Deserialize)]
struct UserJson {
    id: String,
    name: String,
    #[serde(default)]
    real_name: Option<String>,
}

#[derive(Deserialize)]
struct ChannelJson {
    name: String,
    #[serde(default)]
    members: Vec<String>,
}

#[derive(Deserialize)]
struct MessageJson {
    ts: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

impl Export {
    /// Reads the export in `folder`, all of it or nothing: a replay accounts for
    /// every message as it stands there.
    ///
    /// # Errors
    /// The file that is missing or is not what it should be, or the entries that
    /// cannot be replayed as they are.
    pub fn read(folder: &Path) -> Result<Self, ExportError> {
        let mut reader = Reader {
            folder,
            export: Self::default(),
            names: HashSet::new(),
            problems: Problems::default(),
        };
        reader.read_users()?;
        reader.read_channels()?;
        reader.problems.into_result()?;
        Ok(reader.export)
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.channels.iter().map(|c| c.messages.len()).sum()
    }
}

/// Reading under way.
struct Reader<'a> {
    folder: &'a Path,
    export: Export,
    /// Of users.
    names: HashSet<String>,
    problems: Problems,
}

impl Reader<'_> {
    fn read_users(&mut self) -> Result<(), ExportError> {
        let (mut ids, mut names) = (HashMap::new(), HashMap::new());
        for (place, user) in self.read_list::<UserJson>("users.json")? {
            let real_name = user.real_name.unwrap_or_default();
            let chars = real_name.chars().count();
            if chars > NAME_CHARS_MAX {
                let problem = Problem::RealNameTooLong(chars);
                self.problems.add(place.clone(), problem);
            }
            self.take(&mut ids, &user.id, &place);
            self.take(&mut names, &user.name, &place);
            self.names.insert(user.name.clone());
            let name = user.name;
            let user_of_export = ExportUser { name, real_name };
            self.export.users.insert(user.id, user_of_export);
        }
        Ok(())
    }

    fn read_channels(&mut self) -> Result<(), ExportError> {
        let mut names = HashMap::new();
        for (place, channel) in self.read_list::<ChannelJson>("channels.json")? {
            if !is_folder_name(&channel.name) {
                self.problems.add(place, Problem::Folder(channel.name));
            } else if self.take(&mut names, &channel.name, &place) {
                self.read_channel(channel)?;
            }
        }
        Ok(())
    }

    /// Whether nobody before had the name.
    fn take(&mut self, taken: &mut HashMap<String, Place>, name: &str, place: &Place) -> bool {
        match taken.entry(name.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(place.clone());
                true
            }
            Entry::Occupied(by) => {
                let (name, by) = (name.to_owned(), by.get().clone());
                let problem = Problem::Taken { name, by };
                self.problems.add(place.clone(), problem);
                false
            }
        }
    }

    fn read_channel(&mut self, channel: ChannelJson) -> Result<(), ExportError> {
        let mut messages = Vec::new();
        let mut seen = HashMap::new();
        for day in self.days(&channel.name)? {
            for (place, message) in self.read_list::<MessageJson>(&day)? {
                match self.message(message, &place, &mut seen) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => self.export.skipped += 1,
                    Err(problem) => self.problems.add(place, problem),
                }
            }
        }
        messages.sort_by_key(|message| message.ts);
        let posters = messages.iter().map(|message| message.user.clone());
        let mut members: BTreeSet<String> = posters.collect();
        for id in channel.members {
            if self.export.users.contains_key(&id) {
                members.insert(id);
            } else {
                self.export.unknown_members += 1;
            }
        }
        self.export.channels.push(ExportChannel {
            name: channel.name,
            members,
            messages,
        });
        Ok(())
    }

    /// The message, if it has a text.
    fn message(
        &mut self,
        message: MessageJson,
        place: &Place,
        seen: &mut HashMap<(Timestamp, String), Place>,
    ) -> Result<Option<ExportMessage>, Problem> {
        let text = message.text.unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let chars = text.chars().count();
        if chars > TEXT_CHARS_MAX {
            return Err(Problem::TextTooLong(chars));
        }
        let ts = message.ts.parse();
        let ts: Timestamp = ts.map_err(|_| Problem::Ts(message.ts))?;
        let user = self.author(message.user, message.username);
        if let Some(first) = seen.insert((ts, user.clone()), place.clone()) {
            return Err(Problem::Twice(first));
        }
        Ok(Some(ExportMessage { ts, user, text }))
    }

    /// Who wrote a message; bots and people who are gone become users, too.
    fn author(&mut self, user: Option<String>, username: Option<String>) -> String {
        let id = user.or(username).unwrap_or_else(|| "slackbot".into());
        if !self.export.users.contains_key(&id) {
            let user = ExportUser {
                name: self.bot_name(&id),
                real_name: String::new(),
            };
            self.export.users.insert(id.clone(), user);
        }
        id
    }

    /// A name that no user has, the same in every replay of this export.
    fn bot_name(&mut self, id: &str) -> String {
        let clean = |c: char| match c.is_whitespace() || c.is_control() {
            true => '-',
            false => c,
        };
        let name = format!("bot.{}", id.chars().map(clean).collect::<String>());
        let mut free: String = name.chars().take(NAME_CHARS_MAX).collect();
        let mut number = 1;
        while self.names.contains(&free) {
            number += 1;
            let end = format!("-{number}");
            let begin = name.chars().take(NAME_CHARS_MAX - end.len());
            free = begin.collect::<String>() + &end;
        }
        self.names.insert(free.clone());
        free
    }

    /// The files of a channel, from the export's folder on, in order of time.
    fn days(&self, channel: &str) -> Result<Vec<String>, ExportError> {
        let path = self.folder.join(channel);
        // A channel without messages may have none.
        if !path.is_dir() {
            return Ok(Vec::new());
        }
        let mut days = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(|e| read_error(&path, e))? {
            let name = entry.map_err(|e| read_error(&path, e))?.file_name();
            if let Some(name) = name.to_str().filter(|name| name.ends_with(".json")) {
                days.push(format!("{channel}/{name}"));
            }
        }
        days.sort();
        Ok(days)
    }

    /// The entries of a file's list; those that are something else are problems.
    fn read_list<T: DeserializeOwned>(
        &mut self,
        file: &str,
    ) -> Result<Vec<(Place, T)>, ExportError> {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).map_err(|e| read_error(&path, e))?;
        let list: Vec<Value> =
            serde_json::from_str(&text).map_err(|source| ExportError::Json { path, source })?;
        let mut entries = Vec::new();
        for (index, value) in list.into_iter().enumerate() {
            let file = file.to_owned();
            let place = Place { file, index };
            match serde_json::from_value(value) {
                Ok(entry) => entries.push((place, entry)),
                Err(error) => self.problems.add(place, Problem::Json(error.to_string())),
            }
        }
        Ok(entries)
    }
}

fn read_error(path: &Path, source: std::io::Error) -> ExportError {
    let path = PathBuf::from(path);
    ExportError::Read { path, source }
}

fn is_folder_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let first = parts.next();
    matches!(first, Some(Component::Normal(part)) if part == name) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn messages_are_in_order_of_time_and_everybody_who_wrote_is_a_member() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(
            folder,
            "users.json",
            r#"[{"id":"U1","name":"ada","real_name":"Ada"}]"#,
        );
        write(
            folder,
            "channels.json",
            r#"[{"name":"general","members":["U1","U9"]},{"name":"empty","members":[]}]"#,
        );
        write(
            folder,
            "general/2016-01-02.json",
            r#"[{"ts":"200.000001","user":"U1","text":"later"}]"#,
        );
        write(
            folder,
            "general/2016-01-01.json",
            r#"[{"ts":"100.5","username":"a bot","text":"first"},
                {"ts":"150","user":"U1","text":""},
                {"ts":"120","user":"U2","text":"海"}]"#,
        );
        let export = Export::read(folder).unwrap();
        let general = &export.channels[0];
        let texts: Vec<_> = general.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["first", "海", "later"]);
        let members: Vec<_> = general.members.iter().map(String::as_str).collect();
        assert_eq!(members, ["U1", "U2", "a bot"]);
        assert_eq!(export.users["a bot"].name, "bot.a-bot");
        assert_eq!(
            (export.messages(), export.channels[1].messages.len()),
            (3, 0)
        );
        assert_eq!((export.skipped, export.unknown_members), (1, 1));
    }

    const USERS: &str = r#"[{"id":"U1","name":"ada"}]"#;
    const CHANNELS: &str = r#"[{"name":"general"}]"#;

    fn read(users: &str, channels: &str, day: &str) -> Result<Export, Problems> {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "users.json", users);
        write(folder.path(), "channels.json", channels);
        write(folder.path(), "general/2016-01-01.json", day);
        match Export::read(folder.path()) {
            Ok(export) => Ok(export),
            Err(ExportError::Problems(problems)) => Err(problems),
            Err(other) => panic!("{other}"),
        }
    }

    fn place(file: &str, index: usize) -> Place {
        let file = file.to_owned();
        Place { file, index }
    }

    #[test]
    fn what_would_be_lost_or_changed_is_refused_with_its_place() {
        const DAY: &str = "general/2016-01-01.json";
        let long = "海".repeat(TEXT_CHARS_MAX + 1);
        let day = serde_json::json!([
            {"ts": "1.5", "user": "U1", "text": "fine"},
            {"ts": "yesterday", "user": "U1", "text": "when?"},
            {"ts": "2", "user": "U1", "text": long},
            {"ts": "1.500000", "user": "U1", "text": "again"},
            {"ts": "1.5", "user": "U2", "text": "fine"},
            {"ts": 3, "user": "U1", "text": "a number"},
        ]);
        let problems = read(USERS, CHANNELS, &day.to_string()).unwrap_err();
        assert_eq!(problems.count, 4);
        // Entries that are no messages are found before the others are looked at.
        let [json, ts, text, twice] = &problems.first[..] else {
            panic!("{problems}");
        };
        assert_eq!(json.0, place(DAY, 5));
        assert!(matches!(json.1, Problem::Json(_)));
        assert_eq!(ts.0, place(DAY, 1));
        assert!(matches!(&ts.1, Problem::Ts(ts) if ts == "yesterday"));
        let too_long = Problem::TextTooLong(TEXT_CHARS_MAX + 1);
        assert_eq!(*text, (place(DAY, 2), too_long));
        assert_eq!(*twice, (place(DAY, 3), Problem::Twice(place(DAY, 0))));
        let told = problems.to_string();
        assert!(told.contains("4 problems"), "{told}");
        let line = "general/2016-01-01.json[2]: its text has 40001 characters";
        assert!(told.contains(line), "{told}");
    }

    #[test]
    fn many_problems_are_counted_and_the_first_told() {
        let bad = r#"{"ts":"x","text":"a"}"#;
        let day = format!("[{}]", vec![bad; 100].join(","));
        let told = read(USERS, CHANNELS, &day).unwrap_err().to_string();
        for part in ["100 problems", "[4]: its ts `x`", "and 95 more"] {
            assert!(told.contains(part), "`{part}` is missing in: {told}");
        }
    }

    #[test]
    fn names_and_ids_are_there_once() {
        let users =
            r#"[{"id":"U1","name":"ada"},{"id":"U1","name":"bob"},{"id":"U3","name":"ada"}]"#;
        let channels = r#"[{"name":"general"},{"name":"general"}]"#;
        let told = read(users, channels, "[]").unwrap_err().to_string();
        for part in [
            "users.json[1]: `U1` is taken by users.json[0]",
            "users.json[2]: `ada` is taken by users.json[0]",
            "channels.json[1]: `general` is taken by channels.json[0]",
        ] {
            assert!(told.contains(part), "`{part}` is missing in: {told}");
        }
    }

    #[test]
    fn long_real_names_and_channels_outside_of_the_export_are_refused() {
        let users = format!(r#"[{{"id":"U1","name":"ada","real_name":"{:081}"}}]"#, 0);
        for (name, channels) in [
            ("..", r#"[{"name":".."}]"#),
            ("/tmp", r#"[{"name":"/tmp"}]"#),
            ("general/", r#"[{"name":"general/"}]"#),
        ] {
            let problems = read(&users, channels, "[]").unwrap_err();
            let real_name = (place("users.json", 0), Problem::RealNameTooLong(81));
            let folder = (place("channels.json", 0), Problem::Folder(name.into()));
            assert_eq!(problems.first, [real_name, folder]);
        }
    }

    #[test]
    fn bots_have_names_of_their_own() {
        let long = "x".repeat(100);
        let day = serde_json::json!([
            {"ts": "1", "username": "a bot", "text": "1"},
            {"ts": "2", "username": "a-bot", "text": "2"},
            {"ts": "3", "username": long.clone() + "1", "text": "3"},
            {"ts": "4", "username": long.clone() + "2", "text": "4"},
        ]);
        let export = read(USERS, CHANNELS, &day.to_string()).unwrap();
        let names: BTreeSet<&str> = export.users.values().map(|u| u.name.as_str()).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(names.contains("bot.a-bot") && names.contains("bot.a-bot-2"));
        assert!(
            names
                .iter()
                .all(|name| name.chars().count() <= NAME_CHARS_MAX)
        );
    }

    #[test]
    fn a_folder_that_is_no_export_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Export::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("users.json"), "{error}");
    }
}
