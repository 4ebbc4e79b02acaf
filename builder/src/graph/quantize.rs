//! Storing float32 matrices in fewer bits. The inverse is
//! [`encoderfile::weights::Matrix::read_rows`].
//!
//! A scale of int8 is that with which the largest magnitude is the last step. One of int4 is the
//! one of some candidates with the least squared error, each value weighed by how large what is
//! multiplied by it is, where that was measured. It may be negative: q has one more step below
//! zero than above, which the largest magnitude of a group takes.

use super::dense::each_chunk;
use super::values::Floats;
use encoderfile::source::{ReadError, Source, checked_range};
use encoderfile::weights::{GroupLen, PANEL, WeightsEncoding};
use encoderfile_kernels::{INT4_ZERO, INT8_MAX};
use half::{bf16, f16};

/// The parts of the largest magnitude's step that are tried as a group's scale in int4.
const INT4_CANDIDATES: [f32; 8] = [0.87, 0.90, 0.92, 0.94, 0.96, 0.98, 1.0, 1.03];

/// The largest q of groups that do not take all steps.
const INT4_FEWER: [f32; 6] = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];

/// The q that a quantised value can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    least: f32,
    most: f32,
}

impl Steps {
    /// Those of an encoding that is quantised, and how many values share a scale.
    pub(super) fn of(encoding: WeightsEncoding) -> Option<(Self, GroupLen)> {
        let (least, most, group_len) = match encoding {
            WeightsEncoding::Int8(group_len) => (-INT8_MAX, INT8_MAX, group_len),
            WeightsEncoding::Int4(group_len) => {
                let zero = f32::from(INT4_ZERO);
                (-zero, zero - 1.0, group_len)
            }
            WeightsEncoding::F32 | WeightsEncoding::F16 | WeightsEncoding::Bf16 => return None,
        };
        Some((Self { least, most }, group_len))
    }

    /// q of a value.
    pub(super) fn quantise(self, value: f32, inverse_scale: f32) -> f32 {
        /// From here on floats are integers: adding it rounds, ties to even.
        const MAGIC: f32 = 12_582_912.0;
        let steps = (value * inverse_scale).clamp(self.least, self.most);
        (steps + MAGIC) - MAGIC
    }

    /// The scale with which a group's values lose least; `importance` is as long, or empty.
    pub(super) fn scale(self, values: &[f32], importance: &[f32]) -> f16 {
        let magnitude = |it: &&f32| it.abs();
        let largest = values
            .iter()
            .max_by(|a, b| magnitude(a).total_cmp(&magnitude(b)));
        let largest = largest.copied().unwrap_or_default();
        if self.least == -self.most {
            // int8, where cutting off hardly pays.
            return f16::from_f32(largest.abs() / self.most);
        }
        let whole = [largest / self.least, largest / self.most];
        let mut best = (f32::INFINITY, f16::ZERO);
        let parts = whole
            .iter()
            .flat_map(|it| INT4_CANDIDATES.iter().map(move |part| it * part));
        // Of values that were quantised before, and do not take all steps.
        let fewer = INT4_FEWER.iter().map(|steps| largest / steps);
        for candidate in parts.chain(fewer) {
            let scale = f16::from_f32(candidate);
            let error = self.error(values, importance, scale);
            if error < best.0 {
                best = (error, scale);
            }
        }
        best.1
    }

    fn error(self, values: &[f32], importance: &[f32], scale: f16) -> f32 {
        let (scale, inverse) = (scale.to_f32(), inverse(scale));
        let squared = |value: &f32| {
            let difference = value - self.quantise(*value, inverse) * scale;
            difference * difference
        };
        match importance.is_empty() {
            true => values.iter().map(squared).sum(),
            false => {
                let weighed = values.iter().zip(importance);
                weighed.map(|(value, weight)| squared(value) * weight).sum()
            }
        }
    }
}

/// What values are multiplied by to be steps; 0 for a scale of 0.
pub(super) fn inverse(scale: f16) -> f32 {
    match scale == f16::ZERO {
        true => 0.0,
        false => scale.to_f32().recip(),
    }
}

/// A unit's values, of `depth` steps of so many lanes, and for each group and lane a scale.
struct Unit<V, S> {
    depth: usize,
    lanes: usize,
    /// Of a step and a lane.
    value: V,
    /// Of a group and a lane.
    scale: S,
}

