//! What is measured: each contender is a process of its own, started for a round.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use sha2::{Digest, Sha256};
use tollgate::demo::plugins_build::build_guests;

use super::{bare, watched::Watching};

pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    upstream: SocketAddr,
    folder: PathBuf,
}

pub(crate) enum Kind {
    /// No proxy at all.
    Direct,
    Bare(&'static str),
    Nginx(PathBuf),
    Tollgate {
        policies: usize,
        isolation: &'static str,
        /// Whether a policy may remember what it decided: the load is one request, again and
        /// again.
        remembers: bool,
    },
    /// Three policies, and somebody who watches exchanges, if so.
    Watched(Option<&'static str>),
    /// No policy, and endpoints of an upstream with these keys.
    Fleet {
        endpoints: Vec<SocketAddr>,
        keys: &'static str,
        model: &'static str,
    },
}

/// A contender at work.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    process: Option<Child>,
    /// The admin port, and what is watched there.
    watched: Option<(SocketAddr, &'static str)>,
}

pub(crate) async fn contenders(upstream: SocketAddr) -> anyhow::Result<Vec<Contender>> {
    let folder = folder_with_plugins().await?;
    let new = |name: &str, kind| Contender {
        name: name.to_owned(),
        kind,
        upstream,
        folder: folder.clone(),
    };
    let mut all = vec![new("direct", Kind::Direct)];
    if let Some(nginx) = ["/usr/sbin/nginx", "/usr/bin/nginx"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
    {
        all.push(new("nginx", Kind::Nginx(nginx)));
    }
    all.push(new("axum + reqwest", Kind::Bare("axum + reqwest")));
    all.push(new("axum + hyper-util", Kind::Bare("axum + hyper-util")));
    all.push(new(
        "tollgate, no policy",
        Kind::Tollgate {
            policies: 0,
            isolation: "exchange",
            remembers: true,
        },
    ));
    for isolation in ["exchange", "shared"] {
        for policies in [1, 3, 8] {
            let noun = if policies == 1 { "policy" } else { "policies" };
            all.push(new(
                &format!("tollgate, {policies} {noun}, {isolation}"),
                Kind::Tollgate {
                    policies,
                    isolation,
                    remembers: true,
                },
            ));
        }
        for policies in [3, 8] {
            all.push(new(
                &format!("tollgate, {policies} policies, {isolation}, {EACH_TIME}"),
                Kind::Tollgate {
                    policies,
                    isolation,
                    remembers: false,
                },
            ));
        }
    }
    Ok(all)
}

/// In the name of a gateway whose policies remember nothing.
pub(crate) const EACH_TIME: &str = "asked each time";

async fn folder_with_plugins() -> anyhow::Result<PathBuf> {
    let folder = tempfile::tempdir()?.keep();
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins)?;
    tokio::task::spawn_blocking(move || {
        build_guests(&["api-keys", "model-rules", "token-budget"], &plugins)
    })
    .await??;
    Ok(folder)
}

/// Gateways with three policies whose exchanges are watched so, by name.
pub(crate) async fn watched(
    upstream: SocketAddr,
    all: &[(&str, Option<&'static str>)],
) -> anyhow::Result<Vec<Contender>> {
    let folder = folder_with_plugins().await?;
    let new = |(name, query): &(&str, Option<&'static str>)| Contender {
        name: (*name).to_owned(),
        kind: Kind::Watched(*query),
        upstream,
        folder: folder.clone(),
    };
    Ok(all.iter().map(new).collect())
}

/// One gateway in front of several endpoints, or of one.
pub(crate) fn fleet(
    name: &str,
    endpoints: &[SocketAddr],
    keys: &'static str,
    model: &'static str,
) -> anyhow::Result<Contender> {
    let upstream = *endpoints.first().context("no endpoint")?;
    Ok(Contender {
        name: name.to_owned(),
        kind: Kind::Fleet {
            endpoints: endpoints.to_vec(),
            keys,
            model,
        },
        upstream,
        folder: tempfile::tempdir()?.keep(),
    })
}

impl Contender {
    pub(crate) async fn start(&self) -> anyhow::Result<Running> {
        let addr = free_address()?;
        let mut watched = None;
        let process = match &self.kind {
            Kind::Direct => {
                return Ok(Running {
                    addr: self.upstream,
                    process: None,
                    watched: None,
                });
            }
            Kind::Bare(role) => Command::new(std::env::current_exe()?)
                .env(bare::ROLE, role)
                .env(bare::PLACES, format!("{addr} {}", self.upstream))
                .stdin(Stdio::null())
                .spawn()?,
            Kind::Nginx(program) => {
                let config = self.folder.join("nginx.conf");
                std::fs::write(&config, nginx_config(addr, self.upstream))?;
                Command::new(program)
                    .arg("-c")
                    .arg(&config)
                    .arg("-p")
                    .arg(&self.folder)
                    .stdin(Stdio::null())
                    .spawn()?
            }
            Kind::Tollgate {
                policies,
                isolation,
                remembers,
            } => {
                let config = self.folder.join("tollgate.yaml");
                let addrs = (addr, free_address()?, self.upstream);
                std::fs::write(
                    &config,
                    tollgate_config(addrs, *policies, (isolation, *remembers))?,
                )?;
                gateway(&config)?
            }
            Kind::Watched(query) => {
                let config = self.folder.join("tollgate.yaml");
                let admin = free_address()?;
                watched = query.map(|query| (admin, query));
                let addrs = (addr, admin, self.upstream);
                std::fs::write(&config, tollgate_config(addrs, 3, ("exchange", true))?)?;
                gateway(&config)?
            }
            Kind::Fleet {
                endpoints,
                keys,
                model,
            } => {
                let config = self.folder.join("fleet.yaml");
                std::fs::write(&config, fleet_config(addr, endpoints, keys, model)?)?;
                gateway(&config)?
            }
        };
        let running = Running {
            addr,
            process: Some(process),
            watched,
        };
        running.wait_until_it_listens().await?;
        Ok(running)
    }
}

fn gateway(config: &Path) -> anyhow::Result<Child> {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("run")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("the gateway cannot be started")
}

fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

impl Running {
    async fn wait_until_it_listens(&self) -> anyhow::Result<()> {
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(self.addr).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("nothing listens on {}", self.addr)
    }

    /// Somebody who watches, where one does, until it is dropped.
    pub(crate) async fn watch(&self) -> anyhow::Result<Option<Watching>> {
        Ok(match self.watched {
            None => None,
            Some((admin, query)) => Some(Watching::at(admin, query).await?),
        })
    }

    /// Of the threads of the process and of those it started, to the nanosecond: what those took
    /// that ended is not in it, nor what other processes did.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for process in self.processes()? {
            for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
                // It may end meanwhile.
                let Ok(schedstat) = std::fs::read_to_string(thread?.path().join("schedstat"))
                else {
                    continue;
                };
                let on_cpu = schedstat.split_whitespace().next();
                nanos += on_cpu.context("no schedstat")?.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for process in self.processes()? {
            let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
            sum += status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))
                .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(sum)
    }

    fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let Some(process) = &self.process else {
            return Ok(Vec::new());
        };
        let id = process.id();
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        Ok(std::iter::once(id)
            .chain(children.split_whitespace().filter_map(|id| id.parse().ok()))
            .collect())
    }

    pub(crate) async fn stop(mut self) {
        if let Some(process) = &mut self.process {
            if let Some(id) = i32::try_from(process.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            }
            let _ = process.wait();
        }
    }
}

fn nginx_config(addr: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "worker_processes 2;\ndaemon off;\npid nginx.pid;\nerror_log /dev/null;\nevents {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  upstream model {{ server {upstream}; keepalive 64; }}\n\
           server {{\n    listen {addr};\n    location / {{\n      proxy_pass http://model;\n      proxy_http_version 1.1;\n\
               proxy_set_header Connection \"\";\n      proxy_buffering off;\n    }}\n  }}\n}}\n"
    )
}

