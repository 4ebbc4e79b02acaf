//! Puts a payload into a wasm base module, or the module of a component, and takes it out again.
//!
//! A wasm guest cannot read its own file, but a host puts active data segments into its memory.
//! The base exports [`PAYLOAD`] with a body that means "no payload"; [`inject`] replaces it,
//! grows the memory by as many pages as the payload takes, and appends the payload as the segment
//! of those pages: the last segment of the last section, so that a module ends in the payload's
//! footer as every encoderfile does. The guest's heap, which grows by `memory.grow`, has the
//! pages before it and those behind. A host that maps memory copy-on-write, as wasmtime does, copies
//! no byte of it for an instance, and all instances share its pages.
//!
//! Invariant: [`inject`] and [`base_of`] write through the same function, which
//! takes nothing from a payload but its length. So one base gives one module
//! per payload and, whatever was injected into it, one base back; but for a snapshot, where the heap
//! of a loaded model is behind the payload: it is no base, and both refuse it.

mod component;
mod outline;
mod program;
mod skeleton;
#[cfg(test)]
mod tests;

use component::Component;
use encoderfile::Source;
use encoderfile::container::component::COMPONENT;
use encoderfile::limits::WASM32_PAYLOAD_LEN_MAX;
use encoderfile::source::ReadError;
use program::Program;
use skeleton::Skeleton;
use std::io::Write;
use std::ops::Range;
use wasmparser::{BinaryReaderError, Validator};

/// The export `() -> i64` that returns where in memory 0 the payload is: its address in the upper
/// half, its length in bytes in the lower one; 0 without a payload.
pub const PAYLOAD: &str = "encoderfile_payload";

/// The first bytes of every wasm binary.
pub const MAGIC: [u8; 4] = *b"\0asm";

/// How much of a payload is in memory while it is copied.
const COPY_LEN: usize = 1 << 20;

