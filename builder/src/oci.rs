//! Container images: an OCI image layout in a tar archive, made without a container engine.
//!
//! The first layer is the base program, the second the payload, so that models of one version share
//! the first and versions of one model too. The root file system has these two files and nothing
//! else: the program is static, reads the payload by `--payload`, and writes nothing.
//!
//! **Invariant:** the same program and payload give the same bytes: no time, owner or mode is taken
//! from anywhere, and layers are not compressed. What pushes an image compresses them.
//! **Invariant:** the payload's layer is the last blob, and the payload its last file, which is
//! where `encoderfile::container` looks for it.

mod documents;
mod layer;
mod program;
#[cfg(test)]
mod tests;

pub use documents::{Name, name};
pub use program::ProgramError;

use documents::Documents;
use encoderfile::manifest::Manifest;
use encoderfile::source::Source;
use layer::{Descriptor, Layer, header};
use std::fmt;
use std::io::{self, Write};
use tar::{Builder, EntryType};

/// Where the program is in the image.
const PROGRAM: &str = "encoderfile";
/// Where the payload is.
const PAYLOAD: &str = "model.ef";

/// More than all JSON documents and headers of the archive take.
const METADATA_LEN: u64 = 64 << 10;

/// A processor that images are made for; the system is Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Platform {
    /// The platform of a target's name: `oci` is this machine's.
    pub fn of_target(target: &str) -> Option<Self> {
        match target {
            "oci" if cfg!(target_arch = "aarch64") => Some(Self::Arm64),
            "oci" | "oci-amd64" => Some(Self::Amd64),
            "oci-arm64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// The target of base programs for it: an image has no libraries.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// `architecture` of an image's configuration.
    fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

/// A base program that an image can be made of.
pub struct Image {
    platform: Platform,
    program: Vec<u8>,
}

impl Image {
    /// An image's base, if it runs in an empty root on that platform.
    ///
    /// # Errors
    /// [`ProgramError`] for any other program.
    pub fn new(platform: Platform, program: Vec<u8>) -> Result<Self, ProgramError> {
        program::check(platform, &program)?;
        Ok(Self { platform, program })
    }

    /// How long an archive with so many bytes of payload is at most.
    pub fn length_with(&self, payload: u64) -> u64 {
        let program = self.program.len() as u64;
        METADATA_LEN.saturating_add(program).saturating_add(payload)
    }

    /// Writes the archive with a payload, which is read twice: for its hash, and to be written.
    ///
    /// # Errors
    /// [`io::Error`] of reading and writing.
    pub fn write_with(
        &self,
        manifest: &Manifest,
        payload: &dyn Source,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let program = Layer::new(PROGRAM, 0o755, &self.program)?;
        let model = Layer::new(PAYLOAD, 0o644, payload)?;
        let layers = [program.describe()?, model.describe()?];
        let documents = Documents::new(self.platform, manifest, &layers);

        let mut archive = Builder::new(out);
        for (name, content) in documents.named() {
            append(&mut archive, name, content)?;
        }
        for folder in ["blobs/", "blobs/sha256/"] {
            let header = header(folder, EntryType::Directory, 0o755, 0)?;
            archive.append(&header, io::empty())?;
        }
        for document in documents.blobs() {
            append(&mut archive, &Descriptor::of(document).path(), document)?;
        }
        for (layer, descriptor) in [program, model].iter().zip(&layers) {
            let header = header(
                &descriptor.path(),
                EntryType::Regular,
                0o644,
                descriptor.length,
            )?;
            archive.append(&header, layer.read())?;
        }
        archive.finish()
    }
}

fn append(archive: &mut Builder<&mut dyn Write>, name: &str, content: &[u8]) -> io::Result<()> {
    let header = header(name, EntryType::Regular, 0o644, content.len() as u64)?;
    archive.append(&header, content)
}
