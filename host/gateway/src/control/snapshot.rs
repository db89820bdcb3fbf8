//! Takes the configuration and its plugins as they stood at one moment.
//!
//! Everything is read, then looked at again; only if nothing moved in between was
//! it one picture, so a plugin and a configuration that change together are taken
//! together. Knows nothing of wasm beyond the name of a plugin's file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tollgate_config::{Config, ConfigError, Endpoints, SecretSource};

use super::{
    files,
    interest::Interest,
    picture::{Content, Digest, FILE_MAX, Picture},
    refused::{Refused, Stage, policy_at},
};

/// How often a moving picture is taken again before it is refused.
const TAKES: usize = 20;
const BETWEEN_TAKES: Duration = Duration::from_millis(15);

/// Configuration and plugins that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    /// By the plugin's name.
    pub(crate) plugins: BTreeMap<String, Part>,
    /// The file of places.
    pub(crate) geo: Option<Part>,
    /// Files that are not there, or cannot be read: with one, it never goes live.
    pub(crate) missing: Vec<Refused>,
}

/// A file that a candidate is made of.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) file: PathBuf,
    pub(crate) digest: Digest,
    /// `None`: as it was in the picture before, and not read again.
    bytes: Option<Bytes>,
}

impl Part {
    /// The very bytes that the digest is of.
    ///
    /// # Errors
    /// The file changed since the snapshot was taken.
    pub(crate) fn bytes(&self) -> Result<Bytes, Refused> {
        if let Some(bytes) = &self.bytes {
            return Ok(bytes.clone());
        }
        let mut picture = Picture::default();
        match picture.add_bytes(&self.file, u64::MAX - 1) {
            (Content::Digest(digest), Some(bytes)) if *digest == self.digest => Ok(bytes),
            _ => Err(Refused::file(
                Stage::Load,
                "unstable",
                &self.file,
                "it changed while it was loaded",
            )),
        }
    }
}

/// What a look at the files came to.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) files: Files,
    pub(crate) outcome: Result<Snapshot, Refused>,
}

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// All that a generation is made of.
    pub(crate) picture: Picture,
    /// Those of endpoints. They change by themselves, and a candidate is refused for one that is
    /// malformed.
    pub(crate) endpoints: Picture,
    /// What to watch from now on.
    pub(crate) interest: Interest,
}

impl Files {
    /// What a candidate that [awaits](Refused::awaits) this file rests on.
    pub(crate) fn with(&self, awaited: Option<&Path>) -> (Picture, Interest) {
        let (mut picture, mut interest) = (self.picture.clone(), self.interest.clone());
        if let Some(file) = awaited.filter(|file| picture.join(&self.endpoints, file)) {
            interest.file(file);
        }
        (picture, interest)
    }
}

/// Takes a snapshot of the configuration at `source`, a file or a folder of them, and of its
/// plugins, or those in the folder `plugins`.
///
/// What `before` saw is not read again where its stamp is the same. Blocks: it reads files.
pub(crate) fn take(source: &Path, plugins: Option<&Path>, before: Option<&Picture>) -> Taken {
    let mut taken = take_once(source, plugins, before);
    for _ in 1..TAKES {
        match taken {
            Some(taken) => return taken,
            None => std::thread::sleep(BETWEEN_TAKES),
        }
        taken = take_once(source, plugins, before);
    }
    taken.unwrap_or_else(|| Taken {
        files: Files {
            picture: configuration(source, before),
            endpoints: Picture::default(),
            interest: interest(source, None),
        },
        outcome: Err(Refused::file(
            Stage::Load,
            "unstable",
            source,
            "it keeps changing while it is read",
        )),
    })
}

/// Whether a look can be spared: nothing moved since `picture`, by the stamps.
pub(crate) fn is_unmoved(source: &Path, picture: &Picture) -> bool {
    configuration_files(source)
        .iter()
        .all(|file| picture.shows(file))
        && picture.still_holds()
        && !picture.has_doubt()
}

/// `None`: something moved.
fn take_once(source: &Path, folder: Option<&Path>, before: Option<&Picture>) -> Option<Taken> {
    let mut picture = configuration(source, before);
    let loaded = tollgate_config::load(source);
    if !configuration(source, None).same_content(&picture) {
        return None;
    }
    let taken = match loaded {
        Ok(mut config) => {
            if let Some(folder) = folder {
                config.plugins = folder.to_owned();
            }
            let config = Arc::new(config);
            let (plugins, mut missing) = plugins((source, &config), &mut picture, before);
            let geo = places((source, &config), &mut picture, before);
            let geo = geo.unwrap_or_else(|refused| {
                missing.push(refused);
                None
            });
            attachments(&config, &mut picture, before);
            Taken {
                files: Files {
                    endpoints: endpoints(&config),
                    interest: interest(source, Some(&config)),
                    picture,
                },
                outcome: Ok(Snapshot {
                    config,
                    plugins,
                    geo,
                    missing,
                }),
            }
        }
        Err(errors) => Taken {
            files: Files {
                endpoints: Picture::default(),
                interest: interest(source, None),
                picture,
            },
            outcome: Err(refused_config(source, &errors)),
        },
    };
    taken.files.picture.still_holds().then_some(taken)
}

