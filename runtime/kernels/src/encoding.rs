//! How the values of a matrix are stored, and the decoding of those in fewer bits than
//! float32.
//!
//! A matrix is stored unit after unit. A unit is a row, of one lane (embedding tables, of which
//! rows are read), or a packed panel of [`PANEL`] columns, of so many lanes (B of a GEMM). Along
//! its depth lie, for each step, the values of all lanes side by side.
//!
//! int8 and int4 are symmetric and block-quantised: so many steps of the depth are a group, and
//! each lane of a group has a float16 scale. A group is its scales and then its values; two
//! steps of int4 share bytes, the first in the low nibbles, as q + 8.
//!
//! **Invariant:** decoded values are exact, and so the same on every machine: a scale has 11
//! bits and q at most 8, of float32's 24.

use crate::gemm::MicroKernel;
use crate::shape::{ShapeError, ensure};
use crate::simd::Kernel;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// How many columns are side by side in a stored panel: a cache line of float32.
pub const PANEL: usize = 16;

/// The largest magnitude of q in int8.
pub const INT8_MAX: f32 = 127.0;

/// What is added to q in a nibble of int4: q is in −8..=7.
pub const INT4_ZERO: u8 = 8;

/// How many values of a lane share a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupLen {
    /// 32: half a bit more for each value than without scales.
    G32,
    /// 64.
    #[default]
    G64,
    /// 128.
    G128,
}

impl GroupLen {
    /// Every one, the shortest first.
    pub const ALL: [Self; 3] = [Self::G32, Self::G64, Self::G128];

    /// As a number.
    pub const fn get(self) -> usize {
        match self {
            Self::G32 => 32,
            Self::G64 => 64,
            Self::G128 => 128,
        }
    }

    /// The one of that number.
    pub fn of(number: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.get() == number)
    }
}

/// How the values of a matrix are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WeightsEncoding {
    /// float32.
    #[default]
    F32,
    /// float16.
    F16,
    /// bfloat16.
    Bf16,
    /// Symmetric int8 with a float16 scale for each group along the input dimension.
    Int8(GroupLen),
    /// Symmetric int4 with a float16 scale for each group along the input dimension.
    Int4(GroupLen),
}

/// A text that names no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is no encoding of weights: f32, f16, bf16, int8 or int4, the last two perhaps with a group length of 32, 64 or 128 (int4:32; 64 unless said)"
)]
pub struct NoSuchEncoding {
    name: String,
}

impl FromStr for WeightsEncoding {
    type Err = NoSuchEncoding;

    fn from_str(name: &str) -> Result<Self, NoSuchEncoding> {
        let unknown = || NoSuchEncoding { name: name.into() };
        let (kind, group) = match name.split_once(':') {
            Some((kind, group)) => (kind, Some(group)),
            None => (name, None),
        };
        let group_len = match group {
            Some(group) => {
                let number = group.parse().ok();
                number.and_then(GroupLen::of).ok_or_else(unknown)?
            }
            None => GroupLen::default(),
        };
        match (kind, group) {
            ("f32", None) => Ok(Self::F32),
            ("f16", None) => Ok(Self::F16),
            ("bf16", None) => Ok(Self::Bf16),
            ("int8", _) => Ok(Self::Int8(group_len)),
            ("int4", _) => Ok(Self::Int4(group_len)),
            _ => Err(unknown()),
        }
    }
}

/// As [`WeightsEncoding::from_str`] reads it.
impl fmt::Display for WeightsEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.pad("f32"),
            Self::F16 => f.pad("f16"),
            Self::Bf16 => f.pad("bf16"),
            Self::Int8(group) => f.pad(&format!("int8:{}", group.get())),
            Self::Int4(group) => f.pad(&format!("int4:{}", group.get())),
        }
    }
}

impl WeightsEncoding {
    /// How many values of a lane share a scale, where they are quantised.
    pub fn group_len(self) -> Option<GroupLen> {
        match self {
            Self::Int8(group_len) | Self::Int4(group_len) => Some(group_len),
            _ => None,
        }
    }

    /// How many bytes a unit takes; `None` for more than can be counted.
    pub fn unit_len(self, depth: usize, lanes: usize) -> Option<usize> {
        let values = depth.checked_mul(lanes)?;
        match self {
            Self::F32 => values.checked_mul(4),
            Self::F16 | Self::Bf16 => values.checked_mul(2),
            Self::Int8(group_len) => {
                let scales = depth.div_ceil(group_len.get()).checked_mul(2 * lanes)?;
                values.checked_add(scales)
            }
            Self::Int4(group_len) => {
                let scales = depth.div_ceil(group_len.get()).checked_mul(2 * lanes)?;
                depth.div_ceil(2).checked_mul(lanes)?.checked_add(scales)
            }
        }
    }

