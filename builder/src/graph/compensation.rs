//! Rounding with error compensation (GPTQ): what rounding a row of a matrix changes in its
//! products is taken out again by the rows that are not rounded yet.
//!
//! Products `X · W` are to stay what they are for the rows of X that were seen, which enter by
//! their Gram matrix `G = XᵀX` alone. With `G = L · Lᵀ` the squared error of the products is
//! `‖Lᵀ (W − Q)‖²`, and the nearest Q is sought from the last row to the first (Babai's nearest
//! plane): a row's target is W and what the rows after it leave to be corrected. Rows of large
//! inputs are rounded first, while many others can still correct them.

use super::quantize::{Steps, inverse};
use encoderfile::weights::WeightsEncoding;
use encoderfile::{Executor, Threads};
use encoderfile_kernels::{
    Activation, Epilogue, Isa, Order, PackedMatrix, Sequential, ShapeError, Weights, linear,
};
use half::f16;
use std::sync::Mutex;

/// Columns that are rounded at once: those of a block of rows stay in a cache.
const COLUMNS_AT_ONCE: usize = 64;

/// What is added to the diagonal, as a part of its mean: texts that were not seen need not be
/// like those that were.
const DAMPING: f64 = 0.01;

/// How far a matrix is corrected for what was lost before it. All the way would be best for the
/// calibration texts and for no others: of all-MiniLM-L6-v2 in groups of 32 the mean cosine over
/// 250 passages is 0.984 without, 0.986 with a quarter, and 0.945 with all of it.
const CORRECTED: f32 = 0.25;

/// How often the damping is made ten times larger.
const ATTEMPTS: usize = 4;

/// `XᵀX` of the rows of X that were seen, and `XᵀE`, where E are the same rows in a model that
/// nothing is rounded in.
#[derive(Debug, Default)]
pub(super) struct Gram {
    depth: usize,
    /// `XᵀX`, `[depth, depth]`.
    sums: Vec<f32>,
    /// `XᵀE`, `[depth, depth]`.
    with_exact: Vec<f32>,
    /// Those of X that are not in the sums yet.
    rows: Vec<f32>,
    /// Those of E.
    exact: Vec<f32>,
}

impl Gram {
    pub(super) fn new(depth: usize) -> Self {
        Self {
            depth,
            sums: vec![0.0; depth * depth],
            with_exact: vec![0.0; depth * depth],
            rows: Vec::new(),
            exact: Vec::new(),
        }
    }

    /// Adds rows of X.
    pub(super) fn add(&mut self, rows: &[f32]) {
        self.rows.extend_from_slice(rows);
    }

    /// Adds the same rows of E.
    pub(super) fn add_exact(&mut self, rows: &[f32]) {
        self.exact.extend_from_slice(rows);
    }

    /// Takes all rows into the sums. Of rows that do not fit they become NaN.
    pub(super) fn fold(&mut self) {
        let [rows, exact] = [&mut self.rows, &mut self.exact].map(std::mem::take);
        let transposed = transposed(&rows, self.depth);
        for (sums, factor) in [(&mut self.sums, &rows), (&mut self.with_exact, &exact)] {
            let count = factor.len() / self.depth.max(1);
            match product(&transposed, factor, (count, self.depth)) {
                Ok(products) => {
                    for (sum, product) in sums.iter_mut().zip(&products) {
                        *sum += product;
                    }
                }
                Err(_) => sums.fill(f32::NAN),
            }
        }
    }

    /// The sums of squares of each column of X.
    pub(super) fn diagonal(&self) -> Vec<f32> {
        let diagonal = self.sums.iter().step_by(self.depth + 1);
        diagonal.copied().collect()
    }

