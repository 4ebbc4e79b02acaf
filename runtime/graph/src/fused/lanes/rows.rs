//! The tile of rows where they are: for processors with many registers.

use super::Lanes;
use crate::fused::product::{Pairs, Strip};

/// Calls the tile of as many rows as the strip has.
macro_rules! tile_of {
    ($lanes:ty, $strip:expr, $pairs:expr, $depth:expr, $sums:expr, [$($rows:literal)*]) => {
        match $strip.rows {
            $($rows => super::rows::tile::<$lanes, $rows>($strip, $pairs, $depth, $sums),)*
            rows => unreachable!("a strip of {rows} rows"),
        }
    };
}
pub(super) use tile_of;

/// A tile of as many rows as a strip has.
///
/// # Safety
///
/// As [`Lanes::tile`].
#[inline(always)]
pub(super) unsafe fn tile<V: Lanes, const ROWS: usize>(
    strip: Strip,
    pairs: Pairs,
    depth: usize,
    sums: *mut f32,
) {
    let zero = V::splat(0.0);
    let (mut low, mut high) = ([zero; ROWS], [zero; ROWS]);
    let (mut left, mut right) = (strip.at, pairs.at);
    for _ in 0..depth {
        // SAFETY: the caller's promise: two vectors, and a value of each row.
        let pair = unsafe { std::slice::from_raw_parts(right, 2 * V::COUNT) };
        let (first, second) = (V::load(pair), V::load(&pair[V::COUNT..]));
        for row in 0..ROWS {
            // SAFETY: as above.
            let factor = V::splat(unsafe { *left.add(row * strip.row_stride) });
            low[row] = factor.mul_add(first, low[row]);
            high[row] = factor.mul_add(second, high[row]);
        }
        left = left.wrapping_add(strip.step);
        right = right.wrapping_add(pairs.step);
    }
    // SAFETY: the caller's promise.
    let sums = unsafe { std::slice::from_raw_parts_mut(sums, ROWS * 2 * V::COUNT) };
    for (row, sums) in sums.chunks_exact_mut(2 * V::COUNT).enumerate() {
        low[row].store(sums);
        high[row].store(&mut sums[V::COUNT..]);
    }
}
