//! AVX2 with FMA and F16C, as x86-64-v3 has them: eight float32 values, sixteen registers.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all instructions: see the implementations"
)]

use super::{Kernel, Simd};
use crate::gemm::int8::micro_kernel::{Accumulator, Int8MicroKernel, Packing, Panel, of_rows};
use crate::gemm::{MicroKernel, Panels, Strip, Tile, micro_kernel::by_rows};
use std::arch::x86_64::*;

/// The proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has_all.then_some(Self(()))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

/// Runs a kernel that is compiled for these instructions.
pub(crate) fn run<T: Kernel>(token: Avx2, kernel: T) -> T::Output {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline(never)]
    fn compiled<T: Kernel>(token: Avx2, kernel: T) -> T::Output {
        kernel.run::<F32x8>(token)
    }
    // SAFETY: the token proves AVX2, FMA and F16C.
    unsafe { compiled(token, kernel) }
}

// SAFETY of every instruction below: a vector is made by `load`, `splat` or `zero`,
// which take the token, so that where there is one the processor has its instructions.
// What is read or written is a slice of as many values, at any address.

impl Simd for F32x8 {
    type Token = Avx2;
    const LANES: usize = 8;

    #[inline(always)]
    fn load(_: Avx2, values: &[f32]) -> Self {
        let values = &values[..Self::LANES];
        Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn of_i8(_: Avx2, bytes: &[u8]) -> Self {
        let bytes = &bytes[..Self::LANES];
        Self(unsafe {
            let bytes = _mm_loadl_epi64(bytes.as_ptr().cast());
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
        })
    }

    #[inline(always)]
    fn of_nibbles(_: Avx2, bytes: &[u8]) -> [Self; 2] {
        let bytes = &bytes[..Self::LANES];
        unsafe {
            let both = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast()));
            let low = _mm256_and_si256(both, _mm256_set1_epi32(0xf));
            let high = _mm256_srli_epi32::<4>(both);
            [
                Self(_mm256_cvtepi32_ps(low)),
                Self(_mm256_cvtepi32_ps(high)),
            ]
        }
    }

    #[inline(always)]
    fn of_f16(_: Avx2, bytes: &[u8]) -> Self {
        let bytes = &bytes[..2 * Self::LANES];
        Self(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())) })
    }

    #[inline(always)]
    fn of_bf16(_: Avx2, bytes: &[u8]) -> Self {
        let bytes = &bytes[..2 * Self::LANES];
        Self(unsafe {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        let values = &mut values[..Self::LANES];
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn prefetch(address: *const u8) {
        // Of any address: what there is not is not fetched.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn splat(_: Avx2, value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn max_or_self(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(other.0, self.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        Self(unsafe {
            let mask = _mm256_set1_ps(-0.0);
            _mm256_or_ps(self.abs().0, _mm256_and_ps(mask, sign.0))
        })
    }

    #[inline(always)]
    fn zero_where_less(self, first: Self, second: Self) -> Self {
        Self(unsafe { _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(first.0, second.0), self.0) })
    }

    #[inline(always)]
    fn exchange(self, distance: usize) -> Self {
        Self(unsafe {
            match distance {
                1 => _mm256_permute_ps::<0b10_11_00_01>(self.0),
                2 => _mm256_permute_ps::<0b01_00_11_10>(self.0),
                _ => _mm256_permute2f128_ps::<1>(self.0, self.0),
            }
        })
    }

    #[inline(always)]
    fn pow2_from_biased_exponent(self) -> Self {
        Self(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.0))) })
    }
}

impl MicroKernel for F32x8 {
    // With the two vectors of a panel and a value of A, 15 of 16 registers.
    const MR: usize = 6;
    const PANEL: usize = 16;
    const NR: usize = 16;
    const PADS: bool = false;

    fn run_apart<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
        run(token, kernel)
    }

    #[inline(always)]
    fn micro_kernel(token: Avx2, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled(token: Avx2, a: Strip<'_>, b: Panels<'_>, c: &mut Tile<'_>) {
            by_rows!(F32x8, 2, (token, a, b, c), [1 2 3 4 5 6]);
        }
        // SAFETY: the token proves AVX2, FMA and F16C.
        unsafe { compiled(token, a, b, c) }
    }
}

