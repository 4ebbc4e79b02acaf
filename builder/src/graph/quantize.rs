//! Storing float32 matrices smaller. The inverse is
//! [`encoderfile::weights::Matrix::read_rows`].

use super::values::Floats;
use encoderfile::source::{ReadError, Source, checked_range};
use encoderfile::weights::{GROUP_LEN, GroupAxis, scale_shape};
use half::f16;

/// A matrix as group scales and int8 values, which are computed when they are read.
pub(super) struct Int8 {
    values: Floats,
    columns: usize,
    group_axis: GroupAxis,
    scales: Vec<f16>,
}

impl Int8 {
    /// Looks at every value once, for the scales.
    pub(super) fn new(values: Floats, columns: usize, group_axis: GroupAxis) -> Self {
        let columns = columns.max(1);
        let rows = values.len() / columns;
        let (scale_rows, scale_columns) = scale_shape(rows, columns, group_axis);
        let mut matrix = Self {
            values,
            columns,
            group_axis,
            scales: Vec::new(),
        };
        let mut largest = vec![0.0_f32; scale_rows * scale_columns];
        matrix.for_each(0..rows * columns, |value, group| {
            largest[group] = largest[group].max(value.abs());
        });
        matrix.scales = largest.iter().map(|largest| scale(*largest)).collect();
        matrix
    }

    /// Visits values in row-major order, each with the place of its scale.
    fn for_each(&self, range: std::ops::Range<usize>, mut visit: impl FnMut(f32, usize)) {
        let columns = self.columns;
        let scale_columns = match self.group_axis {
            GroupAxis::Rows => columns,
            GroupAxis::Columns => columns.div_ceil(GROUP_LEN),
        };
        let (mut row, mut column) = (range.start / columns, range.start % columns);
        for index in range {
            let group = match self.group_axis {
                GroupAxis::Rows => row / GROUP_LEN * scale_columns + column,
                GroupAxis::Columns => row * scale_columns + column / GROUP_LEN,
            };
            visit(self.values.value(index), group);
            column += 1;
            if column == columns {
                (row, column) = (row + 1, 0);
            }
        }
    }
}

/// Scales first, then values.
impl Source for Int8 {
    fn len(&self) -> u64 {
        (self.scales.len() * 2 + self.values.len()) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, Source::len(self))?;
        let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
        let scales_len = self.scales.len() * 2;
        let (scales, values) =
            buffer.split_at_mut(scales_len.saturating_sub(start).min(end - start));
        for (byte, position) in scales.iter_mut().zip(start..) {
            *byte = self.scales[position / 2].to_le_bytes()[position % 2];
        }
        let first = start.max(scales_len) - scales_len;
        let mut out = values.iter_mut();
        self.for_each(first..first + out.len(), |value, group| {
            if let Some(byte) = out.next() {
                *byte = quantise(value, self.scales[group]).to_le_bytes()[0];
            }
        });
        Ok(())
    }
}

/// The scale with which `largest` becomes 127: rounded up, so that it does not exceed it.
fn scale(largest: f32) -> f16 {
    let exact = largest / 127.0;
    let rounded = f16::from_f32(exact);
    if rounded.to_f32() < exact {
        return f16::from_bits(rounded.to_bits() + 1);
    }
    rounded
}

fn quantise(value: f32, scale: f16) -> i8 {
    let scale = scale.to_f32();
    if scale == 0.0 {
        return 0;
    }
    // Within −127..=127 by the clamp.
    #[allow(clippy::cast_possible_truncation, reason = "clamped")]
    let quantised = (value / scale).round().clamp(-127.0, 127.0) as i8;
    quantised
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::weights::{Encoding, External, Matrix};
    use std::sync::Arc;

    const SHAPE: (usize, usize) = (130, 70);

    fn matrix() -> Vec<f32> {
        let values = 0..SHAPE.0 * SHAPE.1;
        values
            .map(|it| ((it * 7919) % 1009) as f32 / 500.0 - 1.0)
            .collect()
    }

    fn to_int8(values: &[f32], group_axis: GroupAxis) -> Vec<u8> {
        stored(Int8::new(floats(values), SHAPE.1, group_axis))
    }

    /// All of a source, read in pieces that fit nothing.
    fn stored(source: impl Source) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(source.len()).unwrap()];
        for (index, piece) in all.chunks_mut(37).enumerate() {
            source.read_at(index as u64 * 37, piece).unwrap();
        }
        all
    }

    fn decode(stored: Vec<u8>, encoding: Encoding) -> Vec<f32> {
        let place = External {
            offset: 0,
            length: stored.len() as u64,
            encoding,
        };
        let source: Arc<dyn Source> = Arc::new(stored);
        let matrix = Matrix::new("test", SHAPE, &place, &source).unwrap();
        let mut all = vec![0.0; SHAPE.0 * SHAPE.1];
        matrix.read_rows(0, &mut all).unwrap();
        let mut row = vec![0.0; SHAPE.1];
        for index in 0..SHAPE.0 {
            matrix.read_rows(index, &mut row).unwrap();
            assert_eq!(row, all[index * SHAPE.1..][..SHAPE.1], "row {index}");
        }
        all
    }

    fn floats(values: &[f32]) -> Floats {
        Floats::F32(values.iter().flat_map(|it| it.to_le_bytes()).collect())
    }

    #[test]
    fn int8_is_within_half_a_step_of_its_group() {
        let values = matrix();
        for group_axis in [GroupAxis::Rows, GroupAxis::Columns] {
            let stored = to_int8(&values, group_axis);
            let decoded = decode(stored, Encoding::Int8 { group_axis });
            for (value, decoded) in values.iter().zip(&decoded) {
                // The largest value is 1.018, so a step is at most 0.00803.
                assert!((value - decoded).abs() <= 0.00403, "{value} {decoded}");
            }
        }
    }

    #[test]
    fn f16_is_the_nearest() {
        let values = matrix();
        let decoded = decode(stored(floats(&values).into_f16()), Encoding::F16);
        for (value, decoded) in values.iter().zip(&decoded) {
            assert_eq!(f16::from_f32(*value).to_f32(), *decoded);
        }
    }

    #[test]
    fn zeros_and_tiny_values_survive() {
        let mut values = vec![0.0_f32; SHAPE.0 * SHAPE.1];
        values[3] = 1e-9;
        let stored = to_int8(&values, GroupAxis::Columns);
        let decoded = decode(
            stored,
            Encoding::Int8 {
                group_axis: GroupAxis::Columns,
            },
        );
        assert!(decoded.iter().all(|it| it.abs() <= 1e-5 && it.is_finite()));
    }
}
