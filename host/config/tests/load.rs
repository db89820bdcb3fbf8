//! What good configurations become, and what the file system can do to a load.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{fs, io::Write, net::SocketAddr, path::Path, time::Duration};

use serde_json::json;
use tollgate_config::*;

fn good() -> Config {
    load(Path::new("tests/golden/good.yaml")).unwrap()
}

fn absolute(path: &str) -> std::path::PathBuf {
    std::env::current_dir()
        .unwrap()
        .join("tests/golden")
        .join(path)
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_str(text, "tollgate.yaml", Path::new("/etc/tollgate"))
}

fn refusal(path: &Path) -> String {
    load(path).unwrap_err().to_string()
}

const LEAST: &str =
    "upstreams: { u: { endpoints: [\"http://h\"] } }\nroutes: [ { upstream: u } ]\n";

#[test]
fn places_and_paths_are_read_from_the_folder_of_the_file() {
    let config = good();
    assert_eq!(config.listen, "0.0.0.0:8443".parse::<SocketAddr>().unwrap());
    assert_eq!(config.admin, "[::1]:9999".parse::<SocketAddr>().unwrap());
    assert_eq!(config.plugins, absolute("built"));
    assert_eq!(config.cache, None);
    let tls = config.tls.unwrap();
    assert_eq!(
        (tls.certificate, tls.key),
        (absolute("tls/cert.pem"), "/etc/tls/key.pem".into())
    );
    let clients = ClientCertificates {
        ca: absolute("tls/clients.pem"),
        auth: ClientAuth::Optional,
    };
    assert_eq!(tls.clients, Some(clients));
    assert_eq!(config.geo, Some(absolute("places/city.mmdb")));
    let proxies: Vec<_> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "2001:db8::1/128"]);
    assert_eq!(
        config.secrets["openai"],
        SecretSource::Env("OPENAI_API_KEY".into())
    );
    assert_eq!(
        config.secrets["idp"],
        SecretSource::File(absolute("secrets/idp"))
    );
}

#[test]
fn a_policy_takes_its_own_limits_before_those_of_the_sandbox_section() {
    let config = good();
    let callers = &config.policies["callers"];
    assert_eq!(callers.on_error, OnError::Refuse);
    assert_eq!(callers.isolation, Isolation::Exchange);
    assert_eq!(callers.grants, Grants::default());
    assert_eq!(callers.sandbox.hook_time, Duration::from_millis(5));
    assert_eq!(callers.sandbox.memory_bytes, 16 << 20);
    let budget = &config.policies["budget"];
    assert_eq!(
        (budget.on_error, budget.isolation),
        (OnError::Bypass, Isolation::Shared)
    );
    assert_eq!(budget.sandbox.hook_time, Duration::from_millis(20));
    assert_eq!(budget.sandbox.exchange_time, Duration::from_secs(1));
    assert_eq!(budget.sandbox.memory_bytes, 32 << 20);
    let http_call = HttpCallGrant {
        hosts: vec![
            "https://idp.example.com:443".into(),
            "http://[::1]:81".into(),
        ],
        timeout: Duration::from_millis(250),
        max_response_bytes: 1000,
        max_calls: 2,
    };
    let grants = Grants {
        kv: true,
        limits: true,
        geo: true,
        secrets: vec!["idp".into()],
        http_call: Some(http_call),
        cache: false,
        shadow: false,
        endpoints: false,
    };
    assert_eq!(budget.grants, grants);
}

#[test]
fn settings_are_read_as_yaml_1_2_and_nothing_is_guessed() {
    let settings = &good().policies["callers"].settings;
    let keys = json!([{ "caller": "ann", "hash": "00ff" }, { "caller": "bob", "hash": 12 }]);
    assert_eq!(
        *settings,
        json!({ "keys": keys, "on": "off", "count": "1_000" })
    );
}

