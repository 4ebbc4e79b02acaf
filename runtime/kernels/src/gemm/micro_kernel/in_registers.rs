//! The micro-kernel for processors that keep a whole tile in registers.

use super::{Initial, Panels, Strip, Tile};
use crate::aligned::PANEL_ALIGNMENT;
use crate::encoding::PANEL;
use crate::simd::Simd;

/// Steps of the depth in one turn of the loop, so that what counts them and moves the
/// pointers takes no part of the time.
const UNROLLED: usize = 4;

/// Calls the micro-kernel of as many rows as the strip has.
macro_rules! by_rows {
    ($vector:ty, $vectors:literal, ($token:expr, $a:expr, $b:expr, $c:expr), [$($rows:literal)*]) => {
        match $a.rows {
            $($rows => $crate::gemm::micro_kernel::in_registers::<$vector, $rows, $vectors>(
                $token, $a, $b, $c,
            ),)*
            rows => unreachable!("a strip of {rows} rows"),
        }
    };
}
pub(crate) use by_rows;

/// A micro-kernel of so many rows and so many vectors of columns.
#[inline(always)]
pub(crate) fn micro_kernel<V: Simd, const ROWS: usize, const VECTORS: usize>(
    token: V::Token,
    a: Strip<'_>,
    b: Panels<'_>,
    c: &mut Tile<'_>,
) {
    let (a, a_rest) = a.values.as_chunks::<ROWS>();
    let [first, second] = b.values.map(|panel| panel.as_chunks::<PANEL>().0);
    assert!(a_rest.is_empty() && a.len() == first.len() && a.len() == second.len());
    let mut sums = [[V::splat(token, 0.0); VECTORS]; ROWS];
    let (initial, stride) = match c.initial {
        Initial::Sums => (&*c.values, c.stride),
        Initial::Row(row) => (row, 0),
    };
    for (row, sums) in sums.iter_mut().enumerate() {
        let values = &initial[row * stride..][..VECTORS * V::LANES];
        for (place, sum) in sums.iter_mut().enumerate() {
            *sum = V::load(token, &values[place * V::LANES..]);
        }
    }
    let (a, a_rest) = a.as_chunks::<UNROLLED>();
    let (first, first_rest) = first.as_chunks::<UNROLLED>();
    let (second, second_rest) = second.as_chunks::<UNROLLED>();
    let mut next = b.next.map(<[u8]>::as_ptr);
    let each = b.next[0].len().checked_div(a.len()).unwrap_or(0);
    for ((a, first), second) in a.iter().zip(first).zip(second) {
        for next in &mut next[..(VECTORS * V::LANES).div_ceil(PANEL)] {
            V::prefetch(*next);
            V::prefetch(next.wrapping_add(PANEL_ALIGNMENT));
            *next = next.wrapping_add(each);
        }
        for step in 0..UNROLLED {
            accumulate::<V, ROWS, VECTORS>(
                token,
                &a[step],
                [&first[step], &second[step]],
                &mut sums,
            );
        }
    }
    for ((a, first), second) in a_rest.iter().zip(first_rest).zip(second_rest) {
        accumulate::<V, ROWS, VECTORS>(token, a, [first, second], &mut sums);
    }
    for (row, sums) in sums.iter().enumerate() {
        let values = &mut c.values[row * c.stride..][..VECTORS * V::LANES];
        for (place, sum) in sums.iter().enumerate() {
            sum.store(&mut values[place * V::LANES..]);
        }
    }
}

/// One step of the depth.
#[inline(always)]
fn accumulate<V: Simd, const ROWS: usize, const VECTORS: usize>(
    token: V::Token,
    a: &[f32; ROWS],
    b: [&[f32; PANEL]; 2],
    sums: &mut [[V; VECTORS]; ROWS],
) {
    let mut columns = [V::splat(token, 0.0); VECTORS];
    for (place, columns) in columns.iter_mut().enumerate() {
        let column = place * V::LANES;
        *columns = V::load(token, &b[column / PANEL][column % PANEL..]);
    }
    for (value, sums) in a.iter().zip(sums) {
        let value = V::splat(token, *value);
        for (columns, sum) in columns.iter().zip(sums) {
            *sum = value.mul_add(*columns, *sum);
        }
    }
}
