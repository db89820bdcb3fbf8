//! What the operator wrote, proven right.
//!
//! [`load`] reads a file or a folder into what the file says (private, serde) and
//! resolves that into [`Config`]: every name exists, every limit is in range. All
//! mistakes are listed at once, each with file, line and caret.
//! Knows nothing of tokio, of wasm, or of what the secrets hold.

mod defaults;
mod document;
mod error;
mod excerpt;
mod file;
mod form;
mod locate;
mod lost;
mod matching;
mod merge;
mod model;
mod one_key;
mod place;
mod resolve;
mod schema;
mod shape;
mod source;
mod spelling;
mod walk;
mod warnings;
mod yaml;

use std::path::Path;

pub use document::{
    parse_address, parse_period, parse_size, problem_at, read_yaml, read_yaml_to_first_mistake,
};
pub use error::{ConfigError, Problem, Problems};
pub use locate::{locate, locate_in, render};
pub use matching::glob_holds;
pub use model::*;
pub use one_key::OneKey;
pub use schema::{json_schema, json_schema_with};
use source::Source;
pub use spelling::{nearest, printable, quote, steers_terminal};
pub use warnings::ConfigWarning;

/// Reads a configuration: one file, or a folder whose `*.yaml` and `*.yml` files
/// are merged in the order of their names.
///
/// Relative paths in it are taken from the file's folder, or the folder itself.
///
/// # Errors
/// [`ConfigError`] says what cannot be read or what is wrong, and where.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let found = source::read(path)?;
    from_sources(&found.sources, &found.base)
}

/// Reads a configuration from `text`, shown as `file_name` in messages; relative
/// paths are taken from `base_dir`.
///
/// # Errors
/// As [`load`], save for what concerns the file system.
pub fn parse_str(text: &str, file_name: &str, base_dir: &Path) -> Result<Config, ConfigError> {
    let source = Source::new(file_name.into(), text.to_owned());
    from_sources(&[source], base_dir)
}

fn from_sources(sources: &[Source], base: &Path) -> Result<Config, ConfigError> {
    let forms = sources.iter().map(form::read).collect();
    let (merged, problems) = merge::merge(forms, sources)?;
    resolve::resolve(merged, problems, sources, base)
}
