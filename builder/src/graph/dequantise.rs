//! The values that a quantised tensor stands for: `scale · (q − zero point)`, in float32.
//!
//! **Invariant:** lengths are checked before anything is read, and scales are finite.

use super::quantised::{Code, Quantised};
use super::values::Floats;
use crate::checkpoint::spool;
use bytes::Bytes;
use encoderfile::onnx::{TensorProto, tensor_proto::DataType};
use std::io;

/// Integers of 2 to 32 bits, the lowest bits of a byte first.
pub(super) struct Integers {
    bytes: Bytes,
    bits: u32,
    is_signed: bool,
}

impl Integers {
    /// The values of a tensor of integers.
    pub(super) fn of(tensor: &TensorProto) -> Result<Self, String> {
        let (bits, is_signed) = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Uint2) => (2, false),
            Ok(DataType::Int2) => (2, true),
            Ok(DataType::Uint4) => (4, false),
            Ok(DataType::Int4) => (4, true),
            Ok(DataType::Uint8) => (8, false),
            Ok(DataType::Int8) => (8, true),
            Ok(DataType::Uint16) => (16, false),
            Ok(DataType::Int16) => (16, true),
            Ok(DataType::Int32) => (32, true),
            Ok(other) => return Err(format!("`{}` is of {other:?}", tensor.name)),
            Err(_) => {
                let (name, data_type) = (&tensor.name, tensor.data_type);
                return Err(format!("`{name}` is of the unknown type {data_type}"));
            }
        };
        let bytes = bytes(tensor, bits);
        let expected = count(&tensor.dims).and_then(|count| count.checked_mul(bits as usize));
        let expected = expected.map(|it| it.div_ceil(8));
        match expected == Some(bytes.len()) {
            true => Ok(Self {
                bytes,
                bits,
                is_signed,
            }),
            false => Err(format!(
                "`{}` has {} bytes for the shape {:?}",
                tensor.name,
                bytes.len(),
                tensor.dims
            )),
        }
    }

    /// Unsigned ones of so many bits, as the bytes of a uint8 tensor hold them.
    pub(super) fn packed(tensor: &TensorProto, bits: u32) -> Result<Self, String> {
        let bytes = Self::of(tensor)?;
        match (bytes.bits, bytes.is_signed) {
            (8, false) => Ok(Self { bits, ..bytes }),
            _ => Err(format!("`{}` is not of uint8", tensor.name)),
        }
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// What stands for zero where nothing is said, of values that have a sign or not.
    pub(super) fn middle(&self) -> i32 {
        match self.is_signed {
            true => 0,
            false => 1 << (self.bits - 1),
        }
    }

    /// The value at `index`, which is in the bytes.
    pub(super) fn value(&self, index: usize) -> i32 {
        let start = index * self.bits as usize;
        let first = start / 8;
        let width = self.bits.div_ceil(8) as usize;
        let bytes = &self.bytes[first..first + width];
        let raw = bytes
            .iter()
            .rev()
            .fold(0, |raw, it| raw << 8 | u32::from(*it));
        // To the top, and down again with the sign or without it.
        let unused = 32 - self.bits;
        let raw = raw >> (start % 8) << unused;
        match self.is_signed {
            true => raw.cast_signed() >> unused,
            false => (raw >> unused).cast_signed(),
        }
    }
}

/// The bytes of a tensor, from whichever field has them. Several values of fewer than 8 bits
/// are one number.
fn bytes(tensor: &TensorProto, bits: u32) -> Bytes {
    if !tensor.raw_data.is_empty() {
        return tensor.raw_data.clone();
    }
    let width = bits.div_ceil(8) as usize;
    let numbers = tensor.int32_data.iter().map(|it| it.to_le_bytes());
    let bytes: Vec<u8> = numbers.flat_map(|it| it.into_iter().take(width)).collect();
    bytes.into()
}

