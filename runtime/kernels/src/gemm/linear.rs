//! A linear layer: GEMM with constant weights, and its epilogue.

use super::encoded::EncodedB;
use super::int8::{Int8Matrix, Quantised};
use super::{
    BlockedB, Initial, Memory, MicroKernel, NR_MAX, PackedB, Rows, RowsMut, Strips, depth_blocks,
    multiply_block, without_depth,
};
use crate::activation::Activation;
use crate::aligned::AlignedBuffer;
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
pub const BLOCK_ROWS: usize = 12 * ROWS_MULTIPLE;

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
    /// C of each A: `[rows, columns]`.
    pub outputs: Vec<&'a mut [f32]>,
}

/// Computes linear layers of the same matrices A, each `[rows, depth]` and given with its rows. What
/// a layer reads of B, or decodes, is for the rows of all of them, which are packed once for all
/// layers. A row of C depends on its row of A alone.
///
/// # Errors
///
/// If the shapes do not fit, the weights were packed for other micro-kernels, or A is not packed
/// alike for them ([`Isa::packs_alike`]).
pub fn linear(
    isa: Isa,
    parallel: &dyn Parallel,
    inputs: &[(&[f32], usize)],
    layers: Vec<LinearLayer<'_>>,
) -> Result<(), ShapeError> {
    let Some((first, others)) = layers.split_first() else {
        return Ok(());
    };
    let depth = first.weights.depth();
    for layer in &layers {
        layer.check(inputs)?;
        ensure(isa.run(Fits(layer.weights)), "linear", || {
            format!("panels that are not for {}", isa.name())
        })?;
    }
    let are_alike = |other: &LinearLayer<'_>| isa.packs_alike(first.weights, other.weights);
    ensure(others.iter().all(are_alike), "linear", || {
        "layers for which rows are not packed alike".into()
    })?;
    let factors: Vec<_> = layers.iter().map(|it| (it.weights, it.epilogue)).collect();
    let columns: usize = factors.iter().map(|(weights, _)| weights.columns()).sum();
    let rows = inputs.iter().map(|(_, rows)| rows).sum();
    let parts = parts_of_rows(parallel, &[rows, depth, columns], rows);
    // Whole blocks, so that no part has a smaller one than all together.
    let each = rows.div_ceil(parts).max(1).next_multiple_of(ROWS_MULTIPLE);
    let parts = groups(pieces(inputs, layers), each);
    each_part(parallel, parts, &|_, pieces| {
        let mut memory = MEMORY.take();
        isa.run(Linear {
            pieces,
            factors: &factors,
            memory: &mut memory,
        });
        MEMORY.set(memory);
    });
    Ok(())
}

/// Rows of one A, and of its C of each layer.
struct Piece<'a> {
    a: &'a [f32],
    rows: usize,
    outputs: Vec<&'a mut [f32]>,
}

impl<'a> Piece<'a> {
    /// Takes its first rows, of which there are as many.
    fn take(&mut self, rows: usize) -> Self {
        let (depth, all) = (self.a.len() / self.rows, self.rows);
        let (a, rest) = self.a.split_at(rows * depth);
        let first = |output: &mut &'a mut [f32]| {
            let columns = output.len() / all;
            let (first, rest) = std::mem::take(output).split_at_mut(rows * columns);
            *output = rest;
            first
        };
        self.a = rest;
        self.rows -= rows;
        Self {
            a,
            rows,
            outputs: self.outputs.iter_mut().map(first).collect(),
        }
    }

    /// A, row after row.
    fn rows_of_a(&self, depth: usize) -> impl Iterator<Item = &'a [f32]> {
        let a = self.a;
        (0..self.rows).map(move |row| &a[row * depth..][..depth])
    }

    /// C of a layer.
    fn rows_of_c(&mut self, layer: usize) -> RowsMut<'_> {
        let values = &mut *self.outputs[layer];
        let width = values.len() / self.rows;
        RowsMut {
            values,
            stride: width,
            width,
        }
    }
}

/// Each A as a piece, with what all layers make of it.
fn pieces<'a>(inputs: &[(&'a [f32], usize)], layers: Vec<LinearLayer<'a>>) -> Vec<Piece<'a>> {
    let pieces = inputs.iter().map(|(a, rows)| Piece {
        a,
        rows: *rows,
        outputs: Vec::with_capacity(layers.len()),
    });
    let mut pieces: Vec<_> = pieces.collect();
    for layer in layers {
        for (piece, output) in pieces.iter_mut().zip(layer.outputs) {
            piece.outputs.push(output);
        }
    }
    pieces
}

