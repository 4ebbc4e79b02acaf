//! Embeddings in fewer bits.

use crate::cli::Precision;
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Serialize, Serializer};

/// The largest number of int8 that has its negative.
const INT8_MAX: f32 = 127.0;

/// An embedding in the numbers that were asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Vector<'a> {
    /// As computed.
    Float32(&'a [f32]),
    /// Rounded to the nearest.
    Float16(Vec<f16>),
    /// Times the scale, it is the embedding.
    Int8 {
        /// From -127 to 127.
        values: Vec<i8>,
        /// The largest magnitude / 127.
        scale: f32,
    },
    /// Bits, as sentence-transformers packs them.
    Binary(Vec<i8>),
    /// Bits.
    Ubinary(Vec<u8>),
}

impl<'a> Vector<'a> {
    pub(crate) fn of(embedding: &'a [f32], precision: Precision) -> Self {
        match precision {
            Precision::Float32 => Self::Float32(embedding),
            Precision::Float16 => {
                let mut values = vec![f16::ZERO; embedding.len()];
                values.convert_from_f32_slice(embedding);
                Self::Float16(values)
            }
            Precision::Int8 => int8(embedding),
            Precision::Binary => {
                let signed = |byte: u8| (byte ^ 0x80).cast_signed();
                Self::Binary(bits(embedding).map(signed).collect())
            }
            Precision::Ubinary => Self::Ubinary(bits(embedding).collect()),
        }
    }

    /// What the numbers are to be multiplied by, of int8.
    pub fn scale(&self) -> Option<f32> {
        match self {
            Self::Int8 { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// Little endian.
    pub(crate) fn write_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Self::Float32(values) => out.extend(values.iter().flat_map(|it| it.to_le_bytes())),
            Self::Float16(values) => out.extend(values.iter().flat_map(|it| it.to_le_bytes())),
            Self::Int8 { values, .. } | Self::Binary(values) => {
                out.extend(values.iter().map(|it| it.cast_unsigned()));
            }
            Self::Ubinary(values) => out.extend(values),
        }
    }
}

fn int8(embedding: &[f32]) -> Vector<'_> {
    let largest = embedding
        .iter()
        .fold(0.0_f32, |it, value| it.max(value.abs()));
    let scale = largest / INT8_MAX;
    // Of zeros every scale is right.
    let divisor = if scale > 0.0 { scale } else { 1.0 };
    #[allow(clippy::cast_possible_truncation, reason = "from -127 to 127")]
    let rounded = |value: &f32| (value / divisor).round_ties_even() as i8;
    Vector::Int8 {
        values: embedding.iter().map(rounded).collect(),
        scale,
    }
}

/// Whether each number is above 0: the first of eight is the highest bit.
fn bits(embedding: &[f32]) -> impl Iterator<Item = u8> {
    let byte = |values: &[f32]| {
        let set = |(value, bit): (&f32, u8)| if *value > 0.0 { bit } else { 0 };
        values
            .iter()
            .zip((0..8).map(|it| 0x80 >> it))
            .map(set)
            .sum()
    };
    embedding.chunks(8).map(byte)
}

impl Serialize for Vector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Float32(values) => values.serialize(serializer),
            Self::Float16(values) => serializer.collect_seq(values.iter().map(|it| it.to_f32())),
            Self::Int8 { values, .. } | Self::Binary(values) => values.serialize(serializer),
            Self::Ubinary(values) => values.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_keeps_the_direction() {
        let embedding = [0.5, -1.27, 0.0, 0.004];
        let Vector::Int8 { values, scale } = Vector::of(&embedding, Precision::Int8) else {
            panic!("no int8");
        };
        assert_eq!(values, [50, -127, 0, 0]);
        assert!((scale - 0.01).abs() < 1e-6);
        let zeros = Vector::of(&[0.0; 2], Precision::Int8);
        assert_eq!(
            zeros,
            Vector::Int8 {
                values: vec![0, 0],
                scale: 0.0
            }
        );
    }

    /// As `numpy.packbits`, of whole bytes and of others.
    #[test]
    fn bits_are_packed_from_the_highest() {
        let embedding = [1.0, -1.0, 0.0, 0.5, -0.1, 0.1, 0.2, 0.3, 7.0];
        let packed = Vector::of(&embedding, Precision::Ubinary);
        assert_eq!(packed, Vector::Ubinary(vec![0b1001_0111, 0b1000_0000]));
        let signed = Vector::of(&embedding, Precision::Binary);
        assert_eq!(signed, Vector::Binary(vec![0x17, 0]));
    }
}
