//! Starts a gateway with a stand-in behind it, in a folder of its own.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tollgate::{
    Gateway, Options,
    demo::{
        plugins_build::build_guests,
        standin::{Seen, Standin, StandinOptions},
    },
    telemetry::Lines,
};

use crate::client::{Answer, Ask};

/// Every guest that the tests use.
const GUESTS: &[&str] = &[
    "anthropic",
    "api-keys",
    "cache",
    "jwt",
    "locator",
    "measured",
    "model-router",
    "model-rules",
    "open-inference",
    "prefix-affinity",
    "prompt-template",
    "rate-limit",
    "redact",
    "schema-guard",
    "shadower",
    "token-budget",
    "probe",
];

/// A test for each `isolation`: a policy does the same either way. Each has a runtime of
/// its own, so nothing of the one is left in the other.
pub(crate) fn either_way(test: impl AsyncFn(&'static str)) {
    for isolation in ["exchange", "shared"] {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test(isolation));
    }
}

/// For what has to happen, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where all test processes keep what is the same for all of them.
fn shared_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e")
}

/// The file of one guest of the workspace; it is built once a process, or once a run of
/// nextest, which has a process for every test.
pub(crate) fn guest(name: &'static str) -> PathBuf {
    build(name);
    shared_folder().join(format!("guests/{name}.wasm"))
}

/// Where all gateways of the tests keep what they compiled.
pub(crate) fn cache() -> PathBuf {
    shared_folder().join("cache")
}

fn build(guest: &'static str) {
    static BUILT: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let folder = shared_folder().join("guests");
    let mut built = BUILT
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if built.contains(guest) {
        return;
    }
    let run = std::env::var("NEXTEST_RUN_ID").ok();
    let stamp = folder.join(format!("{guest}.run"));
    let is_built = run.is_some() && fs::read_to_string(&stamp).ok() == run;
    if !is_built {
        build_guests(&[guest], &folder).unwrap();
        if let Some(run) = run {
            fs::write(stamp, run).unwrap();
        }
    }
    built.insert(guest);
}

/// One gateway, one stand-in, one folder.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) standin: Standin,
    pub(crate) folder: tempfile::TempDir,
    access: (Lines, Memory),
}

