//! The steps of one job, in order. Runs in the compiling child.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wizer::Wizer;

use super::{Artefact, Code, Facts, Form, Job, Lines, Made, Refusal, Task, adapt, configure};
use crate::{
    contract::{Description, Hooks, Needs},
    engine, wasi,
};

/// The custom section that the SDK writes the contract into.
const CONTRACT: &[u8] = b"component-type";

pub(crate) const PACKAGE: &str = "tollgate:policy/";
pub(crate) const VERSION: &str = "0.1.0";

/// Interfaces that hold types alone or that every plugin may use.
const ALWAYS: [&str; 6] = ["types", "exchange", "log", "metrics", "clock", "random"];
pub(crate) const ON_GRANT: [&str; 8] = [
    "secrets",
    "geo",
    "kv",
    "limits",
    "http-call",
    "cache",
    "shadow",
    "endpoints",
];

/// `setup` is what an earlier job with the same file left, from our own cache.
pub(super) fn run(job: &Job, wasm: &[u8], setup: Option<&[u8]>) -> Result<Made, Refusal> {
    if wasm.len() as u64 > job.limits.input_bytes {
        return Err(too_large(wasm.len(), job));
    }
    let component = componentize(wasm)?;
    let world = check_world(&component, job)?;
    let (cx, instrumented) = match Wizer::new().instrument_component(&component) {
        Ok((cx, instrumented)) => (Some(cx), instrumented),
        // Wizer takes no nested components with modules; such a plugin configures
        // every instance instead.
        Err(_) => (None, component.clone()),
    };
    let mut guest = configure::Guest::start(&instrumented, (wasm, job), setup)?;
    let description = guest.describe()?;
    if let Task::Describe { keeps_setup } = job.task {
        let setup = keeps_setup.then(|| guest.setup()).flatten();
        return Ok(Made {
            artefact: described(wasm, description, world)?,
            setup: setup.map(Bytes::from),
        });
    }
    configure::check_settings(&description.settings_schema, &job.settings)?;
    guest.configure(&job.settings)?;
    let snapshot = cx.as_ref().and_then(|cx| guest.snapshot(cx));
    let samples = guest.samples()?;
    let description = narrowed(description, guest.describe()?)?;
    let snapshotted = snapshot.is_some();
    let snapshot = snapshot.as_deref().unwrap_or(&component);
    let compiled = match compile(job, wasm, snapshotted.then_some(snapshot)) {
        Ok(compiled) => compiled,
        Err(because) => {
            let compiler = compiler(false)?;
            let code = compiler.precompile_component(snapshot).map_err(|error| {
                Refusal::new("invalid", format!("it does not compile: {error:#}"))
            })?;
            Compiled {
                form: Form::Component { because },
                code,
                lines: None,
            }
        }
    };
    let facts = Facts {
        samples,
        snapshotted,
        lines: compiled.lines.map(Arc::new),
        ..facts(description, world, compiled.form)
    };
    Ok(Made {
        artefact: Artefact {
            facts,
            code: Code::Bytes(Bytes::from(compiled.code)),
        },
        setup: guest.setup().map(Bytes::from),
    })
}

fn compiler(mapped: bool) -> Result<wasmtime::Engine, Refusal> {
    engine::compiler(mapped).map_err(|error| internal("the compiler", &error))
}

/// What it says of itself before it is configured.
fn described(wasm: &[u8], description: Description, world: World) -> Result<Artefact, Refusal> {
    configure::check_schema(&description.settings_schema)?;
    let form = if is_component(wasm) {
        Form::Component {
            because: CAME_SO.to_owned(),
        }
    } else {
        Form::Module {
            map_bytes: 0,
            seen: None,
        }
    };
    Ok(Artefact {
        facts: facts(description, world, form),
        code: Code::Bytes(Bytes::new()),
    })
}

const CAME_SO: &str = "it came as a component";

fn facts(description: Description, world: World, form: Form) -> Facts {
    let hooks = &description.hooks;
    let needs = &description.needs;
    Facts {
        hooks: [
            Hooks::REQUEST,
            Hooks::ATTEMPT,
            Hooks::RESPONSE,
            Hooks::EVENTS,
            Hooks::FINISH,
        ]
        .map(|hook| hooks.contains(hook)),
        needs: [
            Needs::REQUEST_JSON,
            Needs::REQUEST_BODY,
            Needs::RESPONSE_JSON,
            Needs::RESPONSE_BODY,
        ]
        .map(|need| needs.contains(need)),
        name: description.name,
        version: description.version,
        ticks: world.ticks,
        samples: Vec::new(),
        imports: world.imports,
        snapshotted: false,
        form,
        settings_schema: description.settings_schema,
        lines: None,
    }
}

struct Compiled {
    form: Form,
    code: Vec<u8>,
    lines: Option<Lines>,
}