    /// A part of the way to the matrix W′ whose products `X · W′` are nearest to `E · W`: so that
    /// some of what the matrices before it lost by rounding is taken out again.
    pub(super) fn corrected(&self, factor: &Factor, weights: &[f32]) -> Vec<f32> {
        let columns = weights.len() / self.depth.max(1);
        let Ok(mut products) = product(&self.with_exact, weights, (self.depth, columns)) else {
            return weights.to_vec();
        };
        for (product, weight) in products.iter_mut().zip(weights) {
            *product += factor.damping * weight;
        }
        let nearest = factor.solve(&products, columns);
        let pairs = weights.iter().zip(&nearest);
        pairs
            .map(|(weight, nearest)| weight + CORRECTED * (nearest - weight))
            .collect()
    }

    /// The factor L, of rows in the order of their inputs' size; `None` where there is none, as
    /// of rows that are not finite.
    pub(super) fn factor(&self) -> Option<Factor> {
        let diagonal = self.diagonal();
        let mean = diagonal.iter().copied().map(f64::from).sum::<f64>() / self.depth.max(1) as f64;
        let mut order: Vec<usize> = (0..self.depth).collect();
        order.sort_by(|a, b| diagonal[*a].total_cmp(&diagonal[*b]));
        let mut damping = (mean * DAMPING).max(f64::from(f32::MIN_POSITIVE));
        for _ in 0..ATTEMPTS {
            #[allow(clippy::cast_possible_truncation, reason = "rounded to float32")]
            let added = damping as f32;
            if let Some(lower) = self.cholesky(&order, added) {
                return Some(Factor {
                    lower,
                    order,
                    damping: added,
                });
            }
            damping *= 10.0;
        }
        None
    }

    /// Row after row (Cholesky–Banachiewicz); `None` where rounding has left it indefinite.
    fn cholesky(&self, order: &[usize], damping: f32) -> Option<Vec<f32>> {
        let depth = self.depth;
        let mut lower = vec![0.0_f32; depth * depth];
        for (place, from) in order.iter().enumerate() {
            let (before, row) = lower.split_at_mut(place * depth);
            let row = &mut row[..depth];
            for (column, other) in before.chunks_exact(depth).enumerate() {
                let sum = dot(&row[..column], &other[..column]);
                row[column] = (self.sums[from * depth + order[column]] - sum) / other[column];
            }
            let pivot =
                self.sums[from * depth + from] + damping - dot(&row[..place], &row[..place]);
            if !pivot.is_finite() || pivot <= 0.0 {
                return None;
            }
            row[place] = pivot.sqrt();
        }
        Some(lower)
    }
}

/// `values − factor · others`.
fn subtract(values: &mut [f32], factor: f32, others: &[f32]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value -= factor * other;
    }
}

/// Rows of so many values as columns.
fn transposed(rows: &[f32], width: usize) -> Vec<f32> {
    let count = rows.len() / width.max(1);
    let mut transposed = vec![0.0; rows.len()];
    for (place, row) in rows.chunks_exact(width.max(1)).enumerate() {
        for (column, value) in row.iter().enumerate() {
            transposed[column * count + place] = *value;
        }
    }
    transposed
}

/// `A · B`, B `[depth, columns]`.
fn product(a: &[f32], b: &[f32], shape: (usize, usize)) -> Result<Vec<f32>, ShapeError> {
    let isa = Isa::in_use();
    let packed = PackedMatrix::new(isa, b, shape, Order::Rows)?;
    let weights = Weights::F32(packed.as_b());
    let bias = vec![0.0; weights.padded_columns()];
    let epilogue = Epilogue {
        bias: &bias,
        activation: Activation::None,
    };
    let mut products = vec![0.0; a.len() / shape.0.max(1) * shape.1];
    linear(isa, &Sequential, a, weights, epilogue, &mut products)?;
    Ok(products)
}

/// Many sums at once, so that the processor's vectors can be used.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;

    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>();
    sums.iter().sum::<f32>() + rest
}

/// L, and which row of the matrix each of its rows is of.
#[derive(Debug)]
pub(super) struct Factor {
    lower: Vec<f32>,
    order: Vec<usize>,
    /// What was added to the diagonal.
    damping: f32,
}