/// What a writer wrote.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Site {
    /// `config` is a whole configuration without `listen`, `admin` and `plugins`. In it
    /// `UPSTREAM` becomes the stand-in's address, and `PROBE` the plugin `probe` with all
    /// its grants; the secret `canary` is there too then.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, "tokens=8,pace=1ms").await
    }

    pub(crate) async fn start_with(config: &str, behaviour: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config, behaviour).await
    }

    /// In a folder that has something in it.
    pub(crate) async fn start_in(folder: tempfile::TempDir, config: &str, behaviour: &str) -> Self {
        let options = StandinOptions {
            keep: 4096,
            ..StandinOptions::behaving(behaviour).unwrap()
        };
        let standin = Standin::start(([127, 0, 0, 1], 0).into(), options)
            .await
            .unwrap();
        fs::write(folder.path().join("canary.txt"), "canary-of-the-secret").unwrap();
        lay_out(folder.path(), config, &standin);
        let memory = Memory::default();
        let lines = Lines::to(memory.clone()).unwrap();
        let mut options = Options::new(folder.path().join("tollgate.yaml"));
        options.compiler = Some(env!("CARGO_BIN_EXE_tollgate").into());
        options.access = Some(lines.clone());
        // Each reserves addresses, and a process has only so many for its gateways.
        options.instances = 1024;
        let gateway = match Gateway::start(options).await {
            Ok(gateway) => gateway,
            Err(refused) => panic!("{refused:#}"),
        };
        Self {
            gateway,
            standin,
            folder,
            access: (lines, memory),
        }
    }

    /// Replaces the configuration as editors do: a new file, renamed.
    pub(crate) fn write_config(&self, config: &str) {
        lay_out(self.folder.path(), config, &self.standin);
    }

    /// Replaces the configuration and waits until it is live.
    pub(crate) async fn reconfigure(&self, config: &str) -> u64 {
        let before = self.gateway.generation();
        self.write_config(config);
        if let Err(refused) = self.gateway.reload().await {
            panic!("{refused}");
        }
        self.after_generation(before).await
    }

    /// Waits until a generation after `before` is live.
    pub(crate) async fn after_generation(&self, before: u64) -> u64 {
        until("a new generation", || {
            Some(self.gateway.generation()).filter(|now| *now > before)
        })
        .await
    }

    /// A request to the gateway.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.gateway.addr(), method, path)
    }

    /// A chat request for the model `small`.
    pub(crate) fn chat(&self) -> Ask {
        Ask::chat(self.gateway.addr(), "small")
    }

    /// A streamed one.
    pub(crate) fn streamed(&self) -> Ask {
        self.chat().set("stream", true)
    }

    /// What the admin port answers.
    pub(crate) async fn look(&self, path: &str) -> Answer {
        self.look_with("GET", path).await
    }

    pub(crate) async fn look_with(&self, method: &str, path: &str) -> Answer {
        Ask::new(self.gateway.admin_addr(), method, path)
            .send()
            .await
    }

    /// The sum of all samples on `/metrics` that begin so.
    pub(crate) async fn metric(&self, beginning: &str) -> f64 {
        let text = self.look("/metrics").await.text();
        let samples = text.lines().filter(|line| line.starts_with(beginning));
        samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until that sum is `value`.
    pub(crate) async fn metric_becomes(&self, beginning: &str, value: f64) {
        let mut last = f64::NAN;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            last = self.metric(beginning).await;
            if last == value {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let text = self.look("/metrics").await.text();
        panic!("`{beginning}…` is {last} and should be {value}, in:\n{text}");
    }

    /// The access log, once it has at least so many lines.
    pub(crate) async fn exchanges(&self, count: usize) -> Vec<Value> {
        as_json(&self.access_log(count).await)
    }

    /// The same, as it is written.
    pub(crate) async fn access_log(&self, count: usize) -> String {
        let (lines, memory) = &self.access;
        until("lines in the access log", || {
            lines.flush(PATIENCE);
            let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
            (text.lines().count() >= count).then_some(text)
        })
        .await
    }

    /// Stops the gateway: whether nothing had to be cut, and the access log then.
    pub(crate) async fn stop_within(self, most: Duration) -> (bool, Vec<Value>) {
        let (lines, memory) = self.access;
        let whole = self.gateway.stop_within(most).await;
        lines.flush(PATIENCE);
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        (whole, as_json(&text))
    }

    /// Waits until the stand-in has seen enough.
    pub(crate) async fn seen(&self, what: &str, enough: impl Fn(&Seen) -> bool) -> Seen {
        match self.standin.wait_for(PATIENCE, enough).await {
            Some(seen) => seen,
            None => panic!(
                "{what}: not within {PATIENCE:?}, but {:?}",
                self.standin.seen()
            ),
        }
    }
}

fn as_json(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Asks again and again.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same, of what has to be waited for.
pub(crate) async fn until_async<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A configuration that serves the model `small`, with chat requests through these
/// policies, in this order; everything else passes by.
pub(crate) fn chat_through(order: &str, policies: &str) -> String {
    let policies = if policies.is_empty() { " {}" } else { policies };
    format!(
        r#"policies:{policies}
upstreams: {{ standin: {{ endpoints: [ "http://UPSTREAM" ] }} }}
models: {{ small: {{ targets: [ {{ upstream: standin }} ] }} }}
routes:
  - {{ name: chat, match: {{ path: /v1/chat/completions }}, policies: [ {order} ] }}
  - {{ name: rest, match: {{ path: "/*" }}, upstream: standin }}
"#
    )
}

/// The policies of the chat route at the model's one target instead.
pub(crate) fn at_the_target(config: &str, order: &str) -> String {
    let moved = config
        .replace(&format!("policies: [ {order} ]"), "policies: []")
        .replace(
            "targets: [ { upstream: standin } ]",
            &format!("targets: [ {{ upstream: standin, policies: [ {order} ] }} ]"),
        );
    assert_ne!(moved, config);
    moved
}

/// One policy `probe` with these settings before chat requests, as [`chat_through`].
pub(crate) fn probing(settings: &str) -> String {
    chat_through(
        "probe",
        &format!("\n  probe: {{ PROBE, on_error: refuse, settings: {{ {settings} }} }}"),
    )
}

/// Writes a whole configuration from this one, and the plugins that it names.
pub(crate) fn lay_out(folder: &Path, config: &str, standin: &Standin) {
    let text = whole_config(config, standin);
    let plugins = folder.join("plugins");
    fs::create_dir_all(&plugins).unwrap();
    for &guest in GUESTS {
        let there = plugins.join(format!("{guest}.wasm"));
        if text.contains(&format!("plugin: {guest}")) && !there.exists() {
            build(guest);
            fs::copy(shared_folder().join(format!("guests/{guest}.wasm")), there).unwrap();
        }
    }
    let temporary = folder.join("tollgate.new");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, folder.join("tollgate.yaml")).unwrap();
}

const PROBE: &str = r#"plugin: probe, grants: { kv: true, secrets: [ canary ], http-call: { hosts: [ "http://UPSTREAM" ] } }"#;

fn whole_config(config: &str, standin: &Standin) -> String {
    let mut text = format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nplugins: plugins/\n{config}");
    if !config.contains("\ncache:") {
        text.push_str(&format!("\ncache: {}\n", cache().display()));
    }
    if config.contains("PROBE") {
        text.push_str("\nsecrets: { canary: { file: canary.txt } }\n");
    }
    text.replace("PROBE", PROBE)
        .replace("UPSTREAM", &standin.addr.to_string())
}
