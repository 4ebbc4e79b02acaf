//! Base programs: what a payload is appended to, or put into.

mod mach_o;
mod wasm;

use crate::folder::read_file;
use crate::oci::{Image, Platform};
use crate::output::{Mode, write_file};
use crate::precompiled::{PrecompileError, Precompiler};
use crate::runtimes::Runtimes;
use crate::snapshot::SnapshotError;
use crate::target::{BUNDLE_TARGET, Target, WHEEL_TARGET};
use crate::wasm_payload;
use crate::wheel;
use anyhow::{Context, bail};
use encoderfile::container::{
    BASE_MARK, FORMAT_VERSION, PAYLOAD_ALIGNMENT, executable, find_footer,
};
use encoderfile::manifest::Manifest;
use encoderfile::source::Source;
use mach_o::MachO;
use memchr::memmem;
use std::io::{self, Read, Write};
use std::path::Path;
pub use wasm::WasmBase;

/// The decimal digits of a version of the format, and the line feed.
const VERSION_LEN_MAX: usize = 11;

/// No PE file is larger, by the numbers in it.
const PE_LEN_MAX: u64 = u32::MAX as u64;

/// What to do about a payload that no executable can hold.
const BESIDE: &str = "write the payload alone with --target bundle, and start it with the base program and --payload FILE (`encoderfile runtime add` says where that is)";

/// What a payload is appended to.
pub enum Base {
    /// Nothing.
    Bundle,
    /// An executable, for its loader to ignore what follows it.
    Native(Vec<u8>),
    /// An executable for macOS, with the payload in a segment, signed.
    MachO(MachO),
    /// A module or a component, with the payload in a segment.
    Wasm(WasmBase),
    /// Such a module, which is compiled ahead with the payload in it.
    Precompiled(Precompiler),
    /// An image of a container, with the payload as a layer of its own.
    Image(Image),
    /// A Python package.
    Wheel,
}

impl Base {
    /// The base of a target: [`BUNDLE_TARGET`], [`WHEEL_TARGET`], an image or a machine.
    ///
    /// # Errors
    /// [`UnknownTarget`](crate::target::UnknownTarget), and
    /// [`RuntimeError`](crate::runtimes::RuntimeError) for a program that cannot be had.
    pub fn of_target(name: &str, runtimes: &Runtimes) -> anyhow::Result<Self> {
        match name {
            BUNDLE_TARGET => return Ok(Self::Bundle),
            WHEEL_TARGET => return Ok(Self::Wheel),
            _ => {}
        }
        let target = Target::find(triple_of(name))?;
        let program = runtimes.program(target)?;
        Self::checked(program, Some(name)).with_context(|| format!("base program for {target}"))
    }

    /// The base program in a file, for a target if one is said. Nobody has verified it.
    ///
    /// # Errors
    /// [`BuildError`](crate::BuildError) for a file that cannot be read, and those of a program
    /// that would not start.
    pub fn of_file(path: &Path, target: Option<&str>) -> anyhow::Result<Self> {
        Self::checked(read_file(path)?, target)
            .with_context(|| format!("base program {}", path.display()))
    }

    fn checked(program: Vec<u8>, target: Option<&str>) -> anyhow::Result<Self> {
        // Of a program that would not start at all, that is what is said.
        let format = check_format(&program);
        if let Some(platform) = target.and_then(Platform::of_target) {
            let image = Image::new(platform, program)?;
            format?;
            return Ok(Self::Image(image));
        }
        if let Some(target @ (BUNDLE_TARGET | WHEEL_TARGET)) = target {
            bail!("`--target {target}` has no program in it, and --base no use");
        }
        if let Some(target) = target {
            Target::find(target)?.check(&program)?;
        }
        format?;
        if find_footer(&program).is_some() {
            bail!("it has a payload already: it is no base program, and --from takes its model");
        }
        Self::from_bytes(program)
    }

    /// The same, whose files have the memory of the loaded model.
    ///
    /// # Errors
    /// [`SnapshotError::NotComponent`] for any other.
    pub fn snapshot(self) -> Result<Self, SnapshotError> {
        match self {
            Self::Wasm(base) => Ok(Self::Wasm(base.snapshot()?)),
            _ => Err(SnapshotError::NotComponent),
        }
    }

    /// The same, compiled ahead for wasmtime on this machine.
    ///
    /// # Errors
    /// [`PrecompileError::NotWasm`] for what is no module.
    pub fn precompiled(self) -> Result<Self, PrecompileError> {
        match self {
            Self::Wasm(base) => Ok(Self::Precompiled(Precompiler::new(base)?)),
            _ => Err(PrecompileError::NotWasm),
        }
    }

    /// Whether this machine can run it.
    pub fn runs_here(&self) -> bool {
        let program = match self {
            Self::Bundle | Self::Wasm(_) | Self::Precompiled(_) | Self::Image(_) | Self::Wheel => {
                return false;
            }
            Self::Native(program) => program,
            Self::MachO(program) => program.bytes(),
        };
        Target::host().check(program).is_ok()
    }

    /// A base program by its content.
    ///
    /// # Errors
    /// A message alone for a Mach-O program that is cut short or has no room for a payload.
    pub fn from_bytes(bytes: Vec<u8>) -> anyhow::Result<Self> {
        if bytes.starts_with(&wasm_payload::MAGIC) {
            Ok(Self::Wasm(bytes.into()))
        } else if executable::is_mach_o(&bytes) {
            Ok(Self::MachO(MachO::new(bytes)?))
        } else {
            Ok(Self::Native(bytes))
        }
    }

