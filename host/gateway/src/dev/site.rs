//! The folder that the gateway is served from: its plugin, and its configuration.
//!
//! Either a configuration is made up, with the one policy in front of one upstream, or an
//! own one is served with the plugin's file in the place of its own. Every change is a
//! write beside and a rename. It goes with the process.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tollgate_config::ConfigError;
use tollgate_sandbox::Inspected;

use super::settings::Settings;
use crate::authoring::build::{BuildError, Built};

/// The models that the stand-in says it has; any other is answered as well.
pub(super) const MODEL: &str = "standin-small";
const OTHER_MODEL: &str = "standin-large";

/// See the module.
#[derive(Debug)]
pub(super) struct Site {
    folder: TempDir,
    kind: Kind,
    /// Where compiled plugins are kept, if they are, for as long as a gateway runs: that of the
    /// first build, wherever later ones are made.
    cache: OnceLock<Option<PathBuf>>,
}

#[derive(Debug)]
enum Kind {
    /// A configuration of one's own.
    Own(PathBuf),
    /// One that is made up, with this upstream.
    MadeUp { upstream: String, model: String },
}

/// Why the plugin cannot be laid out. `Display` is a whole message.
#[derive(Debug, thiserror::Error)]
pub(super) enum SiteError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Plugin(#[from] BuildError),
    #[error("{0}")]
    Config(Box<ConfigError>),
    #[error(
        "no policy of {} uses the plugin: write `plugin: {plugin}` into one, or leave --config away",
        config.display()
    )]
    NotUsed { config: PathBuf, plugin: String },
}

impl Site {
    /// A site of a configuration of one's own.
    pub(super) fn of(config: PathBuf) -> io::Result<Self> {
        Self::new(Kind::Own(config))
    }

    /// A site with this upstream and a model that it has.
    pub(super) fn in_front_of(upstream: String, model: Option<String>) -> io::Result<Self> {
        let model = model.unwrap_or_else(|| MODEL.to_owned());
        Self::new(Kind::MadeUp { upstream, model })
    }

    fn new(kind: Kind) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tollgate-dev-").tempdir()?;
        fs::create_dir(folder.path().join("plugins"))?;
        let cache = OnceLock::new();
        Ok(Self {
            folder,
            kind,
            cache,
        })
    }

    /// The configuration to serve.
    pub(super) fn config(&self) -> PathBuf {
        match &self.kind {
            Kind::Own(config) => config.clone(),
            Kind::MadeUp { .. } => self.folder.path().join("tollgate.yaml"),
        }
    }

    /// The folder of its plugins, whatever the configuration says.
    pub(super) fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// Whether settings are for this to say, and not a configuration's.
    pub(super) fn is_made_up(&self) -> bool {
        matches!(self.kind, Kind::MadeUp { .. })
    }

    /// Puts the plugin into its place, and the configuration around it.
    ///
    /// # Errors
    /// See [`SiteError`]. What was there goes on.
    pub(super) fn lay_out(&self, built: &Built, settings: &Settings) -> Result<(), SiteError> {
        let file = match &self.kind {
            Kind::Own(config) => self.link_others(config, &built.name)?,
            Kind::MadeUp { upstream, model } => {
                let plugin = (&*built.name, &built.inspected);
                let cache = self.cache.get_or_init(|| built.compiled());
                let text = made_up(plugin, settings, (upstream, model), cache.as_deref());
                self.write_config(&text)?;
                format!("{}.wasm", built.name)
            }
        };
        built.write(Some(&self.plugins().join(file)))?;
        Ok(())
    }

    fn write_config(&self, text: &str) -> Result<(), SiteError> {
        let path = self.config();
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            let mut beside = tempfile::NamedTempFile::new_in(self.folder.path())?;
            io::Write::write_all(&mut beside, text.as_bytes())?;
            beside.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| SiteError::File {
            path: path.clone(),
            source,
        })
    }

    /// Links to all other plugins of an own configuration; the name of the plugin's own
    /// file there.
    fn link_others(&self, config: &Path, plugin: &str) -> Result<String, SiteError> {
        let loaded = tollgate_config::load(config);
        let loaded = loaded.map_err(|error| SiteError::Config(Box::new(error)))?;
        let is_it = |name: &str| name.replace('_', "-") == plugin.replace('_', "-");
        let mut used = loaded.policies.values().map(|policy| &policy.plugin);
        let Some(name) = used.find(|name| is_it(name)) else {
            let (config, plugin) = (config.to_owned(), plugin.to_owned());
            return Err(SiteError::NotUsed { config, plugin });
        };
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| SiteError::File { path, source }
        };
        let entries = match fs::read_dir(&loaded.plugins) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(at(&loaded.plugins))?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(at(&loaded.plugins))?.path();
            let (stem, file) = (path.file_stem(), path.file_name().unwrap_or_default());
            let is_plugin = path.extension() == Some(OsStr::new("wasm"));
            if !is_plugin || stem.is_some_and(|stem| is_it(&stem.to_string_lossy())) {
                continue;
            }
            match symlink(&path, self.plugins().join(file)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked.map_err(at(&path))?,
            }
        }
        Ok(format!("{name}.wasm"))
    }
}

