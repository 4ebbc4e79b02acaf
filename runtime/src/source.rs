//! Where bytes come from: a file, a wasm data segment, a buffer.

use std::sync::Arc;

/// Why bytes could not be read, in the words of whoever owns them.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Random access to bytes that do not change.
pub trait Source: Send + Sync {
    /// The number of bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset`; fails if there are too few.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError>;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A read past the end.
#[derive(Debug, thiserror::Error)]
#[error("{length} bytes at {offset} are not within {total}")]
pub struct OutOfBounds {
    offset: u64,
    length: u64,
    total: u64,
}

/// The range `offset..offset + length` of `total` bytes, if it is one.
pub fn checked_range(
    offset: u64,
    length: u64,
    total: u64,
) -> Result<std::ops::Range<u64>, OutOfBounds> {
    match offset.checked_add(length) {
        Some(end) if end <= total => Ok(offset..end),
        _ => Err(OutOfBounds {
            offset,
            length,
            total,
        }),
    }
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, Source::len(self))?;
        // The range lies within a slice, so both ends fit `usize`.
        #[allow(clippy::cast_possible_truncation, reason = "within a slice")]
        buffer.copy_from_slice(&self[range.start as usize..range.end as usize]);
        Ok(())
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.as_slice().read_at(offset, buffer)
    }
}

/// A part of another source.
#[derive(Clone)]
pub struct Section {
    source: Arc<dyn Source>,
    start: u64,
    length: u64,
}

impl Section {
    /// The `length` bytes of `source` from `start`.
    pub fn new(source: Arc<dyn Source>, start: u64, length: u64) -> Result<Self, OutOfBounds> {
        checked_range(start, length, source.len())?;
        Ok(Self {
            source,
            start,
            length,
        })
    }
}

impl Source for Section {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.length)?;
        self.source.read_at(self.start + range.start, buffer)
    }
}