impl<V: Fn(usize, usize) -> f32, S: Fn(usize, usize) -> f16> Unit<V, S> {
    /// Appends it.
    fn encode(&self, encoding: WeightsEncoding, out: &mut Vec<u8>) {
        match encoding {
            WeightsEncoding::F32 => self.encode_values(out, f32::to_le_bytes),
            WeightsEncoding::F16 => {
                self.encode_values(out, |value| f16::from_f32(value).to_le_bytes());
            }
            WeightsEncoding::Bf16 => {
                self.encode_values(out, |value| bf16::from_f32(value).to_le_bytes());
            }
            WeightsEncoding::Int8(_) | WeightsEncoding::Int4(_) => {
                if let Some((steps, group_len)) = Steps::of(encoding) {
                    let is_int4 = matches!(encoding, WeightsEncoding::Int4(_));
                    for group in 0..self.depth.div_ceil(group_len.get()) {
                        self.encode_group(steps, group_len.get(), group, is_int4, out);
                    }
                }
            }
        }
    }

    fn encode_values<const N: usize>(&self, out: &mut Vec<u8>, encode: impl Fn(f32) -> [u8; N]) {
        for step in 0..self.depth {
            out.extend((0..self.lanes).flat_map(|lane| encode((self.value)(step, lane))));
        }
    }

    /// Its scales, and then its values.
    fn encode_group(
        &self,
        steps: Steps,
        length: usize,
        group: usize,
        is_int4: bool,
        out: &mut Vec<u8>,
    ) {
        let scales: Vec<f16> = (0..self.lanes)
            .map(|lane| (self.scale)(group, lane))
            .collect();
        out.extend(scales.iter().flat_map(|it| it.to_le_bytes()));
        let inverse: Vec<f32> = scales.iter().map(|it| inverse(*it)).collect();
        let q = |step: usize, lane: usize| match step < self.depth {
            true => steps.quantise((self.value)(step, lane), inverse[lane]),
            false => 0.0,
        };
        let nibble = |step, lane| byte(q(step, lane) + f32::from(INT4_ZERO));
        let first = group * length;
        let places = first..self.depth.min(first + length);
        for step in places.step_by(if is_int4 { 2 } else { 1 }) {
            out.extend((0..self.lanes).map(|lane| match is_int4 {
                true => nibble(step, lane) | nibble(step + 1, lane) << 4,
                false => byte(q(step, lane)),
            }));
        }
    }
}

/// An integer of −128..=255 as its lowest byte.
fn byte(q: f32) -> u8 {
    #[allow(clippy::cast_possible_truncation, reason = "whole and clamped")]
    let q = q as i16;
    q.to_le_bytes()[0]
}

/// A matrix in row-major order, whose rows are encoded when they are read.
pub(super) struct EncodedRows {
    values: Floats,
    columns: usize,
    encoding: WeightsEncoding,
    /// `[rows, groups]`.
    scales: Vec<f16>,
    row_len: usize,
}

impl EncodedRows {
    /// Looks at every value once, for the scales.
    pub(super) fn new(values: Floats, columns: usize, encoding: WeightsEncoding) -> Self {
        let columns = columns.max(1);
        let mut rows = Self {
            values,
            columns,
            encoding,
            scales: Vec::new(),
            row_len: encoding.unit_len(columns, 1).unwrap_or_default(),
        };
        if let Some((steps, group_len)) = Steps::of(encoding) {
            rows.scales = rows.find_scales(steps, group_len.get());
        }
        rows
    }

    fn find_scales(&self, steps: Steps, group: usize) -> Vec<f16> {
        const ROWS_AT_ONCE: usize = 256;

        let (rows, groups) = (
            self.values.len() / self.columns,
            self.columns.div_ceil(group),
        );
        let mut scales = vec![f16::ZERO; rows * groups];
        each_chunk(&mut scales, ROWS_AT_ONCE * groups, |piece, scales| {
            let mut values = vec![0.0; self.columns];
            for (row, scales) in scales.chunks_mut(groups).enumerate() {
                self.values
                    .copy_values((piece * ROWS_AT_ONCE + row) * self.columns, &mut values);
                for (scale, values) in scales.iter_mut().zip(values.chunks(group)) {
                    *scale = steps.scale(values, &[]);
                }
            }
        });
        scales
    }

    fn encode_row(&self, row: usize, out: &mut Vec<u8>) {
        let groups = match Steps::of(self.encoding) {
            Some((_, group_len)) => self.columns.div_ceil(group_len.get()),
            None => 0,
        };
        let value = |step: usize, _| self.values.value(row * self.columns + step);
        let scale = |group: usize, _| self.scales[row * groups + group];
        out.clear();
        let unit = Unit {
            depth: self.columns,
            lanes: 1,
            value,
            scale,
        };
        unit.encode(self.encoding, out);
    }
}

