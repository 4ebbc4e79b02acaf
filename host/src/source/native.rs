//! Files, mapped.

use encoderfile::source::{ReadError, Source, checked_range};
use memmap2::Mmap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Reads of at least this go through the file instead of the mapping: pages
/// that are only passed through, to be hashed or decoded, would stay counted
/// as this process's memory.
const BULK_LEN: usize = 64 << 10;

/// This executable.
pub(super) fn own() -> anyhow::Result<(String, Arc<dyn Source>)> {
    let path = std::env::current_exe()?;
    Ok((path.display().to_string(), file(&path)?))
}

/// A file.
pub(super) fn file(path: &Path) -> anyhow::Result<Arc<dyn Source>> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        // Nothing cannot be mapped.
        return Ok(Arc::new(Vec::new()));
    }
    // SAFETY: the mapping is only read. Whoever changes an encoderfile while it
    // runs gets wrong numbers or SIGBUS, as with any executable's own text.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Arc::new(MappedFile { file, map }))
}

struct MappedFile {
    file: File,
    map: Mmap,
}

impl Source for MappedFile {
    fn len(&self) -> u64 {
        self.map.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.len())?;
        if buffer.len() >= BULK_LEN {
            return Ok(self.file.read_exact_at(buffer, offset)?);
        }
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        buffer.copy_from_slice(&self.map[range]);
        Ok(())
    }

    fn mapped(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let range = checked_range(offset, length, self.len()).ok()?;
        let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        self.map.get(range)
    }
}