/// Pieces of so many rows in all, and again, until the rest, which may have fewer.
fn groups(pieces: Vec<Piece<'_>>, each: usize) -> Vec<Vec<Piece<'_>>> {
    let mut groups = vec![Vec::new()];
    let mut room = each;
    for mut piece in pieces {
        while piece.rows > 0 {
            if room == 0 {
                groups.push(Vec::new());
                room = each;
            }
            let some = piece.take(room.min(piece.rows));
            room -= some.rows;
            groups.last_mut().unwrap_or(&mut vec![]).push(some);
        }
    }
    groups
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
    fn check(&self, inputs: &[(&[f32], usize)]) -> Result<(), ShapeError> {
        let (weights, bias) = (self.weights, self.epilogue.bias.len());
        let (depth, columns) = (weights.depth(), weights.columns());
        let fits = bias == weights.padded_columns() && has_every_factor(weights);
        ensure(fits, "linear", || {
            format!("{depth} × {columns} with {bias} biases")
        })?;
        let (given, made) = (inputs.len(), self.outputs.len());
        ensure(given == made, "linear", || {
            format!("{made} outputs of {given} inputs")
        })?;
        for ((a, rows), output) in inputs.iter().zip(&self.outputs) {
            let fits = rows.checked_mul(columns) == Some(output.len())
                && rows.checked_mul(depth) == Some(a.len());
            ensure(fits, "linear", || {
                let (a, c) = (a.len(), output.len());
                format!("{a} values in {rows} rows times {depth} × {columns}, into {c}")
            })?;
        }
        Ok(())
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

/// A layer without what it writes to.
type Factor<'a> = (Weights<'a>, Epilogue<'a>);

/// Some rows of A, and of C of each layer.
struct Linear<'a, 'b> {
    pieces: Vec<Piece<'b>>,
    factors: &'a [Factor<'b>],
    memory: &'a mut LinearMemory,
}

impl Kernel for Linear<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        let Self {
            pieces,
            factors,
            memory,
        } = self;
        let Some((weights, _)) = factors.first() else {
            return;
        };
        let rows: usize = pieces.iter().map(|piece| piece.rows).sum();
        // As even as whole strips can be.
        let blocks = rows.div_ceil(BLOCK_ROWS).max(1);
        let each = rows.div_ceil(blocks).max(1);
        let each = each.next_multiple_of(ROWS_MULTIPLE);
        for pieces in &mut groups(pieces, each) {
            match *weights {
                Weights::F32(b) => {
                    let width = b.panel_width::<V>();
                    in_float32::<V>(token, pieces, factors, width, &mut memory.floats);
                }
                Weights::Encoded(b) => {
                    let width = b.panel_width::<V>();
                    in_float32::<V>(token, pieces, factors, width, &mut memory.floats);
                }
                Weights::Int8 { matrix, smoothing } => {
                    let a = (matrix, smoothing);
                    in_int8::<V>(token, pieces, factors, a, &mut memory.quantised);
                }
            }
        }
    }
}

#[inline(always)]
fn in_float32<V: MicroKernel>(
    token: V::Token,
    pieces: &mut [Piece<'_>],
    factors: &[Factor<'_>],
    panel_width: usize,
    memory: &mut Memory,
) {
    let depth = factors.first().map_or(0, |(weights, _)| weights.depth());
    for (layer, (_, epilogue)) in factors.iter().enumerate().filter(|_| depth == 0) {
        for piece in &mut *pieces {
            let rows = piece.rows;
            let mut c = piece.rows_of_c(layer);
            without_depth::<V>(token, (rows, c.width), Some(*epilogue), &mut c);
        }
    }
    for block in depth_blocks(depth, panel_width) {
        let strips = packed::<V>(pieces, depth, block.clone(), &mut memory.strips);
        for (layer, (weights, epilogue)) in factors.iter().enumerate() {
            let mut c: Vec<_> = pieces.iter_mut().map(|it| it.rows_of_c(layer)).collect();
            let (epilogue, block) = (Some(*epilogue), block.clone());
            let panels = &mut memory.panels;
            match *weights {
                Weights::F32(b) => {
                    multiply_block::<V>(token, &strips, (b, block), epilogue, panels, &mut c);
                }
                Weights::Encoded(b) => {
                    multiply_block::<V>(token, &strips, (b, block), epilogue, panels, &mut c);
                }
                // No layer is, where the first is not.
                Weights::Int8 { .. } => {}
            }
        }
    }
}

/// The strips of each A, over a block of the depth.
#[inline(always)]
fn packed<'m, V: MicroKernel>(
    pieces: &[Piece<'_>],
    depth: usize,
    block: Range<usize>,
    memory: &'m mut AlignedBuffer,
) -> Vec<Strips<'m>> {
    let length = |piece: &Piece<'_>| Strips::length::<V>(piece.rows, block.len());
    memory.resize(pieces.iter().map(length).sum());
    let mut rest = &mut **memory;
    let mut strips = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (memory, others) = rest.split_at_mut(length(piece));
        let rows = Rows::dense(piece.a, depth).columns(block.clone());
        strips.push(Strips::of_rows::<V>(rows, memory));
        rest = others;
    }
    strips
}

#[inline(always)]
fn in_int8<V: MicroKernel>(
    token: V::Token,
    pieces: &mut [Piece<'_>],
    factors: &[Factor<'_>],
    (matrix, smoothing): (&Int8Matrix, Option<&[f32]>),
    quantised: &mut Quantised,
) {
    let depth = matrix.depth();
    let a: Vec<_> = pieces.iter().flat_map(|it| it.rows_of_a(depth)).collect();
    matrix.quantise::<V>(token, &a, smoothing, quantised);
    for (layer, (weights, epilogue)) in factors.iter().enumerate() {
        // All layers are, where the first is.
        let Weights::Int8 { matrix, .. } = weights else {
            continue;
        };
        let columns = matrix.columns().max(1);
        let c = pieces.iter_mut().map(|piece| &mut *piece.outputs[layer]);
        let mut c: Vec<_> = c.flat_map(|it| it.chunks_exact_mut(columns)).collect();
        matrix.multiply::<V>(token, quantised, *epilogue, &mut c);
    }
}
