//! The three layers of a configuration, and the errors that name where a value
//! came from.

use std::ffi::OsString;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::ConfigError;
use super::checks::WrongValue;

const PREFIX: &str = "CAUSEWAY_";

/// A kind of configuration file.
pub(super) trait ConfigFile: DeserializeOwned {
    /// The names of its sections.
    const SECTIONS: &'static [&'static str];

    /// Refuses values that parse and still cannot be.
    fn check(&self) -> Result<(), WrongValue>;
}

/// Values that take the place of those in the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Vec<Override>);

#[derive(Debug, Clone)]
struct Override {
    /// The variable or flag, for errors.
    source: String,
    /// A flag is meant for this node; a variable may be there for another.
    is_flag: bool,
    section: String,
    key: String,
    /// `None` = not UTF-8.
    value: Option<String>,
}

impl Overrides {
    /// From the environment, and then from `--set section.key=value`.
    ///
    /// # Errors
    /// [`ConfigError::Override`] for a flag without a section, key or value.
    pub fn new(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let variables = environment
            .into_iter()
            .filter_map(|(name, value)| from_variable(name.to_str()?, value));
        let mut all: Vec<_> = variables.collect();
        for flag in flags {
            all.push(from_flag(flag)?);
        }
        Ok(Self(all))
    }

    /// Variables with our prefix that mean nothing in a file of these sections.
    pub(super) fn ignored(&self, sections: &[&str]) -> Vec<String> {
        let ignored = self.0.iter().filter(|change| !change.applies(sections));
        ignored.map(|change| change.source.clone()).collect()
    }

    /// Which variable or flag has set the key, if one has.
    fn source_of(&self, section: &str, key: &str) -> Option<String> {
        let mut changes = self.0.iter().rev();
        let set_by = changes.find(|change| change.section == section && change.key == key);
        set_by.map(|change| change.source.clone())
    }
}

impl Override {
    fn applies(&self, sections: &[&str]) -> bool {
        self.is_flag || sections.contains(&self.section.as_str())
    }

    fn value(&self) -> Result<&str, ConfigError> {
        let value = self.value.as_deref();
        value.ok_or_else(|| ConfigError::Override {
            name: self.source.clone(),
            message: "its value is not UTF-8".into(),
        })
    }
}

fn from_variable(name: &str, value: OsString) -> Option<Override> {
    let value = value.into_string().ok();
    // Others, such as CAUSEWAY_WORLD, are for the tools.
    let (section, key) = name.strip_prefix(PREFIX)?.split_once('_')?;
    if describes_a_service(key, value.as_deref().unwrap_or_default()) {
        return None;
    }
    Some(Override {
        source: name.to_owned(),
        is_flag: false,
        section: section.to_lowercase(),
        key: key.to_lowercase(),
        value,
    })
}

/// Kubernetes tells every container of all services, so that next to a service
/// `causeway-http` there are `CAUSEWAY_HTTP_SERVICE_HOST`, `…_SERVICE_PORT_WEB`,
/// `…_PORT=tcp://…` and `…_PORT_443_TCP_ADDR`.
fn describes_a_service(key: &str, value: &str) -> bool {
    let words: Vec<&str> = key.split('_').collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    words.ends_with(&["SERVICE", "HOST"])
        || words.windows(2).any(|pair| pair == ["SERVICE", "PORT"])
        || words.ends_with(&["PORT"]) && is_url
        || words.windows(3).any(|three| {
            three[0] == "PORT" && is_number(three[1]) && ["TCP", "UDP", "SCTP"].contains(&three[2])
        })
}

fn from_flag(flag: &str) -> Result<Override, ConfigError> {
    let parts = flag.split_once('=').and_then(|(name, value)| {
        let (section, key) = name.split_once('.')?;
        Some((section, key, value))
    });
    let (section, key, value) = parts.ok_or_else(|| ConfigError::Override {
        name: format!("--set {flag}"),
        message: "write it as section.key=value".into(),
    })?;
    Ok(Override {
        source: format!("--set {flag}"),
        is_flag: true,
        section: section.into(),
        key: key.into(),
        value: Some(value.into()),
    })
}

/// Reads a file, lays the overrides over it, makes a `T` of both, and checks it.
pub(super) fn load<T: ConfigFile>(path: &Path, overrides: &Overrides) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })?;
    let file: T = parse(path, &text, overrides)?;
    file.check().map_err(|wrong| ConfigError::Value {
        path: path.into(),
        set_by: overrides.source_of(wrong.section, wrong.key),
        wrong: Box::new(wrong),
    })?;
    Ok(file)
}

fn parse<T: ConfigFile>(path: &Path, text: &str, overrides: &Overrides) -> Result<T, ConfigError> {
    let in_file = |e: toml::de::Error| ConfigError::File {
        path: path.into(),
        message: e.to_string(),
    };
    let changes = || overrides.0.iter().filter(|c| c.applies(T::SECTIONS));
    if changes().next().is_none() {
        return toml::from_str(text).map_err(in_file);
    }
    // Alone, the file may lack what the overrides supply; whatever else is wrong
    // with it is told with its line.
    if let Err(error) = toml::from_str::<T>(text)
        && !error.message().starts_with("missing field")
    {
        return Err(in_file(error));
    }
    let mut table: Table = toml::from_str(text).map_err(in_file)?;
    for change in changes() {
        apply(&mut table, change, change.value()?);
        // Each by itself, so that the error names the one that is wrong.
        check::<T>(&table, change)?;
    }
    T::deserialize(table).map_err(in_file)
}

