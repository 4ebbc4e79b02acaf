//! How the work of a kernel is split: whoever owns the threads says.
//!
//! **Invariant:** how many parts there are changes no result. What is split are
//! whole rows, heads or tokens, each of which is computed as it would be alone.

use std::sync::{Mutex, PoisonError};

/// Computes the parts of a kernel's work, perhaps at once. Implemented by whoever
/// owns the threads, and by [`Sequential`] where there are none.
pub trait Parallel: Sync {
    /// Into how many parts work of so many multiplications is best split: at least one.
    fn parts(&self, multiplications: usize) -> usize;

    /// Calls `compute` once with each number below `count`, and returns when all calls
    /// have. They may be made in any order and on any thread.
    fn each(&self, count: usize, compute: &(dyn Fn(usize) + Sync));
}

/// Everything on the thread that asks.
#[derive(Clone, Copy, Debug)]
pub struct Sequential;

impl Parallel for Sequential {
    fn parts(&self, _multiplications: usize) -> usize {
        1
    }

    fn each(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(compute);
    }
}

/// Into how many parts work with these dimensions is split.
pub(crate) fn parts(parallel: &dyn Parallel, dimensions: &[usize]) -> usize {
    // Long texts have more multiplications than 32 bits count.
    let multiplications = dimensions.iter().copied().fold(1, usize::saturating_mul);
    parallel.parts(multiplications).max(1)
}

/// Rows for which a constant factor is read once more without that being noticed.
const PART_ROWS: usize = 120;

/// Into how many parts so many rows are split: as many as [`parts`], or twice that if they are
/// large. A core that is slower, or has other work, then takes fewer of them.
pub(crate) fn parts_of_rows(parallel: &dyn Parallel, dimensions: &[usize], rows: usize) -> usize {
    match parts(parallel, dimensions) {
        1 => 1,
        parts if rows >= 2 * parts * PART_ROWS => 2 * parts,
        parts => parts,
    }
}

/// Cuts `output` into chunks of `length`, and has each of them computed.
pub(crate) fn each_chunk(
    parallel: &dyn Parallel,
    output: &mut [f32],
    length: usize,
    compute: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    let chunks = output.chunks_mut(length.max(1)).collect();
    each_part(parallel, chunks, compute);
}

/// Has each of some parts computed.
pub(crate) fn each_part<T: Send>(
    parallel: &dyn Parallel,
    parts: Vec<T>,
    compute: &(dyn Fn(usize, T) + Sync),
) {
    if parts.len() <= 1 {
        return parts.into_iter().for_each(|part| compute(0, part));
    }
    let parts: Vec<_> = parts.into_iter().map(Some).map(Mutex::new).collect();
    parallel.each(parts.len(), &|place| {
        let mut part = parts[place].lock().unwrap_or_else(PoisonError::into_inner);
        // Taken, so that a second call with the same number has nothing to compute.
        if let Some(part) = part.take() {
            compute(place, part);
        }
    });
}
