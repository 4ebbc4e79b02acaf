//! Where the payload is.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
use native as platform;
#[cfg(target_family = "wasm")]
use wasm as platform;

use anyhow::Context;
use encoderfile::{Payload, Source};
use std::path::Path;
use std::sync::Arc;

/// The bytes that end in a payload: those of `path`, or this program's own.
pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Payload> {
    let (name, source): (_, Arc<dyn Source>) = match path {
        Some(path) => {
            let name = path.display().to_string();
            (name.clone(), platform::file(path).context(name)?)
        }
        None => platform::own().context("this program")?,
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
