//! Base programs: what a payload is appended to, or put into.

mod mach_o;

use crate::output::{Mode, write_file};
use crate::wasm_payload;
use anyhow::{Context, bail};
use encoderfile::Payload;
use encoderfile::container::{ArtifactKind, PAYLOAD_ALIGNMENT, executable};
use encoderfile::file::MappedFile;
use encoderfile::source::Source;
use mach_o::MachO;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// The target that needs no program: the payload alone, for `--payload` and the browser.
pub const BUNDLE_TARGET: &str = "bundle";

/// The target for WASI hosts.
pub const WASI_TARGET: &str = "wasm32-wasip1";

/// No base program: larger than any real one is read into memory.
const BASE_LEN_MAX: u64 = 1 << 30;

/// What a payload is appended to.
pub enum Base {
    /// Nothing.
    Bundle,
    /// An executable, for its loader to ignore what follows it.
    Native(Vec<u8>),
    /// An executable for macOS, with the payload in a segment, signed.
    MachO(MachO),
    /// A module with room for a payload segment.
    Wasm(Vec<u8>),
}

impl Base {
    /// A base program by its content.
    ///
    /// # Errors
    /// A message alone for a Mach-O program that is cut short or has no room for a payload.
    pub fn from_bytes(bytes: Vec<u8>) -> anyhow::Result<Self> {
        if bytes.starts_with(&wasm_payload::MAGIC) {
            Ok(Self::Wasm(bytes))
        } else if executable::is_mach_o(&bytes) {
            Ok(Self::MachO(MachO::new(bytes)?))
        } else {
            Ok(Self::Native(bytes))
        }
    }

    /// Writes this base with a payload under `path`, executable unless it is a bundle.
    ///
    /// # Errors
    /// [`WasmError`](wasm_payload::WasmError) for a module that cannot carry a payload, and
    /// [`io::Error`] for what the system says. Neither leaves a file behind.
    pub fn write_with(&self, payload: &dyn Source, path: &Path) -> anyhow::Result<()> {
        let mode = match self {
            Self::Bundle => Mode::Data,
            Self::Native(_) | Self::MachO(_) | Self::Wasm(_) => Mode::Executable,
        };
        write_file(path, mode, |out| self.write_to(payload, out))
    }

    fn write_to(&self, payload: &dyn Source, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Bundle => copy(payload, out),
            Self::Native(program) => {
                out.write_all(program)?;
                let length = program.len() as u64;
                let padding = length.next_multiple_of(PAYLOAD_ALIGNMENT) - length;
                io::copy(&mut io::repeat(0).take(padding), out)?;
                copy(payload, out)
            }
            Self::MachO(program) => program.write_with(payload, out),
            Self::Wasm(module) => Ok(wasm_payload::inject(module, payload, out)?),
        }
    }

    /// Whether a file is what is written of this base and a payload.
    pub fn gives(&self, payload: &dyn Source, file: &[u8]) -> bool {
        let mut rest = Rest(file);
        self.write_to(payload, &mut rest).is_ok() && rest.0.is_empty()
    }

    /// How long a file with so many bytes of payload is; a module's is some bytes longer, for
    /// what it says of the payload.
    ///
    /// # Errors
    /// A message alone for more than the executable's format can say.
    pub fn length_with(&self, payload: u64) -> anyhow::Result<u64> {
        let before = match self {
            Self::Bundle => 0,
            Self::Native(program) => (program.len() as u64).next_multiple_of(PAYLOAD_ALIGNMENT),
            Self::MachO(program) => return program.length_with(payload),
            Self::Wasm(module) => module.len() as u64,
        };
        Ok(before.saturating_add(payload))
    }
}

/// What of a file has not been written again yet. Anything else cannot be.
struct Rest<'a>(&'a [u8]);

impl Write for Rest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = self.0.strip_prefix(bytes);
        self.0 = rest.ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of a source.
pub(crate) fn copy(source: &dyn Source, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < source.len() {
        let remaining = usize::try_from(source.len() - offset).unwrap_or(usize::MAX);
        let step = remaining.min(chunk.len());
        let bytes = &mut chunk[..step];
        source.read_at(offset, bytes).map_err(io::Error::other)?;
        out.write_all(bytes)?;
        offset += step as u64;
    }
    Ok(())
}

/// The base programs and the default model that this tool carries in its own payload.
pub struct Carried {
    payload: Option<Payload>,
}

impl Carried {
    /// Looks into this executable. A tool that was never assembled carries nothing.
    ///
    /// # Errors
    /// [`io::Error`] where this executable cannot be found or read.
    pub fn open() -> anyhow::Result<Self> {
        let path = std::env::current_exe()?;
        let file = MappedFile::open(&path).with_context(|| path.display().to_string())?;
        let payload = Payload::open(Arc::new(file)).ok();
        Ok(Self { payload })
    }

    /// The targets it can build for.
    pub fn targets(&self) -> Vec<String> {
        let bases = self.payload.iter().flat_map(|it| &it.manifest().bases);
        let mut targets: Vec<String> = bases.cloned().collect();
        targets.push(BUNDLE_TARGET.into());
        targets
    }

    /// The base for a target.
    ///
    /// # Errors
    /// A message alone for a target that is not carried, and
    /// [`ContainerError`](encoderfile::container::ContainerError) where its program is
    /// damaged or cannot be read.
    pub fn base(&self, target: &str) -> anyhow::Result<Base> {
        if target == BUNDLE_TARGET {
            return Ok(Base::Bundle);
        }
        let carried = self.payload.as_ref().and_then(|payload| {
            let bases = &payload.manifest().bases;
            let index = bases.iter().position(|base| base == target)?;
            Some((payload, ArtifactKind::Base(index)))
        });
        let Some((payload, kind)) = carried else {
            bail!(
                "no base program for {target} in this encoderfile tool, which has: {}; bring one with --base FILE",
                Targets(&self.targets())
            );
        };
        Base::from_bytes(payload.read(kind, BASE_LEN_MAX)?)
            .with_context(|| format!("base program for {target}"))
    }

    /// The payload of the default model.
    ///
    /// # Errors
    /// A message alone where this tool carries nothing, and
    /// [`ContainerError`](encoderfile::container::ContainerError) where it has no model or
    /// its payload is not valid. The hashes of its artifacts are not checked here.
    pub fn default_model(&self) -> anyhow::Result<Payload> {
        let Some(payload) = &self.payload else {
            bail!("this encoderfile tool carries no default model; give one with --model MODEL");
        };
        let section = payload.artifact(ArtifactKind::DefaultModel)?;
        Ok(Payload::open(Arc::new(section))?)
    }
}

struct Targets<'a>(&'a [String]);

impl fmt::Display for Targets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}
