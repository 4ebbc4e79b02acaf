//! Storing float32 matrices smaller. The inverse is
//! [`encoderfile_runtime::weights::Matrix::read_rows`].

use encoderfile_runtime::weights::{GROUP_LEN, GroupAxis, scale_shape};
use half::f16;

/// float32 bytes as float16 bytes, rounded to nearest.
pub(super) fn to_f16(bytes: &[u8]) -> Vec<u8> {
    let values = values(bytes);
    values
        .flat_map(|value| f16::from_f32(value).to_le_bytes())
        .collect()
}

/// float32 bytes as group scales and int8 values.
pub(super) fn to_int8(bytes: &[u8], columns: usize, group_axis: GroupAxis) -> Vec<u8> {
    let values: Vec<f32> = values(bytes).collect();
    let rows = values.len() / columns.max(1);
    let (scale_rows, scale_columns) = scale_shape(rows, columns, group_axis);
    let group = |row: usize, column: usize| match group_axis {
        GroupAxis::Rows => row / GROUP_LEN * scale_columns + column,
        GroupAxis::Columns => row * scale_columns + column / GROUP_LEN,
    };

    let mut largest = vec![0.0_f32; scale_rows * scale_columns];
    for (row, values) in values.chunks_exact(columns).enumerate() {
        for (column, value) in values.iter().enumerate() {
            let largest = &mut largest[group(row, column)];
            *largest = largest.max(value.abs());
        }
    }
    let scales: Vec<f16> = largest.iter().map(|largest| scale(*largest)).collect();
    let mut stored: Vec<u8> = scales
        .iter()
        .flat_map(|scale| scale.to_le_bytes())
        .collect();
    stored.reserve(values.len());
    for (row, values) in values.chunks_exact(columns).enumerate() {
        for (column, value) in values.iter().enumerate() {
            stored.push(quantise(*value, scales[group(row, column)]).to_le_bytes()[0]);
        }
    }
    stored
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

fn values(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let values = bytes.chunks_exact(4);
    values.map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile_runtime::source::Source;
    use encoderfile_runtime::weights::{Encoding, External, Matrix};
    use std::sync::Arc;

    const SHAPE: (usize, usize) = (130, 70);

    fn matrix() -> Vec<f32> {
        let values = 0..SHAPE.0 * SHAPE.1;
        values
            .map(|it| ((it * 7919) % 1009) as f32 / 500.0 - 1.0)
            .collect()
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

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|it| it.to_le_bytes()).collect()
    }

    #[test]
    fn int8_is_within_half_a_step_of_its_group() {
        let values = matrix();
        for group_axis in [GroupAxis::Rows, GroupAxis::Columns] {
            let stored = to_int8(&bytes(&values), SHAPE.1, group_axis);
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
        let decoded = decode(to_f16(&bytes(&values)), Encoding::F16);
        for (value, decoded) in values.iter().zip(&decoded) {
            assert_eq!(f16::from_f32(*value).to_f32(), *decoded);
        }
    }

    #[test]
    fn zeros_and_tiny_values_survive() {
        let mut values = vec![0.0_f32; SHAPE.0 * SHAPE.1];
        values[3] = 1e-9;
        let stored = to_int8(&bytes(&values), SHAPE.1, GroupAxis::Columns);
        let decoded = decode(
            stored,
            Encoding::Int8 {
                group_axis: GroupAxis::Columns,
            },
        );
        assert!(decoded.iter().all(|it| it.abs() <= 1e-5 && it.is_finite()));
    }
}
