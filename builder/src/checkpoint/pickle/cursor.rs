//! Little-endian numbers and byte strings, one after the other, within their bytes.

/// What is left of some bytes.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            length: bytes.len(),
        }
    }

    /// How many bytes are read.
    pub(super) fn at(&self) -> usize {
        self.length.saturating_sub(self.rest.len())
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// An unsigned number of up to eight bytes.
    pub(super) fn number(&mut self, width: usize) -> Option<u64> {
        let mut number = [0; 8];
        let taken = self.take(width)?;
        number.get_mut(..width)?.copy_from_slice(taken);
        Some(u64::from_le_bytes(number))
    }

    /// As many bytes as a number before them says.
    pub(super) fn counted(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number(width)?).ok()?;
        self.take(length)
    }

    /// Up to a newline, which is read too.
    pub(super) fn line(&mut self) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|it| *it == b'\n')?;
        let line = self.take(length)?;
        self.take(1)?;
        Some(line)
    }
}