/// A configuration with one policy. JSON is YAML.
fn made_up(
    (name, plugin): (&str, &Inspected),
    settings: &Settings,
    (upstream, model): (&str, &str),
    cache: Option<&Path>,
) -> String {
    let on_attempt = plugin.hooks.contains(&"on_attempt");
    let on_route = plugin.hooks.iter().any(|hook| *hook != "on_attempt");
    let named = |is_asked: bool| if is_asked { vec![name] } else { Vec::new() };
    let target = json!([{ "upstream": "upstream", "policies": named(on_attempt) }]);
    let mut models = Map::new();
    for model in [MODEL, OTHER_MODEL, model] {
        models.insert(model.to_owned(), json!({ "targets": target }));
    }
    let mut chat = json!({
        "name": "chat",
        "match": { "path": "/v1/chat/completions" },
        "policies": named(on_route),
    });
    if !on_attempt {
        chat["upstream"] = json!("upstream");
    }
    let rest = json!({ "name": "rest", "policies": named(on_route), "upstream": "upstream" });
    let config = json!({
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "plugins": "plugins",
        "cache": cache.map_or("off".into(), Path::to_string_lossy),
        "secrets": settings.secrets,
        "policies": { name: policy(name, plugin, settings) },
        "upstreams": { "upstream": { "endpoints": [upstream] } },
        "models": models,
        "routes": [chat, rest],
    });
    format!("{config:#}\n")
}

