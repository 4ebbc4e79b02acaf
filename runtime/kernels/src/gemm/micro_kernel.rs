//! The MR×NR micro-kernel, in which almost all time is spent: a block of at most MR rows
//! of A times NR columns of a panel of B, with all sums in registers.
//!
//! **Invariant:** a [`RowBlock`] and [`PanelColumns`] say what can be read, and check it
//! when they are made: their fields are private to this module.

pub(crate) mod packed;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod unpacked;

use crate::simd::Simd;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub(crate) use unpacked::{by_rows, micro_kernel as unpacked};

/// A micro-kernel over vectors, and what it requires.
pub(crate) trait MicroKernel: Simd {
    /// The most rows of a block of A.
    const MR: usize;
    /// The columns of B: two vectors.
    const NR: usize = 2 * Self::LANES;
    /// What panels begin at multiples of, in bytes, so that no vector is in two cache
    /// lines.
    const ALIGNMENT: usize = Self::LANES * size_of::<f32>();
    /// Whether rows of A are packed: one value of each row side by side.
    const PACKS_A: bool;

    /// `sums[r][c] = Σ a[r][k] · b[k][c]`, in the order of k. Rows beyond those of the
    /// block are left, or have anything in them.
    ///
    /// # Panics
    ///
    /// If A and B differ in depth, or there are fewer than MR × NR sums.
    fn micro_kernel(token: Self::Token, a: RowBlock<'_>, b: PanelColumns<'_>, sums: &mut [f32]);
}

/// Some rows of A: value k of row r is at `r · row_stride + k · step`.
#[derive(Clone, Copy)]
pub(crate) struct RowBlock<'a> {
    values: &'a [f32],
    row_stride: usize,
    step: usize,
    rows: usize,
    depth: usize,
}

impl<'a> RowBlock<'a> {
    /// # Panics
    ///
    /// If the last value of the last row is not in `values`.
    #[inline(always)]
    pub(crate) fn new(
        values: &'a [f32],
        row_stride: usize,
        step: usize,
        rows: usize,
        depth: usize,
    ) -> Self {
        let last = |count: usize, stride: usize| count.checked_sub(1)?.checked_mul(stride);
        let end = match (last(rows, row_stride), last(depth, step)) {
            (Some(row), Some(value)) => row.checked_add(value),
            // No row, or rows of nothing.
            _ => None,
        };
        let is_empty = rows == 0 || depth == 0;
        assert!(
            is_empty || end.is_some_and(|end| end < values.len()),
            "{rows} rows of {depth} values, {row_stride} apart, in {}",
            values.len()
        );
        Self {
            values,
            row_stride,
            step,
            rows,
            depth,
        }
    }

    #[inline(always)]
    pub(crate) fn rows(self) -> usize {
        self.rows
    }
}

/// Some columns of a panel of B: those of k are at `k · step`.
#[derive(Clone, Copy)]
pub(crate) struct PanelColumns<'a> {
    values: &'a [f32],
    step: usize,
    columns: usize,
    depth: usize,
}

impl<'a> PanelColumns<'a> {
    /// The NR columns from `first` on.
    ///
    /// # Panics
    ///
    /// If the panel does not have them at every depth.
    #[inline(always)]
    pub(crate) fn new<V: MicroKernel>(
        panel: &'a [f32],
        first: usize,
        panel_width: usize,
        depth: usize,
    ) -> Self {
        assert!(
            panel_width.checked_mul(depth) == Some(panel.len()) && first + V::NR <= panel_width,
            "{} columns from {first} on, of {panel_width} × {depth} in {}",
            V::NR,
            panel.len()
        );
        Self {
            values: &panel[first.min(panel.len())..],
            step: panel_width,
            columns: V::NR,
            depth,
        }
    }
}
