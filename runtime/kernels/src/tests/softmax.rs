//! `exp(score − max)` and the softmax denominator.

use super::{Numbers, U, assert_close, for_each};
use crate::Isa;
use crate::gemm::{MicroKernel, NR_MAX};
use crate::simd::Kernel;
use crate::softmax::Softmax;

/// Scores of one query, which become weights; gives the denominator.
struct Exp<'a>(&'a mut [f32]);

impl Kernel for Exp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) -> f32 {
        // The same in each lane.
        let side_by_side = self
            .0
            .iter()
            .flat_map(|score| [*score; NR_MAX].into_iter().take(V::NR));
        let scores: Vec<f32> = side_by_side.collect();
        let mut weights = vec![f32::NAN; self.0.len() * V::PANEL];
        let [mut highest, mut denominators, mut factors] = [[0.0; NR_MAX]; 3];
        let mut softmax = Softmax {
            highest: &mut highest,
            denominators: &mut denominators,
            factors: &mut factors,
        };
        softmax.begin();
        softmax.weigh::<V>(token, 0, &scores, &mut weights);
        let rows = weights.chunks_exact(V::PANEL);
        for (score, weights) in self.0.iter_mut().zip(rows) {
            let [first, rest @ ..] = &weights[..V::LANES] else {
                unreachable!("a vector")
            };
            assert!(rest.iter().all(|it| it.to_bits() == first.to_bits()));
            *score = *first;
        }
        denominators[0]
    }
}

#[test]
fn exp_is_within_two_ulp() {
    let steps: u16 = if cfg!(miri) { 40 } else { 60_000 };
    for isa in Isa::all() {
        // From −87 to 0, each beside the greatest score.
        let mut row = vec![f32::NEG_INFINITY; 32];
        row[31] = 0.0;
        for first in (0..steps).step_by(31) {
            let xs: Vec<f32> = (first..first + 31)
                .map(|step: u16| (-87.0 * f32::from(step) / f32::from(steps)).max(-87.0))
                .collect();
            row[..31].copy_from_slice(&xs);
            row[31] = 0.0;
            isa.run(Exp(&mut row));
            for (x, value) in xs.iter().zip(&row) {
                let exact = f64::from(*x).exp();
                // The distance to the next float, of a normal one.
                let ulp = 2.0 * U * exact.log2().floor().exp2();
                let error = (f64::from(*value) - exact).abs() / ulp;
                assert!(error <= 2.0, "{isa:?}: exp({x}): {error} ULP off");
            }
        }
        let mut below = vec![f32::NEG_INFINITY; 32];
        (below[0], below[1], below[2]) = (0.0, -87.01, -1e30);
        assert_eq!(isa.run(Exp(&mut below)), 1.0, "{isa:?}");
        assert_eq!((below[0], &below[1..]), (1.0, &[0.0; 31][..]), "{isa:?}");
    }
}

/// `|w − exact| ≤ (count + 12) · u · (1 + |score − max|) · exact`: the subtraction before
/// `exp` rounds, the sum after it.
#[test]
fn weights_are_the_exact_ones() {
    for_each(&(1..200usize, 0..u64::MAX), |(count, seed)| {
        let mut numbers = Numbers::of(seed);
        let scores: Vec<f32> = numbers.vec(count).iter().map(|it| it * 20.0).collect();
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exact: Vec<f64> = scores
            .iter()
            .map(|score| (f64::from(*score) - f64::from(max)).exp())
            .collect();
        let total: f64 = exact.iter().sum();
        for isa in Isa::all() {
            let mut row = scores.clone();
            row.resize(count.next_multiple_of(32), f32::NEG_INFINITY);
            let denominator = isa.run(Exp(&mut row));
            for (place, exact) in exact.iter().enumerate() {
                let distance = f64::from(max - scores[place]);
                let bound = (count as f64 + 12.0) * U * (1.0 + distance) * exact / total;
                let what = || format!("{isa:?}: {place} of {count}");
                assert_close(&what, row[place] / denominator, exact / total, bound);
            }
            assert!(row[count..].iter().all(|weight| *weight == 0.0), "{isa:?}");
        }
    });
}

#[test]
fn nan_stays_nan() {
    for isa in Isa::all() {
        for place in [0, 1, 31] {
            let mut row = [1.0; 32];
            row[place] = f32::NAN;
            let denominator = isa.run(Exp(&mut row));
            let stays = row.iter().all(|weight| (weight / denominator).is_nan());
            assert!(stays, "{isa:?}: {row:?} / {denominator}");
        }
    }
}
