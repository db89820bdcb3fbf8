//! The guest's one run before its snapshot: describe, configure, samples.
//!
//! Every import traps here, since `configure` must be pure: what it learned from a
//! capability would be frozen into every instance.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use wasmtime::{
    Engine, Store, StoreLimitsBuilder,
    component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower, WasmList},
};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::{Job, Lines, Refusal, SampleText, lines, pipeline, setting_up::SettingUp};
use crate::{
    Trapped,
    contract::{Description, Sample},
    engine,
    place::{Origin, Trail},
    wasi,
};

/// Time for each of the guest's three calls.
const PATIENCE: Duration = Duration::from_secs(5);

/// Samples beyond this would make loading take too long.
const SAMPLES_MAX: usize = 256;

/// The longest name or version, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The longest pointer into the settings, in bytes.
const POINTER_BYTES_MAX: usize = 1024;

pub(super) struct Guest<'a> {
    store: Store<SettingUp>,
    instance: Instance,
    done: Arc<AtomicBool>,
    /// As it came.
    plugin: &'a [u8],
    /// What it runs, if it was compiled here.
    compiled: Option<Component>,
}

impl<'a> Guest<'a> {
    /// `component` is what was made of `plugin`, or it itself; `setup` is what
    /// [`Guest::setup`] gave for the same component before.
    pub(super) fn start(
        component: &[u8],
        (plugin, job): (&'a [u8], &Job),
        setup: Option<&[u8]>,
    ) -> Result<Self, Refusal> {
        let engine = engine::configurer(lines::are_there(plugin))
            .map_err(|error| pipeline::internal("the compiler", &error))?;
        let known = setup.and_then(|code| load(&engine, code));
        let is_known = known.is_some();
        let component = match known {
            Some(component) => component,
            None => compile(&engine, component)?,
        };
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker, &component)
            .and_then(|()| linker.define_unknown_imports_as_traps(&component))
            .map_err(|error| pipeline::internal("linking", &error))?;
        let limits = StoreLimitsBuilder::new()
            .memory_size(job.limits.guest_memory_bytes)
            .table_elements(job.limits.guest_table_elements)
            .memories(1)
            .build();
        let mut store = Store::new(&engine, SettingUp::new(limits));
        store.limiter(|guest| guest);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(PATIENCE));
        let done = Arc::new(AtomicBool::new(false));
        tick(engine.clone(), done.clone());
        let instance = match wait(linker.instantiate_async(&mut store, &component)) {
            Ok(instance) => instance,
            Err(error) => {
                done.store(true, Ordering::Relaxed);
                let reason = reason(&error, (plugin, store.data_mut().said()));
                let reason = format!("it cannot be started: {reason}");
                return Err(Refusal::new("start", reason));
            }
        };
        Ok(Self {
            store,
            instance,
            done,
            plugin,
            compiled: (!is_known).then_some(component),
        })
    }

    /// What it runs as machine code, if it was compiled here: the same whatever the settings
    /// are.
    pub(super) fn setup(&self) -> Option<Vec<u8>> {
        self.compiled.as_ref()?.serialize().ok()
    }

    pub(super) fn describe(&mut self) -> Result<Description, Refusal> {
        let (description,): (Description,) = self.call("describe", ())?;
        for (what, text) in [
            ("name", &description.name),
            ("version", &description.version),
        ] {
            if text.len() > NAME_BYTES_MAX || text.contains(char::is_control) {
                let reason = format!(
                    "`describe` gave a {what} that is longer than {NAME_BYTES_MAX} bytes or not plain text"
                );
                return Err(Refusal::new("configure", reason));
            }
        }
        Ok(description)
    }

    pub(super) fn configure(&mut self, settings: &str) -> Result<(), Refusal> {
        let (answer,): (Result<(), Vec<String>>,) = self.call("configure", (settings,))?;
        answer.map_err(|mut errors| {
            // An exception that is no list of errors comes as an empty one, and is written.
            if errors.is_empty() {
                errors.extend(self.store.data_mut().said());
            }
            settings_refused(&errors)
        })
    }

    pub(super) fn samples(&mut self) -> Result<Vec<SampleText>, Refusal> {
        let (samples,): (Vec<Sample>,) = self.call("samples", ())?;
        if samples.len() > SAMPLES_MAX {
            let reason = format!(
                "`samples` gave {} samples; at most {SAMPLES_MAX} are run",
                samples.len()
            );
            return Err(Refusal::new("configure", reason));
        }
        Ok(samples.into_iter().map(SampleText::from).collect())
    }

    /// The component with its memory as it is now, or `None` where that cannot be had.
    pub(super) fn snapshot(&mut self, cx: &ComponentContext<'_>) -> Option<Vec<u8>> {
        if !self.store.data().may_be_shared() {
            return None;
        }
        self.store.set_epoch_deadline(ticks(PATIENCE));
        wait(Wizer::new().snapshot_component(cx, self)).ok()
    }

    /// Looked up by name, since a whole binding would want the imports' own types.
    fn call<P, R>(&mut self, name: &str, params: P) -> Result<R, Refusal>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let store = &mut self.store;
        store.set_epoch_deadline(ticks(PATIENCE));
        let called = self
            .instance
            .get_export(&mut *store, None, &pipeline::exported())
            .and_then(|(_, interface)| {
                self.instance
                    .get_export(&mut *store, Some(&interface), name)
            })
            .ok_or_else(|| wasmtime::Error::msg("it is not exported"))
            .and_then(|(_, func)| self.instance.get_typed_func::<P, R>(&mut *store, func))
            .and_then(|func| wait(func.call_async(&mut *store, params)));
        called.map_err(|error| {
            let reason = reason(&error, (self.plugin, self.store.data_mut().said()));
            Refusal::new("configure", format!("`{name}` failed: {reason}"))
        })
    }

    async fn read<R: Lift + 'static, T>(
        &mut self,
        (instance, func): (&str, &str),
        take: impl FnOnce(&Store<SettingUp>, R) -> T,
    ) -> T {
        const OWN: &str = "the instrumentation exports what its own index names";
        let (_, outer) = self
            .instance
            .get_export(&mut self.store, None, instance)
            .expect(OWN);
        let (_, inner) = self
            .instance
            .get_export(&mut self.store, Some(&outer), func)
            .expect(OWN);
        let func = self
            .instance
            .get_typed_func::<(), (R,)>(&mut self.store, inner)
            .expect(OWN);
        let (value,) = func.call_async(&mut self.store, ()).await.expect(OWN);
        take(&self.store, value)
    }
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Component, Refusal> {
    Component::new(engine, component)
        .map_err(|error| Refusal::new("invalid", format!("it does not compile: {error:#}")))
}

