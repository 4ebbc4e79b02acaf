//! Memory for packed matrices and scratch values.
//!
//! **Invariant:** the first value is where a cache line begins, so that no vector
//! of a packed panel is in two lines.

use std::ops::{Deref, DerefMut};

/// How many float32 values a cache line has: as many as the widest vector.
pub(crate) const CACHE_LINE: usize = 16;

/// Where panels of packed values begin, in bytes.
pub const PANEL_ALIGNMENT: usize = CACHE_LINE * size_of::<f32>();

/// Values of four bytes at a multiple of [`PANEL_ALIGNMENT`].
#[derive(Debug, Default)]
pub(crate) struct AlignedBuffer<T = f32> {
    values: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Copy + Default> AlignedBuffer<T> {
    /// So many zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        const { assert!(size_of::<T>() == 4, "a cache line has sixteen values") };
        // Memory that the system gives is zeros already, and not touched here.
        let values = vec![T::default(); length + CACHE_LINE];
        let start = values.as_ptr().align_offset(PANEL_ALIGNMENT);
        Self {
            values,
            // An interpreter may not know the offset. Vectors are loaded from any
            // address, so alignment is a matter of speed alone.
            start: if start <= CACHE_LINE { start } else { 0 },
            length,
        }
    }

    /// Makes it as long, with any values in it.
    pub(crate) fn resize(&mut self, length: usize) {
        if self.values.len() < self.start + length {
            *self = Self::zeros(length);
        }
        self.length = length;
    }

    /// Makes it so many zeros.
    pub(crate) fn reset(&mut self, length: usize) {
        self.resize(length);
        self.fill(T::default());
    }
}

impl<T> Deref for AlignedBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..][..self.length]
    }
}

impl<T> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..][..self.length]
    }
}
