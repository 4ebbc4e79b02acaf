//! A linear layer: GEMM with constant weights, and its epilogue.

use super::encoded::EncodedB;
use super::int8::{Int8Matrix, Quantised};
use super::{
    BlockedB, Initial, Memory, MicroKernel, NR_MAX, PackedB, Rows, RowsMut, Strips, depth_blocks,
    multiply_block, without_depth,
};
use crate::activation::Activation;
use crate::encoding::PANEL;
use crate::isa::Isa;
use crate::parallel::{Parallel, each_part, parts_of_rows};
use crate::shape::{ShapeError, ensure};
use crate::simd::Kernel;
use std::cell::Cell;
use std::ops::Range;

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

/// `C = activation(A · B + bias)`.
pub struct LinearLayer<'a> {
    /// B: `[depth, columns]`.
    pub weights: Weights<'a>,
    /// What comes after the product.
    pub epilogue: Epilogue<'a>,
    /// C: `[rows, columns]`.
    pub output: &'a mut [f32],
}

/// Computes linear layers of the same A, `[rows, depth]`, which is packed once for all of them. A row
/// of C depends on its row of A alone.
///
/// # Errors
///
/// If the shapes do not fit, the weights were packed for other micro-kernels, or A is not packed
/// alike for them ([`Isa::packs_alike`]).
pub fn linear(
    isa: Isa,
    parallel: &dyn Parallel,
    (a, rows): (&[f32], usize),
    layers: &mut [LinearLayer<'_>],
) -> Result<(), ShapeError> {
    let Some((first, others)) = layers.split_first() else {
        return Ok(());
    };
    let depth = first.weights.depth();
    for layer in &*layers {
        layer.check((a.len(), rows))?;
        ensure(isa.run(Fits(layer.weights)), "linear", || {
            format!("panels that are not for {}", isa.name())
        })?;
    }
    let are_alike = |other: &LinearLayer<'_>| isa.packs_alike(first.weights, other.weights);
    ensure(others.iter().all(are_alike), "linear", || {
        "layers for which rows are not packed alike".into()
    })?;
    let columns: usize = layers.iter().map(|layer| layer.weights.columns()).sum();
    let parts = parts_of_rows(parallel, &[rows, depth, columns], rows);
    // Whole blocks, so that no part has a smaller one than all together.
    let each = rows.div_ceil(parts).max(1).next_multiple_of(ROWS_MULTIPLE);
    let compute = |part: usize, layers: &mut [LinearLayer<'_>]| {
        let first = part * each;
        let rows = each.min(rows - first);
        let a = &a[first * depth..][..rows * depth];
        let mut memory = MEMORY.take();
        isa.run(Linear {
            a,
            rows,
            layers,
            memory: &mut memory,
        });
        MEMORY.set(memory);
    };
    if rows <= each {
        compute(0, layers);
        return Ok(());
    }
    let parts = parts_of(layers, each, rows.div_ceil(each));
    each_part(parallel, parts, &|part, mut layers| {
        compute(part, &mut layers);
    });
    Ok(())
}

/// The layers of `each` rows after `each` rows.
fn parts_of<'c>(
    layers: &'c mut [LinearLayer<'_>],
    each: usize,
    count: usize,
) -> Vec<Vec<LinearLayer<'c>>> {
    let mut parts: Vec<_> = (0..count)
        .map(|_| Vec::with_capacity(layers.len()))
        .collect();
    for layer in layers {
        let length = (each * layer.weights.columns()).max(1);
        let mut outputs = layer.output.chunks_mut(length);
        for part in &mut parts {
            part.push(LinearLayer {
                weights: layer.weights,
                epilogue: layer.epilogue,
                output: outputs.next().unwrap_or_default(),
            });
        }
    }
    parts
}

thread_local! {
    /// What this thread's last layers were computed with: for memory of its own each would have it
    /// zeroed.
    static MEMORY: Cell<LinearMemory> = Cell::default();
}

#[derive(Default)]
struct LinearMemory {
    floats: Memory,
    quantised: Quantised,
}

impl Isa {
    /// Whether rows are packed for one factor as for the other: of float32 micro-kernels whose panels
    /// are as wide, and of int8 ones with the same smoothing.
    pub fn packs_alike(self, first: Weights<'_>, second: Weights<'_>) -> bool {
        if first.depth() != second.depth() {
            return false;
        }
        match (first, second) {
            (
                Weights::Int8 { matrix, smoothing },
                Weights::Int8 {
                    matrix: other,
                    smoothing: others,
                },
            ) => matrix.quantises_as(other) && smoothing == others,
            (Weights::Int8 { .. }, _) | (_, Weights::Int8 { .. }) => false,
            (first, second) => {
                let [first, second] = [first, second].map(|it| self.run(PanelWidth(it)));
                first == second
            }
        }
    }
}

