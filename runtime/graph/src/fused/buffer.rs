//! Memory for packed values.

use std::ops::{Deref, DerefMut};

/// Values of four bytes, the first of them where a cache line begins, which the
/// widest vectors fill.
#[derive(Debug, Default)]
pub(super) struct Buffer<T = f32> {
    values: Vec<T>,
    start: usize,
    length: usize,
}

/// Values of a cache line.
pub(super) const LINE: usize = 16;

impl<T: Copy + Default> Buffer<T> {
    /// So many zeros.
    pub(super) fn zeros(length: usize) -> Self {
        // Memory that the system gives is zeros already, and not touched here.
        let values = vec![T::default(); length + LINE];
        let start = values.as_ptr().align_offset(LINE * size_of::<T>());
        Self {
            values,
            // An offset may be unknown, which is a matter of speed alone.
            start: if start <= LINE { start } else { 0 },
            length,
        }
    }

    /// Makes it as long, with anything in it.
    pub(super) fn resize(&mut self, length: usize) {
        if self.values.len() < self.start + length {
            *self = Self::zeros(length);
        }
        self.length = length;
    }

    /// Makes it so many zeros.
    pub(super) fn clear(&mut self, length: usize) {
        self.resize(length);
        self.fill(T::default());
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..][..self.length]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..][..self.length]
    }
}