#[test]
fn upstreams_and_models_are_resolved() {
    let config = good();
    let vllm = &config.upstreams["vllm"];
    let Endpoints::Listed(endpoints) = &vllm.endpoints else {
        panic!("{:?}", vllm.endpoints)
    };
    assert_eq!(
        endpoints[1],
        Endpoint {
            https: true,
            authority: "api.example.com".into(),
            base_path: "/v1".into(),
            weight: 1,
        }
    );
    let secret = HeaderValue::Secret {
        prefix: "Bearer ".into(),
        name: "openai".into(),
        suffix: String::new(),
    };
    assert_eq!(
        vllm.headers[0],
        UpstreamHeader {
            name: "authorization".into(),
            value: secret
        }
    );
    assert_eq!(vllm.headers[1].value, HeaderValue::Plain("yes".into()));
    assert_eq!(
        (vllm.dialect, vllm.stream_end),
        (Dialect::OpenAi, StreamEnd::DoneEvent)
    );
    let raw = &config.upstreams["raw"];
    assert_eq!(
        (raw.dialect, raw.stream_end),
        (Dialect::Opaque, StreamEnd::Transport)
    );
    let targets = &config.models["llama-3"].targets;
    assert_eq!(
        targets
            .iter()
            .map(|target| target.weight)
            .collect::<Vec<_>>(),
        [95, 1]
    );
    assert_eq!(targets[0].policies, ["budget"]);
}

#[test]
fn routes_keep_their_order_and_get_names_of_their_own() {
    let routes = good().routes;
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "/v1/chat/completions",
            "/v1/realtime",
            "/v1/chat/completions#2",
            "files"
        ]
    );
    assert_eq!(routes[0].to, Destination::Model);
    assert_eq!(routes[0].matches.methods, ["POST"]);
    assert_eq!(routes[0].matches.models, ["llama-*", "gpt-4"]);
    assert_eq!(routes[0].policies, ["callers", "budget"]);
    let expected = Match {
        host: Some("*.example.com".into()),
        path: Some(PathMatch::Prefix("/files".into())),
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec![
            ("x-team".into(), Some("blue".into())),
            ("x-there".into(), None),
        ],
        models: vec![],
    };
    assert_eq!(routes[3].matches, expected);
    assert_eq!(routes[3].to, Destination::Upstream("raw".into()));
}

#[test]
fn what_is_not_written_is_as_the_table_says() {
    let config = parse(LEAST).unwrap();
    assert_eq!(
        config.listen,
        "127.0.0.1:8080".parse::<SocketAddr>().unwrap()
    );
    assert_eq!(
        config.admin,
        "127.0.0.1:9901".parse::<SocketAddr>().unwrap()
    );
    assert_eq!(config.plugins, Path::new("/etc/tollgate/plugins"));
    assert_eq!(
        config.cache.as_deref(),
        Some(Path::new("/etc/tollgate/.tollgate/cache"))
    );
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.compile, CompileLimits::default());
    assert_eq!(config.routes[0].name, "any");
    assert_eq!(config.warnings(), []);
}

#[test]
fn a_folder_is_one_configuration_in_the_order_of_its_names() {
    let config = load(Path::new("tests/golden/good-folder")).unwrap();
    let names: Vec<&str> = config
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(config.plugins, absolute("good-folder/plugins"));
}

#[test]
fn a_mounted_config_map_is_read_through_its_links() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("..2026")).unwrap();
    fs::write(folder.path().join("..2026/a.yaml"), LEAST).unwrap();
    std::os::unix::fs::symlink("..2026", folder.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
    assert_eq!(
        load(folder.path()).unwrap().plugins,
        folder.path().join("plugins")
    );
}

#[test]
fn crlf_and_a_byte_order_mark_change_nothing() {
    let text = format!("\u{feff}{}", LEAST.replace('\n', "\r\n"));
    assert_eq!(parse(&text).unwrap(), parse(LEAST).unwrap());
}