/// How wide the panels are that a float32 micro-kernel is given.
struct PanelWidth<'a>(Weights<'a>);

impl Kernel for PanelWidth<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<V: MicroKernel>(self, _token: V::Token) -> usize {
        match self.0 {
            Weights::F32(b) => b.panel_width::<V>(),
            Weights::Encoded(b) => b.panel_width::<V>(),
            Weights::Int8 { .. } => V::PANEL,
        }
    }
}

impl LinearLayer<'_> {
    /// Whether its shapes fit.
    fn check(&self, (a, rows): (usize, usize)) -> Result<(), ShapeError> {
        let Self {
            weights, epilogue, ..
        } = self;
        let (depth, columns) = (weights.depth(), weights.columns());
        let fits = rows.checked_mul(columns) == Some(self.output.len())
            && rows.checked_mul(depth) == Some(a)
            && epilogue.bias.len() == weights.padded_columns()
            && has_every_factor(*weights);
        ensure(fits, "linear", || {
            let (c, bias) = (self.output.len(), epilogue.bias.len());
            format!(
                "{a} values in {rows} rows times {depth} × {columns}, with {bias} biases, into {c}"
            )
        })
    }

    /// Some rows of C.
    #[inline(always)]
    fn rows(&mut self, rows: Range<usize>) -> RowsMut<'_> {
        let columns = self.weights.columns();
        RowsMut {
            values: &mut self.output[rows.start * columns..rows.end * columns],
            stride: columns,
            width: columns,
        }
    }
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

/// Some rows of A, and of C of each layer.
struct Linear<'a, 'b> {
    a: &'a [f32],
    rows: usize,
    layers: &'a mut [LinearLayer<'b>],
    memory: &'a mut LinearMemory,
}

impl Kernel for Linear<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(mut self, token: V::Token) {
        let Some(weights) = self.layers.first().map(|layer| layer.weights) else {
            return;
        };
        // As even as whole strips can be.
        let blocks = self.rows.div_ceil(BLOCK_ROWS).max(1);
        let each = self.rows.div_ceil(blocks).max(1);
        let each = each.next_multiple_of(ROWS_MULTIPLE);
        for first in (0..self.rows).step_by(each) {
            let rows = first..self.rows.min(first + each);
            match weights {
                Weights::F32(b) => self.in_float32::<V>(token, rows, b.panel_width::<V>()),
                Weights::Encoded(b) => self.in_float32::<V>(token, rows, b.panel_width::<V>()),
                Weights::Int8 { matrix, smoothing } => {
                    self.in_int8::<V>(token, rows, (matrix, smoothing));
                }
            }
        }
    }
}

impl Linear<'_, '_> {
    #[inline(always)]
    fn in_float32<V: MicroKernel>(
        &mut self,
        token: V::Token,
        rows: Range<usize>,
        panel_width: usize,
    ) {
        let depth = self.a.len() / self.rows;
        let Memory { strips, panels } = &mut self.memory.floats;
        for layer in self.layers.iter_mut().filter(|_| depth == 0) {
            let (shape, epilogue) = ((rows.len(), layer.weights.columns()), layer.epilogue);
            without_depth::<V>(token, shape, Some(epilogue), &mut layer.rows(rows.clone()));
        }
        let a = Rows::dense(self.a, depth).some(rows.clone());
        for block in depth_blocks(depth, panel_width) {
            let strips = Strips::of_block::<V>(a, block.clone(), strips);
            for layer in &mut *self.layers {
                let epilogue = Some(layer.epilogue);
                let (weights, block) = (layer.weights, block.clone());
                let mut c = layer.rows(rows.clone());
                match weights {
                    Weights::F32(b) => {
                        multiply_block::<V>(token, strips, (b, block), epilogue, panels, &mut c);
                    }
                    Weights::Encoded(b) => {
                        multiply_block::<V>(token, strips, (b, block), epilogue, panels, &mut c);
                    }
                    // No layer is, where the first is not.
                    Weights::Int8 { .. } => {}
                }
            }
        }
    }

    #[inline(always)]
    fn in_int8<V: MicroKernel>(
        &mut self,
        token: V::Token,
        rows: Range<usize>,
        (matrix, smoothing): (&Int8Matrix, Option<&[f32]>),
    ) {
        let (depth, quantised) = (matrix.depth(), &mut self.memory.quantised);
        let a = &self.a[rows.start * depth..rows.end * depth];
        matrix.quantise((a, rows.len()), smoothing, quantised);
        for layer in &mut *self.layers {
            let (weights, Epilogue { bias, activation }) = (layer.weights, layer.epilogue);
            let mut c = layer.rows(rows.clone());
            // All layers are, where the first is.
            if let Weights::Int8 { matrix, .. } = weights {
                matrix.multiply(quantised, bias, &mut c);
                activation.apply::<V>(token, c.values);
            }
        }
    }
}