fn policy(name: &str, plugin: &Inspected, settings: &Settings) -> Value {
    let mut grants = settings.grants.clone();
    for grant in &plugin.grants {
        // The others want to be told what exactly they grant.
        if ["kv", "limits", "cache"].contains(&grant.as_str()) {
            grants.entry(grant.clone()).or_insert(true.into());
        }
    }
    let mut policy = json!({
        "plugin": name,
        "on_error": settings.on_error.clone().unwrap_or_else(|| "refuse".into()),
        "grants": grants,
        "settings": settings.settings,
    });
    for (key, value) in [
        ("isolation", &settings.isolation),
        ("limits", &settings.limits),
    ] {
        if let Some(value) = value {
            policy[key] = value.clone();
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn inspected(hooks: &[&'static str], grants: &[&str]) -> Inspected {
        Inspected {
            name: "mine".to_owned(),
            version: "0.1.0".to_owned(),
            contract: String::new(),
            hooks: hooks.to_vec(),
            needs: Vec::new(),
            capabilities: Vec::new(),
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            settings_schema: Value::Null,
            form: "module",
            bytes: 0,
            sha256: String::new(),
        }
    }

    fn config(plugin: &Inspected, settings: &Settings) -> tollgate_config::Config {
        config_with(plugin, settings, None)
    }

    fn config_with(
        plugin: &Inspected,
        settings: &Settings,
        cache: Option<&str>,
    ) -> tollgate_config::Config {
        let text = made_up(
            ("mine", plugin),
            settings,
            ("http://127.0.0.1:9000", "llama-3"),
            cache.map(Path::new),
        );
        let config = tollgate_config::parse_str(&text, "tollgate.yaml", Path::new("/dev-site"));
        config.unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_policy_stands_where_its_hooks_are_asked_and_is_granted_what_it_imports() {
        let settings = Settings::default();
        let found = config(&inspected(&["on_request"], &["kv", "limits"]), &settings);
        assert_eq!(found.routes[0].policies, ["mine"]);
        assert!(found.policies["mine"].grants.kv && found.policies["mine"].grants.limits);
        assert!(found.models["llama-3"].targets[0].policies.is_empty());

        let found = config(&inspected(&["on_attempt"], &[]), &settings);
        assert!(found.routes[0].policies.is_empty());
        assert_eq!(found.models["llama-3"].targets[0].policies, ["mine"]);
        assert!(!found.policies["mine"].grants.kv);
    }

    #[test]
    fn compiled_plugins_are_kept_where_they_may_be_and_nowhere_else() {
        let plugin = inspected(&["on_request"], &[]);
        for cache in [None, Some("/target/.compiled")] {
            let found = config_with(&plugin, &Settings::default(), cache);
            assert_eq!(found.cache.as_deref(), cache.map(Path::new));
        }
    }

    #[test]
    fn the_cache_stays_where_it_is_although_the_target_folder_moves() {
        let site = Site::in_front_of("http://127.0.0.1:9".to_owned(), None).unwrap();
        let target = tempfile::tempdir().unwrap();
        let cache_after_build_in = |folder: &str| {
            let built = Built {
                name: "mine".to_owned(),
                folder: target.path().to_owned(),
                target_dir: target.path().join(folder),
                wasm: Bytes::new(),
                inspected: inspected(&["on_request"], &[]),
                cases: 0,
            };
            site.lay_out(&built, &Settings::default()).unwrap();
            tollgate_config::load(&site.config()).unwrap().cache
        };
        let first = cache_after_build_in("one");
        assert_eq!(first, Some(target.path().join("one/.compiled")));
        assert_eq!(cache_after_build_in("two"), first);
    }

    #[test]
    fn what_settings_say_of_the_policy_goes_into_the_configuration() {
        let settings = Settings {
            grants: [("kv".to_owned(), json!(false))].into_iter().collect(),
            secrets: [("key".to_owned(), json!({ "env": "KEY" }))]
                .into_iter()
                .collect(),
            on_error: Some(json!("bypass")),
            isolation: Some(json!("shared")),
            limits: Some(json!({ "memory": "32MiB" })),
            ..Settings::default()
        };
        let found = config(&inspected(&["on_request"], &["kv"]), &settings);
        assert!(!found.policies["mine"].grants.kv);
        assert_eq!(found.policies["mine"].sandbox.memory_bytes, 32 << 20);
        assert!(found.secrets.contains_key("key"));
    }

    fn own(policies: &str) -> (TempDir, Site) {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        for file in ["other.wasm", "my_own.wasm", "my-own.wasm", "readme.md"] {
            fs::write(plugins.join(file), file).unwrap();
        }
        let config = folder.path().join("tollgate.yaml");
        let text = format!(
            "policies: {{ {policies} }}\nupstreams: {{ up: {{ endpoints: [ \"http://127.0.0.1:9\" ] }} }}\n\
             routes: [ {{ upstream: up }} ]\n"
        );
        fs::write(&config, text).unwrap();
        let site = Site::of(config).unwrap();
        (folder, site)
    }

    #[test]
    fn an_own_configuration_keeps_its_other_plugins() {
        let (_keep, site) = own("a: { plugin: my_own, on_error: refuse }");
        for _ in 0..2 {
            let file = site.link_others(&site.config(), "my-own").unwrap();
            assert_eq!(file, "my_own.wasm");
        }
        let linked = fs::read_dir(site.plugins()).unwrap();
        let linked: Vec<_> = linked.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(linked, ["other.wasm"]);
        assert_eq!(
            fs::read_to_string(site.plugins().join("other.wasm")).unwrap(),
            "other.wasm"
        );
    }

    #[test]
    fn an_own_configuration_that_does_not_use_the_plugin_is_told_so() {
        let (_keep, site) = own("a: { plugin: other, on_error: refuse }");
        let error = site.link_others(&site.config(), "my-own").unwrap_err();
        assert!(
            error.to_string().contains("write `plugin: my-own`"),
            "{error}"
        );
    }
}
