//! The loop itself: wait, build, try, tell.
//!
//! One change at a time; what is saved during a build is built after it. Owns the gateway,
//! the stand-in and the folder, and takes them down in that order.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_cases::Symbols;

use super::{
    DevOptions, Live, News, Order, Setback, Started, sample,
    settings::{Settings, usual_file},
    site::{MODEL, Site},
    source::{Source, Stamp},
};
use crate::{
    Gateway, Options, Refused,
    authoring::{
        build::{BuildError, BuildOptions, Built, Words, build},
        sources::sources,
    },
    demo::standin::{Standin, StandinOptions},
    trace::{Filter, Line, Next, Watch},
};

/// Any free port of this machine.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// How the stand-in answers: fast enough to wait for, slow enough to be seen as a stream.
const BEHAVIOUR: &str = "tokens=12,pace=10ms";
/// Exchanges in flight are given this long when all ends.
const GRACE: std::time::Duration = std::time::Duration::from_millis(500);

/// See the module.
pub(super) struct Bench {
    options: DevOptions,
    news: mpsc::Sender<News>,
    stop: CancellationToken,
    source: Source,
    /// Those that it was last asked about what the crate is built from.
    manifests: BTreeMap<PathBuf, Stamp>,
    site: Site,
    /// Unless there is another upstream.
    standin: Option<Standin>,
    /// What serves, and the last generation that was told; `None` until a version held.
    serving: Option<(Gateway, u64)>,
    tasks: TaskTracker,
}

/// Why a version does not serve.
enum Halt {
    /// It is told, and the next change may mend it.
    Setback { what: String, why: String },
    /// Nothing that a change of the source mends.
    Broken(anyhow::Error),
    /// All is to end.
    Stopped,
}

