//! Four float32 values at a time.
//!
//! In wasm modules a vector instruction each; anywhere else four scalars, which
//! say what the instructions compute. The wasm modules are made for size, where
//! the compiler makes no vectors of loops.
//!
//! **Invariant:** both forms give the same bits.

pub(super) const LANES: usize = 4;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) use simd128::F32x4;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(super) use scalar::F32x4;

/// Computes each value of a slice from it alone.
#[inline(always)]
pub(super) fn map(values: &mut [f32], compute: impl Fn(F32x4) -> F32x4) {
    let (whole, rest) = values.as_chunks_mut::<LANES>();
    for lanes in whole {
        compute(F32x4::load(lanes)).store(lanes);
    }
    for value in rest {
        let [result, ..] = compute(F32x4::splat(value)).to_array();
        *value = result;
    }
}

/// Computes each value of a slice from it and its counterpart in another.
#[inline(always)]
pub(super) fn combine(values: &mut [f32], others: &[f32], compute: impl Fn(F32x4, F32x4) -> F32x4) {
    let (whole, rest) = values.as_chunks_mut::<LANES>();
    let (other_whole, other_rest) = others.as_chunks::<LANES>();
    for (lanes, other) in whole.iter_mut().zip(other_whole) {
        compute(F32x4::load(lanes), F32x4::load(other)).store(lanes);
    }
    for (value, other) in rest.iter_mut().zip(other_rest) {
        let [result, ..] = compute(F32x4::splat(value), F32x4::splat(other)).to_array();
        *value = result;
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use super::LANES;
    use std::arch::wasm32::*;

    #[derive(Clone, Copy)]
    pub(crate) struct F32x4(v128);

    impl F32x4 {
        #[inline(always)]
        pub(crate) fn load(lanes: &[f32; LANES]) -> Self {
            // SAFETY: these are the 16 bytes that are read; no alignment is needed.
            Self(unsafe { v128_load(lanes.as_ptr().cast()) })
        }

        #[inline(always)]
        pub(crate) fn store(self, lanes: &mut [f32; LANES]) {
            // SAFETY: these are the 16 bytes that are written; no alignment is needed.
            unsafe { v128_store(lanes.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        pub(crate) fn splat(value: &f32) -> Self {
            // SAFETY: these are the four bytes that are read.
            Self(unsafe { v128_load32_splat(std::ptr::from_ref(value).cast()) })
        }

        #[inline(always)]
        pub(crate) fn add(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn sub(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn mul(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn div(self, other: Self) -> Self {
            Self(f32x4_div(self.0, other.0))
        }

        /// The greater, and `self` where they do not compare.
        #[inline(always)]
        pub(crate) fn greater(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn abs(self) -> Self {
            Self(f32x4_abs(self.0))
        }

        #[inline(always)]
        pub(crate) fn copysign(self, sign: Self) -> Self {
            let mask = f32x4_splat(-0.0);
            Self(v128_bitselect(sign.0, self.0, mask))
        }

        /// Zero where the first is less than the second.
        #[inline(always)]
        pub(crate) fn zero_where_less(self, first: Self, second: Self) -> Self {
            Self(v128_andnot(self.0, f32x4_lt(first.0, second.0)))
        }

        #[inline(always)]
        pub(crate) fn to_array(self) -> [f32; LANES] {
            [
                f32x4_extract_lane::<0>(self.0),
                f32x4_extract_lane::<1>(self.0),
                f32x4_extract_lane::<2>(self.0),
                f32x4_extract_lane::<3>(self.0),
            ]
        }

        /// The integer in the lowest bits of the value, less 127, as a power of two.
        #[inline(always)]
        pub(crate) fn exponent_of_low_bits(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }

        /// Rows to columns.
        #[inline(always)]
        pub(crate) fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
            let ab_low = i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0);
            let ab_high = i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0);
            let cd_low = i32x4_shuffle::<0, 4, 1, 5>(c.0, d.0);
            let cd_high = i32x4_shuffle::<2, 6, 3, 7>(c.0, d.0);
            [
                Self(i64x2_shuffle::<0, 2>(ab_low, cd_low)),
                Self(i64x2_shuffle::<1, 3>(ab_low, cd_low)),
                Self(i64x2_shuffle::<0, 2>(ab_high, cd_high)),
                Self(i64x2_shuffle::<1, 3>(ab_high, cd_high)),
            ]
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod scalar {
    use super::LANES;

    #[derive(Clone, Copy)]
    pub(crate) struct F32x4([f32; LANES]);

    impl F32x4 {
        pub(crate) fn load(lanes: &[f32; LANES]) -> Self {
            Self(*lanes)
        }

        pub(crate) fn store(self, lanes: &mut [f32; LANES]) {
            *lanes = self.0;
        }

        pub(crate) fn splat(value: &f32) -> Self {
            Self([*value; LANES])
        }

        fn with(self, other: Self, compute: impl Fn(f32, f32) -> f32) -> Self {
            Self(std::array::from_fn(|lane| {
                compute(self.0[lane], other.0[lane])
            }))
        }

        pub(crate) fn add(self, other: Self) -> Self {
            self.with(other, |a, b| a + b)
        }

        pub(crate) fn sub(self, other: Self) -> Self {
            self.with(other, |a, b| a - b)
        }

        pub(crate) fn mul(self, other: Self) -> Self {
            self.with(other, |a, b| a * b)
        }

        pub(crate) fn div(self, other: Self) -> Self {
            self.with(other, |a, b| a / b)
        }

        /// The greater, and `self` where they do not compare.
        pub(crate) fn greater(self, other: Self) -> Self {
            self.with(other, |a, b| if a < b { b } else { a })
        }

        pub(crate) fn abs(self) -> Self {
            Self(self.0.map(f32::abs))
        }

        pub(crate) fn copysign(self, sign: Self) -> Self {
            self.with(sign, f32::copysign)
        }

        /// Zero where the first is less than the second.
        pub(crate) fn zero_where_less(self, first: Self, second: Self) -> Self {
            let less = first.with(second, |a, b| f32::from(a < b));
            self.with(less, |value, less| if less == 1.0 { 0.0 } else { value })
        }

        pub(crate) fn to_array(self) -> [f32; LANES] {
            self.0
        }

        /// The integer in the lowest bits of the value, less 127, as a power of two.
        pub(crate) fn exponent_of_low_bits(self) -> Self {
            Self(self.0.map(|value| f32::from_bits(value.to_bits() << 23)))
        }

        /// Rows to columns.
        pub(crate) fn transpose(rows: [Self; 4]) -> [Self; 4] {
            std::array::from_fn(|column| Self(rows.map(|row| row.0[column])))
        }
    }
}
