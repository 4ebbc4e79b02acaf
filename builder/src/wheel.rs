//! Wheels of one model: a Python package with a payload in it, and with `encoderfile` as its
//! dependency, so that a model is a line of a lock file.
//!
//! **Invariant:** the same payload gives the same bytes: no time is taken from anywhere, and
//! nothing is compressed, since weights hardly can be.

mod name;

pub use name::{NameError, WheelName};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use encoderfile::manifest::{Manifest, Model};
use encoderfile::source::Source;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, Write};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The payload's name in the package.
const PAYLOAD: &str = "model.ef";

/// More than all other files and headers of the archive take.
const METADATA_LEN: u64 = 64 << 10;

/// Longer files need the fields of zip64.
const ZIP32_MAX: u64 = u32::MAX as u64;

/// What a new Python is not told about a model of an older encoderfile: files are read by all
/// later ones.
const REQUIRES: &str = concat!("encoderfile>=", env!("CARGO_PKG_VERSION"));

/// A wheel could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WheelError {
    /// The model's name or version is none of a Python package.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Of reading the payload, or of writing.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What the archive cannot hold.
    #[error(transparent)]
    Zip(#[from] zip::result::ZipError),
}

/// How long a wheel with so many bytes of payload is at most.
pub fn length_with(payload: u64) -> u64 {
    payload.saturating_add(METADATA_LEN)
}

/// Writes the wheel of a payload, which is read twice: for its hash, and to be written.
///
/// # Errors
/// [`WheelError`].
pub fn write(
    manifest: &Manifest,
    payload: &dyn Source,
    out: &mut dyn Write,
) -> Result<(), WheelError> {
    let name = WheelName::of(manifest)?;
    let mut archive = Archive::new(out);
    archive.add(&name.in_package("__init__.py"), module(manifest).as_bytes())?;
    archive.add(&name.in_package("py.typed"), b"")?;
    archive.add_source(&name.in_package(PAYLOAD), payload)?;
    archive.add(
        &name.in_info("METADATA"),
        metadata(&name, manifest).as_bytes(),
    )?;
    archive.add(&name.in_info("WHEEL"), wheel().as_bytes())?;
    archive.finish(&name.in_info("RECORD"))
}

/// The package's module.
fn module(manifest: &Manifest) -> String {
    let title = quoted(&format!("{} {}", manifest.name, manifest.version));
    format!(
        r#"__doc__ = {title} ", an encoder model for encoderfile: `load()` opens it."

from os.path import dirname as _dirname, join as _join

from encoderfile import Encoderfile

__all__ = ["PATH", "load"]

#: The file of the model.
PATH: str = _join(_dirname(__file__), "{PAYLOAD}")


def load(*, threads: "int | None" = None) -> Encoderfile:
    """The model. `threads` is how many texts are computed at once; all cores by default."""
    return Encoderfile.load(PATH, threads=threads)
"#
    )
}

/// A string of Python, which JSON's are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The core metadata of a Python package.
fn metadata(name: &WheelName, manifest: &Manifest) -> String {
    let mut text = format!(
        "Metadata-Version: 2.4\nName: {}\nVersion: {}\n",
        name.distribution(),
        name.version()
    );
    let summary = manifest.model.as_ref().map_or_else(String::new, summary);
    let _ = writeln!(text, "Summary: {}: {summary}", one_line(&manifest.name));
    let license = (manifest.model.as_ref()).map_or("", |it| it.provenance.license.as_str());
    if !license.is_empty() {
        let _ = writeln!(text, "License: {}", one_line(license));
    }
    let _ = writeln!(text, "Requires-Python: >=3.10\nRequires-Dist: {REQUIRES}");
    let package = name.package();
    let _ = write!(
        text,
        "Description-Content-Type: text/markdown\n\n\
         # {}\n\n{summary}.\n\n\
         ```python\nimport {package}\n\nmodel = {package}.load()\n```\n",
        one_line(&manifest.name)
    );
    text
}

fn summary(model: &Model) -> String {
    format!(
        "{}, up to {} tokens, weights {}",
        model.task.name(),
        model.pipeline.max_tokens,
        model.weights.encoding
    )
}

/// A header has one line.
fn one_line(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).collect()
}

fn wheel() -> String {
    format!(
        "Wheel-Version: 1.0\nGenerator: encoderfile {}\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// What is written is hashed.
struct Hashed(Sha256);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A wheel that is being written, and the list of what is in it.
struct Archive<'a> {
    zip: ZipWriter<StreamWriter<&'a mut dyn Write>>,
    record: String,
}

impl<'a> Archive<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self {
            zip: ZipWriter::new_stream(out),
            record: String::new(),
        }
    }

    fn add(&mut self, path: &str, content: &[u8]) -> Result<(), WheelError> {
        self.add_source(path, &content)
    }

    fn add_source(&mut self, path: &str, content: &dyn Source) -> Result<(), WheelError> {
        let mut hash = Hashed(Sha256::new());
        crate::base::copy(content, &mut hash).map_err(io::Error::other)?;
        let hash = URL_SAFE_NO_PAD.encode(hash.0.finalize());
        let _ = writeln!(self.record, "{path},sha256={hash},{}", content.len());
        self.start(path, content.len())?;
        crate::base::copy(content, &mut self.zip).map_err(io::Error::other)?;
        Ok(())
    }

    fn start(&mut self, path: &str, length: u64) -> Result<(), WheelError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(length > ZIP32_MAX);
        Ok(self.zip.start_file(path, options)?)
    }

    /// Adds the list of all files, itself without a hash.
    fn finish(mut self, path: &str) -> Result<(), WheelError> {
        let _ = writeln!(self.record, "{path},,");
        self.start(path, self.record.len() as u64)?;
        self.zip.write_all(self.record.as_bytes())?;
        self.zip.finish()?;
        Ok(())
    }
}
