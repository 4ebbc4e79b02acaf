//! Every kernel on random shapes in every instruction set of the machine, against the
//! same in float64, within a stated bound.
//!
//! Nothing here has files, time or foreign code, and under Miri shapes are small.

mod activation;
mod attention;
mod dequantise;
mod disentangled;
mod encoding;
mod gemm;
mod int8;
mod layer_norm;
mod layers;
mod parts;
mod quantise;
mod rope;
mod softmax;

use crate::{Epilogue, Isa, LinearLayer, Parallel, ShapeError, Weights};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::ops::Range;

/// The unit roundoff of float32: a result is rounded by at most so much of itself.
const U: f64 = f32::EPSILON as f64 / 2.0;

/// The same cases at every run; others by `ENCODERFILE_SEED=7 cargo test …`.
const SEED: u64 = 20_261_126;

/// How many shapes each property is tried on: fewer where nothing is optimised, which is
/// where a processor is emulated.
const CASES: u32 = match (cfg!(miri), cfg!(debug_assertions)) {
    (true, _) => 4,
    (false, true) => 30,
    (false, false) => 120,
};

/// Lengths below this; an interpreter takes long.
fn up_to(most: usize) -> Range<usize> {
    0..if cfg!(miri) { most.min(10) } else { most }
}

/// Tries a property on random cases.
fn for_each<S: Strategy>(cases: &S, property: impl Fn(S::Value)) {
    let seed = std::env::var("ENCODERFILE_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let result = TestRunner::new(config).run(cases, |case| {
        property(case);
        Ok::<(), TestCaseError>(())
    });
    result.unwrap_or_else(|error| panic!("ENCODERFILE_SEED={seed}: {error}"));
}

/// Values from −2 to 2, which are no sums of few bits.
struct Numbers(u64);

impl Numbers {
    /// Of a seed, of which zero is one too.
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// Marsaglia's xorshift64, but for its sign.
    fn integer(&mut self) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 1).cast_signed()
    }

    fn next(&mut self) -> f32 {
        // 24 bits, which a float has.
        let bits = u16::try_from(self.integer() >> 47).unwrap();
        let fraction = u16::try_from(self.integer() & 0xff).unwrap();
        (f32::from(bits) - 32_768.0 + f32::from(fraction) / 256.0) / 16_384.0
    }

    fn vec(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// A linear layer alone, of as many rows as there is place for.
fn linear(
    isa: Isa,
    parallel: &dyn Parallel,
    a: &[f32],
    weights: Weights<'_>,
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let rows = output.len().checked_div(weights.columns());
    let rows = rows.or_else(|| a.len().checked_div(weights.depth()));
    let layer = LinearLayer {
        weights,
        epilogue,
        outputs: vec![output],
    };
    crate::linear(isa, parallel, &[(a, rows.unwrap_or(0))], vec![layer])
}

/// So many parts on as many threads, however little the work is.
struct Threads(usize);

impl Parallel for Threads {
    fn parts(&self, _multiplications: usize) -> usize {
        self.0
    }

    fn each(&self, count: usize, compute: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for part in 0..count {
                scope.spawn(move || compute(part));
            }
        });
    }
}

/// Whether `mul_add` of an instruction set rounds the product too.
fn rounds_products(isa: Isa) -> bool {
    cfg!(target_family = "wasm") || isa.name() == "portable"
}

/// Fails where a value is further from the exact one than its bound.
fn assert_close(what: &dyn Fn() -> String, value: f32, exact: f64, bound: f64) {
    let error = (f64::from(value) - exact).abs();
    // Where a result is not normal, bounds relative to it say nothing.
    assert!(
        error <= bound + f64::from(f32::MIN_POSITIVE),
        "{}: {value} for {exact}: off by {error:e}, bound {bound:e}",
        what()
    );
}