/// What another wasmtime compiled, or this one with other settings, is as good as none.
#[expect(
    unsafe_code,
    reason = "it is from our own cache, which none but our own children's answers go to"
)]
fn load(engine: &Engine, code: &[u8]) -> Option<Component> {
    unsafe { Component::deserialize(engine, code) }.ok()
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

impl ComponentInstanceState for Guest<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        self.read((instance, func), |store, list: WasmList<u8>| {
            contents(list.as_le_slice(store))
        })
        .await;
    }
    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read((instance, func), |_, value| value).await
    }
    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read((instance, func), |_, value| value).await
    }
    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.read((instance, func), |_, value: f32| value.to_bits())
            .await
    }
    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.read((instance, func), |_, value: f64| value.to_bits())
            .await
    }
}

/// Reads the schema that the plugin gives.
pub(super) fn check_schema(schema: &str) -> Result<jsonschema::Validator, Refusal> {
    let schema: serde_json::Value = serde_json::from_str(schema)
        .map_err(|error| bad_schema(format!("its settings schema is not JSON: {error}")))?;
    jsonschema::validator_for(&schema)
        .map_err(|error| bad_schema(format!("its settings schema is no JSON schema: {error}")))
}

fn bad_schema(what: String) -> Refusal {
    Refusal::new("settings_schema", what)
}

/// Checks settings against the schema that the plugin gives.
pub(super) fn check_settings(schema: &str, settings: &str) -> Result<(), Refusal> {
    let validator = check_schema(schema)?;
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    let settings = read(settings)
        .map_err(|error| bad_schema(format!("the settings are not JSON: {error}")))?;
    let schema = read(schema).unwrap_or_default();
    let errors: Vec<String> = validator
        .iter_errors(&settings)
        .flat_map(|error| super::mistake::say(&error, &schema))
        .take(8)
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(settings_refused(&errors))
    }
}

/// Whether it may be a JSON pointer into settings.
pub(super) fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && text.len() <= POINTER_BYTES_MAX
        && !text.contains(char::is_control)
}

/// Errors are `<json pointer>: <message>`.
fn settings_refused(errors: &[String]) -> Refusal {
    let said: Vec<_> = errors.iter().map(|e| e.trim_start_matches(": ")).collect();
    let said = match said.is_empty() {
        true => "`configure` fails without saying why".to_owned(),
        false => said.join("; "),
    };
    let reason = format!("the settings are refused: {said}");
    Refusal {
        settings_errors: errors.to_vec(),
        ..Refusal::new("settings", reason)
    }
}

/// With what it wrote before, which for most languages is the message of an exception.
fn reason(error: &wasmtime::Error, (plugin, said): (&[u8], Option<String>)) -> String {
    let lines = Lines::as_it_came(plugin);
    let trail = Trail::of(error, Origin::Plugin(lines.as_ref()));
    let cause = match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => {
            format!("it ran longer than {PATIENCE:?}{}", trail.place())
        }
        _ => Trapped::of(error, None, &trail).to_string(),
    };
    match said {
        Some(said) => format!("{cause}; it wrote: {said}"),
        None => cause,
    }
}

fn ticks(patience: Duration) -> u64 {
    u64::try_from(patience.as_millis() / engine::TICK.as_millis() / 10)
        .unwrap_or(u64::MAX)
        .max(1)
}

/// A clock of ten ticks' grain: there is one guest, and no one waits for it.
fn tick(engine: Engine, done: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(engine::TICK * 10);
            engine.increment_epoch();
        }
    });
}

/// Nothing here waits for I/O, so a future that is pending has only been asked to yield.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