impl Source for EncodedRows {
    fn len(&self) -> u64 {
        (self.values.len() / self.columns * self.row_len) as u64
    }

    fn read_at(&self, offset: u64, mut buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, Source::len(self))?;
        let mut position = usize::try_from(range.start)?;
        let mut row = Vec::with_capacity(self.row_len);
        while !buffer.is_empty() {
            self.encode_row(position / self.row_len, &mut row);
            let part = &row[position % self.row_len..];
            let length = part.len().min(buffer.len());
            let (now, rest) = std::mem::take(&mut buffer).split_at_mut(length);
            now.copy_from_slice(&part[..length]);
            position += length;
            buffer = rest;
        }
        Ok(())
    }
}

/// The scales of a matrix `[depth, columns]` whose groups are down its columns: row-major
/// `[groups, columns]`, or none where the encoding has none. `importance` is for each row, or
/// empty.
pub(super) fn column_scales(
    values: &[f32],
    columns: usize,
    importance: &[f32],
    encoding: WeightsEncoding,
) -> Vec<f16> {
    let Some((steps, group_len)) = Steps::of(encoding) else {
        return Vec::new();
    };
    let group = group_len.get();
    let columns = columns.max(1);
    let depth = values.len() / columns;
    let mut scales = vec![f16::ZERO; depth.div_ceil(group) * columns];
    each_chunk(&mut scales, columns, |piece, scales| {
        let rows = piece * group..depth.min((piece + 1) * group);
        let importance = importance.get(rows.clone()).unwrap_or_default();
        let mut of_column = vec![0.0; rows.len()];
        for (column, scale) in scales.iter_mut().enumerate() {
            for (to, row) in of_column.iter_mut().zip(rows.clone()) {
                *to = values[row * columns + column];
            }
            *scale = steps.scale(&of_column, importance);
        }
    });
    scales
}

