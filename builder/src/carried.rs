//! What this tool carries in its own payload: base programs, a default model, and what it knows
//! of its release.

use crate::release;
use crate::target::BUNDLE_TARGET;
use anyhow::{Context, bail};
use encoderfile::Payload;
use encoderfile::container::ArtifactKind;
use encoderfile::file::MappedFile;
use encoderfile::manifest::Release;
use std::io::Read;
use std::sync::Arc;

/// A compressed base program of more bytes is none.
const COMPRESSED_LEN_MAX: u64 = 1 << 28;

/// No base program: larger than any real one is read into memory.
const PROGRAM_LEN_MAX: u64 = 1 << 30;

/// The base programs and the default model that this tool carries.
pub struct Carried {
    payload: Option<Payload>,
    /// For a tool without a payload.
    compiled_in: Option<Release>,
}

impl Carried {
    /// Looks into this executable. A tool that was never assembled carries nothing
    /// but what it knows of its release, if cargo installed it from one.
    ///
    /// # Errors
    /// [`io::Error`](std::io::Error) where this executable cannot be found or read.
    pub fn open() -> anyhow::Result<Self> {
        let path = std::env::current_exe()?;
        let file = MappedFile::open(&path).with_context(|| path.display().to_string())?;
        let payload = Payload::open(Arc::new(file)).ok();
        Ok(Self {
            payload,
            compiled_in: release::compiled_in(),
        })
    }

    /// Whether this tool was never assembled.
    pub fn is_empty(&self) -> bool {
        self.payload.is_none()
    }

    /// The targets that it has base programs for.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        let bases = self.payload.iter().flat_map(|it| &it.manifest().bases);
        bases.map(String::as_str)
    }

    /// Those and what needs no program, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.programs().chain([BUNDLE_TARGET]).collect();
        names.join(", ")
    }

    /// Whether it has a base program for a target.
    pub fn has(&self, target: &str) -> bool {
        self.programs().any(|it| it == target)
    }

    /// Its base program for a target, if it has one.
    ///
    /// # Errors
    /// [`ContainerError`](encoderfile::container::ContainerError) where it is damaged or cannot
    /// be read, and [`io::Error`](std::io::Error) where it is not compressed as it should be.
    pub fn program(&self, target: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let index = self.programs().position(|it| it == target);
        let program = self.payload.as_ref().zip(index);
        program
            .map(|(payload, index)| base(payload, index))
            .transpose()
    }

    /// What it knows of its release.
    pub fn release(&self) -> Option<&Release> {
        let payload = self.payload.as_ref();
        let assembled = payload.and_then(|it| it.manifest().release.as_ref());
        assembled.or(self.compiled_in.as_ref())
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

/// The base program of a tool's payload at an index, as a loader reads it.
pub(crate) fn base(payload: &Payload, index: usize) -> anyhow::Result<Vec<u8>> {
    let compressed = payload.read(ArtifactKind::Base(index), COMPRESSED_LEN_MAX)?;
    let mut program = Vec::new();
    let decoder = zstd::Decoder::new(&*compressed)?;
    decoder.take(PROGRAM_LEN_MAX).read_to_end(&mut program)?;
    Ok(program)
}
