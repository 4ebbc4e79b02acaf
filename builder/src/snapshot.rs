//! Snapshots: a component with the memory that it has once its model is loaded, so that an instance
//! answers without loading it.
//!
//! The component is made as any other, started here in wasmtime, and asked for its model
//! (`encoderfile:encoder`'s `model.open`). Wizer then writes what the instance has in its memory and
//! globals as the initial values of a new component, where all but the payload's own bytes are new.
//! Those are put back as the one segment that they were, on the pages where the guest found them, so
//! that every reader finds the payload as in any component.
//!
//! **Invariant:** the same base and payload give the same bytes. A guest asks its
//! host for two things while it loads: random numbers, to seed hash tables with, and the
//! environment. It gets zeros, and an empty one; whatever else it asks for ends the build.

use crate::wasm_payload::{self, WasmError};
use encoderfile::Source;
use encoderfile::container::component;
use encoderfile::file::MappedFile;
use futures_util::FutureExt;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use wasmtime::component::{Component, Instance, Lift, Linker, Val, WasmList};
use wasmtime::{Config, Engine, Store};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

/// The interface with [`OPEN`], of any version.
const ENCODER: &str = "encoderfile:encoder/encoder@";

/// Loads the model in the component, which keeps it.
const OPEN: &str = "[static]model.open";

/// What a guest may ask for while it loads: an interface of any version, and its function.
const RANDOM: (&str, &str) = ("wasi:random/random@", "get-random-bytes");
const ENVIRONMENT: (&str, &str) = ("wasi:cli/environment@", "get-environment");

/// More seeds than any guest asks for at once, in bytes.
const RANDOM_LEN_MAX: usize = 1 << 16;

/// Why there is no snapshot of a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A module has one start, and ends with it.
    #[error(
        "--snapshot is of components, whose instances answer one request after another: say --target wasm32-wasip2"
    )]
    NotComponent,
    /// The base cannot carry the payload.
    #[error(transparent)]
    Wasm(#[from] WasmError),
    /// The model, or the base.
    #[error("no snapshot, for the model did not load in the component: {0}")]
    Load(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The base.
    #[error("no snapshot, for the component has changed its own payload")]
    PayloadChanged,
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SnapshotError {
    fn of(error: wasmtime::Error) -> Self {
        Self::Load(error.into())
    }
}

/// Writes `base`, a component, with `payload` in it and its model loaded, to `out`.
///
/// # Errors
/// [`SnapshotError`].
pub fn write_with(
    base: &[u8],
    payload: &dyn Source,
    out: &mut dyn Write,
) -> Result<(), SnapshotError> {
    if !base.starts_with(&component::COMPONENT) {
        return Err(SnapshotError::NotComponent);
    }
    // Mapped, so that of the payload there is in memory only what Wizer and wasmtime make of it.
    let mut file = BufWriter::new(tempfile::NamedTempFile::new()?);
    wasm_payload::inject(base, payload, &mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    let program = MappedFile::open(file.path())?;
    let loaded = load(&program)?;
    Ok(wasm_payload::complete(&loaded, payload, out)?)
}

/// The component with its model loaded, and without the bytes of its payload.
fn load(program: &MappedFile) -> Result<Vec<u8>, SnapshotError> {
    let mut wizer = Wizer::new();
    // There is none: what is called stays what it was.
    wizer.keep_init_func(true);
    let instrumented = wizer.instrument_component(program.bytes());
    let (context, instrumented) = instrumented.map_err(SnapshotError::of)?;
    let (store, instance) = start(&instrumented).map_err(SnapshotError::of)?;
    drop(instrumented);
    let mut memory = Memory {
        store,
        instance,
        payload: payload_of(program).ok_or(SnapshotError::PayloadChanged)?,
        place: wasm_payload::place_in(program)?,
        read: None,
        is_changed: false,
        problem: None,
    };
    let snapshot = wizer.snapshot_component(&context, &mut memory);
    // Nothing in it waits: the guest runs on this thread.
    let snapshot = snapshot.now_or_never().transpose();
    let snapshot = snapshot.map_err(SnapshotError::of)?;
    if let Some(problem) = memory.problem {
        return Err(SnapshotError::of(problem));
    }
    match snapshot.filter(|_| !memory.is_changed) {
        Some(snapshot) => Ok(snapshot),
        None => Err(SnapshotError::PayloadChanged),
    }
}

/// Where [`wasm_payload::inject`] has put the payload.
fn payload_of(program: &MappedFile) -> Option<&[u8]> {
    let range = component::payload(program)?;
    program.mapped(range.start, range.end - range.start)
}

/// An instance that has loaded its model.
fn start(component: &[u8]) -> wasmtime::Result<(Store<()>, Instance)> {
    let mut config = Config::new();
    // Where processors may give different bits, all give the same.
    config.relaxed_simd_deterministic(true);
    config.cranelift_nan_canonicalization(true);
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, component)?;
    let mut store = Store::new(&engine, ());
    // Wizer reads all of the memory in one call, and wasmtime would refuse one of more than 128 MiB.
    store.set_hostcall_fuel(usize::MAX);
    let instance = linker(&engine, &component)?.instantiate(&mut store, &component)?;
    open(&mut store, &component, &instance)?;
    Ok((store, instance))
}

/// What a guest may ask for while it loads; all else ends it.
fn linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    linker.define_unknown_imports_as_traps(component)?;
    linker.allow_shadowing(true);
    let ty = component.component_type();
    for (import, _) in ty.imports(engine) {
        if import.starts_with(RANDOM.0) {
            let zeros = |_: wasmtime::StoreContextMut<'_, ()>, (length,): (u64,)| {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                wasmtime::ensure!(length <= RANDOM_LEN_MAX, "{length} random bytes at once");
                Ok((vec![0_u8; length],))
            };
            linker.instance(import)?.func_wrap(RANDOM.1, zeros)?;
        }
        if import.starts_with(ENVIRONMENT.0) {
            let nothing = |_: wasmtime::StoreContextMut<'_, ()>, (): ()| {
                Ok((Vec::<(String, String)>::new(),))
            };
            linker.instance(import)?.func_wrap(ENVIRONMENT.1, nothing)?;
        }
    }
    Ok(linker)
}

