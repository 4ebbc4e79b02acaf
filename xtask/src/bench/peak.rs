//! What a core does at best: float32 multiplications and additions, fused, in
//! registers alone.

#![allow(
    unsafe_code,
    reason = "instructions that only some processors have, asked for before"
)]

use super::turns::median;
use anyhow::Context;
use std::hint::black_box;
use std::time::Instant;

/// Independent sums: more than are under way at once (an instruction takes four
/// cycles, and two begin in each), and in registers with AVX2's 16.
const SUMS: usize = 12;

/// Some ten milliseconds' worth.
const ROUNDS: usize = 2_000_000;

const RUNS: usize = 9;

/// An instruction set that this processor has, and for which there are kernels.
pub(super) struct InstructionSet {
    /// As `ENCODERFILE_ISA` names it.
    pub(super) name: &'static str,
    /// Does the work, and says how much it was.
    operations: fn() -> usize,
}

impl InstructionSet {
    /// Those that this processor has, the widest last.
    pub(super) fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "there is more on some machines")]
        let mut all = vec![Self {
            name: "portable",
            operations: portable,
        }];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self {
                    name: "avx2",
                    // SAFETY: the processor has them.
                    operations: || unsafe { avx2() },
                });
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(Self {
                    name: "avx512",
                    // SAFETY: the processor has them.
                    operations: || unsafe { avx512() },
                });
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            all.push(Self {
                name: "neon",
                // SAFETY: the processor has them.
                operations: || unsafe { neon() },
            });
        }
        all
    }

    /// The one of that name, if this processor has it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|set| set.name == name)
    }

    /// Seconds that 10⁹ operations take one core, a multiplication and an addition counted
    /// as two.
    pub(super) fn seconds_per_gigaflop(&self) -> f64 {
        let start = Instant::now();
        let operations = (self.operations)();
        start.elapsed().as_secs_f64() / operations as f64 * 1e9
    }
}

/// GFLOP/s of one core, of the widest.
pub(super) fn gigaflops() -> anyhow::Result<f64> {
    let all = InstructionSet::all();
    let widest = all.last().context("no instruction set")?;
    Ok(1.0 / median(RUNS, || Ok(widest.seconds_per_gigaflop()))?)
}

macro_rules! rounds {
    ($lanes:literal, $splat:expr, $fused:expr) => {{
        let mut sums = [$splat(1.0); SUMS];
        let (factor, term) = (black_box($splat(0.5)), black_box($splat(0.25)));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = $fused(*sum, factor, term);
            }
        }
        black_box(sums);
        2 * $lanes * SUMS * ROUNDS
    }};
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> usize {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    rounds!(16, _mm512_set1_ps, _mm512_fmadd_ps)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> usize {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    rounds!(8, _mm256_set1_ps, _mm256_fmadd_ps)
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn neon() -> usize {
    use std::arch::aarch64::{vdupq_n_f32, vfmaq_f32};
    rounds!(4, vdupq_n_f32, vfmaq_f32)
}

/// What the compiler makes of it for any processor, not fused.
fn portable() -> usize {
    let splat = |value: f32| [value; 4];
    let multiply_add = |sum: [f32; 4], factor: [f32; 4], term: [f32; 4]| {
        std::array::from_fn(|lane| sum[lane] * factor[lane] + term[lane])
    };
    rounds!(4, splat, multiply_add)
}

#[cfg(test)]
mod tests {
    use super::gigaflops;

    #[test]
    fn a_core_does_something() {
        assert!(gigaflops().unwrap() > 0.1);
    }
}