/// How many values a shape has, if that is a number.
pub(super) fn count(dims: &[i64]) -> Option<usize> {
    let mut dims = dims.iter().map(|dim| usize::try_from(*dim).ok());
    dims.try_fold(1_usize, |count, dim| count.checked_mul(dim?))
}

/// The values of a tensor of float32 or float16, of which none is NaN or infinite.
pub(super) fn floats(tensor: &TensorProto) -> Result<Floats, String> {
    let name = &tensor.name;
    if !matches!(
        DataType::try_from(tensor.data_type),
        Ok(DataType::Float | DataType::Float16)
    ) {
        return Err(format!("`{name}` is neither of float32 nor of float16"));
    }
    let floats = Floats::take(&mut tensor.clone());
    if count(&tensor.dims) != Some(floats.len()) {
        let (dims, length) = (&tensor.dims, floats.len());
        return Err(format!(
            "`{name}` has {length} values for the shape {dims:?}"
        ));
    }
    let mut values = (0..floats.len()).map(|index| floats.value(index));
    match values.find(|it| !it.is_finite()) {
        Some(value) => Err(format!("`{name}` holds {value}")),
        None => Ok(floats),
    }
}

/// Zero points by the place of their scale.
pub(super) enum ZeroPoints {
    /// The same for all.
    One(i32),
    Floats(Floats),
    Integers {
        values: Integers,
        /// How many belong together, and how many those are with the padding after them.
        row: usize,
        stride: usize,
    },
}

impl ZeroPoints {
    fn value(&self, place: usize) -> f32 {
        match self {
            Self::One(value) => float(*value),
            Self::Floats(floats) => floats.value(place),
            Self::Integers {
                values,
                row,
                stride,
            } => float(values.value(place / row * stride + place % row)),
        }
    }
}

/// As the operators convert them: exact but for 32 bits.
#[allow(clippy::cast_precision_loss, reason = "what the operators do, too")]
fn float(integer: i32) -> f32 {
    integer as f32
}

/// Integers with their scales and zero points.
pub(super) struct Quantities {
    pub(super) integers: Integers,
    pub(super) scales: Floats,
    pub(super) zero_points: ZeroPoints,
}

impl Quantities {
    /// The value at `index` by the scale at `place`.
    pub(super) fn value(&self, index: usize, place: usize) -> f32 {
        let integer = float(self.integers.value(index));
        (integer - self.zero_points.value(place)) * self.scales.value(place)
    }

    /// How they are quantised, of `operator`, along `axis` in blocks if those are given.
    pub(super) fn describe(
        &self,
        operator: &str,
        axis: Option<usize>,
        block_size: Option<usize>,
    ) -> Quantised {
        let middle = float(self.integers.middle());
        let mut places = 0..self.scales.len();
        Quantised {
            operator: operator.to_owned(),
            code: Code::Integer,
            bits: self.integers.bits(),
            axis,
            block_size,
            zero_points: places.any(|place| self.zero_points.value(place) != middle),
        }
    }
}