#[test]
fn a_byte_order_mark_moves_no_caret() {
    let error = parse("\u{feff}colour: 1\nroutes: []\n").unwrap_err();
    let expected = "tollgate.yaml:1:1: unknown key `colour`\n  |\n1 | colour: 1\n  | ^\n";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn warnings_name_what_is_allowed_but_probably_not_meant() {
    let text = "admin: 0.0.0.0:9901\nsecrets: { s: { env: S } }\npolicies: { p/q: { plugin: p, on_error: refuse } }\nroutes: [ {} ]\n";
    let warnings = parse(text).unwrap().warnings();
    let warnings: Vec<_> = warnings
        .iter()
        .map(|warning| (warning.pointer.as_str(), warning.message.as_str()))
        .collect();
    assert_eq!(
        warnings,
        [
            (
                "/admin",
                "the admin port listens on 0.0.0.0:9901, which others than this machine may reach; only `admin_token` is asked for, and only of who watches exchanges"
            ),
            (
                "/routes/0",
                "the route `any` goes by the request's model, but there are no models: define some under `models`, or give it an `upstream`"
            ),
            (
                "/policies/p~1q",
                "the policy `p/q` is used by nothing: name it in a route, at a target or at an upstream, or take it away"
            ),
            (
                "/secrets/s",
                "the secret `s` is used by nothing: grant it to a policy, name it in a header of an upstream, or take it away"
            ),
        ]
    );
}

#[test]
fn a_policy_that_stands_at_an_upstream_is_used() {
    let text = LEAST.replace("[\"http://h\"]", "[\"http://h\"], policies: [ p ]");
    let config = parse(&format!(
        "{text}policies: {{ p: {{ plugin: p, on_error: refuse }} }}\n"
    ));
    let config = config.unwrap();
    assert_eq!(config.upstreams["u"].policies, ["p"]);
    assert_eq!(config.warnings(), []);
}

#[test]
fn a_route_on_which_no_answer_can_be_late_is_warned_of() {
    let warnings = |route: &str| {
        let text = LEAST.replace("upstream: u }", &format!("upstream: u, {route} }}"));
        let warnings = parse(&text).unwrap().warnings().into_iter();
        warnings
            .map(|warning| (warning.pointer, warning.message))
            .collect::<Vec<_>>()
    };
    let at = |message: &str| [("/routes/0".to_owned(), message.to_owned())];
    let late = "the route `any` gives up after 30s in whole (`total`): no answer is ever late by `first_byte`, 30s";
    assert_eq!(
        warnings("timeouts: { total: 30s, first_byte: 30s }"),
        at(late)
    );
    let retried = "retries: { on: [timeout] }, timeouts: { total: 30s }";
    let late = late.replace(", 30s", ", 1m");
    assert_eq!(warnings(retried), at(&late));
    for fine in [
        "timeouts: { total: 30s, first_byte: 29s }",
        "retries: { on: [timeout] }, timeouts: { total: 61s }",
        "timeouts: { total: 30s }",
    ] {
        assert_eq!(warnings(fine), [], "{fine}");
    }
}

#[test]
fn each_dialect_has_its_own_question_whether_a_server_is_ready() {
    for (dialect, path) in [
        ("openai", Some("/health")),
        ("anthropic", Some("/v1/models")),
        ("open-inference", Some("/v2/health/ready")),
        ("seldon", Some("/ready")),
        ("opaque", None),
    ] {
        let with = |active: &str| {
            let more = format!("\"http://h\"], dialect: {dialect}, health: {{ active: {active} }}");
            parse(&LEAST.replace("\"http://h\"]", &more))
        };
        let asked = |config: &Config| {
            let active = config.upstreams["u"].health.active.as_ref();
            active.unwrap().path.clone()
        };
        match (path, with("{}")) {
            (Some(path), Ok(config)) => assert_eq!(asked(&config), path),
            (None, Err(error)) => {
                assert!(error.to_string().contains("`path: /healthz`"), "{error}")
            }
            (_, other) => panic!("{dialect}: {other:?}"),
        }
        assert_eq!(asked(&with("{ path: /up }").unwrap()), "/up", "{dialect}");
    }
}

#[test]
fn a_setting_is_found_again_by_its_pointer() {
    let callers = &good().policies["callers"];
    let at = |pointer: &str| {
        let found = callers.locate_setting(pointer);
        (found.line, found.column)
    };
    assert_eq!(
        (callers.settings_at.line, callers.settings_at.column),
        (14, 7)
    );
    assert_eq!(at(""), (14, 7));
    assert_eq!(at("/keys/0/hash"), (16, 17));
    assert_eq!(at("/keys/1/hash"), (17, 32));
    assert_eq!(at("/keys/1/missing"), (17, 11));
    assert_eq!(at("/keys/9"), (15, 9));
    assert_eq!(at("nonsense"), (14, 7));
    let shown = render(
        &callers.locate_setting("/keys/1/hash"),
        "policy `callers`: 12 is not a string",
    );
    let expected = "tests/golden/good.yaml:17:32: policy `callers`: 12 is not a string\n   |\n\
                    17 |         - { caller: bob, hash: 12 }\n   |                                ^";
    assert_eq!(shown, expected);
}

#[test]
fn a_place_is_shown_without_its_line_when_the_file_is_gone() {
    let location = Location {
        file: "gone.yaml".into(),
        line: 3,
        column: 4,
    };
    assert_eq!(render(&location, "wrong"), "gone.yaml:3:4: wrong");
    let policies = "policies: { p: { plugin: p, on_error: refuse, settings: { a: 1 } } }\n";
    let config = parse(&format!("{policies}{LEAST}")).unwrap();
    let policy = &config.policies["p"];
    assert_eq!(policy.locate_setting("/a"), policy.settings_at);
}

#[test]
fn a_pointer_is_followed_through_aliases_and_escapes() {
    let text = "base: &base { deep: [1, 2] }\nuse: *base\nmerged:\n  <<: *base\n\"a/b~c\": x\n";
    let at = |pointer: &str| {
        locate_in(text, Path::new("f"), pointer).map(|found| (found.line, found.column))
    };
    assert_eq!(at("/base/deep/1"), Some((1, 25)));
    assert_eq!(at("/use/deep/1"), Some((1, 25)));
    assert_eq!(at("/merged/deep/1"), Some((1, 25)));
    assert_eq!(at("/a~1b~0c"), Some((5, 10)));
    assert_eq!(locate_in("a: [", Path::new("f"), "/a"), None);
}

#[test]
fn what_may_hold_a_credential_is_not_shown() {
    let text = "upstreams:\n  u:\n    endpoints: [\"http://me:hunter2@h\"]\n    headers: { authorization: \"hunter2\\n\" }\nroutes: [ { upstream: u } ]\n";
    let shown = parse(text).unwrap_err().to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("tollgate.yaml:3:17") && shown.contains("tollgate.yaml:4:31"),
        "{shown}"
    );
}

