//! A file as a [`Source`]: mapped, so that only what is looked at is read.

use encoderfile::source::{ReadError, Source, checked_range};
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::path::Path;

/// A mapped file.
pub struct MappedFile {
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps a file; an empty one too.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        if file.metadata()?.len() == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the mapping is only read. A file changed by others meanwhile
        // gives other bytes, which its hashes then do not match.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map: Some(map) })
    }

    /// Its content.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Source for MappedFile {
    fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.len())?;
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        buffer.copy_from_slice(&self.bytes()[range]);
        Ok(())
    }
}