/// A matrix `[rows, columns]` of float32, in a temporary file if it is large.
pub(super) fn matrix(
    rows: usize,
    columns: usize,
    value: impl Fn(usize, usize) -> f32,
) -> Result<Bytes, String> {
    let length = rows.checked_mul(columns).and_then(|it| it.checked_mul(4));
    let length = length.ok_or_else(|| format!("{rows} × {columns} values"))?;
    let written = spool::write(length, |out| {
        for row in 0..rows {
            (0..columns).try_for_each(|column| out.write_all(&value(row, column).to_le_bytes()))?;
        }
        Ok(())
    });
    written.map_err(|error: io::Error| format!("a temporary file of its values: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: DataType, dims: &[i64], raw: &[u8]) -> TensorProto {
        TensorProto {
            name: "t".into(),
            data_type: data_type.into(),
            dims: dims.to_vec(),
            raw_data: raw.to_vec().into(),
            ..TensorProto::default()
        }
    }

    fn values(tensor: &TensorProto) -> Vec<i32> {
        let integers = Integers::of(tensor).unwrap();
        let count = count(&tensor.dims).unwrap();
        (0..count).map(|index| integers.value(index)).collect()
    }

    #[test]
    fn integers_are_read_in_every_width() {
        let bytes = [0b1110_0100, 0x80];
        let of = |data_type, count| values(&tensor(data_type, &[count], &bytes));
        assert_eq!(of(DataType::Uint2, 5), [0, 1, 2, 3, 0]);
        assert_eq!(of(DataType::Int2, 8), [0, 1, -2, -1, 0, 0, 0, -2]);
        assert_eq!(of(DataType::Uint4, 3), [4, 14, 0]);
        assert_eq!(of(DataType::Int4, 4), [4, -2, 0, -8]);
        assert_eq!(of(DataType::Uint8, 2), [228, 128]);
        assert_eq!(of(DataType::Int8, 2), [-28, -128]);
        assert_eq!(of(DataType::Uint16, 1), [0x80e4]);
        assert_eq!(of(DataType::Int16, 1), [-0x7f1c]);
        let bytes = (-5_i32).to_le_bytes();
        assert_eq!(values(&tensor(DataType::Int32, &[1], &bytes)), [-5]);
    }

    #[test]
    fn numbers_are_read_as_bytes_are() {
        let mut numbers = tensor(DataType::Int4, &[3], &[]);
        numbers.int32_data = vec![0xe4, 0x0f];
        assert_eq!(values(&numbers), [4, -2, -1]);
        let mut numbers = tensor(DataType::Int8, &[2], &[]);
        numbers.int32_data = vec![-3, 5];
        assert_eq!(values(&numbers), [-3, 5]);
    }

    #[test]
    fn lengths_types_and_what_is_not_finite_are_refused() {
        let refused = |tensor: &TensorProto| Integers::of(tensor).is_err();
        assert!(refused(&tensor(DataType::Uint4, &[3], &[0])));
        assert!(refused(&tensor(DataType::Uint4, &[-1], &[])));
        assert!(refused(&tensor(DataType::Int8, &[i64::MAX, 8], &[0])));
        assert!(refused(&tensor(DataType::Float, &[1], &[0; 4])));
        assert!(Integers::packed(&tensor(DataType::Int8, &[1], &[0]), 4).is_err());
        for value in [f32::NAN, f32::INFINITY] {
            let bytes = value.to_le_bytes();
            assert!(floats(&tensor(DataType::Float, &[1], &bytes)).is_err());
        }
        assert!(floats(&tensor(DataType::Float, &[2], &[0; 4])).is_err());
        assert!(floats(&tensor(DataType::Int32, &[1], &[0; 4])).is_err());
    }

    #[test]
    fn a_value_has_the_scale_and_the_zero_point_of_its_place() {
        let integers = tensor(DataType::Uint8, &[2], &[0x21, 0x43]);
        let zero_points = tensor(DataType::Uint8, &[2], &[0x05, 0x07]);
        let scales = [0.5_f32, 2.0].map(f32::to_le_bytes);
        let scales = tensor(DataType::Float, &[2], scales.as_flattened());
        let quantities = Quantities {
            integers: Integers::packed(&integers, 4).unwrap(),
            scales: floats(&scales).unwrap(),
            zero_points: ZeroPoints::Integers {
                values: Integers::packed(&zero_points, 4).unwrap(),
                row: 1,
                stride: 2,
            },
        };
        let value = |index| quantities.value(index, index / 2);
        assert_eq!([0, 1, 2, 3].map(value), [-2.0, -1.5, -8.0, -6.0]);
        let how = quantities.describe("MatMulNBits", Some(0), Some(2));
        assert_eq!(
            how.to_string(),
            "MatMulNBits int4 with zero points in blocks of 2"
        );
    }
}
