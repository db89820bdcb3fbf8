//! What the policy is set to while it is developed.
//!
//! From a file that says what a policy's entry in a configuration says; else from the
//! crate's first case that goes live; else nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_cases::{CaseError, read_folder};
use tollgate_config::{Problems, read_yaml};

/// In the crate's folder, unless another is named.
const FILE: &str = "dev.yaml";
/// Of the file.
const BYTES_MAX: u64 = 1 << 20;

/// What a policy's entry says besides its plugin, and the secrets that it may be granted.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) settings: Map<String, Value>,
    #[serde(default)]
    pub(super) grants: Map<String, Value>,
    pub(super) on_error: Option<Value>,
    pub(super) isolation: Option<Value>,
    pub(super) limits: Option<Value>,
    #[serde(default)]
    pub(super) secrets: Map<String, Value>,
    /// Where they come from, in words.
    #[serde(skip)]
    pub(super) from: String,
}

/// Why there are none. `Display` is a whole message.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Wrong(Problems),
    #[error(transparent)]
    Case(#[from] CaseError),
}

/// The file that is read if it is there.
pub(super) fn usual_file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

impl Settings {
    /// Reads the file that was named, or the crate's own.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn find(folder: &Path, named: Option<&Path>) -> Result<Self, SettingsError> {
        let usual = usual_file(folder);
        if let Some(file) = named {
            return Self::read(file);
        }
        if usual.is_file() {
            return Self::read(&usual);
        }
        let cases = read_folder(&folder.join("cases"))?;
        let mut live = cases.into_iter().filter(|case| !case.is_refused_at_load());
        Ok(live.next().map_or_else(
            || Self {
                from: "none".to_owned(),
                ..Self::default()
            },
            |case| Self {
                settings: case.settings().as_object().cloned().unwrap_or_default(),
                from: format!("of the case {}", case.name),
                ..Self::default()
            },
        ))
    }

    fn read(file: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable {
            path: file.to_owned(),
            source,
        };
        if fs::metadata(file).map_err(unreadable)?.len() > BYTES_MAX {
            let message = format!("more than {BYTES_MAX} bytes");
            return Err(unreadable(io::Error::other(message)));
        }
        let text = fs::read_to_string(file).map_err(unreadable)?;
        let settings: Self = if text.trim().is_empty() {
            Self::default()
        } else {
            read_yaml(&text, file).map_err(SettingsError::Wrong)?
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            from: format!("of {name}"),
            ..settings
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const CASES: &[(&str, &str)] = &[
        (
            "cases/a-refused.yaml",
            "settings: { max: -1 }\nexpect: { load_error: no }",
        ),
        (
            "cases/b-good.yaml",
            "settings: { max: 1 }\nexpect: { on_request: { verdict: next } }",
        ),
    ];

    #[test]
    fn settings_are_those_of_the_first_case_that_goes_live() {
        let folder = folder(CASES);
        let found = Settings::find(folder.path(), None).unwrap();
        assert_eq!(Value::Object(found.settings), json!({ "max": 1 }));
        assert_eq!(found.from, "of the case b-good");
    }

    #[test]
    fn a_file_goes_before_the_cases_and_one_that_is_named_before_that() {
        let folder = folder(
            &[
                CASES,
                &[("dev.yaml", "settings: { max: 2 }\ngrants: { kv: true }")],
            ]
            .concat(),
        );
        let found = Settings::find(folder.path(), None).unwrap();
        assert_eq!(Value::Object(found.settings), json!({ "max": 2 }));
        assert_eq!(Value::Object(found.grants), json!({ "kv": true }));
        let other = folder.path().join("other.yaml");
        fs::write(&other, "").unwrap();
        let found = Settings::find(folder.path(), Some(&other)).unwrap();
        assert!(found.settings.is_empty());
        assert_eq!(found.from, "of other.yaml");
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        let folder = folder(&[("dev.yaml", "settings: {}\ngrant: { kv: true }\n")]);
        let error = Settings::find(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("dev.yaml:2:1"), "{error}");
        let error = Settings::find(folder.path(), Some(Path::new("no-such.yaml"))).unwrap_err();
        assert!(error.to_string().starts_with("no-such.yaml: "), "{error}");
    }

    #[test]
    fn a_crate_without_either_has_none() {
        let folder = folder(&[]);
        let found = Settings::find(folder.path(), None).unwrap();
        assert!(found.settings.is_empty());
        assert_eq!(found.from, "none");
    }
}
