//! The three layers of a configuration, and the errors that name where a value
//! came from.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::ConfigError;

const PREFIX: &str = "CAUSEWAY_";

/// Values that take the place of those in the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Vec<Override>);

#[derive(Debug, Clone)]
struct Override {
    /// The variable or flag, for errors.
    source: String,
    section: String,
    key: String,
    value: String,
}

impl Overrides {
    /// From the environment, and then from `--set section.key=value`.
    ///
    /// # Errors
    /// [`ConfigError::Override`] for a flag without a section, key or value.
    pub fn new(
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut all = Vec::new();
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            // Others, such as CAUSEWAY_WORLD, are for the tools.
            if let Some((section, key)) = rest.split_once('_') {
                all.push(Override {
                    section: section.to_lowercase(),
                    key: key.to_lowercase(),
                    source: name.clone(),
                    value,
                });
            }
        }
        for flag in flags {
            let parts = flag.split_once('=').and_then(|(name, value)| {
                let (section, key) = name.split_once('.')?;
                Some((section, key, value))
            });
            let (section, key, value) = parts.ok_or_else(|| ConfigError::Override {
                name: format!("--set {flag}"),
                message: "write it as section.key=value".into(),
            })?;
            all.push(Override {
                section: section.into(),
                key: key.into(),
                source: format!("--set {flag}"),
                value: value.into(),
            });
        }
        Ok(Self(all))
    }
}

/// Reads a file, lays the overrides over it, and makes a `T` of both.
pub(super) fn load<T: DeserializeOwned>(
    path: &Path,
    overrides: &Overrides,
) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })?;
    let in_file = |e: toml::de::Error| ConfigError::File {
        path: path.into(),
        message: e.to_string(),
    };
    if overrides.0.is_empty() {
        return toml::from_str(&text).map_err(in_file);
    }
    // Alone, the file may lack what the overrides supply; whatever else is wrong
    // with it is told with its line.
    if let Err(error) = toml::from_str::<T>(&text)
        && !error.message().starts_with("missing field")
    {
        return Err(in_file(error));
    }
    let mut table: Table = toml::from_str(&text).map_err(in_file)?;
    for change in &overrides.0 {
        apply(&mut table, change);
        // Each by itself, so that the error names the one that is wrong.
        check::<T>(&table, change)?;
    }
    T::deserialize(table).map_err(in_file)
}

fn apply(table: &mut Table, change: &Override) {
    let section = table
        .entry(change.section.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(change.key.clone(), value(&change.value));
    }
}

/// Numbers, booleans and lists as in TOML; everything else is a text.
fn value(text: &str) -> Value {
    let parsed: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn check<T: DeserializeOwned>(table: &Table, change: &Override) -> Result<(), ConfigError> {
    match T::deserialize(table.clone()) {
        Err(error) if !error.message().starts_with("missing field") => Err(ConfigError::Override {
            name: change.source.clone(),
            message: error.message().to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct File {
        node: Node,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Node {
        name: String,
        #[serde(default)]
        cells: u32,
        #[serde(default)]
        seeds: Vec<String>,
    }

    fn load_text(text: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<File, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
        let overrides = Overrides::new(env, &flags).map_err(|e| e.to_string())?;
        load(&path, &overrides).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_win_over_the_environment_and_both_over_the_file() {
        let file = load_text(
            "[node]\nname = \"a\"\ncells = 1\n",
            &[
                ("CAUSEWAY_NODE_CELLS", "2"),
                ("CAUSEWAY_NODE_NAME", "b"),
                ("HOME", "/"),
            ],
            &["node.cells=3", "node.seeds=[\"x\", \"y\"]"],
        );
        let node = Node {
            name: "b".into(),
            cells: 3,
            seeds: vec!["x".into(), "y".into()],
        };
        assert_eq!(file, Ok(File { node }));
    }

    #[test]
    fn the_environment_may_supply_what_the_file_lacks() {
        let file = load_text("[node]\ncells = 1\n", &[("CAUSEWAY_NODE_NAME", "b")], &[]);
        assert_eq!(file.unwrap().node.name, "b");
    }

    #[test]
    fn a_typo_is_named_with_file_line_and_key() {
        for overrides in [&[][..], &["node.cells=3"][..]] {
            let error = load_text("[node]\nname = \"a\"\ncels = 1\n", &[], overrides);
            let error = error.unwrap_err();
            for part in ["node.toml", "line 3", "cels"] {
                assert!(error.contains(part), "`{part}` is missing in: {error}");
            }
        }
    }

    #[test]
    fn a_wrong_override_is_named() {
        let text = "[node]\nname = \"a\"\n";
        let error = load_text(text, &[], &["node.cells=many"]).unwrap_err();
        assert!(error.contains("--set node.cells=many"), "{error}");
        let error = load_text(text, &[("CAUSEWAY_NODE_CELS", "1")], &[]).unwrap_err();
        assert!(error.contains("CAUSEWAY_NODE_CELS"), "{error}");
        assert!(load_text(text, &[], &["cells=1"]).is_err());
    }
}
