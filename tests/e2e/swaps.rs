//! Generations follow each other while traffic flows, and nothing is lost by it.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;
use tollgate::demo::{
    load::{Load, Report, Until},
    standin::{HEADER, Standin, StandinOptions},
};

use crate::{
    client::Ask,
    fixture::{PATIENCE, Site, chat_through, lay_out, probing, until},
};

/// Two configurations that differ in their mark; both stay compiled.
fn marked(number: u64) -> String {
    probing(if number.is_multiple_of(2) {
        "mark: even"
    } else {
        "mark: odd"
    })
}

/// A load whose every answer and event shows the mark twice: as the request had it and
/// as the response got it.
fn load(site: &Site, behaviour: &'static str) -> Load {
    let marks = vec!["/mark".to_owned(), "/system_fingerprint".to_owned()];
    let load = Load {
        marks,
        patience: Duration::from_secs(90),
        ..Load::chat(site.gateway.addr(), "small")
    };
    load.header(HEADER.parse().unwrap(), behaviour.parse().unwrap())
}

fn run(load: Load, until: Until) -> tokio::task::JoinHandle<Report> {
    tokio::spawn(load.run(until))
}

fn answered_by_one_generation_each(report: &Report) {
    assert_eq!(report.failed, 0, "{report:?}");
    assert_eq!(report.two_generations, 0, "{report:?}");
    assert_eq!(report.marked, report.sent, "{report:?}");
    assert_eq!(report.ok, report.sent, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_load_lose_nothing_and_mix_nothing() {
    let site = Site::start(&marked(0)).await;
    site.reconfigure(&marked(1)).await;
    let streams = run(
        Load {
            connections: 50,
            streamed_percent: 100,
            ..load(&site, "tokens=60,pace=100ms")
        },
        Until::Requests(50),
    );
    site.seen("all streams are open", |seen| seen.streams == 50)
        .await;
    let enough = CancellationToken::new();
    let requests = run(
        Load {
            connections: 8,
            ..load(&site, "tokens=4")
        },
        Until::Told(enough.clone()),
    );
    for number in 2..102 {
        site.write_config(&marked(number));
        site.gateway.reload().await.unwrap();
    }
    assert_eq!(site.gateway.generation(), 102);
    site.seen("two thousand requests", |seen| seen.requests >= 2050)
        .await;
    enough.cancel();
    let requests = requests.await.unwrap();
    assert!(requests.sent >= 2000, "{requests:?}");
    assert!(requests.generations.len() > 50, "{requests:?}");
    answered_by_one_generation_each(&requests);
    let streams = streams.await.unwrap();
    assert_eq!(streams.streamed, 50);
    answered_by_one_generation_each(&streams);
    // Those that drained gave their place back.
    let drained = || async {
        site.metric(r#"tollgate_generations{state="draining"}"#)
            .await
    };
    while drained().await > 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_plugin_under_load_changes_nothing_and_is_named() {
    let site = Site::start(&marked(0)).await;
    let enough = CancellationToken::new();
    let mixed = Load {
        connections: 6,
        streamed_percent: 40,
        ..load(&site, "tokens=10,pace=2ms")
    };
    let mixed = run(mixed, Until::Told(enough.clone()));
    site.seen("the load", |seen| seen.requests > 50).await;
    let plugin = site.folder.path().join("plugins/probe.wasm");
    let good = fs::read(&plugin).unwrap();
    for broken in [&good[..good.len() / 2], b"", b"no wasm at all"] {
        let beside = plugin.with_extension("new");
        fs::write(&beside, broken).unwrap();
        fs::rename(&beside, &plugin).unwrap();
        let refused = site.gateway.reload().await.unwrap_err();
        assert!(refused.message.contains("probe.wasm"), "{refused}");
        assert_eq!(site.gateway.generation(), 1);
        let shown = site.look("/generations").await.json();
        assert_eq!(shown["generation"], 1);
        assert_eq!(shown["last_refusal"]["stands"], true);
        assert_eq!(
            shown["last_refusal"]["message"],
            Value::from(refused.message)
        );
        assert_eq!(site.metric("tollgate_change_refused").await, 1.0);
        let before = site.standin.seen().requests;
        site.seen("the load goes on", |seen| seen.requests > before + 50)
            .await;
    }
    assert!(
        site.metric(r#"tollgate_reloads_total{result="refused""#)
            .await
            >= 3.0
    );
    fs::write(plugin.with_extension("new"), &good).unwrap();
    fs::rename(plugin.with_extension("new"), &plugin).unwrap();
    site.gateway.reload().await.unwrap();
    site.metric_becomes("tollgate_change_refused", 0.0).await;
    enough.cancel();
    let report = mixed.await.unwrap();
    answered_by_one_generation_each(&report);
    assert_eq!(report.generations.keys().copied().collect::<Vec<_>>(), [1]);
}

/// The program itself, so that what is measured is its memory alone.
struct Process {
    child: Child,
    addr: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    async fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["run", "--log", "json", "--no-access-log", "--config"])
            .arg(folder.join("tollgate.yaml"))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = loop {
            let line = lines.next_line().await.unwrap().expect("it starts");
            if line.contains("serving") {
                break line;
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = |name: &str| {
            let (_, value) = serving.split_once(&format!("\"{name}\":\"")).unwrap();
            value.split('"').next().unwrap().parse().unwrap()
        };
        Self {
            addr: address("addr"),
            admin: address("admin"),
            child,
        }
    }

    /// Resident memory in bytes.
    fn resident(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_leave_memory_as_it_was() {
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), StandinOptions::default())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("canary.txt"), "unused").unwrap();
    lay_out(folder.path(), &marked(1), &standin);
    let process = Process::start(folder.path()).await;
    let swap = async |number: u64| {
        lay_out(folder.path(), &marked(number), &standin);
        let reloaded = Ask::new(process.admin, "POST", "/reload").send().await;
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        let answer = Ask::chat(process.addr, "small").send().await;
        assert_eq!(
            answer.header("x-tollgate-generation").unwrap(),
            number.to_string()
        );
    };
    for number in 2..=50 {
        swap(number).await;
    }
    let after_50 = process.resident();
    for number in 51..=200 {
        swap(number).await;
    }
    let after_200 = process.resident();
    // A generation takes some megabytes: what 150 leave behind would be hundreds.
    let grown = after_200.saturating_sub(after_50);
    println!("resident after 50 swaps: {after_50} bytes, after 200: {after_200}");
    assert!(
        grown < 16 << 20,
        "{after_50} bytes after 50 swaps, {after_200} after 200"
    );
}

#[tokio::test]
async fn a_stream_in_flight_survives_a_swap_and_keeps_its_generation() {
    let site = Site::start(&marked(0)).await;
    let mut stream = site
        .streamed()
        .behaving("tokens=30,pace=20ms")
        .stream()
        .await;
    let mark = |event: &str| {
        serde_json::from_str::<Value>(event)
            .ok()
            .map(|event| event["mark"].clone())
    };
    assert_eq!(mark(&stream.next().await.unwrap()).unwrap(), "even");
    assert_eq!(site.reconfigure(&marked(1)).await, 2);
    let shown = site.look("/generations").await.json();
    let states: Vec<_> = shown["generations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["draining", "live"]);
    assert_eq!(shown["generations"][0]["exchanges"], 1);
    assert_eq!(site.chat().send().await.json()["mark"], "odd");
    assert_eq!(stream.header("x-tollgate-generation"), Some("1"));
    let rest = stream.collect().await;
    assert!(rest.is_complete(), "{rest:?}");
    assert!(
        rest.events
            .iter()
            .filter_map(|event| mark(event))
            .all(|mark| mark == "even"),
        "{rest:?}"
    );
    site.metric_becomes(r#"tollgate_generations{state="draining"}"#, 0.0)
        .await;
    site.metric_becomes("tollgate_generations_drained_total", 1.0)
        .await;
}

#[tokio::test]
async fn a_file_renamed_into_place_is_noticed_without_being_told() {
    let site = Site::start(&marked(0)).await;
    site.write_config(&marked(1));
    assert_eq!(site.after_generation(1).await, 2);
    assert_eq!(site.chat().send().await.json()["mark"], "odd");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_a_stream_finish_and_takes_no_one_new() {
    let site = Site::start(&marked(0)).await;
    let mut stream = site
        .streamed()
        .behaving("tokens=20,pace=30ms")
        .stream()
        .await;
    stream.next().await.unwrap();
    let addr = site.gateway.addr();
    let Site {
        gateway, standin, ..
    } = site;
    let stopping = tokio::spawn(gateway.stop());
    let refused = until("no one new", || std::net::TcpStream::connect(addr).err()).await;
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let rest = stream.collect().await;
    assert!(rest.is_complete(), "{rest:?}");
    assert!(stopping.await.unwrap(), "nothing had to be cut");
    assert_eq!(standin.seen().completed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_bounded_and_cuts_what_does_not_end() {
    let site = Site::start(&marked(0)).await;
    let mut stream = site
        .streamed()
        .behaving("tokens=8,stall-after=2")
        .stream()
        .await;
    stream.next().await.unwrap();
    let Site {
        gateway, standin, ..
    } = site;
    let began = Instant::now();
    assert!(
        !gateway.stop_within(Duration::from_millis(300)).await,
        "something had to be cut"
    );
    assert!(began.elapsed() < PATIENCE);
    assert!(!stream.collect().await.is_complete());
    assert!(
        standin
            .wait_for(PATIENCE, |seen| seen.cancelled == 1)
            .await
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_cuts_an_exchange_waits_for_its_last_hook() {
    let policy = "\n  probe: { PROBE, on_error: refuse, limits: { hook_time: 10s, exchange_time: 20s, host_calls: 100000 } }";
    let site = Site::start(&chat_through("probe", policy)).await;
    let ask = site
        .streamed()
        .header("x-probe", "busy=1500@finish")
        .behaving("tokens=8,stall-after=2");
    let mut stream = ask.stream().await;
    stream.next().await.unwrap();
    let (whole, lines) = site.stop_within(Duration::from_millis(100)).await;
    assert!(!whole, "something had to be cut");
    assert_eq!(lines.len(), 1, "it is logged when its last hook has run");
    assert_eq!(lines[0]["policies"][0].get("failure"), None, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_says_that_it_is_not_ready() {
    let site = Site::start(&marked(0)).await;
    assert_eq!(site.look("/readyz").await.status, 200);
    let mut stream = site
        .streamed()
        .behaving("tokens=200,pace=30ms")
        .stream()
        .await;
    stream.next().await.unwrap();
    let admin = site.gateway.admin_addr();
    let Site {
        gateway,
        standin: _standin,
        ..
    } = site;
    let stopping = tokio::spawn(gateway.stop_within(PATIENCE));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ready = Ask::new(admin, "GET", "/readyz").send().await;
        if ready.status == 503 {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    drop(stream);
    assert!(stopping.await.unwrap());
}