/// Has the guest load its model, and drops the handle: the guest shares one model among all.
fn open(store: &mut Store<()>, component: &Component, instance: &Instance) -> wasmtime::Result<()> {
    let ty = component.component_type();
    let engine = store.engine().clone();
    let encoder = ty.exports(&engine).map(|(name, _)| name);
    let encoder = encoder.into_iter().find(|name| name.starts_with(ENCODER));
    let encoder = encoder.and_then(|name| component.get_export_index(None, name));
    let open = encoder.and_then(|encoder| component.get_export_index(Some(&encoder), OPEN));
    let open = open.and_then(|index| instance.get_func(&mut *store, index));
    let Some(open) = open else {
        wasmtime::bail!("no export `{ENCODER}…` with `{OPEN}`: build the base for wasm32-wasip2");
    };
    let mut results = [Val::Bool(false)];
    open.call(&mut *store, &[Val::Option(None)], &mut results)?;
    match &results[0] {
        Val::Result(Ok(Some(model))) => match &**model {
            Val::Resource(model) => model.resource_drop(store),
            other => wasmtime::bail!("`{OPEN}` gives {other:?}"),
        },
        Val::Result(Err(Some(error))) => wasmtime::bail!("{}", words(error)),
        other => wasmtime::bail!("`{OPEN}` gives {other:?}"),
    }
}

/// What an error of the guest's says.
fn words(error: &Val) -> String {
    match error {
        Val::Variant(_, Some(content)) => words(content),
        Val::String(message) => message.clone(),
        other => format!("{other:?}"),
    }
}

/// What Wizer reads: the guest's globals, and its memory with zeros for the payload.
struct Memory<'a> {
    store: Store<()>,
    instance: Instance,
    payload: &'a [u8],
    /// The payload's, in the memory.
    place: Range<usize>,
    /// Wizer asks twice: under which name, and what it was told.
    read: Option<(String, Vec<u8>)>,
    is_changed: bool,
    problem: Option<wasmtime::Error>,
}

impl Memory<'_> {
    /// What one of the functions returns that Wizer has added to the component.
    fn get<T: Lift + 'static>(&mut self, instance: &str, function: &str) -> Option<T> {
        let called = self.call(instance, function);
        called.map_err(|problem| self.problem = Some(problem)).ok()
    }

    fn call<T: Lift + 'static>(&mut self, instance: &str, function: &str) -> wasmtime::Result<T> {
        let store = &mut self.store;
        let found = self.instance.get_export_index(&mut *store, None, instance);
        let found = found.and_then(|instance| {
            let instance = Some(&instance);
            self.instance
                .get_export_index(&mut *store, instance, function)
        });
        let found =
            found.ok_or_else(|| wasmtime::format_err!("no export {instance} {function}"))?;
        let function = self
            .instance
            .get_typed_func::<(), (T,)>(&mut *store, found)?;
        Ok(function.call(&mut *store, ())?.0)
    }
}

impl ComponentInstanceState for Memory<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        function: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if self.read.as_ref().is_none_or(|(name, _)| name != function) {
            let memory = self.get::<WasmList<u8>>(instance, function);
            let memory = memory.map(|it| it.as_le_slice(&self.store).to_vec());
            let mut memory = memory.unwrap_or_default();
            match memory.get_mut(self.place.clone()) {
                Some(payload) if payload == self.payload => payload.fill(0),
                _ => self.is_changed = true,
            }
            self.read = Some((function.to_owned(), memory));
        }
        contents(self.read.as_ref().map_or(&[], |(_, memory)| memory));
    }

    async fn call_func_ret_s32(&mut self, instance: &str, function: &str) -> i32 {
        self.get(instance, function).unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, function: &str) -> i64 {
        self.get(instance, function).unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> u32 {
        self.get::<f32>(instance, function).map_or(0, f32::to_bits)
    }

    async fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> u64 {
        self.get::<f64>(instance, function).map_or(0, f64::to_bits)
    }
}

#[cfg(test)]
mod tests;
