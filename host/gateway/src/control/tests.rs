//! The control path on real files: what goes live, what is left alone, what is refused.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{Gateway, Options, Refused};

/// A generous bound: what these tests claim is that something happens, not when.
const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration without policies, told apart by its route's name.
fn config(route: &str) -> String {
    format!(
        "listen: 127.0.0.1:0
admin: 127.0.0.1:0
plugins: plugins/
upstreams: {{ up: {{ dialect: openai, endpoints: [\"http://127.0.0.1:9\"] }} }}
routes: [ {{ name: {route}, match: {{ path: /v1/* }}, upstream: up }} ]
"
    )
}

struct Fixture {
    _keep: tempfile::TempDir,
    folder: PathBuf,
    file: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().canonicalize().unwrap();
        fs::create_dir(folder.join("plugins")).unwrap();
        Self {
            file: folder.join("tollgate.yaml"),
            folder,
            _keep: keep,
        }
    }

    fn with(text: &str) -> Self {
        let fixture = Self::new();
        fs::write(&fixture.file, text).unwrap();
        fixture
    }

    async fn start(&self) -> Gateway {
        self.try_start().await.unwrap()
    }

    async fn try_start(&self) -> anyhow::Result<Gateway> {
        Gateway::start(Options {
            instances: 4,
            ..Options::new(&self.file)
        })
        .await
    }

    /// As `mv` does it.
    fn rename_in(&self, text: &str) {
        let temporary = self.folder.join(".tollgate.yaml.tmp");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, &self.file).unwrap();
    }
}

fn route(gateway: &Gateway) -> String {
    gateway.shared().generation.load().config.routes[0]
        .name
        .clone()
}

async fn until(claim: impl Fn() -> bool) {
    let waiting = async {
        while !claim() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it did not come to that");
}

async fn until_refused(gateway: &Gateway) -> Refused {
    until(|| gateway.status.last_refusal().is_some()).await;
    gateway.status.last_refusal().unwrap().refused
}

#[tokio::test]
async fn a_file_renamed_into_place_goes_live() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    assert_eq!((gateway.generation(), route(&gateway).as_str()), (1, "one"));
    fixture.rename_in(&config("two"));
    until(|| gateway.generation() == 2).await;
    assert_eq!(route(&gateway), "two");
    assert!(gateway.stop().await);
}

#[tokio::test]
async fn a_file_written_in_place_goes_live() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    fs::write(&fixture.file, config("two")).unwrap();
    until(|| route(&gateway) == "two").await;
}

#[tokio::test]
async fn a_file_written_in_three_steps_goes_live_once_and_whole() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    // Each step by itself would be a configuration, and a different one.
    let mut text = config("two");
    for route in ["three", "four"] {
        fs::write(&fixture.file, &text).unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        text = text.replace(
            "routes: [ ",
            &format!("routes: [ {{ name: {route}, match: {{ path: /{route} }}, upstream: up }}, "),
        );
    }
    fs::write(&fixture.file, &text).unwrap();
    until(|| gateway.generation() > 1).await;
    assert_eq!(
        (gateway.generation(), route(&gateway).as_str()),
        (2, "four")
    );
}

#[tokio::test]
async fn an_editor_that_keeps_a_backup_and_creates_the_file_anew_is_followed() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    fs::rename(&fixture.file, fixture.folder.join("tollgate.yaml~")).unwrap();
    fs::write(&fixture.file, config("two")).unwrap();
    until(|| route(&gateway) == "two").await;
    assert_eq!(
        gateway.status.last_refusal().map(|refusal| refusal.refused),
        None
    );
}

#[tokio::test]
async fn a_touch_and_the_same_bytes_make_no_generation() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let file = fs::File::options()
        .append(true)
        .open(&fixture.file)
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(!gateway.reload().await.unwrap().swapped);
    fixture.rename_in(&config("one"));
    assert!(!gateway.reload().await.unwrap().swapped);
    fs::write(&fixture.file, config("one")).unwrap();
    assert!(!gateway.reload().await.unwrap().swapped);
    assert_eq!(gateway.generation(), 1);
}

#[tokio::test]
async fn a_kubernetes_volume_swapped_twice_at_once_ends_at_the_last() {
    let fixture = Fixture::new();
    for route in ["one", "two", "three"] {
        fs::create_dir(fixture.folder.join(format!("..{route}"))).unwrap();
        fs::write(
            fixture.folder.join(format!("..{route}/tollgate.yaml")),
            config(route),
        )
        .unwrap();
    }
    let swap = |version: &str| {
        symlink(version, fixture.folder.join("..data_tmp")).unwrap();
        fs::rename(
            fixture.folder.join("..data_tmp"),
            fixture.folder.join("..data"),
        )
        .unwrap();
    };
    swap("..one");
    symlink("..data/tollgate.yaml", &fixture.file).unwrap();
    let gateway = fixture.start().await;
    swap("..two");
    swap("..three");
    until(|| route(&gateway) == "three").await;
    fs::remove_dir_all(fixture.folder.join("..two")).unwrap();
    swap("..one");
    until(|| route(&gateway) == "one").await;
}

#[tokio::test]
async fn a_file_deleted_is_refused_and_its_return_is_seen() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    fs::remove_file(&fixture.file).unwrap();
    let refused = until_refused(&gateway).await;
    assert!(refused.message.contains("tollgate.yaml"), "{refused}");
    assert_eq!((gateway.generation(), route(&gateway).as_str()), (1, "one"));
    fixture.rename_in(&config("two"));
    until(|| route(&gateway) == "two").await;
    assert!(!gateway.status.last_refusal().unwrap().stands);
}

#[tokio::test]
async fn a_folder_removed_and_made_anew_is_followed() {
    let keep = tempfile::tempdir().unwrap();
    let folder = keep.path().join("etc");
    let make = |route: &str| {
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tollgate.yaml"), config(route)).unwrap();
    };
    make("one");
    let gateway = Gateway::start(Options {
        instances: 4,
        ..Options::new(&folder)
    })
    .await
    .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    until_refused(&gateway).await;
    make("two");
    until(|| route(&gateway) == "two").await;
    let temporary = keep.path().join("three.yaml");
    fs::write(&temporary, config("three")).unwrap();
    fs::rename(temporary, folder.join("tollgate.yaml")).unwrap();
    until(|| route(&gateway) == "three").await;
}

#[tokio::test]
async fn what_is_undone_before_it_went_live_makes_no_generation() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    fixture.rename_in("nonsense: [");
    assert!(gateway.reload().await.is_err());
    fixture.rename_in(&config("one"));
    assert!(!gateway.reload().await.unwrap().swapped);
    assert_eq!(gateway.generation(), 1);
    assert!(!gateway.status.last_refusal().unwrap().stands);
}

#[tokio::test]
async fn a_refusal_names_file_and_line_and_the_old_generation_goes_on() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    fixture.rename_in(&format!("{}colour: blue\n", config("two")));
    let refused = gateway.reload().await.unwrap_err();
    assert_eq!((refused.line, refused.code.as_str()), (Some(6), "config"));
    assert_eq!(refused.file.as_deref(), Some(fixture.file.as_path()));
    assert!(
        refused.message.contains("tollgate.yaml:6") && refused.message.contains("colour"),
        "{refused}"
    );
    assert_eq!((gateway.generation(), route(&gateway).as_str()), (1, "one"));
}

#[tokio::test]
async fn a_plugin_that_cannot_be_read_is_named_with_its_policy() {
    let with_policy = |limit: &str| {
        let policy = "policies: { callers: { plugin: api-keys, on_error: refuse } }\n";
        config("two").replace("upstream: up", "upstream: up, policies: [ callers ]")
            + policy
            + limit
    };
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let plugin = fixture.folder.join("plugins/api-keys.wasm");
    let refuse = async |text: String| {
        fixture.rename_in(&text);
        gateway.reload().await.unwrap_err()
    };

    let missing = refuse(with_policy("")).await;
    assert_eq!(missing.code, "missing_plugin");
    assert!(
        missing.message.contains("plugins/api-keys.wasm") && missing.message.contains("`callers`"),
        "{missing}"
    );

    fs::create_dir(&plugin).unwrap();
    let directory = refuse(with_policy("")).await;
    assert!(
        directory.message.contains("it is a directory"),
        "{directory}"
    );
    fs::remove_dir(&plugin).unwrap();

    symlink("nowhere.wasm", &plugin).unwrap();
    assert_eq!(refuse(with_policy("")).await.code, "missing_plugin");
    fs::remove_file(&plugin).unwrap();

    fs::write(&plugin, [0; 70_000]).unwrap();
    let large = refuse(with_policy("compile: { input: 64KiB }\n")).await;
    assert_eq!(large.code, "too_large", "{large}");

    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&plugin).is_err() {
        let unreadable = refuse(with_policy("")).await;
        assert!(
            unreadable.message.contains("permission denied"),
            "{unreadable}"
        );
    }
    assert_eq!(gateway.generation(), 1);
}

#[tokio::test]
async fn what_only_a_restart_can_change_is_refused_with_that_advice() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    fixture.rename_in(&config("two").replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:1"));
    let refused = gateway.reload().await.unwrap_err();
    assert_eq!(refused.code, "restart_needed");
    assert!(refused.message.contains("`listen`"), "{refused}");
}

#[tokio::test]
async fn more_memory_than_there_is_room_for_is_refused_with_that_advice_too() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    fs::write(fixture.folder.join("plugins/p.wasm"), "").unwrap();
    let policy = "policies: { p: { plugin: p, on_error: refuse, limits: { memory: 65MiB } } }\n";
    fixture.rename_in(&(config("two") + policy));
    let refused = gateway.reload().await.unwrap_err();
    assert_eq!(refused.code, "restart_needed");
    assert_eq!(
        (refused.file, refused.line),
        (Some(fixture.file.clone()), Some(6))
    );
    assert!(
        refused.message.contains("`limits.memory`"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_refused_by_name() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let header = "headers: { authorization: \"Bearer ${secret:openai}\" }, endpoints:";
    let text =
        config("two").replace("endpoints:", header) + "secrets: { openai: { file: openai.key } }\n";
    fixture.rename_in(&text);
    let refused = gateway.reload().await.unwrap_err();
    assert!(
        refused.message.contains("`openai`") && refused.message.contains("openai.key"),
        "{refused}"
    );
    fs::write(fixture.folder.join("openai.key"), "sk-1").unwrap();
    assert!(gateway.reload().await.unwrap().swapped);
    fs::write(fixture.folder.join("openai.key"), "sk-2").unwrap();
    until(|| gateway.generation() == 3).await;
}

#[tokio::test]
async fn a_candidate_refused_for_its_endpoints_is_tried_again_when_they_are_mended() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let list = fixture.folder.join("list.txt");
    let write = |text: &str| {
        let temporary = fixture.folder.join(".list.tmp");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, &list).unwrap();
    };
    let text = config("two").replace("[\"http://127.0.0.1:9\"]", "{ file: list.txt }");
    let at = |refused: Refused, reason: &str| {
        assert!(refused.message.contains(reason), "{refused}");
        assert_eq!(refused.line, Some(4));
    };
    fixture.rename_in(&text);
    at(until_refused(&gateway).await, "cannot read the endpoints");
    write("http://127.0.0.1:9\nnonsense\n");
    let malformed = || {
        let refusal = gateway.status.last_refusal().unwrap().refused;
        refusal.message.contains("line 2")
    };
    until(malformed).await;
    assert_eq!(gateway.generation(), 1);
    write("http://127.0.0.1:9\n");
    until(|| gateway.generation() == 2).await;
    assert_eq!(route(&gateway), "two");
    assert!(!gateway.status.last_refusal().unwrap().stands);
}

#[tokio::test]
async fn endpoints_that_change_in_their_file_make_no_generation() {
    let text = config("one").replace("[\"http://127.0.0.1:9\"]", "{ file: list.txt }");
    let fixture = Fixture::with(&text);
    let list = fixture.folder.join("list.txt");
    fs::write(&list, "http://127.0.0.1:9\n").unwrap();
    let gateway = fixture.start().await;
    for changed in ["http://127.0.0.1:8\n", "nonsense\n"] {
        fs::write(&list, changed).unwrap();
        assert!(!gateway.reload().await.unwrap().swapped);
    }
    assert_eq!(gateway.generation(), 1);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_set_up_is_refused_with_its_line() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let header = "headers: { content-length: \"1\" }, endpoints:";
    for name in ["up", "up/a~b"] {
        let text = config("two").replace(" up:", &format!(" {name}:"));
        let text = text.replace("upstream: up", &format!("upstream: {name}"));
        fixture.rename_in(&text.replace("endpoints:", header));
        let refused = gateway.reload().await.unwrap_err();
        let at = (refused.file.as_deref(), refused.line);
        assert_eq!(at, (Some(fixture.file.as_path()), Some(4)), "{name}");
        assert!(refused.message.contains("`content-length`"), "{refused}");
    }
}

#[tokio::test]
async fn a_storm_of_reloads_is_a_few_looks_and_all_are_answered() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let looks = || gateway.status.looks();
    let before = looks();
    fixture.rename_in(&config("two"));
    let answers = futures_util::future::join_all((0..1000).map(|_| gateway.reload())).await;
    assert!(answers.iter().all(|answer| {
        answer
            .as_ref()
            .is_ok_and(|reloaded| reloaded.generation == 2)
    }));
    assert!(looks() - before <= 3, "{}", looks() - before);
    assert_eq!(gateway.generation(), 2);
}

#[tokio::test]
async fn good_and_bad_in_turns_leave_the_last_good_one() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    for turn in 0..5 {
        fixture.rename_in("listen: [");
        assert!(gateway.reload().await.is_err());
        fixture.rename_in(&config(&format!("r{turn}")));
        assert!(gateway.reload().await.unwrap().swapped);
    }
    assert_eq!((gateway.generation(), route(&gateway).as_str()), (6, "r4"));
}

#[tokio::test]
async fn former_generations_give_their_memory_back() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let first = std::sync::Arc::downgrade(&gateway.shared().generation.load_full());
    fixture.rename_in(&config("two"));
    gateway.reload().await.unwrap();
    until(|| first.strong_count() == 0).await;
    until(|| gateway.status.generations.shown().len() == 1).await;
}

#[tokio::test]
async fn a_gateway_that_is_stopping_reloads_no_more() {
    let fixture = Fixture::with(&config("one"));
    let gateway = fixture.start().await;
    let reloads = gateway.reloads.clone();
    assert!(gateway.stop().await);
    assert_eq!(reloads.reload().await.unwrap_err().code, "stopping");
}

#[tokio::test]
async fn check_and_start_refuse_with_the_same_words() {
    for text in [
        "",
        "listen: [",
        "unknown: 1\n",
        &config("one").replace("up:", "down:"),
    ] {
        let fixture = Fixture::with(text);
        let started = fixture.try_start().await.unwrap_err();
        let checked = crate::check(&Options {
            instances: 4,
            ..Options::new(&fixture.file)
        })
        .await
        .unwrap_err();
        assert_eq!(started.downcast_ref::<Refused>(), Some(&checked));
    }
    let fixture = Fixture::with(&config("one"));
    let checked = crate::check(&Options {
        instances: 4,
        ..Options::new(&fixture.file)
    })
    .await
    .unwrap();
    assert!(checked.to_string().starts_with("OK: "), "{checked}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let fixture = Fixture::with(&config("one"));
    let options = Options {
        instances: 4,
        listen: Some(addr),
        ..Options::new(&fixture.file)
    };
    let error = Gateway::start(options).await.unwrap_err();
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    assert!(Path::new(&fixture.file).exists());
}
