//! The micro-kernel that reads rows where they are: for processors with many registers.

use super::{PanelColumns, RowBlock};
use crate::simd::Simd;

/// Calls the micro-kernel of as many rows as the block has.
macro_rules! by_rows {
    ($vector:ty, $token:expr, $a:expr, $b:expr, $sums:expr, [$($rows:literal)*]) => {
        match $a.rows() {
            $($rows => $crate::gemm::micro_kernel::unpacked::<$vector, $rows>(
                $token, $a, $b, $sums,
            ),)*
            rows => unreachable!("a block of {rows} rows"),
        }
    };
}
pub(crate) use by_rows;

/// A micro-kernel of so many rows.
#[inline(always)]
pub(crate) fn micro_kernel<V: Simd, const ROWS: usize>(
    token: V::Token,
    a: RowBlock<'_>,
    b: PanelColumns<'_>,
    sums: &mut [f32],
) {
    let columns = 2 * V::LANES;
    assert!(a.rows == ROWS && a.depth == b.depth && b.columns == columns);
    let sums = &mut sums[..ROWS * columns];
    let zero = V::splat(token, 0.0);
    let (mut low, mut high) = ([zero; ROWS], [zero; ROWS]);
    let (mut left, mut right) = (a.values.as_ptr(), b.values.as_ptr());
    for _ in 0..a.depth {
        // SAFETY: `PanelColumns::new` has checked that the panel has so many columns at
        // each of `b.depth` places, `b.step` apart, and `a.depth` is `b.depth`.
        let pair = unsafe { std::slice::from_raw_parts(right, columns) };
        let (first, second) = (V::load(token, pair), V::load(token, &pair[V::LANES..]));
        for row in 0..ROWS {
            // SAFETY: `RowBlock::new` has checked that each of its rows, of which there
            // are `ROWS`, has a value at each of `a.depth` places, `a.step` apart.
            let value = V::splat(token, unsafe { *left.add(row * a.row_stride) });
            low[row] = value.mul_add(first, low[row]);
            high[row] = value.mul_add(second, high[row]);
        }
        left = left.wrapping_add(a.step);
        right = right.wrapping_add(b.step);
    }
    for (row, sums) in sums.chunks_exact_mut(columns).enumerate() {
        low[row].store(sums);
        high[row].store(&mut sums[V::LANES..]);
    }
}
