//! Defines what a component imports of WASI, function by function, under the very
//! names that it imports: a runtime of any 0.2 finds its own.

use wasmtime::{
    Error, StoreContextMut,
    component::{
        Component, Linker, LinkerInstance, Resource, ResourceType, WasmList,
        types::{self, ComponentItem},
    },
};

use super::{
    Machine, Stream, names,
    types::{Datetime, InputStream, Never, OutputStream, StreamError},
};

/// The most random bytes of one call.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// What `check-write` says there is room for; so much more of one call is one more call.
const WRITE_BYTES: usize = 4096;
/// The most bytes of one call: the clock cannot interrupt the host while it cuts lines.
const WRITE_BYTES_MAX: usize = 64 << 10;

const OUT: u32 = 1;
const ERR: u32 = 2;

/// Links whatever `component` imports of WASI. What it may import was checked before, by
/// name.
///
/// # Errors
/// When a name is defined twice.
pub(crate) fn link<T: Machine>(
    linker: &mut Linker<T>,
    component: &Component,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (import, item) in component.component_type().imports(&engine) {
        let (Some(Ok(interface)), ComponentItem::ComponentInstance(instance)) =
            (names::interface(import), item.ty)
        else {
            continue;
        };
        let mut linked = linker.instance(import)?;
        for (name, item) in instance.exports(&engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => define(&mut linked, interface, name)?,
                ComponentItem::Resource(_) => resource(&mut linked, name)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// By its name alone, so that it is the same where another interface uses it.
fn resource<T: Machine>(linked: &mut LinkerInstance<'_, T>, name: &str) -> wasmtime::Result<()> {
    let ty = match name {
        "output-stream" => ResourceType::host::<OutputStream>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        _ => ResourceType::host::<Never>(),
    };
    linked.resource(name, ty, |mut store, _| {
        store.data_mut().given_back();
        Ok(())
    })
}

fn define<T: Machine>(
    linked: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<()> {
    match interface.split_once('/') {
        Some(("cli", _)) => cli(linked, interface, name),
        Some(("clocks", _)) => clocks(linked, interface, name),
        Some(("random", _)) => random(linked, interface, name),
        Some(("io", _)) => streams(linked, interface, name),
        Some(("filesystem", "preopens")) if name == "get-directories" => {
            call(linked, name, |_, (): ()| {
                Ok((Vec::<(Resource<Never>, String)>::new(),))
            })
        }
        _ => lacking(linked, interface, name),
    }
}

fn cli<T: Machine>(
    linked: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<()> {
    match name {
        "get-environment" => call(linked, name, |_, (): ()| {
            Ok((Vec::<(String, String)>::new(),))
        }),
        "get-arguments" => call(linked, name, |_, (): ()| Ok((Vec::<String>::new(),))),
        "initial-cwd" => call(linked, name, |_, (): ()| Ok((None::<String>,))),
        "exit" => call(
            linked,
            name,
            |_, (_,): (Result<(), ()>,)| -> wasmtime::Result<()> {
                Err(Error::msg("it called `exit`"))
            },
        ),
        "get-stdin" => call(linked, name, |machine, (): ()| {
            machine.handed_out();
            Ok((Resource::<InputStream>::new_own(0),))
        }),
        "get-stdout" => call(linked, name, |machine, (): ()| {
            machine.handed_out();
            Ok((Resource::<OutputStream>::new_own(OUT),))
        }),
        "get-stderr" => call(linked, name, |machine, (): ()| {
            machine.handed_out();
            Ok((Resource::<OutputStream>::new_own(ERR),))
        }),
        "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr" => {
            call(linked, name, |_, (): ()| Ok((None::<Resource<Never>>,)))
        }
        _ => lacking(linked, interface, name),
    }
}

fn clocks<T: Machine>(
    linked: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<()> {
    let datetime = |ms: u64| Datetime {
        seconds: ms / 1000,
        nanoseconds: u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
    };
    match (interface, name) {
        ("clocks/wall-clock", "now") => call(linked, name, move |machine, (): ()| {
            Ok((datetime(machine.now_ms()?),))
        }),
        ("clocks/wall-clock", "resolution") => {
            call(linked, name, move |_, (): ()| Ok((datetime(1),)))
        }
        ("clocks/monotonic-clock", "now") => call(linked, name, |machine, (): ()| {
            Ok((machine.monotonic_us()?.saturating_mul(1000),))
        }),
        ("clocks/monotonic-clock", "resolution") => call(linked, name, |_, (): ()| Ok((1000_u64,))),
        _ => lacking(linked, interface, name),
    }
}

fn random<T: Machine>(
    linked: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<()> {
    match name {
        "get-random-bytes" => call(linked, name, |machine, (length,): (u64,)| {
            let mut bytes = vec![0; random_length(length)?];
            machine.random(&mut bytes)?;
            Ok((bytes,))
        }),
        "get-random-u64" => call(linked, name, |machine, (): ()| {
            let mut bytes = [0; 8];
            machine.random(&mut bytes)?;
            Ok((u64::from_le_bytes(bytes),))
        }),
        "get-insecure-random-bytes" => call(linked, name, |machine, (length,): (u64,)| {
            let mut bytes = vec![0; random_length(length)?];
            machine.insecure_random(&mut bytes)?;
            Ok((bytes,))
        }),
        "get-insecure-random-u64" => call(linked, name, |machine, (): ()| {
            Ok((insecure_u64(machine)?,))
        }),
        "insecure-seed" => call(linked, name, |machine, (): ()| {
            Ok(((insecure_u64(machine)?, insecure_u64(machine)?),))
        }),
        _ => lacking(linked, interface, name),
    }
}

fn random_length(length: u64) -> wasmtime::Result<usize> {
    let bounded = usize::try_from(length.min(RANDOM_BYTES_MAX + 1))?;
    if bounded as u64 > RANDOM_BYTES_MAX {
        return Err(Error::msg(format!(
            "it asked for {length} random bytes in one call; at most {RANDOM_BYTES_MAX} are given"
        )));
    }
    Ok(bounded)
}

fn insecure_u64(machine: &mut impl Machine) -> wasmtime::Result<u64> {
    let mut bytes = [0; 8];
    machine.insecure_random(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

type Written = (Result<(), StreamError>,);
type Read = (Result<Vec<u8>, StreamError>,);

fn streams<T: Machine>(
    linked: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<()> {
    match name {
        "[method]output-stream.check-write" => {
            call(linked, name, |_, (_,): (Resource<OutputStream>,)| {
                Ok((Ok::<_, StreamError>(WRITE_BYTES as u64),))
            })
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            linked.func_wrap(name, write)
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            call(linked, name, |_, (_,): (Resource<OutputStream>,)| {
                Ok::<Written, _>((Ok(()),))
            })
        }
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            call(linked, name, |_, _: (Resource<InputStream>, u64)| {
                Ok::<Read, _>((Err(StreamError::Closed),))
            })
        }
        _ => lacking(linked, interface, name),
    }
}

/// Takes what is to be written out of the guest's memory only once its length is known.
fn write<T: Machine>(
    mut store: StoreContextMut<'_, T>,
    (stream, bytes): (Resource<OutputStream>, WasmList<u8>),
) -> wasmtime::Result<Written> {
    let length = bytes.len();
    store.data_mut().enter()?;
    if length > WRITE_BYTES_MAX {
        return Err(Error::msg(format!(
            "it wrote {length} bytes in one call; at most {WRITE_BYTES_MAX} are taken"
        )));
    }
    store.data_mut().enter_for(length.div_ceil(WRITE_BYTES))?;
    let stream = match stream.rep() {
        OUT => Stream::Out,
        _ => Stream::Err,
    };
    let bytes = bytes.as_le_slice(&store).to_vec();
    store.data_mut().write(stream, &bytes);
    Ok((Ok(()),))
}

/// Defines a function that counts before it answers.
fn call<T, P, R>(
    linked: &mut LinkerInstance<'_, T>,
    name: &str,
    answer: impl Fn(&mut T, P) -> wasmtime::Result<R> + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    T: Machine,
    P: wasmtime::component::ComponentNamedList + wasmtime::component::Lift + 'static,
    R: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + 'static,
{
    linked.func_wrap(name, move |mut store: StoreContextMut<'_, T>, params: P| {
        let machine = store.data_mut();
        machine.enter()?;
        answer(machine, params)
    })
}

/// Defines a function that is not given: calling it is a trap that says so.
fn lacking<T: Machine>(
    linked: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<()> {
    let reason = match interface.split_once('/') {
        Some(("filesystem", _)) => "a plugin has no files",
        Some(("sockets", _)) => "a plugin has no sockets",
        Some(("clocks", _)) | Some(("io", _)) => "a plugin cannot wait",
        _ => "a plugin is not given it",
    };
    let message = format!("it called `wasi:{interface}` `{name}`: {reason}");
    linked.func_new(name, move |_, _: types::ComponentFunc, _, _| {
        Err(Error::msg(message.clone()))
    })
}