/// Why a module cannot carry a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmError {
    /// The file does not begin as a wasm binary does.
    #[error("not a wasm module: it does not begin with \\0asm and version 1")]
    NotAModule,
    /// A section cannot be read.
    #[error("malformed wasm module: {0}")]
    Malformed(#[source] BinaryReaderError),
    /// A section's length exceeds the file.
    #[error("truncated wasm module: the section at byte {offset} ends after the file does")]
    Truncated {
        /// Where the section begins.
        offset: u64,
    },
    /// The data section is the last one but for custom sections.
    #[error("malformed wasm module: section {id} at byte {offset} follows the data section")]
    SectionAfterData {
        /// The section's id.
        id: u8,
        /// Where it begins.
        offset: u64,
    },
    /// It was not built from this project's base program.
    #[error("no export `{name}`: not an encoderfile, nor a base to build one on")]
    MissingExport {
        /// The export.
        name: &'static str,
    },
    /// The export is no function of this module of the expected type.
    #[error("export `{name}` is not a function {expected} defined in the module")]
    ExportSignature {
        /// The export.
        name: &'static str,
        /// Its type.
        expected: &'static str,
    },
    /// A payload is in memory 0, at 32-bit addresses.
    #[error("no 32-bit memory 0: build the base for wasm32-wasip1")]
    NoMemory,
    /// The module without its payload is too large.
    #[error("{length} bytes of program, more than the {length_max} of any base")]
    BaseTooLarge {
        /// Of everything that is not payload.
        length: u64,
        /// The limit.
        length_max: u64,
    },
    /// wasm32 cannot address it.
    #[error(
        "a payload of {length} bytes, more than the {length_max} that wasm can hold; \
         build a native file or a bundle, or a smaller data type"
    )]
    PayloadTooLarge {
        /// The payload's length.
        length: u64,
        /// The limit.
        length_max: u64,
    },
    /// The body, the memory and the last segment contradict each other.
    #[error("the last data segment is not the payload that `{PAYLOAD}` announces")]
    PayloadSegment,
    /// Nothing else can be put where its payload is.
    #[error(
        "it has the memory of a loaded model (--snapshot) and is no base program any more: --from takes its model"
    )]
    Snapshot,
    /// The result would not load.
    #[error("the base does not validate: {0}")]
    Invalid(#[source] BinaryReaderError),
    /// The module could not be read.
    #[error("cannot read the wasm module: {0}")]
    ReadModule(#[source] ReadError),
    /// The payload could not be read.
    #[error("cannot read the payload: {0}")]
    ReadPayload(#[source] ReadError),
    /// The result could not be written.
    #[error("cannot write the wasm module: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes `base` with `payload` in it to `out`. A payload that `base` already
/// has is replaced.
///
/// The bytes written depend on the two inputs only; `payload` is copied in
/// pieces and never held in memory.
///
/// # Errors
/// [`WasmError`] for a module that cannot carry a payload, a payload too large for one, and
/// what the system says of reading and writing.
pub fn inject(
    base: &(impl Source + ?Sized),
    payload: &(impl Source + ?Sized),
    out: &mut dyn Write,
) -> Result<(), WasmError> {
    if is_component(base)? {
        return Component::read(base)?.inject(payload, out);
    }
    let length = payload_len(payload.len())?;
    let skeleton = Skeleton::read(base)?;
    let program = Program::parse(base, &skeleton)?;
    // Everything is validated but the payload's own bytes, which no rule looks
    // at: this module differs in the value of three lengths, and in nothing else.
    let without_bytes = program.encode(Some(0))?;
    Validator::new()
        .validate_all(&without_bytes)
        .map_err(WasmError::Invalid)?;
    out.write_all(&program.encode(Some(length))?)?;
    copy(payload, out)
}

/// The module without its payload, to be run with `--payload FILE`.
///
/// The bytes depend only on the base that the payload was injected into, so
/// that all models on one base share one compiled program. A module without a
/// payload is brought into the same form. Payload bytes are not read.
///
/// # Errors
/// [`WasmError`] for what is no such module, and for one that cannot be read.
pub fn base_of(module: &(impl Source + ?Sized)) -> Result<Vec<u8>, WasmError> {
    if is_component(module)? {
        return Component::read(module)?.base();
    }
    let skeleton = Skeleton::read(module)?;
    Program::parse(module, &skeleton)?.encode(None)
}

/// Writes a component that Wizer has made a snapshot of, with the payload that its model was loaded
/// from; the same bytes are announced, but not in it.
pub(crate) fn complete(
    snapshot: &(impl Source + ?Sized),
    payload: &(impl Source + ?Sized),
    out: &mut dyn Write,
) -> Result<(), WasmError> {
    Component::read(snapshot)?.complete(payload, out)
}

/// Where the payload of a component is in its memory.
pub(crate) fn place_in(component: &(impl Source + ?Sized)) -> Result<Range<usize>, WasmError> {
    let place = Component::read(component)?.place()?;
    Ok(place.ok_or(WasmError::PayloadSegment)?.range())
}

/// Whether a file is a component with the memory of a loaded model.
pub(crate) fn is_snapshot(file: &(impl Source + ?Sized)) -> bool {
    let is_snapshot = || Component::read(file)?.is_snapshot();
    is_component(file).is_ok_and(|it| it) && is_snapshot().is_ok_and(|it| it)
}

/// Whether a file is a module, which the built-in host runs; a component is none.
pub(crate) fn is_module(file: &[u8]) -> bool {
    file.starts_with(&MAGIC) && !file.starts_with(&COMPONENT)
}

/// Whether a file begins as components do, rather than as modules.
fn is_component(file: &(impl Source + ?Sized)) -> Result<bool, WasmError> {
    let mut header = [0; COMPONENT.len()];
    if file.len() < header.len() as u64 {
        return Ok(false);
    }
    file.read_at(0, &mut header)
        .map_err(WasmError::ReadModule)?;
    Ok(header == COMPONENT)
}

fn payload_len(length: u64) -> Result<u32, WasmError> {
    let too_large = WasmError::PayloadTooLarge {
        length,
        length_max: WASM32_PAYLOAD_LEN_MAX,
    };
    match u32::try_from(length) {
        Ok(len) if length <= WASM32_PAYLOAD_LEN_MAX => Ok(len),
        _ => Err(too_large),
    }
}

fn copy(payload: &(impl Source + ?Sized), out: &mut dyn Write) -> Result<(), WasmError> {
    let mut buffer = vec![0; COPY_LEN];
    let mut offset = 0;
    while offset < payload.len() {
        let rest = usize::try_from(payload.len() - offset).unwrap_or(COPY_LEN);
        let piece = &mut buffer[..rest.min(COPY_LEN)];
        payload
            .read_at(offset, piece)
            .map_err(WasmError::ReadPayload)?;
        out.write_all(piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}