impl Factor {
    /// `(G + damping)⁻¹ · B`, B `[depth, columns]`.
    fn solve(&self, b: &[f32], columns: usize) -> Vec<f32> {
        let depth = self.order.len();
        let mut solved: Vec<f32> = Vec::with_capacity(b.len());
        // L · Y = B
        for (place, row) in self.order.iter().enumerate() {
            let of_row = &self.lower[place * depth..][..place + 1];
            let mut values = b[row * columns..][..columns].to_vec();
            for (factor, before) in of_row.iter().zip(solved.chunks_exact(columns)) {
                subtract(&mut values, *factor, before);
            }
            solved.extend(values.iter().map(|it| it / of_row[place]));
        }
        // Lᵀ · X = Y
        for place in (0..depth).rev() {
            let of_row = &self.lower[place * depth..][..place + 1];
            let (before, values) = solved.split_at_mut(place * columns);
            let values = &mut values[..columns];
            values.iter_mut().for_each(|it| *it /= of_row[place]);
            for (factor, before) in of_row.iter().zip(before.chunks_exact_mut(columns)) {
                subtract(before, *factor, values);
            }
        }
        let mut in_order = vec![0.0; b.len()];
        for (row, values) in self.order.iter().zip(solved.chunks_exact(columns)) {
            in_order[row * columns..][..columns].copy_from_slice(values);
        }
        in_order
    }

    /// A matrix `[depth, columns]` rounded to the steps of `scales`
    /// ([`column_scales`](super::quantize::column_scales)), as the values that are stored.
    pub(super) fn round(
        &self,
        weights: &[f32],
        columns: usize,
        encoding: WeightsEncoding,
        scales: &[f16],
    ) -> Vec<f32> {
        let Some((steps, group_len)) = Steps::of(encoding) else {
            return weights.to_vec();
        };
        let grid = Grid {
            steps,
            group: group_len.get(),
            scales,
            columns,
        };
        let rounded = Mutex::new(vec![0.0; weights.len()]);
        let blocks = columns.div_ceil(COLUMNS_AT_ONCE);
        Executor::AllCores.each(blocks, &|block| {
            let range = block * COLUMNS_AT_ONCE..columns.min((block + 1) * COLUMNS_AT_ONCE);
            let of_block = self.round_columns(weights, &grid, range.clone());
            if let Ok(mut rounded) = rounded.lock() {
                for (row, values) in of_block.chunks_exact(range.len()).enumerate() {
                    rounded[row * columns..][range.clone()].copy_from_slice(values);
                }
            }
        });
        rounded.into_inner().unwrap_or_default()
    }

    /// Some columns of the matrix, row after row.
    fn round_columns(
        &self,
        weights: &[f32],
        grid: &Grid<'_>,
        range: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let (depth, width) = (self.order.len(), range.len());
        let mut rounded = vec![0.0; depth * width];
        // What the rows that are rounded leave to be corrected, in L's order, times L's diagonal.
        let mut owed = vec![0.0_f32; depth * width];
        let mut errors = vec![0.0; width];
        for (place, row) in self.order.iter().copied().enumerate().rev() {
            let of_row = &self.lower[place * depth..][..place + 1];
            let pivot = of_row[place];
            for (at, column) in range.clone().enumerate() {
                let value = weights[row * grid.columns + column];
                let target = value + owed[place * width + at] / pivot;
                let stored = grid.nearest(row, column, target);
                rounded[row * width + at] = stored;
                errors[at] = value - stored;
            }
            for (factor, owed) in of_row[..place].iter().zip(owed.chunks_exact_mut(width)) {
                for (owed, error) in owed.iter_mut().zip(&errors) {
                    *owed += factor * error;
                }
            }
        }
        rounded
    }
}

