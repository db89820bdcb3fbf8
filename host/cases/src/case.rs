//! A case: its text, and what was read from it.
//!
//! Everything is checked when it is read, so that running a case cannot meet a mistake of
//! its author's. Bounded in number and size.

mod resolve;

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use tollgate_capabilities::Place;
use tollgate_config::{Problems, problem_at, read_yaml, read_yaml_to_first_mistake};
use tollgate_sandbox::contract::{Ending, Endpoint, Event, Target, Usage};

use crate::{
    budget::Budget,
    file::{CaseFile, Fails, Store},
};
use resolve::{At, resolve};

/// Of one folder.
const CASES_MAX: usize = 1_000;
/// Of one case.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// Why a case cannot be read; `Display` is a whole message for its author.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The text is wrong.
    #[error("{0}")]
    Wrong(Problems),
    /// The file system refused.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than a case may have.
    #[error("{}: larger than a case may be: {} KiB", path.display(), BYTES_MAX >> 10)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// More than a folder may have.
    #[error("{}: more than {CASES_MAX} cases", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

/// One case that can be run.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file's name without its ending.
    pub name: String,
    /// Where it stands, for messages.
    pub file: PathBuf,
    /// The file's text.
    pub text: String,
    /// What it shows, as its author says.
    pub about: Option<String>,
    /// What it may cost.
    pub budget: Budget,
    pub(crate) settings: Value,
    pub(crate) given: Given,
    pub(crate) request: Request,
    pub(crate) target: Target,
    /// Whether the policy is attached to it, and not to the route.
    pub(crate) is_at_target: bool,
    /// What the target has to pick from.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) answer: Answer,
    /// `None`: the case says nothing of what must come of it.
    pub(crate) expect: Option<Value>,
}

/// What capabilities answer.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) now_ms: u64,
    pub(crate) seed: u64,
    pub(crate) kv: Vec<(String, Vec<u8>)>,
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) secrets: BTreeMap<String, Option<String>>,
    pub(crate) places: BTreeMap<IpAddr, Place>,
    pub(crate) calls: Vec<Call>,
    pub(crate) unavailable: Vec<Store>,
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) result: Result<Document, Fails>,
}

#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) facts: BTreeMap<String, String>,
    pub(crate) route: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) document: Document,
    /// `None`: it is no stream.
    pub(crate) events: Option<Vec<Event>>,
    pub(crate) together: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) ending: Ending,
}

/// Reads every `*.yaml` and `*.yml` of a folder, by name; a folder that is not there has
/// none.
///
/// # Errors
/// The first case that cannot be read.
pub fn read_folder(folder: &Path) -> Result<Vec<Case>, CaseError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CaseError::Unreadable { path, source }
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable(folder))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_case = path
            .extension()
            .is_some_and(|is| is == "yaml" || is == "yml");
        if is_case && !hidden {
            files.push(path);
        }
        if files.len() > CASES_MAX {
            let path = folder.to_owned();
            return Err(CaseError::TooMany { path });
        }
    }
    files.sort();
    let read = |path: PathBuf| {
        let size = fs::metadata(&path).map_err(unreadable(&path))?.len();
        if size > BYTES_MAX as u64 {
            return Err(CaseError::TooLarge { path });
        }
        let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
        Case::read(&path, text)
    };
    files.into_iter().map(read).collect()
}

impl Case {
    /// Reads a case; `file` is where its text stands, and what names it.
    ///
    /// # Errors
    /// Every mistake of form, or the first of meaning, each with its line.
    pub fn read(file: &Path, text: String) -> Result<Self, CaseError> {
        let read = |text: &str| read_yaml(text, file);
        Self::read_with(file, text, read)
    }

    /// As [`read`](Self::read), of a stranger's text: it is read once, however wrong it is.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub(crate) fn read_shipped(file: &Path, text: String) -> Result<Self, CaseError> {
        let read = |text: &str| read_yaml_to_first_mistake(text, file).map_err(Problems::from);
        Self::read_with(file, text, read)
    }

    fn read_with(
        file: &Path,
        text: String,
        read: impl FnOnce(&str) -> Result<CaseFile, Problems>,
    ) -> Result<Self, CaseError> {
        if text.len() > BYTES_MAX {
            let path = file.to_owned();
            return Err(CaseError::TooLarge { path });
        }
        let written = read(&text).map_err(CaseError::Wrong)?;
        let resolved = resolve(file, written);
        resolved
            .map(|case| Self {
                text: text.clone(),
                ..case
            })
            .map_err(|At(pointer, message)| {
                CaseError::Wrong(problem_at(&text, file, &pointer, &message).into())
            })
    }

    /// What the plugin is set to.
    #[must_use]
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// Whether it shows that something never goes live.
    #[must_use]
    pub fn is_refused_at_load(&self) -> bool {
        let expect = self.expect.as_ref();
        expect.is_some_and(|expect| {
            expect
                .get("load_error")
                .is_some_and(|error| !error.is_null())
        })
    }
}
