//! A mapped file: only what is looked at is read.

use crate::source::{ReadError, Source, checked_range};
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// Reads of at least this go through the file instead of the mapping: pages
/// that are only passed through, to be hashed or decoded, would stay counted
/// as this process's memory.
const BULK_LEN: usize = 64 << 10;

/// A file whose bytes are in memory as they are needed.
#[derive(Debug)]
pub struct MappedFile {
    file: File,
    /// Nothing cannot be mapped.
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps a file; an empty one too.
    ///
    /// # Errors
    /// What the system says, and of kind `InvalidInput` for what is no file: a folder,
    /// a pipe, a device.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        if metadata.len() == 0 {
            return Ok(Self { file, map: None });
        }
        // SAFETY: the mapping is only read. Whoever changes a file while it is mapped
        // gives its readers other bytes, and whoever shortens it SIGBUS, as with any
        // executable's own text. No program can rule that out: the reasoning is that
        // nobody edits a model in place, and that hashes find most of it.
        let map = unsafe { Mmap::map(&file)? };
        let map = Some(map);
        Ok(Self { file, map })
    }

    /// Its content.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    fn range(&self, offset: u64, length: u64) -> Result<Range<usize>, ReadError> {
        let range = checked_range(offset, length, self.len())?;
        Ok(usize::try_from(range.start)?..usize::try_from(range.end)?)
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
        let range = self.range(offset, buffer.len() as u64)?;
        if buffer.len() >= BULK_LEN {
            return Ok(read_exact_at(&self.file, buffer, offset)?);
        }
        buffer.copy_from_slice(&self.bytes()[range]);
        Ok(())
    }

    fn mapped(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let range = self.range(offset, length).ok()?;
        self.bytes().get(range)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}
