//! Why a candidate did not go live, with the place to mend.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tollgate_config::{Location, Policy, locate, render};

use super::snapshot;

/// How far a candidate came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The files were read.
    Load,
    /// The plugins were compiled and configured.
    Compile,
    /// The whole was tried.
    Prove,
}

impl Stage {
    /// The word for it in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Compile => "compile",
            Self::Prove => "prove",
        }
    }
}

/// A candidate that was refused; the generation before it goes on serving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// How far it came.
    pub stage: Stage,
    /// A stable word for the reason, such as `config` or `not_wasm`.
    pub code: String,
    /// The file to mend.
    pub file: Option<PathBuf>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// The whole message, with file, line and reason; may have several lines.
    pub message: String,
    /// Each of the refusals that this one is made of, if it is made of several.
    #[serde(skip)]
    pub parts: Box<[Self]>,
    /// A file that generations are not made of, and that this one was refused for: once it
    /// changes, another may not be.
    #[serde(skip)]
    pub awaits: Option<Box<PathBuf>>,
}

impl Refused {
    /// A refusal that no file is to blame for.
    pub(crate) fn new(stage: Stage, code: &str, message: impl fmt::Display) -> Self {
        Self {
            stage,
            code: code.to_owned(),
            file: None,
            line: None,
            message: message.to_string(),
            parts: Box::default(),
            awaits: None,
        }
    }

    /// A refusal because of `file` as a whole.
    pub(crate) fn file(
        stage: Stage,
        code: &str,
        file: impl Into<PathBuf>,
        reason: impl fmt::Display,
    ) -> Self {
        let file = file.into();
        let message = format!("{}: {reason}", file.display());
        Self {
            file: Some(file),
            ..Self::new(stage, code, message)
        }
    }

    /// A refusal because of what stands at a JSON pointer in the configuration that
    /// was read from `source`; of all of it where that is not found.
    pub(crate) fn written(
        stage: Stage,
        code: &str,
        (source, pointer): (&Path, &str),
        reason: impl fmt::Display,
    ) -> Self {
        match written_at(source, pointer) {
            Some(at) => Self::at(stage, code, at, reason),
            None => Self::file(stage, code, source, reason),
        }
    }

    /// A refusal because of what stands there.
    pub(crate) fn at(stage: Stage, code: &str, at: Location, reason: impl fmt::Display) -> Self {
        let message = render(&at, &reason.to_string());
        Self {
            file: Some(at.file),
            line: Some(at.line),
            ..Self::new(stage, code, message)
        }
    }

    /// Several as one: placed where the first is, with the messages of all.
    pub(crate) fn all(refused: Vec<Self>) -> Option<Self> {
        let parts: Vec<Self> = refused.into_iter().flat_map(Self::into_parts).collect();
        let mut first = parts.first()?.clone();
        if parts.len() > 1 {
            let messages: Vec<&str> = parts.iter().map(|part| part.message.as_str()).collect();
            first.message = messages.join("\n\n");
            first.awaits = parts.iter().find_map(|part| part.awaits.clone());
            first.parts = parts.into();
        }
        Some(first)
    }

    /// Each for itself.
    #[must_use]
    pub fn into_parts(mut self) -> Vec<Self> {
        match self.parts.is_empty() {
            true => vec![self],
            false => std::mem::take(&mut self.parts).into_vec(),
        }
    }
}

/// Where a policy's own `key` is written; where it is not, its plugin.
pub(super) fn policy_at(source: &Path, (name, policy): (&str, &Policy), key: &str) -> Location {
    let own = |key: &str| written_at(source, &format!("/policies/{}/{key}", token(name)));
    let at = own(key).or_else(|| own("plugin"));
    at.unwrap_or_else(|| policy.settings_at.clone())
}

/// A name as a part of a JSON pointer.
pub(super) fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Of several files, the one that has it: elsewhere only what is above it is found.
pub(super) fn written_at(source: &Path, pointer: &str) -> Option<Location> {
    let (above, _) = pointer.rsplit_once('/')?;
    let files = snapshot::configuration_files(source);
    files.iter().find_map(|file| {
        locate(file, pointer).filter(|found| locate(file, above).as_ref() != Some(found))
    })
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}
