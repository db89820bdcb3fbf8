//! Tollgate, as a library: start it, reload it, stop it.
//!
//! `serve` is the data path, `control` brings generations to it, `admin` and
//! `telemetry` look at both. The binary is this and a command line; tests and the
//! demo start the very same thing on ports of their own.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod admin;
pub mod allocator;
pub mod authoring;
pub mod cli;
mod control;
pub mod demo;
pub mod descriptors;
mod dev;
pub mod serve;
pub mod telemetry;
pub mod trace;
mod upkeep;

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Context;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use control::{First, Reloader, Reloads, Reports, Status, note_drained};
pub use control::{Refused, Reloaded, Stage, Warning};
use serve::{Server, Shared, TlsKeys};
use telemetry::{
    Lines, Observer,
    event::{Started, Stopping},
};
use upkeep::Upkeep;

/// What a gateway is started with, besides its configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration: a file, or a folder of them.
    pub config: PathBuf,
    /// Listen here instead of where the configuration says; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// The admin port's address instead of the configuration's.
    pub admin: Option<SocketAddr>,
    /// The plugins' folder instead of the configuration's.
    pub plugins: Option<PathBuf>,
    /// The program that is run as `<program> compile-worker`; `None`: this one. A
    /// test names the built binary here.
    pub compiler: Option<PathBuf>,
    /// The most plugin instances alive at once, of all policies together.
    pub instances: u32,
    /// Where the line of each exchange goes; `None`: nowhere.
    pub access: Option<Lines>,
}

impl Options {
    /// The most plugin instances alive at once, unless said otherwise.
    pub const INSTANCES: u32 = 4096;

    /// The configuration at `config`, and the default for everything else.
    #[must_use]
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self {
            config: config.into(),
            listen: None,
            admin: None,
            plugins: None,
            compiler: None,
            instances: Self::INSTANCES,
            access: None,
        }
    }
}

impl Default for Options {
    /// The configuration `tollgate.yaml` of the working directory.
    fn default() -> Self {
        Self::new("tollgate.yaml")
    }
}

/// A gateway that serves. Dropping it stops it at once; [`stop`](Self::stop) lets
/// exchanges finish.
pub struct Gateway {
    server: Server,
    admin_addr: SocketAddr,
    shared: Arc<Shared>,
    status: Arc<Status>,
    reloads: Reloads,
    control: DropGuard,
    admin: DropGuard,
    tasks: TaskTracker,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Gateway");
        shown
            .field("addr", &self.addr())
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Loads, compiles and proves the configuration, then serves it and follows its
    /// files from there on. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The first configuration was refused (the error is a [`Refused`]), or an
    /// address cannot be listened on.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let first = First::build(&options).await?;
        let config = Arc::clone(&first.proven.generation.config);
        let tls = config.tls.as_ref().map(TlsKeys::load).transpose()?;
        let listener = bind("listen", options.listen.unwrap_or(config.listen)).await?;
        let configured_admin = options.admin.unwrap_or(config.admin);
        let admin_listener = bind("admin", configured_admin).await?;
        let admin_addr = admin_listener.local_addr()?;

