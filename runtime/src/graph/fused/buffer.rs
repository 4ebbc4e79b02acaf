//! Memory for packed values.

use std::ops::{Deref, DerefMut};

/// Values that begin where a cache line does, which the widest vectors fill.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    lines: Vec<Line>,
    length: usize,
}

/// Values of a cache line.
pub(super) const LINE: usize = 16;

#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([f32; LINE]);

impl Buffer {
    /// Makes it as long, with anything in it.
    pub(super) fn resize(&mut self, length: usize) {
        let lines = length.div_ceil(LINE);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0.0; LINE]));
        }
        self.length = length;
    }

    /// Makes it so many zeros.
    pub(super) fn clear(&mut self, length: usize) {
        self.lines.clear();
        self.lines.resize(length.div_ceil(LINE), Line([0.0; LINE]));
        self.length = length;
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: lines are arrays of values one after the other, at least `length`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: lines are arrays of values one after the other, at least `length`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}