/// The values that can be stored.
struct Grid<'a> {
    steps: Steps,
    group: usize,
    scales: &'a [f16],
    columns: usize,
}

impl Grid<'_> {
    fn nearest(&self, row: usize, column: usize, value: f32) -> f32 {
        let scale = self.scales[row / self.group * self.columns + column];
        self.steps.quantise(value, inverse(scale)) * scale.to_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantize::column_scales;
    use super::*;
    use encoderfile::weights::GroupLen;

    const DEPTH: usize = 96;
    const COLUMNS: usize = 70;
    const ROWS: usize = 400;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |place: usize| ((place * 31 + seed) * 7919 % 2003) as f32 / 1001.0 - 1.0;
        (0..count).map(number).collect()
    }

    /// Rows of which each column has much of the one before it.
    fn correlated() -> Vec<f32> {
        let mut rows = numbers(ROWS * DEPTH, 3);
        for row in rows.chunks_exact_mut(DEPTH) {
            for column in 1..DEPTH {
                row[column] = 0.9 * row[column - 1] + 0.3 * row[column];
            }
        }
        rows
    }

    fn squared_error(rows: &[f32], a: &[f32], b: &[f32]) -> f64 {
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let products = product(rows, &difference, (DEPTH, COLUMNS)).unwrap();
        products.iter().map(|it| f64::from(*it).powi(2)).sum()
    }

    fn gram(rows: &[f32]) -> Gram {
        let mut gram = Gram::new(DEPTH);
        // In two parts.
        let (first, second) = rows.split_at(ROWS / 3 * DEPTH);
        gram.add(first);
        gram.fold();
        gram.add(second);
        gram.fold();
        gram
    }

    #[test]
    fn gram_matrices_are_sums_of_products() {
        let rows = correlated();
        let gram = gram(&rows);
        for (place, sum) in gram.sums.iter().enumerate() {
            let (a, b) = (place / DEPTH, place % DEPTH);
            let terms = rows.chunks_exact(DEPTH);
            let exact: f64 = terms.map(|row| f64::from(row[a]) * f64::from(row[b])).sum();
            assert!((f64::from(*sum) - exact).abs() < 1e-2, "{sum} {exact}");
        }
    }

    #[test]
    fn products_are_nearer_than_with_plain_rounding() {
        let (rows, weights) = (correlated(), numbers(DEPTH * COLUMNS, 11));
        let gram = gram(&rows);
        let factor = gram.factor().unwrap();
        for encoding in [
            WeightsEncoding::Int4(GroupLen::G32),
            WeightsEncoding::Int8(GroupLen::G64),
        ] {
            let (steps, group_len) = Steps::of(encoding).unwrap();
            let scales = column_scales(&weights, COLUMNS, &gram.diagonal(), encoding);
            let grid = Grid {
                steps,
                group: group_len.get(),
                scales: &scales,
                columns: COLUMNS,
            };
            let plain = weights.iter().enumerate();
            let plain = plain.map(|(at, it)| grid.nearest(at / COLUMNS, at % COLUMNS, *it));
            let plain: Vec<f32> = plain.collect();
            let rounded = factor.round(&weights, COLUMNS, encoding, &scales);
            let [plain, rounded] = [&plain, &rounded].map(|it| squared_error(&rows, &weights, it));
            assert!(rounded < plain / 4.0, "{encoding}: {rounded} of {plain}");
        }
    }

    #[test]
    fn inputs_that_are_no_numbers_give_no_factor() {
        let mut gram = gram(&correlated());
        gram.add(&[f32::NAN; DEPTH]);
        gram.fold();
        assert!(gram.factor().is_none());
        // Rows of another length.
        let mut odd = Gram::new(DEPTH);
        odd.add(&[1.0; DEPTH + 1]);
        odd.fold();
        assert!(odd.factor().is_none());
        // None at all: nothing to compensate, and nothing to fail.
        assert!(Gram::new(DEPTH).factor().is_some());
    }
}
