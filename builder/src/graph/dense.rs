//! Dense matrices, row-major, on all cores: products by the kernels' GEMM, and Cholesky's factor
//! and its solutions in blocks of rows, so that nearly all of it is products.

use encoderfile::{Executor, Threads};
use encoderfile_kernels::{
    Activation, Epilogue, Isa, LinearLayer, Order, PackedMatrix, Parallel, ShapeError, Weights,
    linear,
};
use std::ops::Range;
use std::sync::Mutex;

/// Rows that are computed one after the other, before products take in what they change.
pub(super) const BLOCK: usize = 64;

/// All cores, for kernels.
struct Cores;

impl Parallel for Cores {
    fn parts(&self, multiplications: usize) -> usize {
        /// Less is not worth a thread's start.
        const PART_MIN: usize = 1 << 24;
        let threads = Executor::AllCores.threads();
        threads.min(multiplications / PART_MIN).max(1)
    }

    fn each(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        Executor::AllCores.each(count, compute);
    }
}

/// Cuts values into chunks of `length`, of which cores take one after the other.
pub(super) fn each_chunk<T: Send>(
    values: &mut [T],
    length: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let chunks: Vec<_> = values.chunks_mut(length.max(1)).map(Mutex::new).collect();
    Executor::AllCores.each(chunks.len(), &|place| {
        if let Ok(mut chunk) = chunks[place].lock() {
            work(place, &mut chunk);
        }
    });
}

/// `A · B` for a B that is prepared, A of so many rows.
pub(super) fn times(a: &[f32], rows: usize, weights: Weights<'_>) -> Result<Vec<f32>, ShapeError> {
    let bias = vec![0.0; weights.padded_columns()];
    let mut products = vec![0.0; rows * weights.columns()];
    let layer = LinearLayer {
        weights,
        epilogue: Epilogue {
            bias: &bias,
            activation: Activation::None,
        },
        outputs: vec![&mut products],
    };
    linear(Isa::in_use(), &Cores, &[(a, rows)], vec![layer])?;
    Ok(products)
}

/// `A · B`, A `[rows, depth]` and B `[depth, columns]`.
pub(super) fn product(
    a: &[f32],
    b: &[f32],
    (rows, depth, columns): (usize, usize, usize),
) -> Result<Vec<f32>, ShapeError> {
    let packed = PackedMatrix::new(Isa::in_use(), b, (depth, columns), Order::Rows)?;
    times(a, rows, Weights::F32(packed.as_b()))
}

/// Rows of `width` values as columns.
pub(super) fn transposed(rows: &[f32], width: usize) -> Vec<f32> {
    let count = rows.len() / width.max(1);
    let mut transposed = vec![0.0; rows.len()];
    for (place, row) in rows.chunks_exact(width.max(1)).enumerate() {
        for (column, value) in row.iter().enumerate() {
            transposed[column * count + place] = *value;
        }
    }
    transposed
}

/// A lower triangular matrix L.
#[derive(Debug)]
pub(super) struct Lower {
    depth: usize,
    values: Vec<f32>,
}

impl Lower {
    /// L of `L · Lᵀ = A`, of which `entry` gives what is at a row and a column not after it;
    /// `None` where A is not positive definite, as far as float32 can tell.
    pub(super) fn cholesky(depth: usize, entry: impl Fn(usize, usize) -> f32) -> Option<Self> {
        let mut lower = Self {
            depth,
            values: vec![0.0; depth * depth],
        };
        for block in blocks(depth) {
            // What the columns before the block take of its columns.
            let (before, columns) = (0..block.start, block.len());
            let taken = product(
                &lower.part(block.start..depth, before.clone()),
                &transposed(&lower.part(block.clone(), before.clone()), before.len()),
                (depth - block.start, before.len(), columns),
            );
            let taken = taken.ok()?;
            for (row, taken) in (block.start..depth).zip(taken.chunks_exact(columns)) {
                for column in block.start..block.end.min(row + 1) {
                    let [of_row, other] =
                        [row, column].map(|it| &lower.row(it)[block.start..column]);
                    let others: f32 = of_row.iter().zip(other).map(|(a, b)| a * b).sum();
                    let value = entry(row, column) - taken[column - block.start] - others;
                    let value = match row == column {
                        true => Some(value.sqrt()).filter(|it| it.is_normal())?,
                        false => value / lower.values[column * depth + column],
                    };
                    lower.values[row * depth + column] = value;
                }
            }
        }
        Some(lower)
    }