/// As a module that runs by itself, or why it cannot be one.
fn compile(job: &Job, wasm: &[u8], snapshot: Option<&[u8]>) -> Result<Compiled, String> {
    if is_component(wasm) {
        return Err(CAME_SO.to_owned());
    }
    let snapshot = snapshot.ok_or("its memory cannot be snapshotted")?;
    let adapted = adapt::adapt(wasm, snapshot, job.limits.guest_memory_bytes)
        .map_err(|unfit| unfit.to_string())?;
    let form = Form::Module {
        map_bytes: adapted.map_bytes,
        seen: adapted.seen,
    };
    let compiler = compiler(adapted.lines.is_some()).map_err(|refusal| refusal.reason)?;
    let code = compiler.precompile_module(&adapted.module);
    Ok(Compiled {
        form,
        code: code.map_err(|error| format!("{error:#}"))?,
        lines: adapted.lines,
    })
}

/// What a plugin says of itself once it knows its settings.
fn narrowed(before: Description, after: Description) -> Result<Description, Refusal> {
    if !before.hooks.contains(after.hooks) || !before.needs.contains(after.needs) {
        let reason = "`describe` has hooks or needs after `configure` that it did not have before";
        return Err(Refusal::new("configure", reason.to_owned()));
    }
    Ok(Description {
        hooks: after.hooks,
        needs: after.needs,
        ..before
    })
}

pub(super) fn too_large(bytes: usize, job: &Job) -> Refusal {
    Refusal::new(
        "too_large",
        format!(
            "the file has {bytes} bytes; at most {} are allowed (`compile.input` in the configuration)",
            job.limits.input_bytes
        ),
    )
}

pub(super) fn internal(what: &str, error: &wasmtime::Error) -> Refusal {
    Refusal::new("compile", format!("{what} failed: {error:#}"))
}

/// A component as it is; a core module with the WIT in it, turned into one.
pub(crate) fn componentize(wasm: &[u8]) -> Result<Vec<u8>, Refusal> {
    let not_wasm = |what: &str| Err(Refusal::new("not_wasm", what.to_owned()));
    match wasm {
        [] => not_wasm("the file is empty"),
        _ if is_component(wasm) => Ok(wasm.to_vec()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            // The encoder takes for granted that it is whole.
            validate(wasm, "module")?;
            wit_component::ComponentEncoder::default()
                .validate(true)
                .module(wasm)
                .and_then(|encoder| encoder.encode())
                .map_err(|error| from_module(wasm, &error))
        }
        [0, b'a', b's', b'm', version @ ..] => not_wasm(&match version {
            [a, b, c, d, ..] => format!(
                "its WebAssembly version is {a:#04x} {b:#04x} {c:#04x} {d:#04x}; modules of version 1 and components are accepted"
            ),
            _ => "the file ends within the WebAssembly header".to_owned(),
        }),
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            not_wasm("the file is compressed; compressed plugins are not accepted")
        }
        [b'(', ..] => not_wasm("the file is WebAssembly text; build it to binary first"),
        _ => not_wasm("the file is not WebAssembly: it does not begin with `\\0asm`"),
    }
}

fn is_component(wasm: &[u8]) -> bool {
    wasm.starts_with(&[0, b'a', b's', b'm', 0x0d, 0, 1, 0])
}

fn from_module(wasm: &[u8], error: &impl std::fmt::Display) -> Refusal {
    let detail = format!("{error:#}");
    if let Some(other) = foreign_version(wasm) {
        return contract_version(&other);
    }
    if !wasm
        .windows(CONTRACT.len())
        .any(|window| window == CONTRACT)
    {
        let reason =
            "the module has no contract in it, so it is no policy plugin: build it with the SDK";
        return Refusal::new("not_a_policy", reason);
    }
    let code = if detail.contains("failed to resolve import") {
        "unknown_import"
    } else {
        "invalid"
    };
    Refusal::new(code, format!("the module is not a policy plugin: {detail}"))
}

fn contract_version(found: &str) -> Refusal {
    Refusal::new(
        "contract_version",
        format!(
            "it is built for contract tollgate:policy@{found}; this gateway speaks {VERSION}: build it with the SDK of this version"
        ),
    )
}

/// The contract version in an export or custom section of a module, if it is another one.
fn foreign_version(wasm: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"tollgate:policy/policy@";
    let at = wasm.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let version: String = wasm[at..]
        .iter()
        .take(24)
        .map(|byte| char::from(*byte))
        .take_while(|c| c.is_ascii_alphanumeric() || ".-+".contains(*c))
        .collect();
    (version != VERSION).then_some(version)
}

/// What a component uses of the contract, besides what all do.
struct World {
    imports: Vec<String>,
    ticks: bool,
}

