//! The folder that the demo runs from, and that its visitor edits.
//!
//! A configuration and a folder of plugins, as an operator would keep them. Every
//! change is a write beside and a rename, as editors do it. Knows nothing of what
//! the gateway makes of it.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use super::plugins_build::{self, BuildError, build_guests};

const CONFIG: &str = include_str!("site/tollgate.yaml");

/// What the plugins are built from; the last two are versions of one.
const PACKAGES: [&str; 5] = ["api-keys", "model-rules", "token-budget", FIRST, SECOND];
const FIRST: &str = "greeting-v1";
const SECOND: &str = "greeting-v2";

/// Two versions of the plugin `greeting`, as they introduce themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greeting {
    First,
    Second,
}

/// Two settings of the policy `rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// At most 1.0.
    Loose,
    /// At most 0.2.
    Strict,
}

impl Rules {
    /// The highest temperature that reaches the upstream.
    pub(super) fn temperature_max(self) -> &'static str {
        match self {
            Self::Loose => "1.0",
            Self::Strict => "0.2",
        }
    }
}

/// See the module.
pub(super) struct Site {
    folder: PathBuf,
    /// All built versions; only copies of them are plugins.
    builds: PathBuf,
    upstream: SocketAddr,
    /// Removes the folder, if it was made for one run.
    _temporary: Option<tempfile::TempDir>,
}

impl Site {
    /// Builds the plugins and lays out the folder. Blocks.
    pub(super) fn make(
        folder: Option<PathBuf>,
        temporary: bool,
        upstream: SocketAddr,
    ) -> Result<Self, BuildError> {
        let root = plugins_build::workspace_root()?;
        let target = plugins_build::target_dir(&root);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| BuildError::File { path, source }
        };
        let (folder, temporary) = match folder {
            Some(folder) => (folder, None),
            None if temporary => {
                let made = tempfile::tempdir().map_err(at(&std::env::temp_dir()))?;
                (made.path().to_owned(), Some(made))
            }
            None => (target.join("demo"), None),
        };
        fs::create_dir_all(folder.join("plugins")).map_err(at(&folder))?;
        let folder = fs::canonicalize(&folder).map_err(at(&folder))?;
        let site = Self {
            builds: target.join("guests/demo"),
            folder,
            upstream,
            _temporary: temporary,
        };
        build_guests(&PACKAGES, &site.builds)?;
        for package in PACKAGES
            .iter()
            .filter(|package| ![FIRST, SECOND].contains(package))
        {
            let file = format!("{package}.wasm");
            plugins_build::copy_if_other(
                &site.builds.join(&file),
                &site.folder.join("plugins").join(&file),
            )?;
        }
        site.greet(Greeting::First)?;
        site.rule(Rules::Loose)?;
        Ok(site)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("tollgate.yaml")
    }

    /// Writes the configuration with these rules; the moment of the rename.
    pub(super) fn rule(&self, rules: Rules) -> Result<Instant, BuildError> {
        let text = config_text(self.upstream, rules);
        plugins_build::replace(&self.config(), text.as_bytes())
    }

    /// Puts this version of `greeting` in place; the moment of the rename.
    pub(super) fn greet(&self, version: Greeting) -> Result<Instant, BuildError> {
        plugins_build::replace(&self.greeting_file(), &self.greeting_bytes(version)?)
    }

    /// Puts half of a plugin in the place of `greeting`.
    pub(super) fn break_greeting(&self) -> Result<Instant, BuildError> {
        let bytes = self.greeting_bytes(Greeting::Second)?;
        plugins_build::replace(&self.greeting_file(), &bytes[..bytes.len() / 2])
    }

    fn greeting_file(&self) -> PathBuf {
        self.folder.join("plugins/greeting.wasm")
    }

    fn greeting_bytes(&self, version: Greeting) -> Result<Vec<u8>, BuildError> {
        let package = match version {
            Greeting::First => FIRST,
            Greeting::Second => SECOND,
        };
        let path = self.builds.join(format!("{package}.wasm"));
        fs::read(&path).map_err(|source| BuildError::File { path, source })
    }
}

fn config_text(upstream: SocketAddr, rules: Rules) -> String {
    CONFIG
        .replace("UPSTREAM", &upstream.to_string())
        .replace("TEMPERATURE_MAX", rules.temperature_max())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_right_with_either_rules() {
        for rules in [Rules::Loose, Rules::Strict] {
            let text = config_text(([127, 0, 0, 1], 9000).into(), rules);
            let config = tollgate_config::parse_str(&text, "tollgate.yaml", Path::new("/demo"));
            let config = config.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(config.policies.len(), 4);
        }
    }
}