impl Halt {
    fn setback(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Setback {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

impl Bench {
    pub(super) async fn set_up(
        mut options: DevOptions,
        news: mpsc::Sender<News>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let no_crate = || BuildError::NoCrate(options.folder.clone());
        let folder = fs::canonicalize(&options.folder).map_err(|_| no_crate())?;
        if !folder.join("Cargo.toml").is_file() {
            return Err(no_crate().into());
        }
        for file in options.settings.iter().chain(&options.config) {
            fs::metadata(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        }
        let absolute = |file: PathBuf| fs::canonicalize(&file).unwrap_or(file);
        options.settings = options.settings.map(absolute);
        options.config = options.config.map(absolute);
        options.folder.clone_from(&folder);
        let (site, standin) = match (&options.config, &options.upstream) {
            (Some(config), _) => (Site::of(config.clone()), None),
            (None, Some(url)) => (Site::in_front_of(url.clone(), options.model.clone()), None),
            (None, None) => {
                let standin = Standin::start(ANY, StandinOptions::behaving(BEHAVIOUR)?).await;
                let standin = standin.context("the stand-in model server does not start")?;
                let site = Site::in_front_of(standin.url(), options.model.clone());
                (site, Some(standin))
            }
        };
        let settings = options.settings.clone();
        let besides = vec![settings.unwrap_or_else(|| usual_file(&folder))];
        Ok(Self {
            source: Source::new(folder, besides),
            manifests: BTreeMap::new(),
            site: site.context("a temporary folder cannot be made")?,
            options,
            news,
            stop,
            standin,
            serving: None,
            tasks: TaskTracker::new(),
        })
    }

    /// Runs until it is stopped, or nobody listens.
    pub(super) async fn work(&mut self, mut orders: mpsc::Receiver<Order>) -> anyhow::Result<()> {
        loop {
            self.follow().await;
            match self.round().await {
                Ok(()) => {}
                Err(Halt::Setback { what, why }) => {
                    let generation = self.serving.as_ref().map(|(_, told)| *told);
                    let setback = Setback {
                        what,
                        why,
                        generation,
                    };
                    self.tell(News::Setback(setback)).await;
                }
                Err(Halt::Broken(error)) => return Err(error),
                Err(Halt::Stopped) => return Ok(()),
            }
            loop {
                tokio::select! {
                    () = self.stop.cancelled() => return Ok(()),
                    () = self.source.changed() => break,
                    order = orders.recv() => match order {
                        Some(Order::Sample) => self.sample().await,
                        Some(Order::Build) => break,
                        None => return Ok(()),
                    },
                }
            }
        }
    }

    /// Ends everything, in order.
    pub(super) async fn take_down(self) {
        self.stop.cancel();
        if let Some((gateway, _)) = self.serving {
            gateway.stop_within(GRACE).await;
        }
        if let Some(standin) = self.standin {
            standin.stop().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Watches what the crate is built from by now, where a manifest may say otherwise than
    /// before.
    async fn follow(&mut self) {
        let before = self.source.manifests();
        if before == self.manifests {
            return;
        }
        let (folder, stop) = (self.options.folder.clone(), self.stop.clone());
        let found = tokio::task::spawn_blocking(move || sources(&folder, Some(&stop))).await;
        // The build says what is wrong with a manifest.
        if let Ok(Some(found)) = found {
            self.source.follow(found);
            self.manifests = self.source.manifests();
            // One that changed meanwhile is asked about once more.
            for (path, stamp) in before {
                self.manifests.entry(path).and_modify(|now| *now = stamp);
            }
        }
    }

    /// One change, from the source to the swap.
    async fn round(&mut self) -> Result<(), Halt> {
        let noticed = Instant::now();
        self.tell(News::Building).await;
        let built = build(self.build_options()).await;
        if self.stop.is_cancelled() {
            return Err(Halt::Stopped);
        }
        let built = built.map_err(not_built)?;
        let built_after = noticed.elapsed();
        let stop = self.stop.clone();
        let (before, settings) = tokio::select! {
            () = stop.cancelled() => return Err(Halt::Stopped),
            swapped = self.swap(&built) => swapped?,
        };
        let Some((gateway, told)) = self.serving.as_mut() else {
            return Ok(());
        };
        *told = gateway.generation();
        if before == Some(*told) {
            self.tell(News::Unchanged).await;
            return Ok(());
        }
        let live = Live {
            generation: *told,
            name: built.name,
            version: built.inspected.version,
            bytes: built.inspected.bytes,
            settings: settings.from,
            built: built_after,
            took: noticed.elapsed(),
        };
        self.tell(News::Live(live)).await;
        if self.options.sample {
            self.sample().await;
        }
        Ok(())
    }

    fn build_options(&self) -> BuildOptions {
        BuildOptions {
            quick: true,
            words: Words::Kept,
            checker: std::env::current_exe().ok(),
            with_cases: self.options.with_cases,
            symbols: Symbols::Lines,
            // Where the gateway looks then.
            keep_compiled: self.site.is_made_up(),
            stop: Some(self.stop.clone()),
            ..BuildOptions::new(&self.options.folder)
        }
    }

    /// Puts a plugin in place and has it swapped in; the generation before, if there is one.
    async fn swap(&mut self, built: &Built) -> Result<(Option<u64>, Settings), Halt> {
        let settings = if self.site.is_made_up() {
            let file = self.options.settings.as_deref();
            Settings::find(&self.options.folder, file)
                .map_err(|error| Halt::setback("the settings cannot be read", error))?
        } else {
            Settings {
                from: "of the configuration".to_owned(),
                ..Settings::default()
            }
        };
        self.site
            .lay_out(built, &settings)
            .map_err(|error| Halt::setback("it cannot be put in place", error))?;
        let refused =
            |refused: &Refused| Halt::setback(format!("{} is refused", built.name), refused);
        if let Some((gateway, told)) = &self.serving {
            let told = *told;
            gateway.reload().await.map_err(|error| refused(&error))?;
            return Ok((Some(told), settings));
        }
        let gateway = self.start().await.map_err(|error| {
            let found = error.downcast_ref::<Refused>().map(refused);
            found.unwrap_or(Halt::Broken(error))
        })?;
        self.serving = Some((gateway, 0));
        self.started().await;
        Ok((None, settings))
    }

    async fn start(&self) -> anyhow::Result<Gateway> {
        Gateway::start(Options {
            listen: Some(self.options.listen.unwrap_or(ANY)),
            admin: Some(ANY),
            plugins: Some(self.site.plugins()),
            ..Options::new(self.site.config())
        })
        .await
    }

    /// The gateway serves for the first time.
    async fn started(&self) {
        let Some((gateway, _)) = &self.serving else {
            return;
        };
        let upstream = match (&self.standin, &self.options.upstream, &self.options.config) {
            (Some(standin), ..) => format!("the stand-in model server at {}", standin.url()),
            (_, Some(url), _) => url.clone(),
            (.., Some(config)) => format!("the upstreams of {}", config.display()),
            (None, None, None) => String::new(),
        };
        let started = Started {
            addr: gateway.addr(),
            admin: gateway.admin_addr(),
            upstream,
        };
        if let Ok(watch) = gateway.shared().watchers.watch(Filter::default()) {
            let (news, stop) = (self.news.clone(), self.stop.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = pass_on(watch, news) => {}
                }
            });
        }
        self.tell(News::Started(started)).await;
    }

    async fn sample(&self) {
        let Some((gateway, _)) = &self.serving else {
            let nothing = "nothing serves yet, so there is nothing to send a sample to";
            return self.tell(News::Note(nothing.to_owned())).await;
        };
        let config = Arc::clone(&gateway.shared().generation.load().config);
        if config.tls.is_some() {
            let tls = "the configuration's listener speaks TLS, and samples do not";
            return self.tell(News::Note(tls.to_owned())).await;
        }
        let first = config.models.keys().next().cloned();
        let model = match (&self.options.model, &self.options.config) {
            (Some(model), _) => model.clone(),
            (None, Some(_)) => first.unwrap_or_else(|| MODEL.to_owned()),
            (None, None) => MODEL.to_owned(),
        };
        let (addr, news, stop) = (gateway.addr(), self.news.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = sample::send(addr, &model) => sent,
            };
            if let Err(error) = sent {
                let note = format!("the sample was not answered: {error}");
                tell(&news, &stop, News::Note(note)).await;
            }
        });
    }

    async fn tell(&self, news: News) {
        tell(&self.news, &self.stop, news).await;
    }
}

/// Whoever listens may be slow, or gone.
async fn tell(lines: &mpsc::Sender<News>, stop: &CancellationToken, news: News) {
    tokio::select! {
        () = stop.cancelled() => {}
        sent = lines.send(news) => {
            if sent.is_err() {
                stop.cancel();
            }
        }
    }
}

fn not_built(error: BuildError) -> Halt {
    match &error {
        BuildError::Compile { name, words } => Halt::setback(
            format!("{name} does not build"),
            words.words().unwrap_or_default(),
        ),
        BuildError::Refused { name, error } => {
            Halt::setback(format!("{name} is refused"), &error.reason)
        }
        _ => Halt::setback("it cannot be built", &error),
    }
}

/// Tells every exchange, until nobody listens.
async fn pass_on(mut watch: Watch, news: mpsc::Sender<News>) {
    while let Some(next) = watch.next().await {
        let told = match next {
            Next::Trace(line) => match serde_json::from_slice(&line) {
                Ok(Line::Trace(trace)) => News::Exchange(trace),
                _ => continue,
            },
            Next::Lost { slow, skipped } => News::Lost { slow, skipped },
        };
        if news.send(told).await.is_err() {
            return;
        }
    }
}
