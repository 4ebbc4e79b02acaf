//! Files as sources: mapped where the system maps files, else read at offsets.

use crate::{FileError, Source};
use std::path::Path;
use std::sync::Arc;

#[cfg(unix)]
mod mapped;
#[cfg(target_os = "wasi")]
mod wasi;

#[cfg(unix)]
pub use mapped::MappedFile;

/// The bytes of a file, without reading them.
///
/// # Errors
/// [`FileError::Open`].
#[cfg(any(unix, target_os = "wasi"))]
pub fn open(path: impl AsRef<Path>) -> Result<Arc<dyn Source>, FileError> {
    let path = path.as_ref();
    #[cfg(unix)]
    let file = MappedFile::open(path);
    #[cfg(target_os = "wasi")]
    let file = wasi::ReadFile::open(path);
    let file = file.map_err(|error| FileError::Open {
        path: path.display().to_string(),
        source: encoderfile_format::source::ReadError::from(error).into(),
    })?;
    Ok(Arc::new(file))
}