fn fleet_config(
    addr: SocketAddr,
    endpoints: &[SocketAddr],
    keys: &str,
    model: &str,
) -> anyhow::Result<String> {
    let urls: Vec<_> = endpoints
        .iter()
        .map(|at| format!("\"http://{at}\""))
        .collect();
    let admin = free_address()?;
    Ok(format!(
        "listen: {addr}\nadmin: {admin}\n\
         upstreams:\n  standin: {{ dialect: openai, endpoints: [ {} ], {keys} }}\n\
         models:\n  standin-small: {{ targets: [ {{ upstream: standin }} ]{model} }}\n\
         routes:\n  - match: {{ path: /v1/chat/completions }}\n",
        urls.join(", ")
    ))
}

fn tollgate_config(
    (addr, admin, upstream): (SocketAddr, SocketAddr, SocketAddr),
    policies: usize,
    (isolation, remembers): (&str, bool),
) -> anyhow::Result<String> {
    let key: String = Sha256::digest(b"bench-key")
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    let rules: Vec<String> = (1..=6).map(|n| format!("rules{n}")).collect();
    let order = [
        "callers", "rules1", "budget", "rules2", "rules3", "rules4", "rules5", "rules6",
    ];
    let mut text = format!(
        "listen: {addr}\nadmin: {admin}\nplugins: plugins/\npolicies:\n\
         \x20 callers:\n    plugin: api-keys\n    on_error: refuse\n    isolation: {isolation}\n    settings:\n      keys: [ {{ sha256: {key}, caller: bench, tier: team }} ]\n\
         \x20 budget:\n    plugin: token-budget\n    on_error: refuse\n    isolation: {isolation}\n    grants: {{ limits: true }}\n    settings:\n      tiers: {{ team: {{ tokens: 1000000000000, period: 1h }} }}\n"
    );
    for name in &rules {
        write!(
            text,
            "  {name}:\n    plugin: model-rules\n    on_error: refuse\n    isolation: {isolation}\n    settings:\n      rules:\n        - models: [ \"standin-*\" ]\n          request: {{ clamp: {{ /temperature: {{ max: 1 }} }}, default: {{ /max_tokens: 256 }} }}\n"
        )?;
    }
    write!(
        text,
        "upstreams:\n  standin: {{ dialect: openai, endpoints: [ \"http://{upstream}\" ] }}\n\
         models:\n  standin-small: {{ targets: [ {{ upstream: standin }} ] }}\n\
         routes:\n  - name: chat\n    match: {{ path: /v1/chat/completions }}\n    policies: [ {} ]\n",
        order[..policies].join(", ")
    )?;
    if !remembers {
        text.push_str("sandbox: { remembered_decisions: 0 }\n");
    }
    Ok(text)
}
