//! Where bytes come from: a file, a wasm data segment, a buffer.

use std::sync::Arc;

/// Why bytes could not be read, in the words of whoever owns them.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// A [`ReadError`] that an error of ours carries. Two are equal that say the same.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadFailure(Arc<dyn std::error::Error + Send + Sync>);

impl From<ReadError> for ReadFailure {
    fn from(error: ReadError) -> Self {
        Self(error.into())
    }
}

impl ReadFailure {
    /// What the source said: of a file, a [`std::io::Error`].
    pub fn cause(&self) -> &(dyn std::error::Error + 'static) {
        &*self.0
    }
}

impl PartialEq for ReadFailure {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

/// Random access to bytes that do not change.
pub trait Source: Send + Sync {
    /// The number of bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset`.
    ///
    /// # Errors
    /// Where there are too few, and what the system says of reading them.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError>;

    /// These bytes where they are, if they are in memory as long as this is.
    fn mapped(&self, _offset: u64, _length: u64) -> Option<&[u8]> {
        None
    }

    /// Says that these bytes, or those of them that there are, will not be read
    /// again: whoever holds them in memory may let go of them.
    fn release(&self, _offset: u64, _length: u64) {}

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A read past the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes at {offset} are not within {total}")]
pub struct OutOfBounds {
    offset: u64,
    length: u64,
    total: u64,
}

/// The range `offset..offset + length` of `total` bytes, if it is one.
///
/// # Errors
/// [`OutOfBounds`] where it ends beyond `total`, or beyond 64 bits.
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

/// The part of `chunk` that the next of so many `remaining` bytes go into; `None` when
/// there are none.
pub(crate) fn next_chunk(chunk: &mut [u8], remaining: u64) -> Option<&mut [u8]> {
    let step = usize::try_from(remaining).map_or(chunk.len(), |it| it.min(chunk.len()));
    chunk.get_mut(..step).filter(|part| !part.is_empty())
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, Source::len(self))?;
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        // There: the range has been checked.
        buffer.copy_from_slice(self.get(range).unwrap_or_default());
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

impl<S: Source + ?Sized> Source for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_at(offset, buffer)
    }

    fn mapped(&self, offset: u64, length: u64) -> Option<&[u8]> {
        (**self).mapped(offset, length)
    }

    fn release(&self, offset: u64, length: u64) {
        (**self).release(offset, length);
    }
}

/// Several sources one after the other, with zeros between them.
#[derive(Default)]
pub struct Spliced<'a> {
    /// Sorted by offset, none of them overlapping.
    pieces: Vec<(u64, Box<dyn Source + 'a>)>,
    length: u64,
}

impl<'a> Spliced<'a> {
    /// Appends `piece` at the next multiple of `alignment`; returns where that is.
    pub fn push(&mut self, piece: impl Source + 'a, alignment: u64) -> u64 {
        let offset = self.length.next_multiple_of(alignment);
        self.length = offset.saturating_add(piece.len());
        self.pieces.push((offset, Box::new(piece)));
        offset
    }
}

impl Source for Spliced<'_> {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.length)?;
        // Whatever no piece covers is padding.
        buffer.fill(0);
        let after = self.pieces.partition_point(|(start, _)| *start <= offset);
        for (start, piece) in self.pieces.iter().skip(after.saturating_sub(1)) {
            if *start >= range.end {
                break;
            }
            let first = range.start.max(*start);
            let end = range.end.min(start.saturating_add(piece.len()));
            let place = |at: u64| usize::try_from(at.saturating_sub(range.start));
            if let Some(target) = buffer.get_mut(place(first)?..place(end)?)
                && first < end
            {
                piece.read_at(first.saturating_sub(*start), target)?;
            }
        }
        Ok(())
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
    ///
    /// # Errors
    /// [`OutOfBounds`] where they are not within it.
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
        let offset = self.start.saturating_add(range.start);
        self.source.read_at(offset, buffer)
    }

    fn mapped(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let range = checked_range(offset, length, self.length).ok()?;
        let offset = self.start.saturating_add(range.start);
        self.source.mapped(offset, length)
    }

    fn release(&self, offset: u64, length: u64) {
        let offset = self.start.saturating_add(offset);
        self.source.release(offset, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_with_their_padding() {
        let mut spliced = Spliced::default();
        assert_eq!(spliced.push(vec![1; 3], 64), 0);
        assert_eq!(spliced.push(vec![2; 70], 64), 64);
        assert_eq!(spliced.push(vec![3; 2], 64), 192);
        let mut all = vec![9; 194];
        spliced.read_at(0, &mut all).unwrap();
        let mut expected = vec![0; 194];
        expected[..3].fill(1);
        expected[64..134].fill(2);
        expected[192..].fill(3);
        assert_eq!(all, expected);
        for start in 0..all.len() {
            let mut part = vec![9; (all.len() - start).min(80)];
            spliced.read_at(start as u64, &mut part).unwrap();
            assert_eq!(part, expected[start..start + part.len()]);
        }
        assert!(spliced.read_at(190, &mut [0; 5]).is_err());
    }
}
