//! Files as sources: mapped where the system maps files, else read at offsets.

use crate::{FileError, Source};
use std::path::Path;
use std::sync::Arc;

#[cfg(not(target_family = "wasm"))]
mod mapped;
#[cfg(target_os = "wasi")]
mod wasi;

#[cfg(not(target_family = "wasm"))]
pub use mapped::MappedFile;

/// The bytes of a file, without reading them.
///
/// # Errors
/// [`FileError::Open`].
#[cfg(not(target_os = "unknown"))]
pub fn open(path: impl AsRef<Path>) -> Result<Arc<dyn Source>, FileError> {
    let path = path.as_ref();
    #[cfg(not(target_family = "wasm"))]
    let file = MappedFile::open(path);
    #[cfg(target_os = "wasi")]
    let file = wasi::ReadFile::open(path);
    let file = file.map_err(|error| FileError::Open {
        path: path.display().to_string(),
        source: encoderfile_format::source::ReadError::from(error).into(),
    })?;
    Ok(Arc::new(file))
}
