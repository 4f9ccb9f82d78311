//! What keeps an export from being replayed as it is: each problem with the
//! place where it stands, so that it can be mended there.

use std::fmt;
use std::path::PathBuf;

use causeway_protocol::limits::{NAME_CHARS_MAX, TEXT_CHARS_MAX};
use thiserror::Error;

/// Problems that are told one by one.
const TOLD: usize = 5;

/// An export that cannot be replayed.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read (is this a Slack export?)")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no JSON, or not the list that it should be.
    #[error("{path}: {source}")]
    Json {
        /// Which.
        path: PathBuf,
        /// Line, column, and what is wrong.
        source: serde_json::Error,
    },
    /// Parts of it would be lost or changed.
    #[error("the export cannot be replayed as it is: {0}")]
    Problems(Problems),
}

/// An entry of a file's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, from the export's folder on.
    pub file: String,
    /// Counted from 0.
    pub index: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.file, self.index)
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// Not a message, user or channel.
    #[error("{0}")]
    Json(String),
    /// Its time cannot be read.
    #[error("its ts `{0}` is not seconds, a point and six digits")]
    Ts(String),
    /// Its text is too long.
    #[error("its text has {0} characters, and {TEXT_CHARS_MAX} are allowed")]
    TextTooLong(usize),
    /// The same message stands elsewhere.
    #[error("{0} has the same channel, ts and user")]
    Twice(Place),
    /// Another user or channel has the id or name.
    #[error("`{name}` is taken by {by}")]
    Taken {
        /// The id or name.
        name: String,
        /// Who has it.
        by: Place,
    },
    /// A name in full is too long.
    #[error("its real_name has {0} characters, and {NAME_CHARS_MAX} are allowed")]
    RealNameTooLong(usize),
    /// A channel's name cannot be that of its folder.
    #[error("no folder of the export can be called `{0}`")]
    Folder(String),
}

/// The first problems, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones.
    pub first: Vec<(Place, Problem)>,
    /// Of all.
    pub count: usize,
}

impl Problems {
    /// Takes one in.
    pub fn add(&mut self, place: Place, problem: Problem) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push((place, problem));
        }
    }

    /// Nothing, when there are none.
    ///
    /// # Errors
    /// All of them.
    pub fn into_result(self) -> Result<(), ExportError> {
        match self.count {
            0 => Ok(()),
            _ => Err(ExportError::Problems(self)),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        write!(f, "{} problem{plural}", self.count)?;
        for (place, problem) in &self.first {
            write!(f, "\n  {place}: {problem}")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\n  … and {more} more"),
        }
    }
}