/// The configuration's own files.
fn configuration(source: &Path, before: Option<&Picture>) -> Picture {
    let mut picture = Picture::default();
    for file in configuration_files(source) {
        picture.add(&file, FILE_MAX, before);
    }
    picture
}

const CONFIGURATION: &[&str] = &["yaml", "yml"];

/// The file that `source` is, or those of the folder that it is.
pub(super) fn configuration_files(source: &Path) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(source) else {
        return vec![source.to_owned()];
    };
    let mut files: Vec<PathBuf> = folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_configuration(path))
        .collect();
    files.sort();
    files
}

fn is_configuration(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden
        && path
            .extension()
            .is_some_and(|found| CONFIGURATION.iter().any(|known| found == *known))
}

fn refused_config(source: &Path, error: &ConfigError) -> Refused {
    let (file, line) = match error {
        ConfigError::Unreadable { path, .. }
        | ConfigError::NotAFile { path, .. }
        | ConfigError::EmptyFolder { path }
        | ConfigError::TooManyFiles { path, .. }
        | ConfigError::TooLarge { path, .. } => (path.clone(), None),
        ConfigError::NotUtf8 { location } => (location.file.clone(), Some(location.line)),
        _ => (source.to_owned(), None),
    };
    let refused = |file, line, message| Refused {
        file: Some(file),
        line,
        ..Refused::new(Stage::Load, "config", message)
    };
    let whole = refused(file, line, error.to_string());
    let ConfigError::Invalid(problems) = error else {
        return whole;
    };
    let each = problems.iter().map(|problem| {
        let at = &problem.location;
        refused(at.file.clone(), Some(at.line), problem.to_string())
    });
    let Some(all) = Refused::all(each.collect()) else {
        return whole;
    };
    // With the number of those that were not kept.
    Refused {
        message: whole.message,
        ..all
    }
}

/// Reads every plugin that a policy uses, and names each that cannot be read.
fn plugins(
    (source, config): (&Path, &Config),
    picture: &mut Picture,
    before: Option<&Picture>,
) -> (BTreeMap<String, Part>, Vec<Refused>) {
    let names: BTreeSet<&str> = config
        .policies
        .values()
        .map(|policy| policy.plugin.as_str())
        .collect();
    let mut plugins = BTreeMap::new();
    let mut missing = Vec::new();
    for name in names {
        match plugin((source, config), name, picture, before) {
            Ok(plugin) => {
                plugins.insert(name.to_owned(), plugin);
            }
            Err(error) => missing.push(used_by(error, (source, config), name)),
        }
    }
    (plugins, missing)
}

/// The file is named as the plugin, or as cargo names it, with `_` for `-`.
fn plugin(
    (source, config): (&Path, &Config),
    name: &str,
    picture: &mut Picture,
    before: Option<&Picture>,
) -> Result<Part, Refused> {
    let (folder, most) = (&config.plugins, config.compile.input_bytes);
    let given = folder.join(format!("{name}.wasm"));
    let cargos = folder.join(format!("{}.wasm", name.replace('-', "_")));
    let file = if !given.exists() && cargos.exists() {
        &cargos
    } else {
        &given
    };
    if given != cargos {
        picture.add(if *file == given { &cargos } else { &given }, most, before);
    }
    let refuse = |code, reason: String| Refused::file(Stage::Load, code, file, reason);
    part(file, most, picture, before).map_err(|content| match content {
        Content::TooLong(length) => refuse(
            "too_large",
            format!("it has {length} bytes, more than the {most} that `compile.input` allows"),
        ),
        Content::Unreadable(reason) => refuse("unreadable", reason),
        Content::Missing | Content::Digest(_) => refuse(
            "missing_plugin",
            files::missing_plugin(folder, name, source),
        ),
    })
}

/// A file's digest, and its bytes unless they are known from before.
///
/// # Errors
/// What is there instead of a file.
fn part(
    file: &Path,
    most: u64,
    picture: &mut Picture,
    before: Option<&Picture>,
) -> Result<Part, Content> {
    let file = file.to_owned();
    if let Some(Content::Digest(digest)) = Picture::known_content(&file, before) {
        picture.add(&file, most, before);
        return Ok(Part {
            file,
            digest,
            bytes: None,
        });
    }
    match picture.add_bytes(&file, most) {
        (Content::Digest(digest), bytes) => Ok(Part {
            digest: *digest,
            bytes,
            file,
        }),
        (content, _) => Err(content.clone()),
    }
}

