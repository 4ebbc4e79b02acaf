//! The tile of four rows, packed: for processors with few registers.

use super::{F32x4, Lanes};
use std::sync::OnceLock;

/// Computes a tile: from a strip and a panel of `depth` groups each, of four and
/// of eight values, the 32 sums, row after row.
///
/// # Safety
///
/// As many values can be read and written at the addresses, all divisible by four.
pub type TileKernel =
    unsafe extern "C" fn(strip: *const f32, panel: *const f32, depth: usize, sums: *mut f32);

static KERNEL: OnceLock<TileKernel> = OnceLock::new();

/// Has all tiles of four rows computed by a kernel that uses more of a processor
/// than this module may ask for. Returns whether it is the first one.
///
/// # Safety
///
/// The kernel reads and writes nothing but what [`TileKernel`] says.
pub unsafe fn use_tile_kernel(kernel: TileKernel) -> bool {
    KERNEL.set(kernel).is_ok()
}

/// A tile of a strip of four packed rows.
///
/// # Safety
///
/// As [`Lanes::tile`].
pub(super) unsafe fn tile(strip: *const f32, panel: *const f32, depth: usize, sums: *mut f32) {
    if let Some(kernel) = KERNEL.get() {
        // SAFETY: the caller's promise.
        return unsafe { kernel(strip, panel, depth, sums) };
    }
    // SAFETY: the caller's promise.
    let (strip, panel, sums) = unsafe {
        (
            std::slice::from_raw_parts(strip.cast::<[f32; 4]>(), depth),
            std::slice::from_raw_parts(panel.cast::<[[f32; 4]; 2]>(), depth),
            &mut *sums.cast::<[[[f32; 4]; 2]; 4]>(),
        )
    };
    multiply_four(strip, panel, sums);
}

/// Four splats and two vectors for eight multiplications and additions, written
/// so that nothing is left to be unrolled.
#[inline(never)]
fn multiply_four(strip: &[[f32; 4]], panel: &[[[f32; 4]; 2]], sums: &mut [[[f32; 4]; 2]; 4]) {
    let zero = F32x4::splat(0.0);
    let [mut low0, mut low1, mut low2, mut low3] = [zero; 4];
    let [mut high0, mut high1, mut high2, mut high3] = [zero; 4];
    for (rows, [first, second]) in strip.iter().zip(panel) {
        let [row0, row1, row2, row3] = F32x4::splat_four(rows);
        let (first, second) = (F32x4::load(first), F32x4::load(second));
        low0 = row0.mul_add(first, low0);
        low1 = row1.mul_add(first, low1);
        low2 = row2.mul_add(first, low2);
        low3 = row3.mul_add(first, low3);
        high0 = row0.mul_add(second, high0);
        high1 = row1.mul_add(second, high1);
        high2 = row2.mul_add(second, high2);
        high3 = row3.mul_add(second, high3);
    }
    let [row0, row1, row2, row3] = sums;
    for ([first, second], low, high) in [
        (row0, low0, high0),
        (row1, low1, high1),
        (row2, low2, high2),
        (row3, low3, high3),
    ] {
        low.store(first);
        high.store(second);
    }
}