    /// Writes this base with a payload, which says of itself what is in `manifest`, under `path`,
    /// executable if it is a program.
    ///
    /// # Errors
    /// [`SnapshotError`] for a module or a component that cannot carry a payload,
    /// [`PrecompileError`] for one that wasmtime does not compile, and [`io::Error`] for what the system
    /// says. None of them leaves a file behind.
    pub fn write_with(
        &self,
        manifest: &Manifest,
        payload: &dyn Source,
        path: &Path,
    ) -> anyhow::Result<()> {
        let mode = match self {
            Self::Bundle | Self::Precompiled(_) | Self::Image(_) | Self::Wheel => Mode::Data,
            Self::Native(_) | Self::MachO(_) | Self::Wasm(_) => Mode::Executable,
        };
        write_file(path, mode, |out| self.write_to(manifest, payload, out))
    }

    fn write_to(
        &self,
        manifest: &Manifest,
        payload: &dyn Source,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        match self {
            Self::Bundle => copy(payload, out),
            Self::Native(program) => {
                self.length_with(payload.len())?;
                out.write_all(program)?;
                let padding = aligned(program) - program.len() as u64;
                io::copy(&mut io::repeat(0).take(padding), out)?;
                copy(payload, out)
            }
            Self::MachO(program) => program.write_with(payload, out),
            Self::Wasm(base) => Ok(base.write_with(payload, out)?),
            Self::Precompiled(module) => Ok(module.write_with(payload, out)?),
            Self::Image(image) => Ok(image.write_with(manifest, payload, out)?),
            Self::Wheel => Ok(wheel::write(manifest, payload, out)?),
        }
    }

    /// Whether a file is what is written of this base and a payload.
    pub fn gives(&self, manifest: &Manifest, payload: &dyn Source, file: &[u8]) -> bool {
        let mut rest = Rest(file);
        self.write_to(manifest, payload, &mut rest).is_ok() && rest.0.is_empty()
    }

    /// How long a file with so many bytes of payload is; a module's is some bytes longer, for
    /// what it says of the payload, and at most that are an image's, a wheel's and what is compiled ahead.
    ///
    /// # Errors
    /// A message alone for more than the executable's format can say, and [`PrecompileError`].
    pub fn length_with(&self, payload: u64) -> anyhow::Result<u64> {
        let before = match self {
            Self::Bundle => 0,
            Self::Native(program) => {
                let length = aligned(program).saturating_add(payload);
                if is_pe(program) && length > PE_LEN_MAX {
                    bail!(
                        "{length} bytes, and Windows starts no program of more than {PE_LEN_MAX}: {BESIDE}"
                    );
                }
                return Ok(length);
            }
            Self::MachO(program) => return program.length_with(payload),
            Self::Wasm(base) => base.program().len() as u64,
            Self::Precompiled(module) => return Ok(module.length_with(payload)?),
            Self::Image(image) => return Ok(image.length_with(payload)),
            Self::Wheel => return Ok(wheel::length_with(payload)),
        };
        Ok(before.saturating_add(payload))
    }
}

/// The triple of the program in what is built for a target.
fn triple_of(target: &str) -> &str {
    Platform::of_target(target).map_or(target, |it| it.triple())
}

/// Whether a program is Windows's.
pub(crate) fn is_pe(program: &[u8]) -> bool {
    program.starts_with(b"MZ")
}

/// Where the payload begins.
fn aligned(program: &[u8]) -> u64 {
    (program.len() as u64).next_multiple_of(PAYLOAD_ALIGNMENT)
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

/// Refuses a program that reads no payload of this tool's.
///
/// # Errors
/// [`FormatError`].
fn check_format(program: &[u8]) -> Result<(), FormatError> {
    let mark = memmem::Finder::new(BASE_MARK);
    let versions = mark.find_iter(program).filter_map(|at| {
        let rest = program.get(at + BASE_MARK.len()..)?;
        let end = memchr::memchr(b'\n', rest.get(..VERSION_LEN_MAX.min(rest.len()))?)?;
        str::from_utf8(rest.get(..end)?).ok()?.parse::<u32>().ok()
    });
    match versions.last() {
        None => Err(FormatError::NoBase),
        Some(FORMAT_VERSION) => Ok(()),
        Some(version) => Err(FormatError::Version { version }),
    }
}

/// A program that no payload of this tool's would start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Not one of ours, or of before base programs said what they read.
    #[error("no base program of encoderfile")]
    NoBase,
    /// Of another version.
    #[error(
        "a base program that reads format {version}, and this tool writes format {FORMAT_VERSION}: take one of version {}",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// What it reads.
        version: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pe_file_is_larger_than_its_numbers() {
        let base = Base::Native(b"MZ".to_vec());
        let most = PE_LEN_MAX - PAYLOAD_ALIGNMENT;
        assert_eq!(base.length_with(most).unwrap(), PE_LEN_MAX);
        let error = base.length_with(most + 1).unwrap_err().to_string();
        assert!(error.contains("--target bundle"), "{error}");
        let elf = Base::Native(b"\x7fELF".to_vec());
        assert!(elf.length_with(most + 1).is_ok());
    }

    #[test]
    fn a_base_program_says_what_it_reads() {
        let program = |text: &str| [b"\x7fELF\0", text.as_bytes(), b"\0\0"].concat();
        let of = |text: &str| check_format(&program(text));
        assert_eq!(of(&format!("{BASE_MARK}{FORMAT_VERSION}\n")), Ok(()));
        assert_eq!(
            of(&format!("{BASE_MARK}3\n")),
            Err(FormatError::Version { version: 3 })
        );
        for text in ["", BASE_MARK, "encoderfile base program of format two\n"] {
            assert_eq!(of(text), Err(FormatError::NoBase), "{text}");
        }
        // As in a program that looks for it.
        let both = format!("{BASE_MARK}can {BASE_MARK}{FORMAT_VERSION}\n");
        assert_eq!(of(&both), Ok(()));
    }
}