    /// Where some of a unit's depth is in its bytes. It begins with a group, and ends with one or
    /// with the unit.
    pub fn part_of_unit(self, depth: Range<usize>, lanes: usize) -> Option<Range<usize>> {
        let is_whole = |it: GroupLen| depth.start.is_multiple_of(it.get());
        let [start, end] = [depth.start, depth.end].map(|at| self.unit_len(at, lanes));
        let begins = self.group_len().is_none_or(is_whole);
        Some(start?..end?).filter(|_| begins)
    }

    /// Decodes some of a unit of `LANES` lanes, from the beginning of a group: `out` is
    /// `[depth, LANES]`, row-major.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes ([`Self::part_of_unit`]).
    pub fn decode<const LANES: usize>(
        self,
        bytes: &[u8],
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (out, rest) = out.as_chunks_mut::<LANES>();
        let expected = self.unit_len(out.len(), LANES);
        ensure(
            rest.is_empty() && expected == Some(bytes.len()),
            "decode",
            || format!("{} bytes for {} × {LANES} values", bytes.len(), out.len()),
        )?;
        decode_steps(self, bytes, out);
        Ok(())
    }
}

/// Decodes some of a unit, which has as many bytes as [`WeightsEncoding::unit_len`] says.
fn decode_steps<const LANES: usize>(
    encoding: WeightsEncoding,
    bytes: &[u8],
    out: &mut [[f32; LANES]],
) {
    let values = out.as_flattened_mut();
    match encoding {
        WeightsEncoding::F32 => convert(bytes, values, f32::from_le_bytes),
        WeightsEncoding::F16 => convert(bytes, values, of_f16),
        WeightsEncoding::Bf16 => convert(bytes, values, of_bf16),
        WeightsEncoding::Int8(group_len) => {
            let groups = bytes.chunks((group_len.get() + 2) * LANES);
            for (group, out) in groups.zip(out.chunks_mut(group_len.get())) {
                let (scales, values) = scales(group);
                decode_int8(&scales, values, out);
            }
        }
        WeightsEncoding::Int4(group_len) => {
            let groups = bytes.chunks((group_len.get() / 2 + 2) * LANES);
            for (group, out) in groups.zip(out.chunks_mut(group_len.get())) {
                let (scales, values) = scales(group);
                decode_int4(&scales, values, out);
            }
        }
    }
}

/// A group's scales, and the bytes of its values.
fn scales<const LANES: usize>(group: &[u8]) -> ([f32; LANES], &[u8]) {
    let (scales, values) = group.split_at(2 * LANES);
    let mut decoded = [0.0; LANES];
    convert(scales, &mut decoded, of_f16);
    (decoded, values)
}

fn convert<const SIZE: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; SIZE]) -> f32) {
    let (values, _) = bytes.as_chunks();
    for (out, bytes) in out.iter_mut().zip(values) {
        *out = value(*bytes);
    }
}

fn decode_int8<const LANES: usize>(scales: &[f32; LANES], bytes: &[u8], out: &mut [[f32; LANES]]) {
    let (steps, _) = bytes.as_chunks::<LANES>();
    for (out, step) in out.iter_mut().zip(steps) {
        for ((out, byte), scale) in out.iter_mut().zip(step).zip(scales) {
            *out = f32::from(byte.cast_signed()) * scale;
        }
    }
}

fn decode_int4<const LANES: usize>(scales: &[f32; LANES], bytes: &[u8], out: &mut [[f32; LANES]]) {
    let (steps, _) = bytes.as_chunks::<LANES>();
    for (two, step) in out.chunks_mut(2).zip(steps) {
        for (shift, out) in [0, 4].into_iter().zip(two) {
            for ((out, byte), scale) in out.iter_mut().zip(step).zip(scales) {
                *out = of_nibble(byte >> shift & 0xf) * scale;
            }
        }
    }
}

/// Decodes some of a stored panel into panels of the micro-kernel's width, `[PANEL / V::PANEL,
/// depth, V::PANEL]`. There are as many bytes as [`WeightsEncoding::unit_len`] says, or none.
pub(crate) struct DecodePanel<'a> {
    pub(crate) encoding: WeightsEncoding,
    pub(crate) bytes: &'a [u8],
    pub(crate) out: &'a mut [f32],
}

impl Kernel for DecodePanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        let Self {
            encoding,
            bytes,
            out,
        } = self;
        let length = out.len() * V::PANEL / PANEL;
        for (place, panel) in out.chunks_exact_mut(length.max(1)).enumerate() {
            // A constant, where there is one panel.
            let first = place * V::PANEL % PANEL;
            let columns = Columns::<V> { token, first };
            match encoding {
                WeightsEncoding::F32 => columns.floats(bytes, panel),
                WeightsEncoding::F16 => columns.halves::<false>(bytes, panel),
                WeightsEncoding::Bf16 => columns.halves::<true>(bytes, panel),
                WeightsEncoding::Int8(group_len) => {
                    let groups = bytes.chunks((group_len.get() + 2) * PANEL);
                    for (group, panel) in groups.zip(panel.chunks_mut(group_len.get() * V::PANEL)) {
                        columns.int8(group, panel);
                    }
                }
                WeightsEncoding::Int4(group_len) => {
                    let groups = bytes.chunks((group_len.get() / 2 + 2) * PANEL);
                    for (group, panel) in groups.zip(panel.chunks_mut(group_len.get() * V::PANEL)) {
                        columns.int4(group, panel);
                    }
                }
            }
        }
    }
}

