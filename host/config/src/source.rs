//! The text of a configuration: one file, or the files of a folder.
//!
//! Bounded before it is read: only regular files, only so many bytes. Names that
//! start with a dot are passed over, as are the links a ConfigMap volume is made of.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    error::{ConfigError, Problem},
    excerpt::Excerpt,
    model::Location,
    place::Place,
};

/// Of all files of a configuration together.
const MAX_BYTES: u64 = 8 << 20;
const MAX_FILES: usize = 1000;

/// One file of a configuration.
#[derive(Debug)]
pub(crate) struct Source {
    /// As it is shown: what the operator named, joined with the file's name.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    pub(crate) fn location(&self, place: Place) -> Location {
        Location {
            file: self.path.clone(),
            line: place.line,
            column: place.column,
        }
    }

    pub(crate) fn problem(
        &self,
        place: Place,
        message: String,
        expected: Option<String>,
    ) -> Problem {
        Problem {
            location: self.location(place),
            message,
            expected,
            excerpt: self
                .line(place.line)
                .map(|line| Excerpt::new(line, place.column)),
        }
    }

    /// Without the mark that a text may start with, which no column counts.
    fn line(&self, number: usize) -> Option<&str> {
        let text = self.text.trim_start_matches('\u{feff}');
        text.lines().nth(number - 1)
    }
}

/// The files found, and the folder that their relative paths start from.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sources: Vec<Source>,
    pub(crate) base: PathBuf,
}

pub(crate) fn read(path: &Path) -> Result<Found, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(Found {
            sources: read_folder(path)?,
            base: absolute,
        });
    }
    let base = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Found {
        sources: vec![read_file(path, &mut { MAX_BYTES })?],
        base,
    })
}

fn read_folder(folder: &Path) -> Result<Vec<Source>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if is_configuration(Path::new(&name)) {
            names.push(name);
        }
        if names.len() > MAX_FILES {
            return Err(ConfigError::TooManyFiles {
                path: folder.to_owned(),
                limit: MAX_FILES,
            });
        }
    }
    if names.is_empty() {
        return Err(ConfigError::EmptyFolder {
            path: folder.to_owned(),
        });
    }
    names.sort();
    let mut left = MAX_BYTES;
    names
        .iter()
        .map(|name| read_file(&folder.join(name), &mut left))
        .collect()
}

fn is_configuration(name: &Path) -> bool {
    let hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
    !hidden && name.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// Reads a file of at most `left` bytes, and takes its size off `left`.
pub(crate) fn read_file(path: &Path, left: &mut u64) -> Result<Source, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() {
            "a folder"
        } else {
            "a device, a socket or a pipe"
        };
        return Err(ConfigError::NotAFile {
            path: path.to_owned(),
            found,
        });
    }
    let too_large = || ConfigError::TooLarge {
        path: path.to_owned(),
        limit_bytes: MAX_BYTES,
    };
    if metadata.len() > *left {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(*left + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    *left = left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(path, &error))?;
    Ok(Source::new(path.to_owned(), text))
}

/// As [`read_file`], for a message about a file that was read before.
pub(crate) fn read_again(path: &Path) -> Option<Source> {
    read_file(path, &mut { MAX_BYTES }).ok()
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> ConfigError {
    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line_start = good
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |newline| newline + 1);
    let line = 1 + good.iter().filter(|&&b| b == b'\n').count();
    let column = 1 + String::from_utf8_lossy(&good[line_start..]).chars().count();
    ConfigError::NotUtf8 {
        location: Location {
            file: path.to_owned(),
            line,
            column,
        },
    }
}
