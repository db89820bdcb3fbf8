//! What can be wrong with a configuration, and how it is shown.
//!
//! A [`Problem`] is one mistake at one place; its text is the place, what is wrong,
//! the line itself with a caret, and what was expected. Only that one line is shown,
//! since its neighbours may hold what has no place in a log.

use std::{fmt, io, path::PathBuf};

use crate::{excerpt::Excerpt, model::Location};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file system refused.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A folder, a device or a pipe stands where a file was expected.
    #[error("{}: is {found}, where a configuration file was expected", path.display())]
    NotAFile { path: PathBuf, found: &'static str },
    /// A folder without a single `*.yaml` or `*.yml`.
    #[error("{}: holds no configuration: expected files named *.yaml or *.yml", path.display())]
    EmptyFolder { path: PathBuf },
    /// A folder of more files than a configuration can have.
    #[error("{}: holds more than {limit} configuration files", path.display())]
    TooManyFiles { path: PathBuf, limit: usize },
    /// More bytes, all files together, than a configuration can have.
    #[error("{}: larger than a configuration may be: {} MiB, all files together", path.display(), limit_bytes >> 20)]
    TooLarge { path: PathBuf, limit_bytes: u64 },
    /// The bytes are not UTF-8 from this place on.
    #[error("{}: not UTF-8: a configuration is UTF-8 text", at(location))]
    NotUtf8 { location: Location },
    /// The text is wrong: every mistake that was found.
    #[error("{0}")]
    Invalid(Problems),
}

/// At least one mistake, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    more: usize,
    is_cut: bool,
}

impl Problems {
    /// As many are kept; the others are only counted.
    pub(crate) const KEPT: usize = 100;

    pub(crate) fn new(problems: Vec<Problem>, is_cut: bool) -> Self {
        let mut all = Self {
            is_cut,
            ..Self::default()
        };
        for problem in problems {
            all.add(|| problem);
        }
        all.in_order()
    }

    pub(crate) fn add(&mut self, problem: impl FnOnce() -> Problem) {
        if self.kept.len() < Self::KEPT {
            self.kept.push(problem());
        } else {
            self.more += 1;
        }
    }

    /// Whether something there is wrong already.
    pub(crate) fn are_at(&self, location: &Location) -> bool {
        self.kept
            .iter()
            .any(|problem| problem.location == *location)
    }

    /// Not all was looked at.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// `value`, if nothing was wrong with it.
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, ConfigError> {
        match self.kept.is_empty() {
            true => Ok(value),
            false => Err(self.into_error()),
        }
    }

    pub(crate) fn into_error(self) -> ConfigError {
        ConfigError::Invalid(self.in_order())
    }

    fn in_order(mut self) -> Self {
        self.kept.sort_by(|a, b| {
            let place = |p: &Problem| (p.location.line, p.location.column);
            a.location
                .file
                .cmp(&b.location.file)
                .then_with(|| place(a).cmp(&place(b)))
        });
        self
    }

    /// The mistakes, each with its place; the first hundred if there are more.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.kept.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.kept.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        match (self.more, self.is_cut) {
            (0, false) => Ok(()),
            (0, true) => f.write_str("\n\nand there may be more"),
            (more, false) => write!(f, "\n\nand {more} more"),
            (more, true) => write!(f, "\n\nand at least {more} more"),
        }
    }
}

impl From<Problem> for Problems {
    fn from(only: Problem) -> Self {
        Self::new(vec![only], false)
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub location: Location,
    /// What is wrong, in one line.
    pub message: String,
    /// What would have been right, if that can be said.
    pub expected: Option<String>,
    pub(crate) excerpt: Option<Excerpt>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", at(&self.location), self.message)?;
        if let Some(Excerpt {
            shown,
            before_caret,
        }) = &self.excerpt
        {
            let number = self.location.line.to_string();
            let gutter = " ".repeat(number.len());
            let indent = " ".repeat(*before_caret);
            write!(f, "\n{gutter} |\n{number} | {shown}\n{gutter} | {indent}^")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected {expected}")?;
        }
        Ok(())
    }
}

/// `file:line:column`.
fn at(location: &Location) -> String {
    format!(
        "{}:{}:{}",
        location.file.display(),
        location.line,
        location.column
    )
}