/// The most vectors of a panel of the micro-kernel.
const VECTORS_MAX: usize = 4;

/// Of a stored panel those columns that are a panel of the micro-kernel.
struct Columns<V: MicroKernel> {
    token: V::Token,
    /// The first, of [`PANEL`].
    first: usize,
}

impl<V: MicroKernel> Columns<V> {
    #[inline(always)]
    fn floats(&self, bytes: &[u8], panel: &mut [f32]) {
        let (steps, _) = bytes.as_chunks::<{ 4 * PANEL }>();
        for (out, step) in panel.chunks_exact_mut(V::PANEL).zip(steps) {
            convert(&step[4 * self.first..], out, f32::from_le_bytes);
        }
    }

    #[inline(always)]
    fn halves<const IS_BF16: bool>(&self, bytes: &[u8], panel: &mut [f32]) {
        let (steps, _) = bytes.as_chunks::<{ 2 * PANEL }>();
        for (out, step) in panel.chunks_exact_mut(V::PANEL).zip(steps) {
            for column in (0..V::PANEL).step_by(V::LANES) {
                let halves = &step[2 * (self.first + column)..];
                let values = match IS_BF16 {
                    true => V::of_bf16(self.token, halves),
                    false => V::of_f16(self.token, halves),
                };
                values.store(&mut out[column..]);
            }
        }
    }

    #[inline(always)]
    fn int8(&self, group: &[u8], panel: &mut [f32]) {
        let (scales, values) = group.split_at(2 * PANEL);
        let scales = self.scales(scales);
        let (steps, _) = values.as_chunks::<PANEL>();
        for (out, step) in panel.chunks_exact_mut(V::PANEL).zip(steps) {
            for (vector, column) in (0..V::PANEL).step_by(V::LANES).enumerate() {
                let values = V::of_i8(self.token, &step[self.first + column..]);
                values.mul(scales[vector]).store(&mut out[column..]);
            }
        }
    }

    /// `(q − zero) · scale`, all of which is exact in float32.
    #[inline(always)]
    fn int4(&self, group: &[u8], panel: &mut [f32]) {
        let (scales, values) = group.split_at(2 * PANEL);
        let scales = self.scales(scales);
        let zero = V::splat(self.token, -f32::from(INT4_ZERO));
        let mut zeros = scales;
        for zero_of_scale in &mut zeros {
            *zero_of_scale = zero_of_scale.mul(zero);
        }
        let (steps, _) = values.as_chunks::<PANEL>();
        let mut out = panel.chunks_exact_mut(V::PANEL);
        for step in steps {
            let mut both = [out.next(), out.next()];
            for (vector, column) in (0..V::PANEL).step_by(V::LANES).enumerate() {
                let nibbles = V::of_nibbles(self.token, &step[self.first + column..]);
                for (out, values) in both.iter_mut().zip(nibbles) {
                    if let Some(out) = out {
                        let values = values.mul_add(scales[vector], zeros[vector]);
                        values.store(&mut out[column..]);
                    }
                }
            }
        }
    }

    /// Of each vector of a panel.
    #[inline(always)]
    fn scales(&self, bytes: &[u8]) -> [V; VECTORS_MAX] {
        const { assert!(V::PANEL <= VECTORS_MAX * V::LANES, "too wide") };
        let mut scales = [V::splat(self.token, 0.0); VECTORS_MAX];
        for (scale, column) in scales.iter_mut().zip((0..V::PANEL).step_by(V::LANES)) {
            *scale = V::of_f16(self.token, &bytes[2 * (self.first + column)..]);
        }
        scales
    }
}

/// q of int4.
fn of_nibble(nibble: u8) -> f32 {
    f32::from(nibble) - f32::from(INT4_ZERO)
}

/// bfloat16.
#[inline(always)]
pub(crate) fn of_bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

/// How much larger float32's exponent bias is than float16's.
const F16_REBIASED: u32 = (127 - 15) << 23;

/// The smallest normal float16, as float32.
const F16_SMALLEST: u32 = F16_REBIASED + (1 << 23);

/// float16 of any finite value: without a branch, so that many are converted at once.
#[inline(always)]
pub(crate) fn of_f16(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = (bits & 0x7fff) << 13;
    let normal = f32::from_bits(magnitude + F16_REBIASED);
    let subnormal = f32::from_bits(magnitude + F16_SMALLEST) - f32::from_bits(F16_SMALLEST);
    let value = if magnitude < 1 << 23 {
        subnormal
    } else {
        normal
    };
    f32::from_bits(value.to_bits() | (bits & 0x8000) << 16)
}