        first.proven.first_ticks().await;
        let reports = Reports::default();
        reports.exchanges.know(&config);
        let observer = Observer {
            counters: Arc::clone(&reports.exchanges),
            access: options.access.clone(),
        };
        let clients = Arc::clone(&first.builder.clients);
        let shared = Shared::new(
            Arc::clone(&first.proven.generation),
            clients,
            Arc::clone(&first.capabilities.cache),
            Box::new(observer),
        );
        reports
            .status
            .generations
            .went_live(1, &first.proven.generation);
        let (reloads, orders) = Reloads::new();
        let admin = admin::Admin {
            status: Arc::clone(&reports.status),
            shared: Arc::clone(&shared),
            reloads: reloads.clone(),
            control: Arc::clone(&reports.control),
            exchanges: Arc::clone(&reports.exchanges),
            plugin_metrics: Arc::clone(&first.capabilities.metrics),
            plugin_log: Arc::clone(&first.capabilities.log),
            access: options.access,
            requests: AtomicU64::new(0),
        };
        let status = Arc::clone(&reports.status);
        let (control_stop, admin_stop, tasks) = (
            CancellationToken::new(),
            CancellationToken::new(),
            TaskTracker::new(),
        );
        tasks.spawn(note_drained(
            Arc::clone(&status),
            Arc::clone(&reports.control),
            control_stop.clone(),
        ));
        tasks.spawn(admin::serve(
            admin_listener,
            configured_admin,
            admin,
            admin_stop.clone(),
        ));
        let upkeep = Upkeep::new(tasks.clone(), control_stop.clone());
        let reports = (reports, upkeep);
        let reloader = Reloader::new(first, Arc::clone(&shared), tls.clone(), reports, orders);
        tasks.spawn(reloader.run(control_stop.clone()));
        let server = Server::start(listener, Arc::clone(&shared), tls)?;
        Started {
            addr: server.address(),
            admin: admin_addr,
            generation: 1,
        }
        .emit();
        control::warn_of(&shared.generation.load_full(), &options.config);
        let (control, admin) = (control_stop.drop_guard(), admin_stop.drop_guard());
        Ok(Self {
            server,
            admin_addr,
            shared,
            status,
            reloads,
            control,
            admin,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where its admin port is.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The number of the generation that new exchanges take.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load().id
    }

    /// What all its listeners and exchanges share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Looks at the files now, without waiting for them to come to rest, and returns
    /// what came of it. Those who ask at the same time share one look.
    ///
    /// # Errors
    /// The candidate was refused; the generation before goes on.
    pub async fn reload(&self) -> Result<Reloaded, Refused> {
        self.reloads.reload().await
    }

    /// Looks at the files soon; the outcome is in the log.
    pub(crate) fn reload_soon(&self) {
        let reloads = self.reloads.clone();
        self.tasks
            .spawn(async move { drop(reloads.reload().await) });
    }

    /// Takes no new connections, lets exchanges finish for as long as
    /// `timeouts.shutdown` allows, and cuts what is left. Tells whether nothing had
    /// to be cut.
    pub async fn stop(self) -> bool {
        let most = self.shared.generation.load().config.timeouts.shutdown;
        self.stop_within(most).await
    }

    /// As [`stop`](Self::stop), but waits at most this long.
    pub async fn stop_within(self, most: Duration) -> bool {
        Stopping { most }.emit();
        self.status.stop();
        drop(self.control);
        let whole = self.server.shutdown(most).await;
        drop(self.admin);
        self.tasks.close();
        self.tasks.wait().await;
        whole
    }
}

async fn bind(name: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("`{name}`: cannot listen on {addr}"))
}

/// Does all that [`Gateway::start`] does before it serves.
///
/// # Errors
/// As that: both accept the same input.
pub async fn check(options: &Options) -> Result<Checked, Refused> {
    let first = First::build(options).await?;
    let generation = &first.proven.generation;
    let warnings = control::warnings(generation, &options.config);
    let policies = generation.policies.values();
    Ok(Checked {
        config: options.config.clone(),
        routes: generation.config.routes.len(),
        models: generation.config.models.len(),
        upstreams: generation.config.upstreams.len(),
        policies: policies
            .map(|policy| CheckedPolicy {
                policy: policy.name().to_owned(),
                plugin: policy.plugin().to_owned(),
                version: policy.version().to_owned(),
            })
            .collect(),
        warnings,
    })
}

/// What a configuration that holds is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Where it was read from.
    pub config: PathBuf,
    /// How many there are.
    pub routes: usize,
    /// How many there are.
    pub models: usize,
    /// How many there are.
    pub upstreams: usize,
    /// By name.
    pub policies: Vec<CheckedPolicy>,
    /// What is allowed, and probably not meant.
    pub warnings: Vec<Warning>,
}

/// A policy that was compiled, configured and tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedPolicy {
    /// Its name.
    pub policy: String,
    /// Its plugin's name.
    pub plugin: String,
    /// The version that the plugin gives itself.
    pub version: String,
}

impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            config,
            routes,
            models,
            upstreams,
            policies,
            ..
        } = self;
        let path = config.display();
        writeln!(
            formatter,
            "OK: {path} holds: routes {routes}, models {models}, upstreams {upstreams}"
        )?;
        for CheckedPolicy {
            policy,
            plugin,
            version,
        } in policies
        {
            writeln!(
                formatter,
                "  policy {policy}: plugin {plugin} {version}, compiled, configured and tried"
            )?;
        }
        write!(formatter, "A gateway would start with it.")
    }
}
