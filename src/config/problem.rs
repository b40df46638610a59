//! What is wrong with a configuration, and where. Problems are collected and shown together: nobody
//! wants to start the server five times to learn of five typing errors.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from. In the order in which the layers overrule each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nobody set it.
    Default,
    /// The file as a whole.
    File(PathBuf),
    /// In the file; line and column count from 1, columns in characters.
    Line(PathBuf, usize, usize),
    /// The environment variable of that name.
    Environment(String),
    /// The flag of that name, without its dashes.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Line(path, line, column) => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What. One line, without secrets.
    pub message: String,
    /// The valid name that was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), suggestion: None }
    }

    pub(super) fn suggest(mut self, name: Option<impl Into<String>>) -> Self {
        self.suggestion = name.map(Into::into);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => Ok(()),
        }
    }
}

/// Settings that there were once, and what to do about each.
const GONE: [(&str, &str); 1] =
    [("websocket.fast_lane", "a WebSocket is served in one way now, so leave it out")];

/// What to do about a setting that there is no more, by its key.
pub(super) fn gone(key: &str) -> Option<String> {
    let (key, what) = GONE.iter().find(|(gone, _)| *gone == key)?;
    Some(format!("{key} is gone: {what}"))
}

/// Everything that is wrong, in the order file, environment, flags. Shown one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        Self(problems)
    }

    /// The problems, in order; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}
