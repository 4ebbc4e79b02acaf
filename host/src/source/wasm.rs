//! The module's own payload segment, or a WASI file.
//!
//! A guest cannot read its own module, but it can copy out of a passive data
//! segment. Which one it is, only the builder knows: this base exports two
//! functions with a body for "no payload", and the builder replaces the bodies
//! with "the payload's length" and "`memory.init` of the last segment".

use anyhow::ensure;
use encoderfile::source::{ReadError, Source, checked_range};
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The payload's length in bytes; 0 without one. Replaced by the builder.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn encoderfile_payload_len() -> u32 {
    // Opaque, so that no caller is compiled on the strength of it.
    black_box(0)
}

/// Copies `len` bytes of the payload from `offset` to `destination`. Replaced
/// by the builder.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn encoderfile_payload_read(destination: *mut u8, offset: u32, len: u32) {
    black_box((destination, offset, len));
}

/// The payload segment of this module.
pub(super) fn own() -> anyhow::Result<(String, Arc<dyn Source>)> {
    let length = black_box(encoderfile_payload_len as extern "C" fn() -> u32)();
    ensure!(
        length > 0,
        "it carries no model; build one onto it, or use --payload FILE"
    );
    Ok(("this module".into(), Arc::new(Segment { length })))
}

/// A file in a pre-opened folder.
pub(super) fn file(path: &Path) -> anyhow::Result<Arc<dyn Source>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let file = Mutex::new(file);
    Ok(Arc::new(WasiFile { file, length }))
}

/// Hosts bound what one call may move: wasmtime refuses more than 128 MiB.
const CALL_LEN_MAX: usize = 64 << 20;

struct Segment {
    length: u32,
}

impl Source for Segment {
    fn len(&self) -> u64 {
        u64::from(self.length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.len())?;
        let read = black_box(encoderfile_payload_read as extern "C" fn(*mut u8, u32, u32));
        read(
            buffer.as_mut_ptr(),
            u32::try_from(range.start)?,
            u32::try_from(buffer.len())?,
        );
        Ok(())
    }
}

struct WasiFile {
    file: Mutex<File>,
    length: u64,
}

impl Source for WasiFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        for part in buffer.chunks_mut(CALL_LEN_MAX) {
            file.read_exact(part)?;
        }
        Ok(())
    }
}
