//! The MR×NR micro-kernel, in which almost all time is spent: a strip of at most MR rows
//! of A times NR columns of B, with all sums in registers.

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod in_registers;
pub(crate) mod portable;

use crate::simd::{Kernel, Simd};
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub(crate) use in_registers::{by_rows, micro_kernel as in_registers};

/// The most columns of a micro-kernel.
pub(crate) const NR_MAX: usize = 32;

/// A micro-kernel over vectors, and what it requires.
pub(crate) trait MicroKernel: Simd {
    /// The most rows of a strip of A.
    const MR: usize;
    /// The columns of a panel of B.
    const PANEL: usize;
    /// The columns of B: those of one panel or of two.
    const NR: usize;
    /// Whether a strip of fewer rows than MR has zeros for the others.
    const PADS: bool;
    /// Whether it reads either half of a panel of twice its columns ([`Panels::half`]), as those
    /// are that a file has ([`PANEL`](crate::PANEL)).
    const READS_HALVES: bool = false;

    /// Whether it reads panels of so many columns.
    fn reads_panels_of(columns: usize) -> bool {
        columns == Self::PANEL || Self::READS_HALVES && columns == 2 * Self::PANEL
    }

    /// Runs a kernel as a function of its own, whose constants stay in registers.
    #[inline(never)]
    fn run_apart<K: Kernel>(token: Self::Token, kernel: K) -> K::Output {
        kernel.run::<Self>(token)
    }

    /// `C = initial + A · B`: each value is one sum, in the order of the depth.
    ///
    /// # Panics
    ///
    /// If A and B differ in depth, or C has not as many rows.
    fn micro_kernel(token: Self::Token, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>);
}

/// Some rows of A, packed: one value of each side by side.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a> {
    pub(crate) values: &'a [f32],
    /// Those that there are; with [`MicroKernel::PADS`] MR are packed.
    pub(crate) rows: usize,
}

/// Of a panel's columns.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    First,
    Second,
}

/// NR columns of B: a panel, or two, whose values at each depth are side by side. Where the
/// micro-kernel has one, the second is not looked at.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) values: [&'a [f32]; 2],
    /// Which half of a panel of twice as many columns; `None` of a panel of its own.
    pub(crate) half: Option<Half>,
    /// What comes after them, as it is stored, to be fetched into a cache meanwhile.
    pub(crate) next: [&'a [u8]; 2],
}

impl<'a> Panels<'a> {
    /// Without others after them.
    #[inline(always)]
    pub(crate) fn last(values: [&'a [f32]; 2]) -> Self {
        Self {
            values,
            half: None,
            next: [&[]; 2],
        }
    }

    /// So often, with as many parts of what comes after them.
    #[inline(always)]
    pub(crate) fn in_parts(self, parts: usize) -> impl Iterator<Item = Self> {
        // Here, since a division takes as long as a step of the depth does.
        let each = self.next[0].len().div_ceil(parts.max(1)).max(1);
        (0..parts).map(move |part| Self {
            next: self.next.map(|next| {
                let start = next.len().min(part * each);
                &next[start..next.len().min(start + each)]
            }),
            ..self
        })
    }
}

/// NR columns of as many rows of C as the strip has.
pub(crate) struct Tile<'a> {
    pub(crate) values: &'a mut [f32],
    /// From a row to the next.
    pub(crate) stride: usize,
    pub(crate) initial: Initial<'a>,
}

/// What the products are added to.
#[derive(Clone, Copy)]
pub(crate) enum Initial<'a> {
    /// What is in C.
    Sums,
    /// The same NR values in each row: zeros, or biases.
    Row(&'a [f32]),
}

impl Initial<'static> {
    pub(crate) const ZEROS: Self = Self::Row(&[0.0; NR_MAX]);
}
