//! Where the payload is.

#[cfg(target_family = "wasm")]
mod segment;

use anyhow::Context;
use encoderfile::{Payload, Source, file};
#[cfg(target_os = "linux")]
use std::ffi::OsStr;
#[cfg(not(target_family = "wasm"))]
use std::io;
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
#[cfg(not(target_family = "wasm"))]
use std::path::PathBuf;
use std::sync::Arc;

/// The bytes that end in a payload: those of `path`, or this program's own.
///
/// # Errors
/// Where there is none, with the name of what was read.
pub fn open(path: Option<&Path>) -> anyhow::Result<Payload> {
    let (name, source): (_, Arc<dyn Source>) = match path {
        Some(path) => (path.display().to_string(), file::open(path)?),
        None => own().context("this program")?,
    };
    Payload::open(source).with_context(|| {
        let hint = if path.is_none() {
            "; if nothing was ever built onto this base program, use --payload FILE"
        } else {
            ""
        };
        format!("{name}: no usable model{hint}")
    })
}

/// This executable.
#[cfg(not(target_family = "wasm"))]
fn own() -> anyhow::Result<(String, Arc<dyn Source>)> {
    let path = std::env::current_exe().or_else(executed)?;
    Ok((path.display().to_string(), file::open(path)?))
}

/// What was executed, as the kernel tells every program: a root folder without `/proc` says
/// nothing else.
#[cfg(target_os = "linux")]
fn executed(error: io::Error) -> io::Result<PathBuf> {
    let name = OsStr::from_bytes(rustix::param::linux_execfn().to_bytes());
    match name.is_empty() {
        true => Err(error),
        false => Ok(PathBuf::from(name)),
    }
}

#[cfg(not(any(target_os = "linux", target_family = "wasm")))]
fn executed(error: io::Error) -> io::Result<PathBuf> {
    Err(error)
}

/// The payload segment of this module.
#[cfg(target_family = "wasm")]
fn own() -> anyhow::Result<(String, Arc<dyn Source>)> {
    Ok(("this module".into(), Arc::new(segment::own()?)))
}