fn apply(table: &mut Table, change: &Override, text: &str) {
    let section = table
        .entry(change.section.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(change.key.clone(), value(text));
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
    use std::os::unix::ffi::OsStringExt;

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

    impl ConfigFile for File {
        const SECTIONS: &'static [&'static str] = &["node"];

        fn check(&self) -> Result<(), WrongValue> {
            if self.node.cells < 100 {
                return Ok(());
            }
            Err(WrongValue {
                section: "node",
                key: "cells",
                value: self.node.cells.to_string(),
                wanted: "fewer".into(),
            })
        }
    }

    fn load_text(text: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<File, String> {
        let env = env.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        load_with(text, env, flags)
    }

    fn load_with(
        text: &str,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[&str],
    ) -> Result<File, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
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

    const NAMED: &str = "[node]\nname = \"a\"\n";

    #[test]
    fn what_kubernetes_sets_for_services_is_ignored() {
        for (name, value) in [
            // Of services called causeway, causeway-edge and causeway-node.
            ("CAUSEWAY_SERVICE_HOST", "10.0.0.1"),
            ("CAUSEWAY_SERVICE_PORT_HTTPS", "443"),
            ("CAUSEWAY_PORT", "tcp://10.0.0.1:443"),
            ("CAUSEWAY_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("CAUSEWAY_EDGE_PORT", "tcp://10.0.0.1:443"),
            ("CAUSEWAY_NODE_SERVICE_HOST", "10.0.0.1"),
            ("CAUSEWAY_NODE_SERVICE_PORT", "443"),
            ("CAUSEWAY_NODE_SERVICE_PORT_WEB", "443"),
            ("CAUSEWAY_NODE_PORT", "udp://10.0.0.1:443"),
            ("CAUSEWAY_NODE_PORT_443_UDP", "udp://10.0.0.1:443"),
            ("CAUSEWAY_NODE_PORT_443_TCP_PROTO", "tcp"),
            ("CAUSEWAY_NODE_METRICS_PORT_80_TCP_PORT", "80"),
        ] {
            let file = load_text(NAMED, &[(name, value)], &[]);
            assert_eq!(file.map(|file| file.node.cells), Ok(0), "{name}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_refused() {
        for (name, value) in [
            ("CAUSEWAY_NODE_PORT", "8080"),
            ("CAUSEWAY_NODE_PORT_NUMBER", "8080"),
            ("CAUSEWAY_NODE_SERVICE", "a"),
            ("CAUSEWAY_NODE_HOST", "tcp://10.0.0.1:443"),
        ] {
            let error = load_text(NAMED, &[(name, value)], &[]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn variables_of_other_sections_are_ignored_and_told_but_flags_are_refused() {
        let variable = ("CAUSEWAY_CLIENTS_LISTEN", "127.0.0.1:1");
        assert!(load_text(NAMED, &[variable], &[]).is_ok());
        let error = load_text(NAMED, &[], &["clients.listen=x"]).unwrap_err();
        assert!(error.contains("--set clients.listen=x"), "{error}");

        let env = ["CAUSEWAY_CLIENTS_LISTEN", "CAUSEWAY_NODE_CELLS", "HOME"];
        let env = env.map(|name| (name.into(), "1".into()));
        let overrides = Overrides::new(env, &[]).unwrap();
        assert_eq!(
            overrides.ignored(File::SECTIONS),
            ["CAUSEWAY_CLIENTS_LISTEN"]
        );
    }

    #[test]
    fn variables_that_are_not_unicode_matter_only_where_they_are_ours() {
        let garbage = || OsString::from_vec(vec![b'x', 0xff]);
        let load = |name: OsString| load_with(NAMED, [(name, garbage())], &[]);
        for name in [garbage(), "LANG".into(), "CAUSEWAY_CLIENTS_CA".into()] {
            assert!(load(name).is_ok());
        }
        let error = load("CAUSEWAY_NODE_NAME".into()).unwrap_err();
        for part in ["CAUSEWAY_NODE_NAME", "UTF-8"] {
            assert!(error.contains(part), "`{part}` is missing in: {error}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_is_named_with_file_key_and_who_set_it() {
        let text = "[node]\nname = \"a\"\ncells = 100\n";
        let error = load_text(text, &[], &[]).unwrap_err();
        assert!(
            error.ends_with("node.toml: [node] cells = 100: fewer"),
            "{error}"
        );
        let error = load_text(text, &[], &["node.cells=200"]).unwrap_err();
        let set = "[node] cells = 200: fewer (--set node.cells=200)";
        assert!(error.ends_with(set), "{error}");
    }
}