    /// A row up to its diagonal.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.depth..][..=row]
    }

    /// A part of it, below the diagonal.
    fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Vec<f32> {
        let rows = rows.flat_map(|row| &self.values[row * self.depth..][columns.clone()]);
        rows.copied().collect()
    }

    /// `Lᵀ` of the rows of a block, times rows of values that begin after it: what those add to
    /// the block.
    pub(super) fn product_below(
        &self,
        block: &Range<usize>,
        below: &[f32],
        columns: usize,
    ) -> Result<Vec<f32>, ShapeError> {
        let part = self.part(block.end..self.depth, block.clone());
        let shape = (block.len(), self.depth - block.end, columns);
        product(&transposed(&part, block.len()), below, shape)
    }

    /// `(L · Lᵀ)⁻¹ · B`, B `[depth, columns]`.
    pub(super) fn solve(&self, mut b: Vec<f32>, columns: usize) -> Result<Vec<f32>, ShapeError> {
        // L · Y = B
        for block in blocks(self.depth) {
            let part = self.part(block.clone(), 0..block.start);
            let (solved, rest) = b.split_at_mut(block.start * columns);
            let values = &mut rest[..block.len() * columns];
            let shape = (block.len(), block.start, columns);
            subtract(values, 1.0, &product(&part, solved, shape)?);
            for place in 0..block.len() {
                let of_row = &self.row(block.start + place)[block.start..];
                let (solved, rest) = values.split_at_mut(place * columns);
                let values = &mut rest[..columns];
                for (factor, solved) in of_row.iter().zip(solved.chunks_exact(columns)) {
                    subtract(values, *factor, solved);
                }
                values.iter_mut().for_each(|it| *it /= of_row[place]);
            }
        }
        // Lᵀ · X = Y
        for block in blocks(self.depth).rev() {
            let (rest, solved) = b.split_at_mut(block.end * columns);
            let values = &mut rest[block.start * columns..];
            subtract(values, 1.0, &self.product_below(&block, solved, columns)?);
            for place in (0..block.len()).rev() {
                let of_row = &self.row(block.start + place)[block.start..];
                let (before, rest) = values.split_at_mut(place * columns);
                let solved = &mut rest[..columns];
                solved.iter_mut().for_each(|it| *it /= of_row[place]);
                for (factor, before) in of_row.iter().zip(before.chunks_exact_mut(columns)) {
                    subtract(before, *factor, solved);
                }
            }
        }
        Ok(b)
    }
}

/// The blocks of so many rows, from the first on.
pub(super) fn blocks(depth: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let starts = (0..depth).step_by(BLOCK);
    starts.map(move |start| start..depth.min(start + BLOCK))
}

/// `values − factor · others`.
fn subtract(values: &mut [f32], factor: f32, others: &[f32]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value -= factor * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than two blocks, and not whole ones.
    const DEPTH: usize = 2 * BLOCK + 13;

    fn number(place: usize) -> f32 {
        ((place * 7919) % 2003) as f32 / 1001.0 - 1.0
    }

    /// `XᵀX` of some rows, and a diagonal.
    fn positive() -> Vec<f32> {
        let rows: Vec<f32> = (0..3 * DEPTH * DEPTH).map(number).collect();
        let shape = (DEPTH, 3 * DEPTH, DEPTH);
        let mut squares = product(&transposed(&rows, DEPTH), &rows, shape).unwrap();
        squares
            .iter_mut()
            .step_by(DEPTH + 1)
            .for_each(|it| *it += 1.0);
        squares
    }

    fn furthest(a: &[f32], b: &[f32]) -> f32 {
        let pairs = a.iter().zip(b);
        pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
    }

    #[test]
    fn the_factor_times_its_transpose_is_the_matrix() {
        let matrix = positive();
        let lower = Lower::cholesky(DEPTH, |row, column| matrix[row * DEPTH + column]).unwrap();
        let right = transposed(&lower.values, DEPTH);
        let back = product(&lower.values, &right, (DEPTH, DEPTH, DEPTH));
        assert!(furthest(&back.unwrap(), &matrix) < 1e-2);
    }

    #[test]
    fn solutions_solve() {
        const COLUMNS: usize = 19;
        let matrix = positive();
        let lower = Lower::cholesky(DEPTH, |row, column| matrix[row * DEPTH + column]).unwrap();
        let b: Vec<f32> = (0..DEPTH * COLUMNS).map(number).collect();
        let solved = lower.solve(b.clone(), COLUMNS).unwrap();
        let back = product(&matrix, &solved, (DEPTH, DEPTH, COLUMNS)).unwrap();
        assert!(furthest(&back, &b) < 1e-3, "{}", furthest(&back, &b));
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        for diagonal in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let entry = |row, column| if row == column { diagonal } else { 0.0 };
            assert!(Lower::cholesky(DEPTH, entry).is_none(), "{diagonal}");
        }
        assert!(Lower::cholesky(0, |_, _| 0.0).is_some());
    }
}
