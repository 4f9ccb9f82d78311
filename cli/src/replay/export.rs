//! Reading a Slack export in its folder form: `users.json`, `channels.json`, and
//! a folder of days for each channel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use causeway_protocol::Timestamp;
use causeway_protocol::limits::{NAME_CHARS_MAX, TEXT_CHARS_MAX};
use serde::Deserialize;

/// An export, ready to be replayed.
#[derive(Debug, Default)]
pub struct Export {
    /// Its users, by their id in the export.
    pub users: BTreeMap<String, ExportUser>,
    /// Its channels.
    pub channels: Vec<ExportChannel>,
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
    /// Reads the export in `folder`.
    ///
    /// # Errors
    /// The file that is missing or is not what it should be.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let users: Vec<UserJson> = read_json(&folder.join("users.json"))?;
        let channels: Vec<ChannelJson> = read_json(&folder.join("channels.json"))?;
        let mut export = Self::default();
        for user in users {
            let real_name = user.real_name.unwrap_or_default();
            let user_of_export = ExportUser {
                name: user.name,
                real_name: real_name.chars().take(NAME_CHARS_MAX).collect(),
            };
            export.users.insert(user.id, user_of_export);
        }
        for channel in channels {
            let messages = read_days(&folder.join(&channel.name))?;
            export.add_channel(channel, messages);
        }
        Ok(export)
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.channels.iter().map(|c| c.messages.len()).sum()
    }

    fn add_channel(&mut self, channel: ChannelJson, messages: Vec<MessageJson>) {
        let mut replayed = Vec::new();
        for message in messages {
            let Ok(ts) = message.ts.parse() else {
                continue;
            };
            let text = message.text.unwrap_or_default();
            let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
            if text.is_empty() {
                continue;
            }
            let user = self.author(message.user, message.username);
            replayed.push(ExportMessage { ts, user, text });
        }
        replayed.sort_by_key(|message| message.ts);
        let known = |id: &String| self.users.contains_key(id);
        let members = channel.members.into_iter().filter(known);
        let posters = replayed.iter().map(|message| message.user.clone());
        self.channels.push(ExportChannel {
            name: channel.name,
            members: members.chain(posters).collect(),
            messages: replayed,
        });
    }

    /// Who wrote a message; bots and people who are gone become users, too.
    fn author(&mut self, user: Option<String>, username: Option<String>) -> String {
        let id = user.or(username).unwrap_or_else(|| "slackbot".into());
        self.users.entry(id.clone()).or_insert_with(|| {
            let clean = |c: char| {
                if c.is_whitespace() || c.is_control() {
                    '-'
                } else {
                    c
                }
            };
            let name = id.chars().map(clean).take(NAME_CHARS_MAX - 4);
            ExportUser {
                name: format!("bot.{}", name.collect::<String>()),
                real_name: String::new(),
            }
        });
        id
    }
}

fn read_days(folder: &Path) -> anyhow::Result<Vec<MessageJson>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut days = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            days.push(path);
        }
    }
    days.sort();
    let mut messages = Vec::new();
    for day in days {
        messages.extend(read_json::<Vec<MessageJson>>(&day)?);
    }
    Ok(messages)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => bail!("{}: {error} (is this a Slack export?)", path.display()),
    };
    serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
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
    }

    #[test]
    fn a_folder_that_is_no_export_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Export::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("users.json"), "{error}");
    }
}