/// Checks what the component exports and that it imports nothing but what it may.
fn check_world(component: &[u8], job: &Job) -> Result<World, Refusal> {
    // Names can be read without compiling a function.
    let (imports, exports) = top_level_names(component)?;
    check_exports(&exports)?;
    let mut used = Vec::new();
    for import in imports {
        if let Some(found) = wasi::interface(&import) {
            let interface = found.map_err(|refused| not_given(&import, refused))?;
            used.push(format!("wasi:{interface}"));
            continue;
        }
        let known = import
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.split_once('@'));
        let Some((interface, version)) = known else {
            return Err(Refusal::new(
                "unknown_import",
                format!("it imports `{import}`, which this gateway does not offer"),
            ));
        };
        if version != VERSION {
            return Err(contract_version(version));
        }
        if ON_GRANT.contains(&interface) && !job.granted.iter().any(|granted| granted == interface)
        {
            return Err(Refusal::new(
                "not_granted",
                format!(
                    "it imports `{interface}`, which is not granted: add `{interface}` to the policy's `grants`, or use another plugin"
                ),
            ));
        }
        if !ALWAYS.contains(&interface) && !ON_GRANT.contains(&interface) {
            return Err(Refusal::new(
                "unknown_import",
                format!("it imports `{interface}`, which the contract does not have"),
            ));
        }
        used.push(interface.to_owned());
    }
    Ok(World {
        imports: used,
        ticks: exports.contains(&timer()),
    })
}

fn not_given(import: &str, refused: wasi::Refused) -> Refusal {
    let reason = match refused {
        wasi::Refused::Version => "of WASI, this gateway offers 0.2",
        wasi::Refused::Interface => {
            "a plugin gets nothing of the machine but clocks, random numbers and its log; calls over HTTP are the contract's `http-call`"
        }
    };
    Refusal::new("unknown_import", format!("it imports `{import}`: {reason}"))
}

/// The interface that every plugin exports.
pub(crate) fn exported() -> String {
    format!("{PACKAGE}policy@{VERSION}")
}

/// The interface that a plugin may export beside it.
pub(crate) fn timer() -> String {
    format!("{TIMER}{VERSION}")
}

const TIMER: &str = "tollgate:policy/timer@";

fn check_exports(exports: &[String]) -> Result<(), Refusal> {
    let wanted = exported();
    if exports.contains(&wanted) {
        let mut timers = exports.iter().filter_map(|name| name.strip_prefix(TIMER));
        return match timers.find(|version| *version != VERSION) {
            Some(version) => Err(contract_version(version)),
            None => Ok(()),
        };
    }
    let other = exports
        .iter()
        .find_map(|name| name.strip_prefix("tollgate:policy/policy@"));
    Err(match other {
        Some(version) => contract_version(version),
        None => Refusal::new(
            "not_a_policy",
            format!("it does not export `{wanted}`, so it is no policy plugin"),
        ),
    })
}

fn validate(wasm: &[u8], what: &str) -> Result<(), Refusal> {
    wasmparser::Validator::new()
        .validate_all(wasm)
        .map(drop)
        .map_err(|error| {
            let code = if error.message().contains("unexpected end") {
                "truncated"
            } else {
                "invalid"
            };
            Refusal::new(code, format!("the {what} is not valid: {error}"))
        })
}

type Names = (Vec<String>, Vec<String>);

fn top_level_names(component: &[u8]) -> Result<Names, Refusal> {
    let invalid = |error: &dyn std::fmt::Display| {
        Refusal::new("invalid", format!("the component cannot be read: {error}"))
    };
    validate(component, "component")?;
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.map_err(|error| invalid(&error))? {
            wasmparser::Payload::ComponentSection { .. }
            | wasmparser::Payload::ModuleSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(
                        import
                            .map_err(|error| invalid(&error))?
                            .name
                            .name
                            .to_owned(),
                    );
                }
            }
            wasmparser::Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(
                        export
                            .map_err(|error| invalid(&error))?
                            .name
                            .name
                            .to_owned(),
                    );
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_its_settings_a_plugin_may_want_less_and_never_more() {
        let description = |hooks, needs| Description {
            name: "p".into(),
            version: "1".into(),
            hooks,
            needs,
            settings_schema: "{}".into(),
        };
        let all = || description(Hooks::all(), Needs::all());
        let few = || description(Hooks::REQUEST, Needs::empty());
        let narrow = narrowed(all(), few()).unwrap();
        assert_eq!(
            (narrow.hooks, narrow.needs),
            (Hooks::REQUEST, Needs::empty())
        );
        assert!(narrowed(few(), few()).is_ok());
        for more in [
            description(Hooks::all(), Needs::empty()),
            description(Hooks::REQUEST, Needs::REQUEST_BODY),
        ] {
            let refusal = narrowed(few(), more).unwrap_err();
            assert!(
                refusal.reason.contains("after `configure`"),
                "{}",
                refusal.reason
            );
        }
    }
}
