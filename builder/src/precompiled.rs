//! Modules and components that are compiled ahead for wasmtime.
//!
//! wasmtime makes an ELF file of a module or a component: machine code, and the data segments as an
//! image that it maps into an instance's memory. So the payload is in it as it is in the module;
//! behind the ELF file, where wasmtime reads nothing, 32 bytes say where ([`Locator`]), as at the end
//! of a component. To whoever reads an encoderfile it is one like any other.
//!
//! wasmtime itself checks that it is of its own version, for this machine, and compiled with the
//! settings that it has. Those of [`config`] are what its commands `run` and `serve` have unless
//! they are told otherwise.
//!
//! **Invariant:** nothing is written of which the payload was not found in it, byte by byte.

mod description;

pub use description::{Description, Form, WASMTIME_VERSION};

use crate::base::WasmBase;
use crate::snapshot::SnapshotError;
use crate::wasm_payload;
use encoderfile::Source;
use encoderfile::container::component::{self, LOCATOR_LEN, Locator};
use encoderfile::file::MappedFile;
use memchr::memmem;
use std::io::{self, BufWriter, Write};
use wasmtime::{Config, Engine, WasmBacktraceDetails};

/// By so many bytes of a payload it is looked for; all others are compared where those are.
const NEEDLE_LEN: usize = 4 << 10;

/// What a payload takes in the ELF file beside its bytes: the image begins and ends with a page.
const PADDING_MAX: u64 = 2 * (64 << 10);

/// Why a file cannot be compiled ahead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrecompileError {
    /// Only WebAssembly is compiled.
    #[error(
        "--precompile compiles WebAssembly for wasmtime: say --target wasm32-wasip2 for a component, or wasm32-wasip1 for a module"
    )]
    NotWasm,
    /// The base cannot carry the payload.
    #[error(transparent)]
    Base(#[from] SnapshotError),
    /// wasmtime refuses it.
    #[error("wasmtime {WASMTIME_VERSION} does not compile it: {0}")]
    Compile(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// wasmtime keeps data segments otherwise than its versions up to this one.
    #[error(
        "wasmtime {WASMTIME_VERSION} has compiled it, and the payload is not in the result as it was"
    )]
    PayloadChanged,
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A base module or component, of which files are compiled ahead.
pub struct Precompiler {
    base: WasmBase,
    form: Form,
}

impl Precompiler {
    /// For a base program.
    ///
    /// # Errors
    /// [`PrecompileError::NotWasm`] for any other.
    pub fn new(base: impl Into<WasmBase>) -> Result<Self, PrecompileError> {
        let base = base.into();
        let program = base.program();
        let form = match program.starts_with(&wasm_payload::MAGIC) {
            true if wasm_payload::is_module(program) => Form::Module,
            true => Form::Component,
            false => return Err(PrecompileError::NotWasm),
        };
        Ok(Self { base, form })
    }

    /// What it makes.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Compiles the base with a payload, and writes it to `out`.
    ///
    /// # Errors
    /// [`PrecompileError`].
    pub fn write_with(
        &self,
        payload: &dyn Source,
        out: &mut dyn Write,
    ) -> Result<(), PrecompileError> {
        // Mapped, so that of the payload there is in memory only what wasmtime makes of it.
        let mut file = BufWriter::new(tempfile::NamedTempFile::new()?);
        self.base.write_with(payload, &mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let program = MappedFile::open(file.path())?;
        let payload = self.payload_of(&program, payload.len())?;
        let elf = self.compile(program.bytes())?;
        let offset = find(&elf, payload).ok_or(PrecompileError::PayloadChanged)?;
        let locator = Locator {
            offset: offset as u64,
            length: payload.len() as u64,
        };
        out.write_all(&elf)?;
        Ok(out.write_all(&locator.to_bytes())?)
    }

    /// How long a file with so many bytes of payload is at most; compiles the base for it.
    ///
    /// # Errors
    /// [`PrecompileError`].
    pub fn length_with(&self, payload: u64) -> Result<u64, PrecompileError> {
        let elf = self.compile(self.base.program())?;
        let others = elf.len() as u64 + PADDING_MAX + LOCATOR_LEN as u64;
        Ok(others.saturating_add(payload))
    }

    /// Where [`wasm_payload::inject`] has put the payload.
    fn payload_of<'a>(
        &self,
        program: &'a MappedFile,
        length: u64,
    ) -> Result<&'a [u8], PrecompileError> {
        let range = match self.form {
            Form::Component => component::payload(program),
            Form::Module => program
                .len()
                .checked_sub(length)
                .map(|start| start..program.len()),
        };
        let bytes = range.and_then(|it| program.mapped(it.start, it.end - it.start));
        bytes.ok_or(PrecompileError::PayloadChanged)
    }

    fn compile(&self, program: &[u8]) -> Result<Vec<u8>, PrecompileError> {
        let engine = Engine::new(&config());
        let compiled = engine.and_then(|engine| match self.form {
            Form::Module => engine.precompile_module(program),
            Form::Component => engine.precompile_component(program),
        });
        compiled.map_err(|error| PrecompileError::Compile(error.into()))
    }
}

/// What the commands of wasmtime have unless they are told otherwise: a file that was compiled with
/// other settings is refused by them. Processor features are those of this machine.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    // Else an environment variable of whoever builds would be one of the settings.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Where in `elf` these bytes are.
fn find(elf: &[u8], bytes: &[u8]) -> Option<usize> {
    let needle = bytes.get(..NEEDLE_LEN.min(bytes.len()))?;
    let mut places = memmem::find_iter(elf, needle);
    places.find(|at| elf.get(*at..).is_some_and(|it| it.starts_with(bytes)))
}

#[cfg(test)]
pub(crate) mod tests;
