//! What a component gets of WASI, and what it does not: one that imports it, in
//! WebAssembly text, called as other languages' runtimes call it.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tollgate_capabilities::{Capabilities, EmbeddedOptions, Level, LogLine, LogSink};
use tollgate_config::Isolation;
use tollgate_sandbox::{ExchangeContext, Failure, Policy};

use crate::{
    shape::Shape,
    stage::{Stage, head, message, options, spec, strike},
};

const IMPORTS: &str = r#"
  (import "wasi:cli/environment@0.2.3" "get-environment" (func $environment (param i32)))
  (import "wasi:cli/environment@0.2.3" "get-arguments" (func $arguments (param i32)))
  (import "wasi:cli/environment@0.2.3" "initial-cwd" (func $cwd (param i32)))
  (import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))
  (import "wasi:cli/stdin@0.2.3" "get-stdin" (func $stdin (result i32)))
  (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stderr@0.2.3" "get-stderr" (func $stderr (result i32)))
  (import "wasi:cli/terminal-stderr@0.2.3" "get-terminal-stderr" (func $terminal (param i32)))
  (import "wasi:io/streams@0.2.3" "[method]input-stream.read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.3" "[method]output-stream.check-write" (func $check-write (param i32 i32)))
  (import "wasi:io/streams@0.2.3" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
    (func $write-and-flush (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.3" "[resource-drop]output-stream" (func $close (param i32)))
  (import "wasi:clocks/wall-clock@0.2.3" "now" (func $wall (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.3" "now" (func $monotonic (result i64)))
  (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $wait (param i64) (result i32)))
  (import "wasi:random/random@0.2.3" "get-random-bytes" (func $random-bytes (param i64 i32)))
  (import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))
  (import "wasi:random/insecure@0.2.3" "get-insecure-random-u64" (func $insecure (result i64)))
  (import "wasi:random/insecure-seed@0.2.3" "insecure-seed" (func $seed (param i32)))
  (import "wasi:filesystem/preopens@0.2.3" "get-directories" (func $folders (param i32)))
  (import "wasi:sockets/tcp-create-socket@0.2.3" "create-tcp-socket" (func $socket (param i32 i32)))
"#;

/// What the lines are made of, at 65536, and helpers: a trap unless what is asked holds.
const EXTRA: &str = r#"
  (data (i32.const 65536) "one\ntwo\nthree")
  (func $expect (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
"#;

fn asks(body: &str) -> Shape {
    let drop = Shape::default().on_request;
    Shape {
        imports: IMPORTS,
        extra: EXTRA.to_owned(),
        on_request: format!("{body} {drop}"),
        world: "probe",
        wit: Some(include_str!("wasi.wit")),
        ..Shape::default()
    }
}

fn configures(body: &str) -> Shape {
    Shape {
        configure: body.to_owned(),
        ..asks("")
    }
}

async fn load(stage: &Stage, shape: &Shape) -> Arc<Policy> {
    stage
        .load(spec("wasi", shape.component().into(), json!({})))
        .await
}

/// Holds in every exchange, or it would not load.
async fn holds(body: &str) {
    let stage = Stage::new().await;
    let policy = load(&stage, &asks(body)).await;
    strike(&policy, "/strike")
        .await
        .unwrap_or_else(|failure| panic!("{body}: it {failure}"));
    assert!(policy.is_snapshot());
    stage.the_neighbour_answers_as_before().await;
}

/// Says what is wrong with what it did while it was proven.
async fn fails(body: &str, words: &[&str]) {
    let stage = Stage::new().await;
    let error = stage.refused_bytes(asks(body).component()).await;
    assert_eq!(error.code, "sample", "{error}");
    for words in words {
        assert!(error.reason.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn clocks_tell_the_time() {
    // 2020 or later, less than a second of nanoseconds.
    holds(
        "(call $wall (i32.const 896))
         (call $expect (i64.gt_u (i64.load (i32.const 896)) (i64.const 1577836800)))
         (call $expect (i32.lt_u (i32.load (i32.const 904)) (i32.const 1000000000)))",
    )
    .await;
    holds("(call $expect (i64.le_u (call $monotonic) (call $monotonic)))").await;
}

#[tokio::test]
async fn random_numbers_are_no_two_the_same() {
    holds("(call $expect (i64.ne (call $random) (call $random)))").await;
    holds("(call $expect (i64.ne (call $insecure) (call $insecure)))").await;
    holds(
        "(call $random-bytes (i64.const 4096) (i32.const 896))
         (call $expect (i32.eq (i32.load (i32.const 900)) (i32.const 4096)))
         (call $expect (i64.ne (i64.load (i32.load (i32.const 896))) (i64.const 0)))",
    )
    .await;
    fails(
        "(call $random-bytes (i64.const 0x7fffffffffffffff) (i32.const 896))",
        &["random bytes in one call"],
    )
    .await;
}

#[tokio::test]
async fn the_environment_is_empty_and_there_are_no_folders() {
    for list in ["$environment", "$arguments", "$folders"] {
        holds(&format!(
            "(i32.store (i32.const 900) (i32.const 7)) (call {list} (i32.const 896))
             (call $expect (i32.eqz (i32.load (i32.const 900))))"
        ))
        .await;
    }
    for option in ["$cwd", "$terminal"] {
        holds(&format!(
            "(i32.store (i32.const 896) (i32.const 7)) (call {option} (i32.const 896))
             (call $expect (i32.eqz (i32.load8_u (i32.const 896))))"
        ))
        .await;
    }
}

#[tokio::test]
async fn standard_input_is_at_its_end() {
    holds(
        "(call $read (call $stdin) (i64.const 10) (i32.const 896))
         (call $expect (i32.load8_u (i32.const 896)))
         (call $expect (i32.eq (i32.load8_u (i32.const 900)) (i32.const 1)))",
    )
    .await;
}

#[tokio::test]
async fn what_is_not_given_is_named_when_it_is_called() {
    for (body, words) in [
        ("(call $exit (i32.const 0))", "called `exit`"),
        (
            "(drop (call $wait (i64.const 1)))",
            "`wasi:clocks/monotonic-clock` `subscribe-duration`: a plugin cannot wait",
        ),
        (
            "(call $socket (i32.const 0) (i32.const 896))",
            "`create-tcp-socket`: a plugin has no sockets",
        ),
    ] {
        fails(body, &[words]).await;
    }
}

#[tokio::test]
async fn a_component_that_wants_more_of_the_machine_is_refused_by_name() {
    let stage = Stage::new().await;
    for (import, words) in [
        ("wasi:http/outgoing-handler@0.2.3", "`http-call`"),
        ("wasi:keyvalue/store@0.2.0", "nothing of the machine"),
        ("wasi:cli/stderr@0.3.0", "of WASI, this gateway offers 0.2"),
    ] {
        let text = format!(
            r#"(component (import "{import}" (instance)) (instance $p) (export "tollgate:policy/policy@0.1.0" (instance $p)))"#
        );
        let error = stage.refused_bytes(wat::parse_str(text).unwrap()).await;
        assert_eq!(error.code, "unknown_import", "{error}");
        assert!(
            error.reason.contains(import) && error.reason.contains(words),
            "{error}"
        );
    }
}

/// Keeps what is written, with the request that it was written in.
#[derive(Default)]
struct Kept(Mutex<Vec<(Level, String, String)>>);

impl LogSink for Kept {
    fn write(&self, line: LogLine<'_>) {
        let request = line.request_id.unwrap_or_default().to_owned();
        self.0
            .lock()
            .push((line.level, line.message.to_owned(), request));
    }
}

async fn written(body: &str) -> (Result<(), Failure>, Arc<Kept>, Arc<Policy>) {
    let log = Arc::new(Kept::default());
    let capabilities = Capabilities {
        log: log.clone(),
        ..Capabilities::embedded(EmbeddedOptions::default())
    };
    let stage = Stage::on(options(), capabilities).await;
    let policy = load(&stage, &asks(body)).await;
    log.0.lock().clear();
    let struck = strike(&policy, "/strike").await;
    (struck.map(drop), log, policy)
}

#[tokio::test]
async fn what_it_writes_is_lines_of_the_log() {
    let (struck, log, _) = written(
        "(call $check-write (call $stdout) (i32.const 896))
         (call $expect (i64.eq (i64.load (i32.const 904)) (i64.const 4096)))
         (call $write (call $stdout) (i32.const 65536) (i32.const 2) (i32.const 896))
         (call $write-and-flush (call $stderr) (i32.const 65536) (i32.const 13) (i32.const 896))
         (call $write (call $stdout) (i32.const 65538) (i32.const 2) (i32.const 896))
         (call $expect (i32.eqz (i32.load8_u (i32.const 896))))",
    )
    .await;
    struck.unwrap();
    let lines = log.0.lock();
    let lines: Vec<_> = lines
        .iter()
        .map(|(level, line, request)| (*level, line.as_str(), request.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (Level::Warn, "one", "-"),
            (Level::Warn, "two", "-"),
            (Level::Info, "one", "-"),
            (Level::Warn, "three", "-"),
        ]
    );
}

#[tokio::test]
async fn what_it_writes_is_recorded_as_its_log_lines_are_also_without_an_end() {
    let stage = Stage::new().await;
    let body = "(call $write (call $stdout) (i32.const 65536) (i32.const 4) (i32.const 896))
                (call $write (call $stderr) (i32.const 65536) (i32.const 13) (i32.const 896))";
    let policy = load(&stage, &asks(body)).await;
    let context = ExchangeContext {
        recorded: true,
        ..ExchangeContext::default()
    };
    let mut session = policy.open(&head("/strike"), &context).await.unwrap();
    session.on_request(&mut message("/strike")).await.unwrap();
    let recording = session.take_recording().unwrap();
    let lines: Vec<_> = recording
        .calls
        .iter()
        .filter(|call| call.name == "log.write")
        .map(|call| (&call.arguments["level"], &call.arguments["message"]))
        .collect();
    let line = |level: &str, message: &str| (json!(level), json!(message));
    let expected = [
        line("info", "one"),
        line("warn", "one"),
        line("warn", "two"),
        line("warn", "three"),
    ];
    assert_eq!(lines, expected.each_ref().map(|(a, b)| (a, b)));
    session.stop_recording();
    session.on_response(200, &mut message("/")).await.unwrap();
    assert!(session.take_recording().is_none(), "nobody wants it");
}

#[tokio::test]
async fn what_it_writes_is_bounded_as_its_log_lines_are() {
    let loops = "(local $n i32) (local $err i32) (local.set $err (call $stderr))
         (loop $again
           (call $write (local.get $err) (i32.const 65536) (i32.const 8) (i32.const 896))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const 500))))";
    let (struck, log, policy) = written(loops).await;
    struck.unwrap();
    assert_eq!(log.0.lock().len(), 20);
    assert_eq!(policy.stats().log_dropped, 500 - 10);
}

/// Empty lines are left out of the log, so its bound does not end them.
#[tokio::test]
async fn what_it_writes_in_one_call_is_bounded_for_the_clock_cannot_interrupt_it() {
    let fills = "(memory.fill (i32.const 65536) (i32.const 10) (i32.const 65536))";
    let write = |bytes: u32| {
        format!(
            "(call $write (local.get $out) (i32.const 65536) (i32.const {bytes}) (i32.const 896))"
        )
    };
    let out = "(local $n i32) (local $out i32) (local.set $out (call $stdout))";
    holds(&format!("{out} {fills} {}", write(65536))).await;
    fails(
        &format!("{out} {fills} {}", write(65537)),
        &["wrote 65537 bytes in one call; at most 65536"],
    )
    .await;
    // 16 calls each, as in pieces of 4 KiB.
    let many = |times: u32| {
        format!(
            "{out} {fills} (loop $again {}
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $again (i32.lt_u (local.get $n) (i32.const {times}))))",
            write(65536)
        )
    };
    holds(&many(62)).await;
    fails(&many(63), &["host calls"]).await;
}

#[tokio::test]
async fn calls_are_counted_as_host_calls() {
    let stage = Stage::new().await;
    let body = "(loop $again (drop (call $monotonic)) (br $again))";
    let error = stage.refused_bytes(asks(body).component()).await;
    assert!(error.reason.contains("host calls"), "{error}");
}

#[tokio::test]
async fn the_time_and_capabilities_cannot_be_had_while_it_is_configured() {
    let stage = Stage::new().await;
    for (body, words) in [
        ("(call $wall (i32.const 896))", "the time"),
        ("(drop (call $now))", "now-ms"),
    ] {
        let error = stage.refused_bytes(configures(body).component()).await;
        assert_eq!(error.code, "configure", "{error}");
        assert!(error.reason.contains(words), "{error}");
    }
}

/// Its seed would be that of every instance: each is configured when it is made.
#[tokio::test]
async fn random_bytes_while_it_is_configured_are_another_instances_no_more() {
    let stage = Stage::new().await;
    let draws = "(i64.store (i32.const 960) (call $random))";
    // What the compiling child gives is not what the instance has.
    let is_its_own =
        "(call $expect (i64.ne (i64.load (i32.const 960)) (i64.const 0xe220a8397b1dcdaf)))
         (call $expect (i64.ne (i64.load (i32.const 960)) (i64.const 0)))";
    let shape = Shape {
        configure: draws.to_owned(),
        ..asks(is_its_own)
    };
    let policy = load(&stage, &shape).await;
    assert!(!policy.is_snapshot());
    strike(&policy, "/strike").await.unwrap();
}

/// SplitMix64 from 0, and a clock that stands still.
#[tokio::test]
async fn what_runtimes_need_is_the_same_every_time_it_is_configured() {
    let stage = Stage::new().await;
    let body = "(call $expect (i64.eq (call $insecure) (i64.const 0xe220a8397b1dcdaf)))
                (call $seed (i32.const 896))
                (call $expect (i64.eq (i64.load (i32.const 896)) (i64.const 0x6e789e6aa1b965f4)))
                (call $expect (i64.eqz (call $monotonic)))";
    let policy = load(&stage, &configures(body)).await;
    assert!(policy.is_snapshot());
    strike(&policy, "/strike").await.unwrap();
}

#[tokio::test]
async fn what_it_writes_before_it_fails_to_configure_is_shown() {
    let stage = Stage::new().await;
    let body = "(call $write (call $stderr) (i32.const 65536) (i32.const 13) (i32.const 896)) (unreachable)";
    let error = stage.refused_bytes(configures(body).component()).await;
    assert_eq!(error.code, "configure", "{error}");
    assert!(
        error.reason.contains("it wrote: one / two / three"),
        "{error}"
    );
}

/// A handle means nothing in another instance: there is no snapshot, and each instance
/// is configured when it is made.
#[tokio::test]
async fn a_stream_that_is_still_open_after_configure_works_in_every_instance() {
    let stage = Stage::new().await;
    let write =
        "(call $write (i32.load (i32.const 960)) (i32.const 65536) (i32.const 4) (i32.const 896))";
    let open = "(i32.store (i32.const 960) (call $stderr))";
    for (close, is_snapshot) in [
        ("", false),
        ("(call $close (i32.load (i32.const 960)))", true),
    ] {
        let configure = format!("{open} {write} {close}");
        let again = if is_snapshot { open } else { "" };
        let shape = Shape {
            configure,
            ..asks(&format!(
                "{again} {write} (call $expect (i32.eqz (i32.load8_u (i32.const 896))))"
            ))
        };
        for isolation in [Isolation::Exchange, Isolation::Shared] {
            let mut spec = spec("wasi", shape.component().into(), json!({}));
            spec.config.isolation = isolation;
            let policy = stage.load(spec).await;
            assert_eq!(policy.is_snapshot(), is_snapshot);
            for _ in 0..3 {
                strike(&policy, "/strike").await.unwrap();
            }
        }
    }
}
