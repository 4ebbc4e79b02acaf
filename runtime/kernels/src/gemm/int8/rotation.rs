//! Rotation of both factors before they are quantised (as in QuaRot): blocks of [`BLOCK`] along the
//! depth are multiplied by an orthogonal matrix, which leaves the product as it is. A value that is
//! far larger than all others, and would alone say how large the steps are, becomes values of like
//! magnitude.
//!
//! The matrix is a Hadamard matrix with signs before it: the Kronecker product of three times
//!
//! ```text
//! + + + −
//! + − + +
//! + + − +
//! + − − −
//! ```
//!
//! Without the signs the mean of a block would become one large value. These are a bent function's:
//! values that are all the same, or any row of the Hadamard matrix, become values of the same magnitude.
//! Nothing divides by the matrix's length, √64: who multiplies two rotated factors divides by [`SQUARED_LENGTH`].

use crate::gemm::MicroKernel;
use crate::simd::{Kernel, LANES_MAX, Simd};

/// So many values are rotated together.
pub(crate) const BLOCK: usize = 64;

/// What the product of two rotated factors is too large by.
#[allow(clippy::cast_precision_loss, reason = "a small integer")]
pub(crate) const SQUARED_LENGTH: f32 = BLOCK as f32;

/// The signs before the Hadamard matrix: of each two bits of a place that are both set.
const SIGNS: [f32; BLOCK] = {
    let mut signs = [1.0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        if (place & place >> 1 & 0b01_0101).count_ones() % 2 == 1 {
            signs[place] = -1.0;
        }
        place += 1;
    }
    signs
};

/// Rotates blocks of a row.
#[inline(always)]
pub(crate) fn rotate<V: Simd>(token: V::Token, row: &mut [f32]) {
    let (blocks, _) = row.as_chunks_mut::<BLOCK>();
    for block in blocks {
        rotate_block::<V>(token, block);
    }
}

#[inline(always)]
fn rotate_block<V: Simd>(token: V::Token, block: &mut [f32; BLOCK]) {
    // As many as the narrowest vectors make.
    let mut vectors = [V::splat(token, 0.0); BLOCK / 4];
    let vectors = &mut vectors[..BLOCK / V::LANES];
    for (place, vector) in vectors.iter_mut().enumerate() {
        let first = place * V::LANES;
        let signs = V::load(token, &SIGNS[first..]);
        let values = V::load(token, &block[first..]).mul(signs);
        *vector = rotate_lanes(token, values);
    }
    let mut distance = 1;
    while distance < BLOCK / V::LANES {
        for place in 0..BLOCK / V::LANES {
            if place & distance == 0 {
                let (a, b) = (vectors[place], vectors[place + distance]);
                vectors[place] = a.add(b);
                vectors[place + distance] = a.sub(b);
            }
        }
        distance *= 2;
    }
    for (place, vector) in vectors.iter().enumerate() {
        vector.store(&mut block[place * V::LANES..]);
    }
}

/// Multiplies by the Hadamard matrix of a vector's length.
#[inline(always)]
fn rotate_lanes<V: Simd>(token: V::Token, mut values: V) -> V {
    let mut distance = 1;
    while distance < V::LANES {
        // The product is exact, so that it is added or subtracted.
        let signs = V::load(token, &SECOND_OF_TWO[distance.ilog2() as usize]);
        values = values.mul_add(signs, values.exchange(distance));
        distance *= 2;
    }
    values
}

/// −1 for the second of two values at a distance of 1, 2, 4 and 8.
const SECOND_OF_TWO: [[f32; LANES_MAX]; 4] = {
    let mut signs = [[1.0; LANES_MAX]; 4];
    let mut power = 0;
    while power < 4 {
        let mut lane = 0;
        while lane < LANES_MAX {
            if lane >> power & 1 == 1 {
                signs[power][lane] = -1.0;
            }
            lane += 1;
        }
        power += 1;
    }
    signs
};

/// Rotates the columns of a block of [`BLOCK`] rows of so many values.
pub(crate) struct RotateColumns<'a> {
    pub(crate) block: &'a mut [f32],
    pub(crate) width: usize,
}

impl Kernel for RotateColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        let Self { block, width } = self;
        let mut distance = width;
        while distance < block.len() {
            for four in block.chunks_exact_mut(4 * distance) {
                rotate_four_rows::<V>(token, four);
            }
            distance *= 4;
        }
    }
}

/// Multiplies four rows, one after another, by the matrix of four rows.
#[inline(always)]
fn rotate_four_rows<V: Simd>(token: V::Token, rows: &mut [f32]) {
    let (first_two, last_two) = rows.split_at_mut(rows.len() / 2);
    let (first, second) = first_two.split_at_mut(first_two.len() / 2);
    let (third, fourth) = last_two.split_at_mut(last_two.len() / 2);
    for at in (0..first.len()).step_by(V::LANES) {
        let rows = [&mut *first, second, third, fourth];
        rotate_four::<V>(token, rows.map(|row| &mut row[at..]));
    }
}

/// The same of a vector of each, or of fewer values.
#[inline(always)]
fn rotate_four<V: Simd>(token: V::Token, [a, b, c, d]: [&mut [f32]; 4]) {
    let [first, second] = [V::load_partial(token, a), V::load_partial(token, b)];
    let [third, fourth] = [V::load_partial(token, c), V::load_partial(token, d)];
    let (ab_sum, ab_difference) = (first.add(second), first.sub(second));
    let (cd_sum, cd_difference) = (third.add(fourth), third.sub(fourth));
    ab_sum.add(cd_difference).store_partial(a);
    ab_difference.add(cd_sum).store_partial(b);
    ab_sum.sub(cd_difference).store_partial(c);
    ab_difference.sub(cd_sum).store_partial(d);
}
