//! Where the payload is.

#[cfg(target_family = "wasm")]
mod segment;

use anyhow::Context;
use encoderfile::{Payload, Source, file};
use std::path::Path;
use std::sync::Arc;

/// The bytes that end in a payload: those of `path`, or this program's own.
pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Payload> {
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
    let path = std::env::current_exe()?;
    Ok((path.display().to_string(), file::open(path)?))
}

/// The payload segment of this module.
#[cfg(target_family = "wasm")]
fn own() -> anyhow::Result<(String, Arc<dyn Source>)> {
    Ok(("this module".into(), Arc::new(segment::own()?)))
}
