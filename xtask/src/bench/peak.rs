//! What a core does at best: float32 multiplications and additions, fused, in
//! registers alone.

#![allow(
    unsafe_code,
    reason = "instructions that only some processors have, asked for before"
)]

use super::turns::median;
use anyhow::Context;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;
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
        let mut all = vec![
            // Not fused: what every processor of this architecture has.
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            Self {
                name: "portable",
                // SAFETY: every processor of these architectures has them.
                operations: || unsafe { portable() },
            },
        ];
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
        all.push(Self {
            name: "neon",
            // SAFETY: every arm64 processor has it.
            operations: || unsafe { neon() },
        });
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

/// A round is an instruction for each of [`SUMS`], `$of_sum`, and what counts rounds down. They are
/// written as they are: a loop of the compiler's would measure how it optimised this program.
macro_rules! rounds {
    ($lanes:literal, $class:ident, $splat:expr, $of_sum:ident, [$($count_down:literal),*]) => {{
        let (sum, factor, term) = ($splat(1.0), $splat(0.5), $splat(0.25));
        // SAFETY: registers alone. The function is called where there are the instructions.
        unsafe {
            asm!(
                "2:",
                $of_sum!(0), $of_sum!(1), $of_sum!(2), $of_sum!(3), $of_sum!(4), $of_sum!(5),
                $of_sum!(6), $of_sum!(7), $of_sum!(8), $of_sum!(9), $of_sum!(10), $of_sum!(11),
                $($count_down,)*
                inout($class) sum => _, inout($class) sum => _, inout($class) sum => _,
                inout($class) sum => _, inout($class) sum => _, inout($class) sum => _,
                inout($class) sum => _, inout($class) sum => _, inout($class) sum => _,
                inout($class) sum => _, inout($class) sum => _, inout($class) sum => _,
                in($class) factor, in($class) term, inout(reg) ROUNDS => _,
                options(nomem, nostack),
            );
        }
        2 * $lanes * SUMS * ROUNDS
    }};
}

#[cfg(target_arch = "x86_64")]
macro_rules! vfmadd {
    ($sum:literal) => {
        concat!("vfmadd213ps {", $sum, "}, {12}, {13}")
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! multiply_add {
    ($sum:literal) => {
        concat!("mulps {", $sum, "}, {12}", "\n", "addps {", $sum, "}, {13}")
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! fmla {
    ($sum:literal) => {
        concat!("fmla {", $sum, ":v}.4s, {12:v}.4s, {13:v}.4s")
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! multiply_add {
    ($sum:literal) => {
        concat!(
            "fmul {",
            $sum,
            ":v}.4s, {",
            $sum,
            ":v}.4s, {12:v}.4s",
            "\n",
            "fadd {",
            $sum,
            ":v}.4s, {",
            $sum,
            ":v}.4s, {13:v}.4s"
        )
    };
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> usize {
    use std::arch::x86_64::_mm512_set1_ps;
    rounds!(16, zmm_reg, _mm512_set1_ps, vfmadd, ["dec {14}", "jnz 2b"])
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> usize {
    use std::arch::x86_64::_mm256_set1_ps;
    rounds!(8, ymm_reg, _mm256_set1_ps, vfmadd, ["dec {14}", "jnz 2b"])
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse")]
fn portable() -> usize {
    use std::arch::x86_64::_mm_set1_ps;
    rounds!(
        4,
        xmm_reg,
        _mm_set1_ps,
        multiply_add,
        ["dec {14}", "jnz 2b"]
    )
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn neon() -> usize {
    use std::arch::aarch64::vdupq_n_f32;
    rounds!(
        4,
        vreg,
        vdupq_n_f32,
        fmla,
        ["subs {14}, {14}, #1", "b.ne 2b"]
    )
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn portable() -> usize {
    use std::arch::aarch64::vdupq_n_f32;
    rounds!(
        4,
        vreg,
        vdupq_n_f32,
        multiply_add,
        ["subs {14}, {14}, #1", "b.ne 2b"]
    )
}

#[cfg(test)]
mod tests {
    use super::gigaflops;

    #[test]
    fn a_core_does_something() {
        assert!(gigaflops().unwrap() > 0.1);
    }
}
