//! AVX-512: sixteen float32 values, 32 registers.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all instructions: see the implementations"
)]

use super::{Kernel, Simd};
use crate::gemm::int8::micro_kernel::{Accumulator, Int8MicroKernel, Packing, Panel, of_rows};
use crate::gemm::{MicroKernel, Panels, Strip, Tile, micro_kernel::by_rows};
use std::arch::x86_64::*;

/// The proof that the processor has AVX-512F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

/// The proof that the processor has AVX-512F and its products of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Vnni(Avx512);

impl Avx512Vnni {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        let avx512 = Avx512::detect().filter(|_| is_x86_feature_detected!("avx512vnni"));
        avx512.map(Self)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

/// Runs a kernel that is compiled for these instructions.
pub(crate) fn run<T: Kernel>(token: Avx512, kernel: T) -> T::Output {
    #[target_feature(enable = "avx512f")]
    #[inline(never)]
    fn compiled<T: Kernel>(token: Avx512, kernel: T) -> T::Output {
        kernel.run::<F32x16>(token)
    }
    // SAFETY: the token proves AVX-512F.
    unsafe { compiled(token, kernel) }
}

// SAFETY of every instruction below: a vector is made by `load`, `splat` or `zero`,
// which take a token, so that where there is one the processor has the instructions.
// What is read or written is a slice of as many values, at any address.

impl Simd for F32x16 {
    type Token = Avx512;
    const LANES: usize = 16;

    #[inline(always)]
    fn load(_: Avx512, values: &[f32]) -> Self {
        let values = &values[..Self::LANES];
        Self(unsafe { _mm512_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn of_i8(_: Avx512, bytes: &[u8]) -> Self {
        let bytes = &bytes[..Self::LANES];
        Self(unsafe {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
        })
    }

    #[inline(always)]
    fn of_nibbles(_: Avx512, bytes: &[u8]) -> [Self; 2] {
        let bytes = &bytes[..Self::LANES];
        unsafe {
            let both = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            let low = _mm512_and_si512(both, _mm512_set1_epi32(0xf));
            let high = _mm512_srli_epi32::<4>(both);
            [
                Self(_mm512_cvtepi32_ps(low)),
                Self(_mm512_cvtepi32_ps(high)),
            ]
        }
    }

    #[inline(always)]
    fn of_f16(_: Avx512, bytes: &[u8]) -> Self {
        let bytes = &bytes[..2 * Self::LANES];
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast())) })
    }

    #[inline(always)]
    fn of_bf16(_: Avx512, bytes: &[u8]) -> Self {
        let bytes = &bytes[..2 * Self::LANES];
        Self(unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bytes.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let values = &mut values[..Self::LANES];
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn prefetch(address: *const u8) {
        // Of any address: what there is not is not fetched.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn splat(_: Avx512, value: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn max_or_self(self, other: Self) -> Self {
        Self(unsafe { _mm512_max_ps(other.0, self.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        // Of three bits each, the third's where the first is set, else the second's.
        const SELECT: i32 = 0xca;
        Self(unsafe {
            let mask = _mm512_set1_epi32(i32::MIN);
            let (sign, value) = (_mm512_castps_si512(sign.0), _mm512_castps_si512(self.0));
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<SELECT>(mask, sign, value))
        })
    }

    #[inline(always)]
    fn zero_where_less(self, first: Self, second: Self) -> Self {
        Self(unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(first.0, second.0);
            _mm512_maskz_mov_ps(kept, self.0)
        })
    }

    #[inline(always)]
    fn exchange(self, distance: usize) -> Self {
        Self(unsafe {
            match distance {
                1 => _mm512_permute_ps::<0b10_11_00_01>(self.0),
                2 => _mm512_permute_ps::<0b01_00_11_10>(self.0),
                4 => _mm512_shuffle_f32x4::<0b10_11_00_01>(self.0, self.0),
                _ => _mm512_shuffle_f32x4::<0b01_00_11_10>(self.0, self.0),
            }
        })
    }

    #[inline(always)]
    fn pow2_from_biased_exponent(self) -> Self {
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0))) })
    }
}

impl MicroKernel for F32x16 {
    // 24 of 32 registers, of a vector of each of two panels. Zen 4: 105 GFLOP/s, and 98 for
    // 14 rows of one vector.
    const MR: usize = 12;
    const PANEL: usize = 16;
    const NR: usize = 32;
    const PADS: bool = false;

    fn run_apart<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
        run(token, kernel)
    }

    #[inline(always)]
    fn micro_kernel(token: Avx512, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
        #[target_feature(enable = "avx512f")]
        fn compiled(token: Avx512, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
            by_rows!(F32x16, 2, (token, a, b, c), [1 2 3 4 5 6 7 8 9 10 11 12]);
        }
        // SAFETY: the token proves AVX-512F.
        unsafe { compiled(token, a, b, c) }
    }
}

/// int8 GEMM by dot products of 4 × int8: `vpdpbusd`.
impl Int8MicroKernel for Avx512Vnni {
    const MR: usize = 12;
    const NR: usize = 2 * I32x16::LANES;
    const PACKING: Packing = Packing::I8x4;

    #[inline(always)]
    fn micro_kernel(self, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
        #[target_feature(enable = "avx512f,avx512vnni")]
        fn compiled(token: Avx512Vnni, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
            of_rows!(unrolled, I32x16, token, (a, rows, b, sums), [1 2 3 4 5 6 7 8 9 10 11 12]);
        }
        // SAFETY: the token proves AVX-512F with VNNI.
        unsafe { compiled(self, a, rows, b, sums) }
    }
}

#[derive(Clone, Copy)]
struct I32x16(__m512i);

impl Accumulator for I32x16 {
    type Token = Avx512Vnni;
    const LANES: usize = 16;
    type Words = __m512i;

    #[inline(always)]
    fn zero(_: Avx512Vnni) -> Self {
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    fn load(_: Avx512Vnni, bytes: &[u8]) -> __m512i {
        let bytes = &bytes[..Self::BYTES];
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn prefetch(address: *const u8) {
        F32x16::prefetch(address);
    }

    #[inline(always)]
    fn splat(_: Avx512Vnni, word: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn add_products(self, a: [__m512i; 2], b: [__m512i; 2]) -> Self {
        Self(unsafe { _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(self.0, a[0], b[0]), a[1], b[1]) })
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32]) {
        let sums = &mut sums[..Self::LANES];
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), self.0) }
    }
}