#[test]
fn a_thousand_mistakes_are_counted_and_a_hundred_shown() {
    let routes = "  - { upstream: nowhere }\n".repeat(1000);
    let error = parse(&format!("routes:\n{routes}")).unwrap_err();
    assert!(error.to_string().ends_with("\n\nand 900 more"));
}

#[test]
fn mistakes_of_form_are_bounded_too_and_it_is_said_when_not_all_was_read() {
    let with = |count: usize| {
        let mistakes = "  - { upstream: u, colour: blue }\n".repeat(count);
        let upstreams = "upstreams: { u: { endpoints: [\"http://h\"] } }\n";
        let error = parse(&format!("{upstreams}routes:\n{mistakes}")).unwrap_err();
        error.to_string()
    };
    assert_eq!(with(100).matches("unknown key `colour`").count(), 100);
    assert!(with(100).ends_with("or `timeouts`"), "{}", with(100));
    assert!(with(1000).ends_with("\n\nand at least 1 more"));
    // A large file is not read a hundred times.
    let large = format!("# {}\nlisten: []\nadmin: []\n", "x".repeat(7 << 20));
    let shown = parse(&format!("{large}{}", "x: 1\n".repeat(20))).unwrap_err();
    let shown = shown.to_string();
    assert!(shown.contains("the key `x` stands here twice"), "{shown}");
    let many: String = (0..20).map(|nth| format!("x{nth}x: 1\n")).collect();
    let shown = parse(&format!("{large}{many}")).unwrap_err().to_string();
    assert!(shown.ends_with("\n\nand there may be more"), "{shown}");
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yaml");
    fs::write(&path, b"routes: []\n# caf\xc3\xa9 \xff\n").unwrap();
    let expected = format!(
        "{}:2:8: not UTF-8: a configuration is UTF-8 text",
        path.display()
    );
    assert_eq!(refusal(&path), expected);
}

