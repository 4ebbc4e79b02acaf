//! The micro-kernel of four rows and eight columns: for processors with few registers.

use super::{Half, Initial, Panels, Strip, Tile};
use crate::simd::{Baseline, F32x4, Simd};
#[cfg(target_family = "wasm")]
use std::sync::OnceLock;

/// A micro-kernel (MR 4, NR 8) in other instructions: of four packed rows and eight
/// columns, `depth` groups of each, added to the 32 sums, row after row.
///
/// # Safety
///
/// As many values can be read and written at the addresses, all divisible by four.
#[cfg(target_family = "wasm")]
pub type TileKernel =
    unsafe extern "C" fn(strip: *const f32, panel: *const f32, depth: usize, sums: *mut f32);

#[cfg(target_family = "wasm")]
static KERNEL: OnceLock<TileKernel> = OnceLock::new();

/// Has everything of four rows computed by a micro-kernel that uses more of a processor
/// than this module may ask for. Returns whether it is the first one.
///
/// # Safety
///
/// The kernel reads and writes nothing but what [`TileKernel`] says.
#[cfg(target_family = "wasm")]
pub unsafe fn use_tile_kernel(kernel: TileKernel) -> bool {
    KERNEL.set(kernel).is_ok()
}

/// A strip of four rows: those that are not there are zeros.
pub(crate) fn micro_kernel(token: Baseline, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
    let (rows, rows_rest) = a.values.as_chunks::<4>();
    let (panel, panel_rest) = b.values[0].as_chunks::<8>();
    let per_row = if b.half.is_some() { 2 } else { 1 };
    let is_packed =
        rows_rest.is_empty() && panel_rest.is_empty() && rows.len() * per_row == panel.len();
    assert!(is_packed, "packed rows and panels");
    let mut sums = [[0.0; 8]; 4];
    for (row, sums) in sums.iter_mut().take(a.rows).enumerate() {
        let initial = match c.initial {
            Initial::Sums => &c.values[row * c.stride..],
            Initial::Row(row) => row,
        };
        sums.copy_from_slice(&initial[..8]);
    }
    // Never both halves of one row. A kernel that was given reads packed panels alone, and a page has
    // no others: nothing is mapped there.
    let (wide, _) = panel.as_chunks::<2>();
    match b.half {
        None => multiply(token, rows, panel, &mut sums),
        Some(Half::First) => {
            multiply_four(token, rows, wide.iter().map(|[first, _]| first), &mut sums);
        }
        Some(Half::Second) => {
            multiply_four(
                token,
                rows,
                wide.iter().map(|[_, second]| second),
                &mut sums,
            );
        }
    }
    for (row, sums) in sums.iter().take(a.rows).enumerate() {
        c.values[row * c.stride..][..8].copy_from_slice(sums);
    }
}

fn multiply(token: Baseline, rows: &[[f32; 4]], panel: &[[f32; 8]], sums: &mut [[f32; 8]; 4]) {
    #[cfg(target_family = "wasm")]
    if let Some(kernel) = KERNEL.get() {
        // SAFETY: the slices have as many groups of four and of eight values, and there
        // are 32 sums; whoever gave the kernel promised that it takes no more.
        unsafe {
            kernel(
                rows.as_ptr().cast(),
                panel.as_ptr().cast(),
                rows.len(),
                sums.as_mut_ptr().cast(),
            );
        }
        return;
    }
    multiply_four(token, rows, panel.iter(), sums);
}

/// Four splats and two vectors for eight multiplications and additions, written
/// so that nothing is left to be unrolled.
#[inline(never)]
fn multiply_four<'a>(
    token: Baseline,
    rows: &[[f32; 4]],
    panel: impl Iterator<Item = &'a [f32; 8]>,
    sums: &mut [[f32; 8]; 4],
) {
    let [row0, row1, row2, row3] = &*sums;
    let [mut low0, mut low1, mut low2, mut low3] = [
        F32x4::load(token, row0),
        F32x4::load(token, row1),
        F32x4::load(token, row2),
        F32x4::load(token, row3),
    ];
    let [mut high0, mut high1, mut high2, mut high3] = [
        F32x4::load(token, &row0[4..]),
        F32x4::load(token, &row1[4..]),
        F32x4::load(token, &row2[4..]),
        F32x4::load(token, &row3[4..]),
    ];
    for (rows, columns) in rows.iter().zip(panel) {
        let [row0, row1, row2, row3] = F32x4::splat_four(token, rows);
        let (first, second) = (
            F32x4::load(token, columns),
            F32x4::load(token, &columns[4..]),
        );
        low0 = row0.mul_add(first, low0);
        low1 = row1.mul_add(first, low1);
        low2 = row2.mul_add(first, low2);
        low3 = row3.mul_add(first, low3);
        high0 = row0.mul_add(second, high0);
        high1 = row1.mul_add(second, high1);
        high2 = row2.mul_add(second, high2);
        high3 = row3.mul_add(second, high3);
    }
    for (sums, (low, high)) in
        sums.iter_mut()
            .zip([(low0, high0), (low1, high1), (low2, high2), (low3, high3)])
    {
        low.store(sums);
        high.store(&mut sums[4..]);
    }
}