/// Encodes a matrix `[depth, columns]` in panels, with the scales of [`column_scales`].
pub(super) fn encode_panels(
    values: &[f32],
    columns: usize,
    encoding: WeightsEncoding,
    scales: &[f16],
) -> Vec<u8> {
    let columns = columns.max(1);
    let depth = values.len() / columns;
    let mut bytes = Vec::new();
    for first in (0..columns).step_by(PANEL) {
        let value = |step: usize, lane: usize| match first + lane < columns {
            true => values[step * columns + first + lane],
            false => 0.0,
        };
        let scale = |group: usize, lane: usize| match first + lane < columns {
            true => scales[group * columns + first + lane],
            false => f16::ZERO,
        };
        let unit = Unit {
            depth,
            lanes: PANEL,
            value,
            scale,
        };
        unit.encode(encoding, &mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::weights::{External, Layout, Matrix};
    use std::sync::Arc;

    const SHAPE: (usize, usize) = (130, 70);

    const GROUPS: [GroupLen; 3] = GroupLen::ALL;

    fn matrix() -> Vec<f32> {
        let values = 0..SHAPE.0 * SHAPE.1;
        values
            .map(|it| ((it * 7919) % 1009) as f32 / 500.0 - 1.0)
            .collect()
    }

    fn floats(values: &[f32]) -> Floats {
        Floats::F32(values.iter().flat_map(|it| it.to_le_bytes()).collect())
    }

    /// All of a source, read in pieces that fit nothing.
    fn stored(source: &impl Source) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(source.len()).unwrap()];
        for (index, piece) in all.chunks_mut(37).enumerate() {
            source.read_at(index as u64 * 37, piece).unwrap();
        }
        all
    }

    /// What is read of a matrix that was stored so, all of it and row by row.
    fn stored_and_read(values: &[f32], encoding: WeightsEncoding, layout: Layout) -> Vec<f32> {
        let bytes = match layout {
            Layout::Rows => stored(&EncodedRows::new(floats(values), SHAPE.1, encoding)),
            Layout::Panels => {
                let scales = column_scales(values, SHAPE.1, &[], encoding);
                encode_panels(values, SHAPE.1, encoding, &scales)
            }
        };
        let place = External {
            offset: 0,
            length: bytes.len() as u64,
            encoding,
            layout,
        };
        let source: Arc<dyn Source> = Arc::new(bytes);
        let matrix = Matrix::new("test", SHAPE, &place, &source).unwrap();
        let mut all = vec![0.0; SHAPE.0 * SHAPE.1];
        matrix.read_rows(0, &mut all).unwrap();
        let mut row = vec![0.0; SHAPE.1];
        for index in 0..SHAPE.0 {
            matrix.read_rows(index, &mut row).unwrap();
            assert_eq!(row, all[index * SHAPE.1..][..SHAPE.1], "row {index}");
        }
        assert!(matrix.read_rows(SHAPE.0, &mut row).is_err());
        all
    }

    #[test]
    fn values_are_within_half_a_step_of_their_group() {
        let values = matrix();
        for layout in [Layout::Rows, Layout::Panels] {
            for group_len in GROUPS {
                // The largest value is 1.018. What is cut off is at most the part of it that a
                // smaller scale does not reach.
                for (encoding, most) in [
                    (
                        WeightsEncoding::Int8(group_len),
                        1.018 / 127.0 / 2.0 + 0.041,
                    ),
                    (WeightsEncoding::Int4(group_len), 1.018 / 7.0 / 2.0 + 0.31),
                ] {
                    let read = stored_and_read(&values, encoding, layout);
                    for (value, read) in values.iter().zip(&read) {
                        assert!((value - read).abs() <= most, "{encoding}: {value} {read}");
                    }
                    let squared = |errors: &mut dyn Iterator<Item = f32>| -> f32 {
                        errors.map(|it| it * it).sum()
                    };
                    let errors = values.iter().zip(&read).map(|(a, b)| a - b);
                    let error = squared(&mut errors.into_iter());
                    let all = squared(&mut values.iter().copied());
                    // Uniform values: a step squared over 12, a little more in few steps.
                    let step: f32 = match encoding {
                        WeightsEncoding::Int8(_) => 2.0 / 254.0,
                        _ => 2.0 / 15.0,
                    };
                    let bound = step * step / 12.0 * 1.1 * values.len() as f32;
                    assert!(
                        error <= bound,
                        "{encoding}: {error} of {all}, bound {bound}"
                    );
                }
            }
        }
    }

    #[test]
    fn floats_are_the_nearest() {
        let values = matrix();
        for layout in [Layout::Rows, Layout::Panels] {
            let halves = stored_and_read(&values, WeightsEncoding::F16, layout);
            let brains = stored_and_read(&values, WeightsEncoding::Bf16, layout);
            let whole = stored_and_read(&values, WeightsEncoding::F32, layout);
            for (place, value) in values.iter().enumerate() {
                assert_eq!(f16::from_f32(*value).to_f32(), halves[place]);
                assert_eq!(bf16::from_f32(*value).to_f32(), brains[place]);
                assert_eq!(*value, whole[place]);
            }
        }
    }

    #[test]
    fn zeros_and_tiny_values_survive() {
        let mut values = vec![0.0_f32; SHAPE.0 * SHAPE.1];
        values[3] = 1e-9;
        for encoding in GROUPS.map(WeightsEncoding::Int4) {
            let read = stored_and_read(&values, encoding, Layout::Rows);
            assert!(read.iter().all(|it| it.abs() <= 1e-5));
        }
    }

    /// A group whose largest value is far below zero, or above: all sixteen steps are used.
    #[test]
    fn the_largest_magnitude_is_an_end() {
        let (steps, _) = Steps::of(WeightsEncoding::Int4(GroupLen::G32)).unwrap();
        for sign in [1.0, -1.0] {
            let values: Vec<f32> = (-7..=8).map(|it| sign * it as f32 / 4.0).collect();
            let scale = steps.scale(&values, &[]);
            for value in &values {
                let q = steps.quantise(*value, inverse(scale));
                assert_eq!(q * scale.to_f32(), *value, "scale {scale}");
            }
        }
    }

    #[test]
    fn values_on_steps_stay() {
        let (steps, _) = Steps::of(WeightsEncoding::Int4(GroupLen::G32)).unwrap();
        for largest in 1..=7 {
            for sign in [1, -1] {
                let q = (0..32).map(|place| sign * (place * 7 % (2 * largest + 1) - largest));
                let values: Vec<f32> = q.map(|q| q as f32 * 0.25).collect();
                let scale = steps.scale(&values, &[]);
                for value in &values {
                    let q = steps.quantise(*value, inverse(scale));
                    assert_eq!(q * scale.to_f32(), *value, "{largest}: scale {scale}");
                }
            }
        }
    }

    #[test]
    fn what_is_multiplied_by_more_is_rounded_less() {
        let (steps, _) = Steps::of(WeightsEncoding::Int4(GroupLen::G32)).unwrap();
        let mut values = vec![0.11; 32];
        values[0] = 1.0;
        let mut importance = vec![1.0; 32];
        importance[0] = 1e-6;
        let error = |importance: &[f32]| {
            let scale = steps.scale(&values, importance);
            (steps.quantise(0.11, inverse(scale)) * scale.to_f32() - 0.11).abs()
        };
        assert!(error(&importance) < error(&[]));
    }
}
