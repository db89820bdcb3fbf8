//! The commands at the end of each example's page, run as a reader would paste them.
//!
//! They run in a folder of their own that looks like the repository after the builds: the
//! example, the gateway, the plugins. Only ports are others. What a page shows below a
//! command has to come out, with `…` for any text.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::{fs::symlink, process::CommandExt},
    path::Path,
    process::{Child, Command},
    time::Instant,
};

use crate::fixture::{cache, guest};

/// A command, and what is shown below it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: String,
}

/// Those in the blocks `console` of a page.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut is_console, mut goes_on) = (false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if is_console {
            let command = line.strip_prefix("$ ");
            match (command, steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    shown: String::new(),
                }),
                (None, Some(step)) if goes_on => step.command.extend(["\n", line]),
                (None, Some(step)) => step.shown.extend([line, "\n"]),
                (None, None) => panic!("{line} comes before any command"),
            }
            goes_on = line.ends_with('\\');
        }
    }
    steps
}

/// Whether the text is what is shown, with any text for each `…`.
fn is_as_shown(shown: &str, text: &str) -> bool {
    let (shown, mut rest) = (shown.trim(), text.trim());
    let mut parts = shown.split('…').peekable();
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else {
        return false;
    };
    rest = after;
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[test]
fn a_page_is_read_as_a_reader_does() {
    let page = "```yaml\n$ no\n```\n```console\n$ a \\\n  b\nx…y\nz\n$ c\n```\n";
    let step = |command: &str, shown: &str| Step {
        command: command.to_owned(),
        shown: shown.to_owned(),
    };
    assert_eq!(steps(page), [step("a \\\n  b", "x…y\nz\n"), step("c", "")]);
    for (shown, text, is_shown) in [
        ("a", "a\n", true),
        ("a", "ab", false),
        ("a…c", "abc", true),
        ("a…c", "abcd", false),
        ("…b…", "abc", true),
        ("…b…b…", "abc", false),
        ("a…\nd", "abc\nd", true),
        ("a…a", "a", false),
    ] {
        assert_eq!(is_as_shown(shown, text), is_shown, "{shown} {text}");
    }
}

/// A shell and all that it started.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            // All may be gone already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Ports that are free now.
fn free_ports<const N: usize>() -> [u16; N] {
    let taken = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

/// Copies files, with other ports in them.
fn copy(from: &Path, to: &Path, change: &impl Fn(&str) -> String) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        fs::write(&to, change(&fs::read_to_string(&from).unwrap())).unwrap();
        fs::set_permissions(&to, fs::metadata(&from).unwrap().permissions()).unwrap();
    }
}

fn run(name: &str, plugins: &[&'static str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |path: &str| folder.path().join(path);
    let ports = free_ports::<6>();
    let change = |text: &str| {
        let old = ["8080", "9901", "9000", "9001", "9002", "9010"];
        let text = old
            .iter()
            .zip(ports)
            .fold(text.to_owned(), |text, (old, new)| {
                text.replace(&format!(":{old}"), &format!(":{new}"))
                    .replace(&format!(" {old} "), &format!(" {new} "))
            });
        text.replace(
            "../../target/tollgate-cache",
            &cache().display().to_string(),
        )
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    copy(&source, &path("examples").join(name), &change);
    let built = path("target/wasm32-unknown-unknown/plugin");
    fs::create_dir_all(&built).unwrap();
    for plugin in plugins {
        let file = format!("{}.wasm", plugin.replace('-', "_"));
        fs::copy(guest(plugin), built.join(file)).unwrap();
    }
    fs::create_dir_all(path("target/release")).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_tollgate"),
        path("target/release/tollgate"),
    )
    .unwrap();

    let page = fs::read_to_string(path("examples").join(name).join("README.md")).unwrap();
    let steps = steps(&page);
    // The builds are done.
    let mut script = "cargo() { :; }\n".to_owned();
    for (at, step) in steps.iter().enumerate() {
        script.push_str(&format!("echo '@@ {at}'\n{}\n", step.command));
    }
    let (out, errors) = (path("out"), path("errors"));
    let shell = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .process_group(0)
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .expect("bash is there");
    let mut shell = Shell(shell);
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let began = Instant::now();
    while shell.0.try_wait().unwrap().is_none() {
        assert!(
            began.elapsed().as_secs() < 300,
            "no end of it:\n{}\n{}",
            read(&out),
            read(&errors)
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let told = read(&out);
    for (at, step) in steps.iter().enumerate() {
        let (_, text) = told.split_once(&format!("@@ {at}\n")).unwrap();
        let text = text.split("@@ ").next().unwrap();
        let is_fine = step.shown.is_empty() || is_as_shown(&step.shown, text);
        assert!(
            is_fine,
            "$ {}\nis shown as\n{}\nand is\n{text}\nwith the errors\n{}",
            step.command,
            step.shown,
            read(&errors)
        );
    }
    let shown = steps.iter().filter(|step| !step.shown.is_empty());
    assert!(shown.count() > 5, "the page shows what comes out");
}

#[test]
fn the_teams_gateway_does_what_its_page_shows() {
    run("team-gateway", &["api-keys", "rate-limit"]);
}

#[test]
fn the_platforms_gateway_does_what_its_page_shows() {
    let plugins = [
        "cache",
        "jwt",
        "model-router",
        "rate-limit",
        "redact",
        "schema-guard",
        "token-budget",
    ];
    run("platform-gateway", &plugins);
}

#[test]
fn the_fleet_does_what_its_page_shows() {
    run("vllm-fleet", &["api-keys"]);
}
