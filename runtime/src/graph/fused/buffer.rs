//! Memory for packed values.

use std::ops::{Deref, DerefMut};

/// Values that begin where a cache line does, which the widest vectors fill.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    values: Vec<f32>,
    start: usize,
    length: usize,
}

/// Values of a cache line.
pub(super) const LINE: usize = 16;

impl Buffer {
    /// So many zeros.
    pub(super) fn zeros(length: usize) -> Self {
        // Memory that the system gives is zeros already, and not touched here.
        let values = vec![0.0; length + LINE];
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>());
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
        self.fill(0.0);
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..][..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.length]
    }
}
