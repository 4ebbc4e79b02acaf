//! A linear layer: GEMM with constant weights, and its epilogue.

use super::encoded::EncodedB;
use super::int8::{Int8Matrix, Quantised};
use super::{BlockedB, Initial, Memory, MicroKernel, NR_MAX, PackedB, Rows, RowsMut, gemm};
use crate::activation::Activation;
use crate::encoding::PANEL;
use crate::isa::Isa;
use crate::parallel::{Parallel, each_chunk, parts_of_rows};
use crate::shape::{ShapeError, ensure};
use crate::simd::Kernel;

/// Rows whose strips, of a block of the depth, are in a cache of the second level. The weights,
/// which are not, are read once for as many: with 64 a text of 128
/// tokens takes 4 % longer in models of 768 columns.
const BLOCK_ROWS: usize = 12 * ROWS_MULTIPLE;

/// A multiple of the MR of most micro-kernels.
const ROWS_MULTIPLE: usize = 12;

/// The constant factor of a linear layer.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// float32.
    F32(PackedB<'a>),
    /// Fewer bits, decoded to float32 where they are multiplied.
    Encoded(EncodedB<'a>),
    /// int8, with float32 scales.
    Int8 {
        /// B.
        matrix: &'a Int8Matrix,
        /// What each column of A is multiplied by before it is quantised: the rows of the
        /// matrix have been divided by it.
        smoothing: Option<&'a [f32]>,
    },
}

impl Weights<'_> {
    /// Rows of the matrix: values of a row of A.
    pub fn depth(self) -> usize {
        match self {
            Self::F32(b) => b.depth(),
            Self::Encoded(b) => b.depth(),
            Self::Int8 { matrix, .. } => matrix.depth(),
        }
    }

    /// Columns of the matrix: values of a row of C.
    pub fn columns(self) -> usize {
        match self {
            Self::F32(b) => b.columns(),
            Self::Encoded(b) => b.columns(),
            Self::Int8 { matrix, .. } => matrix.columns(),
        }
    }

    /// Columns of whole panels: so many biases are given.
    pub fn padded_columns(self) -> usize {
        match self {
            Self::F32(b) => b.padded_columns(),
            Self::Encoded(b) => b.columns().next_multiple_of(PANEL),
            Self::Int8 { matrix, .. } => matrix.padded_columns(),
        }
    }
}

/// What is computed of a block of C while it is in a cache.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Added to each row: for each of [`Weights::padded_columns`].
    pub bias: &'a [f32],
    /// Of each value after that.
    pub activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// Those of NR columns from `first` on, put into `memory` if there is but one panel.
    #[inline(always)]
    pub(crate) fn biases<'b, V: MicroKernel>(
        self,
        first: usize,
        memory: &'b mut [f32; NR_MAX],
    ) -> Initial<'b>
    where
        'a: 'b,
    {
        let bias = &self.bias[first..];
        if bias.len() >= V::NR {
            return Initial::Row(bias);
        }
        memory[..bias.len()].copy_from_slice(bias);
        Initial::Row(memory)
    }
}

/// `C = activation(A · B + bias)`: A `[rows, depth]`, B `[depth, columns]`, C
/// `[rows, columns]`. A row of C depends on its row of A alone.
///
/// # Errors
///
/// If the shapes do not fit, or the weights were packed for other micro-kernels.
pub fn linear(
    isa: Isa,
    parallel: &dyn Parallel,
    a: &[f32],
    b: Weights<'_>,
    epilogue: Epilogue<'_>,
    c: &mut [f32],
) -> Result<(), ShapeError> {
    let (depth, columns) = (b.depth(), b.columns());
    if columns == 0 {
        return Ok(());
    }
    let rows = c.len() / columns;
    let fits = rows * columns == c.len()
        && rows.checked_mul(depth) == Some(a.len())
        && epilogue.bias.len() == b.padded_columns()
        && has_every_factor(b);
    ensure(fits, "linear", || {
        let (a, c, bias) = (a.len(), c.len(), epilogue.bias.len());
        format!("{a} values times {depth} × {columns}, with {bias} biases, into {c}")
    })?;
    ensure(isa.run(Fits(b)), "linear", || {
        format!("panels that are not for {}", isa.name())
    })?;
    let parts = parts_of_rows(parallel, &[rows, depth, columns], rows);
    // Whole blocks, so that no part has a smaller one than all together.
    let rows = rows.div_ceil(parts).max(1).next_multiple_of(ROWS_MULTIPLE);
    each_chunk(parallel, c, rows * columns, &|part, c| {
        let a = &a[part * rows * depth..][..c.len() / columns * depth];
        isa.run(Linear { a, b, epilogue, c });
    });
    Ok(())
}

/// Whether there is a factor for each column of A, if there are any.
fn has_every_factor(b: Weights<'_>) -> bool {
    let Weights::Int8 { smoothing, .. } = b else {
        return true;
    };
    smoothing.is_none_or(|factors| factors.len() == b.depth())
}

/// Whether the micro-kernel of an instruction set reads these panels.
struct Fits<'a>(Weights<'a>);

impl Kernel for Fits<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: MicroKernel>(self, _token: V::Token) -> bool {
        match self.0 {
            Weights::F32(b) => b.fits::<V>(),
            // They are decoded for any, or carry their own.
            Weights::Encoded(_) | Weights::Int8 { .. } => true,
        }
    }
}

/// Some rows of A and C.
struct Linear<'a> {
    a: &'a [f32],
    b: Weights<'a>,
    epilogue: Epilogue<'a>,
    c: &'a mut [f32],
}

impl Kernel for Linear<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        let Epilogue { bias, activation } = self.epilogue;
        let (depth, columns) = (self.b.depth(), self.b.columns());
        let mut memory = Memory::default();
        let mut quantised = Quantised::default();
        // As even as whole strips can be.
        let rows = self.c.len() / columns;
        let blocks = rows.div_ceil(BLOCK_ROWS).max(1);
        let block_rows = rows.div_ceil(blocks).max(1).next_multiple_of(ROWS_MULTIPLE);
        for (block, values) in self.c.chunks_mut(block_rows * columns).enumerate() {
            let count = values.len() / columns;
            let a = &self.a[block * block_rows * depth..][..count * depth];
            let mut c = RowsMut {
                values,
                stride: columns,
                width: columns,
            };
            let rows = Rows {
                values: a,
                stride: depth,
                width: depth,
                count,
            };
            let epilogue = Some(self.epilogue);
            match self.b {
                Weights::F32(b) => gemm::<V>(token, rows, b, epilogue, &mut memory, &mut c),
                Weights::Encoded(b) => gemm::<V>(token, rows, b, epilogue, &mut memory, &mut c),
                Weights::Int8 { matrix, smoothing } => {
                    matrix.multiply((a, count), smoothing, bias, &mut quantised, &mut c);
                    activation.apply::<V>(token, c.values);
                }
            }
        }
    }
}