/// The proof that the processor has AVX2 and, of 256 bits, VNNI's products of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AvxVnni(Avx2);

impl AvxVnni {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        let avx2 = Avx2::detect().filter(|_| is_x86_feature_detected!("avxvnni"));
        avx2.map(Self)
    }
}

/// int8 GEMM by `vpmaddubsw`, of which the products of two words are added up in 16 bits, and
/// `vpmaddwd` by ones: three multiplications for 64 products, of which two begin in a cycle.
impl Int8MicroKernel for Avx2 {
    // With the four vectors of a panel, ones, two words of A and a product, all 16 registers.
    const MR: usize = 4;
    const NR: usize = 2 * I32x8::<Self>::LANES;
    const PACKING: Packing = Packing::I8x4;

    #[inline(always)]
    fn micro_kernel(self, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
        #[target_feature(enable = "avx2")]
        fn compiled(token: Avx2, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
            of_rows!(unrolled, I32x8<Avx2>, token, (a, rows, b, sums), [1 2 3 4]);
        }
        // SAFETY: the token proves AVX2.
        unsafe { compiled(self, a, rows, b, sums) }
    }
}

/// int8 GEMM by dot products of 4 × int8: `vpdpbusd` of 256 bits.
impl Int8MicroKernel for AvxVnni {
    // With the two vectors of a panel and a word of A, 15 of 16 registers.
    const MR: usize = 6;
    const NR: usize = 2 * I32x8::<Self>::LANES;
    const PACKING: Packing = Packing::I8x4;

    #[inline(always)]
    fn micro_kernel(self, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
        #[target_feature(enable = "avx2,avxvnni")]
        fn compiled(token: AvxVnni, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]) {
            of_rows!(unrolled, I32x8<AvxVnni>, token, (a, rows, b, sums), [1 2 3 4 5 6]);
        }
        // SAFETY: the token proves AVX2 with VNNI.
        unsafe { compiled(self, a, rows, b, sums) }
    }
}

/// Eight sums, to which the instructions of a token add.
#[derive(Clone, Copy)]
struct I32x8<T> {
    sums: __m256i,
    token: T,
}

/// What adds the products of the numbers in words, those of A unsigned.
trait AddProducts: Copy {
    fn add_products(self, sums: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i;
}

impl AddProducts for Avx2 {
    /// Exact, since no four products exceed 16 bits ([`MAGNITUDES_MAX`](crate::gemm::int8::MAGNITUDES_MAX)).
    #[inline(always)]
    fn add_products(self, sums: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
        unsafe {
            let pairs = [
                _mm256_maddubs_epi16(a[0], b[0]),
                _mm256_maddubs_epi16(a[1], b[1]),
            ];
            let fours = _mm256_add_epi16(pairs[0], pairs[1]);
            _mm256_add_epi32(sums, _mm256_madd_epi16(fours, _mm256_set1_epi16(1)))
        }
    }
}

impl AddProducts for AvxVnni {
    #[inline(always)]
    fn add_products(self, sums: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sums, a[0], b[0]), a[1], b[1]) }
    }
}

impl<T: AddProducts> Accumulator for I32x8<T> {
    type Token = T;
    const LANES: usize = 8;
    type Words = __m256i;

    #[inline(always)]
    fn zero(token: T) -> Self {
        let sums = unsafe { _mm256_setzero_si256() };
        Self { sums, token }
    }

    #[inline(always)]
    fn load(_: T, bytes: &[u8]) -> __m256i {
        let bytes = &bytes[..Self::BYTES];
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn prefetch(address: *const u8) {
        F32x8::prefetch(address);
    }

    #[inline(always)]
    fn splat(_: T, word: u32) -> __m256i {
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn add_products(self, a: [__m256i; 2], b: [__m256i; 2]) -> Self {
        Self {
            sums: self.token.add_products(self.sums, a, b),
            ..self
        }
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32]) {
        let sums = &mut sums[..Self::LANES];
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), self.sums) }
    }
}