#[test]
fn a_file_of_a_hundred_megabytes_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.yaml");
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    assert!(matches!(
        load(&path),
        Err(ConfigError::TooLarge {
            limit_bytes: 8_388_608,
            ..
        })
    ));
}

#[test]
fn the_files_of_a_folder_share_one_bound() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.yaml", "b.yaml"] {
        let mut file = fs::File::create(folder.path().join(name)).unwrap();
        file.write_all(LEAST.as_bytes()).unwrap();
        file.write_all(format!("# {}\n", "x".repeat(5 << 20)).as_bytes())
            .unwrap();
    }
    assert!(
        matches!(load(folder.path()), Err(ConfigError::TooLarge { path, .. }) if path.ends_with("b.yaml"))
    );
}

#[test]
fn what_is_missing_or_no_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.yaml");
    assert!(
        refusal(&missing)
            .ends_with("missing.yaml: cannot be read: No such file or directory (os error 2)")
    );
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
    assert!(
        refusal(folder.path())
            .ends_with("dangling.yaml: cannot be read: No such file or directory (os error 2)")
    );
    assert!(
        refusal(Path::new("/dev/zero"))
            .ends_with("is a device, a socket or a pipe, where a configuration file was expected")
    );
}

#[test]
fn a_file_cut_short_anywhere_loads_or_is_refused_and_never_panics() {
    let text = fs::read_to_string("tests/golden/good.yaml").unwrap();
    for (end, _) in text.char_indices() {
        if let Err(error) = parse(&text[..end]) {
            assert!(error.to_string().starts_with("tollgate.yaml:"), "{error}");
        }
    }
}

#[test]
fn a_file_with_any_one_byte_changed_loads_or_is_refused_and_never_panics() {
    let text = fs::read_to_string("tests/golden/good.yaml").unwrap();
    for at in 0..text.len() {
        const ODD: &[u8] = b" :-{[&*\"\n\t#0";
        for byte in [ODD[at % ODD.len()], ODD[(at / ODD.len()) % ODD.len()]] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = byte;
            let _ = parse(&String::from_utf8(bytes).unwrap());
        }
    }
}

#[test]
fn what_follows_a_failed_try_is_resolved_by_route_and_model() {
    let config = load(Path::new("tests/golden/good-attempts.yaml")).unwrap();
    let chat = &config.models["chat"];
    let targets: Vec<_> = chat.all_targets().map(|target| &*target.upstream).collect();
    assert_eq!(targets, ["near", "near", "far"]);
    assert_eq!(
        chat.fallback_on,
        [
            Cause::Connect,
            Cause::Timeout,
            Cause::Unavailable,
            Cause::Status(529)
        ]
    );
    let retries = chat.retries.as_ref().unwrap();
    assert_eq!(
        retries.on,
        [Cause::Connect, Cause::Reset, Cause::Status(503)]
    );
    assert_eq!((retries.count, retries.budget_percent), (2, 10));
    assert!(retries.same_endpoint);
    assert_eq!(chat.hedge, Some(Hedge::default()));
    assert_eq!(chat.timeouts.first_token, Some(Duration::from_secs(2)));
    let [first, second] = config.routes.as_slice() else {
        panic!("{:?}", config.routes)
    };
    assert_eq!(first.retries, Some(Retries::off()));
    assert_eq!(first.timeouts.total_max, Some(Duration::from_secs(120)));
    assert_eq!((&second.retries, &second.hedge), (&None, &None));
    assert_eq!(config.timeouts.total_max, Some(Duration::from_secs(3600)));
}