/// Most bytes of a file of places.
const PLACES_MAX: u64 = 1 << 30;

/// Reads the file that addresses are looked up in.
fn places(
    (source, config): (&Path, &Config),
    picture: &mut Picture,
    before: Option<&Picture>,
) -> Result<Option<Part>, Refused> {
    let Some(file) = &config.geo else {
        return Ok(None);
    };
    let read = part(file, PLACES_MAX, picture, before);
    let part = read.map_err(|content| {
        let told = || files::unreadable(file, &"the file of `geo`", source);
        let reason = match content {
            Content::TooLong(length) => format!(
                "the file of `geo`: {} has {length} bytes, more than 1 GiB",
                file.display()
            ),
            Content::Unreadable(reason) => told().unwrap_or(reason),
            Content::Missing | Content::Digest(_) => {
                told().unwrap_or_else(|| "there is no such file".to_owned())
            }
        };
        Refused::written(Stage::Load, "geo", (source, "/geo/file"), reason)
    })?;
    Ok(Some(part))
}

/// Adds the policy that asks for the plugin, and shows where.
fn used_by(refused: Refused, (source, config): (&Path, &Config), plugin: &str) -> Refused {
    let mut policies = config.policies.iter();
    let Some((name, policy)) = policies.find(|(_, policy)| policy.plugin == plugin) else {
        return refused;
    };
    let at = policy_at(source, (name, policy), "plugin");
    let Refused { stage, code, .. } = &refused;
    let reason = format_args!("policy `{name}`: {}", refused.message);
    Refused::at(*stage, code, at, reason)
}

/// Everything else that is read from files.
fn attachments(config: &Config, picture: &mut Picture, before: Option<&Picture>) {
    for file in attached(config) {
        picture.add(file, FILE_MAX, before);
    }
}

fn attached(config: &Config) -> impl Iterator<Item = &Path> {
    let tls = config.tls.iter().flat_map(|tls| {
        let client_ca = tls.clients.iter().map(|clients| &clients.ca);
        [&tls.certificate, &tls.key].into_iter().chain(client_ca)
    });
    let roots = config
        .upstreams
        .values()
        .filter_map(|upstream| upstream.ca.as_ref());
    let secrets = config.secrets.values().filter_map(|source| match source {
        SecretSource::File(file) => Some(file),
        SecretSource::Env(_) => None,
    });
    tls.chain(roots).chain(secrets).map(PathBuf::as_path)
}

/// The files that endpoints are read from.
fn endpoints(config: &Config) -> Picture {
    let mut picture = Picture::default();
    for upstream in config.upstreams.values() {
        if let Endpoints::File(file) = &upstream.endpoints {
            picture.add(&file.path, FILE_MAX, None);
        }
    }
    picture
}

fn interest(source: &Path, config: Option<&Config>) -> Interest {
    let mut interest = Interest::default();
    if source.is_dir() {
        interest.folder(source, CONFIGURATION);
        // Each file may itself be a link, as in a Kubernetes volume.
        configuration_files(source)
            .iter()
            .for_each(|file| interest.file(file));
    } else {
        interest.file(source);
    }
    if let Some(config) = config {
        interest.folder(&config.plugins, &["wasm"]);
        for policy in config.policies.values() {
            for name in [policy.plugin.clone(), policy.plugin.replace('-', "_")] {
                interest.file(&config.plugins.join(format!("{name}.wasm")));
            }
        }
        attached(config).for_each(|file| interest.file(file));
        config.geo.iter().for_each(|file| interest.file(file));
    }
    interest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_files_of_endpoints_the_one_that_is_awaited_counts_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let upstream = |file: &str| format!("{{ endpoints: {{ file: {file} }} }}");
        let (one, other) = (upstream("one.txt"), upstream("other.txt"));
        let text = format!(
            "upstreams: {{ one: {one}, other: {other} }}\nroutes: [ {{ upstream: one }} ]\n"
        );
        std::fs::write(at("tollgate.yaml"), text).unwrap();
        let files = take(&at("tollgate.yaml"), None, None).files;
        for (awaited, shown) in [
            (None, [false, false]),
            (Some("one.txt"), [true, false]),
            (Some("other.txt"), [false, true]),
            // Of a configuration before.
            (Some("gone.txt"), [false, false]),
        ] {
            let (picture, interest) = files.with(awaited.map(at).as_deref());
            let names = [at("one.txt"), at("other.txt")];
            assert_eq!(names.each_ref().map(|file| picture.shows(file)), shown);
            assert_eq!(names.each_ref().map(|file| interest.holds(file)), shown);
        }
    }
}
