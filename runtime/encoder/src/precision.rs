//! Embeddings in fewer bits: what `infer --precision` and the dialects of the server write.

use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The largest number of int8 that has its negative.
const INT8_MAX: f32 = 127.0;

/// What a uint8 has for the int8 0.
const ZERO_POINT: u8 = 128;

/// The numbers that an embedding is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// IEEE 754 binary32, as computed.
    #[default]
    Float32,
    /// IEEE 754 binary16.
    Float16,
    /// The embedding divided by a scale, which is its largest magnitude / 127.
    Int8,
    /// The same + 128.
    Uint8,
    /// Bits, as sentence-transformers packs them: 8 in a uint8, less 128.
    Binary,
    /// Bits: 8 in a uint8, the first the highest.
    Ubinary,
}

impl Precision {
    /// Every one, with what it is.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Float32, "4 bytes each"),
        (Self::Float16, "2 bytes each (IEEE 754 binary16)"),
        (
            Self::Int8,
            "1 byte each: the embedding divided by its `scale`, which is its largest magnitude / 127",
        ),
        (Self::Uint8, "The same + 128"),
        (
            Self::Binary,
            "1 bit each, whether it is above 0: 8 in an int8, the first the highest, less 128",
        ),
        (Self::Ubinary, "The same 8 in a uint8"),
    ];

    /// As libraries and APIs call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Binary => "binary",
            Self::Ubinary => "ubinary",
        }
    }

    /// Whether an embedding has a scale.
    pub const fn has_scale(self) -> bool {
        matches!(self, Self::Int8 | Self::Uint8)
    }

    /// The numbers that an embedding of so many dimensions has.
    pub const fn width(self, dimensions: usize) -> usize {
        match self {
            Self::Binary | Self::Ubinary => dimensions.div_ceil(8),
            _ => dimensions,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no precision has.
#[derive(Debug, thiserror::Error)]
#[error("no precision {0:?}")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, UnknownPrecision> {
        let mut all = Self::ALL.into_iter().map(|(precision, _)| precision);
        let found = all.find(|it| it.name() == name);
        found.ok_or_else(|| UnknownPrecision(name.to_owned()))
    }
}

impl Serialize for Precision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// An embedding in the numbers of a [`Precision`].
#[derive(Clone, Debug, PartialEq)]
pub enum Quantized<'a> {
    /// As computed.
    Float32(Cow<'a, [f32]>),
    /// Rounded to the nearest.
    Float16(Vec<f16>),
    /// Times the scale, it is the embedding.
    Int8 {
        /// From -127 to 127.
        values: Vec<i8>,
        /// The largest magnitude / 127.
        scale: f32,
    },
    /// Less 128 and times the scale, it is the embedding.
    Uint8 {
        /// From 1 to 255.
        values: Vec<u8>,
        /// The largest magnitude / 127.
        scale: f32,
    },
    /// Bits, as sentence-transformers packs them.
    Binary(Vec<i8>),
    /// Bits.
    Ubinary(Vec<u8>),
}

impl<'a> Quantized<'a> {
    /// An embedding in those numbers.
    pub fn of(embedding: impl Into<Cow<'a, [f32]>>, precision: Precision) -> Self {
        let embedding = embedding.into();
        match precision {
            Precision::Float32 => Self::Float32(embedding),
            Precision::Float16 => {
                let mut values = vec![f16::ZERO; embedding.len()];
                values.convert_from_f32_slice(&embedding);
                Self::Float16(values)
            }
            Precision::Int8 => {
                let (values, scale) = int8(&embedding);
                Self::Int8 {
                    values: values.collect(),
                    scale,
                }
            }
            Precision::Uint8 => {
                let (values, scale) = int8(&embedding);
                let above_zero = |it: i8| it.cast_unsigned().wrapping_add(ZERO_POINT);
                Self::Uint8 {
                    values: values.map(above_zero).collect(),
                    scale,
                }
            }
            Precision::Binary => {
                let signed = |byte: u8| (byte ^ 0x80).cast_signed();
                Self::Binary(bits(&embedding).map(signed).collect())
            }
            Precision::Ubinary => Self::Ubinary(bits(&embedding).collect()),
        }
    }

    /// What the numbers are to be multiplied by, of int8 and uint8.
    pub fn scale(&self) -> Option<f32> {
        match self {
            Self::Int8 { scale, .. } | Self::Uint8 { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// Little endian.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Self::Float32(values) => out.extend(values.iter().flat_map(|it| it.to_le_bytes())),
            Self::Float16(values) => out.extend(values.iter().flat_map(|it| it.to_le_bytes())),
            Self::Int8 { values, .. } | Self::Binary(values) => {
                out.extend(values.iter().map(|it| it.cast_unsigned()));
            }
            Self::Uint8 { values, .. } | Self::Ubinary(values) => out.extend(values),
        }
    }
}

/// From -127 to 127, and what to multiply them by.
fn int8(embedding: &[f32]) -> (impl Iterator<Item = i8>, f32) {
    let largest = embedding
        .iter()
        .fold(0.0_f32, |it, value| it.max(value.abs()));
    let scale = largest / INT8_MAX;
    // Of zeros every scale is right.
    let divisor = if scale > 0.0 { scale } else { 1.0 };
    #[allow(clippy::cast_possible_truncation, reason = "from -127 to 127")]
    let rounded = move |value: &f32| (value / divisor).round_ties_even() as i8;
    (embedding.iter().map(rounded), scale)
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

impl Serialize for Quantized<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Float32(values) => values.serialize(serializer),
            Self::Float16(values) => serializer.collect_seq(values.iter().map(|it| it.to_f32())),
            Self::Int8 { values, .. } | Self::Binary(values) => values.serialize(serializer),
            Self::Uint8 { values, .. } | Self::Ubinary(values) => values.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_keeps_the_direction() {
        let embedding = [0.5, -1.27, 0.0, 0.004];
        let Quantized::Int8 { values, scale } = Quantized::of(&embedding[..], Precision::Int8)
        else {
            panic!("no int8");
        };
        assert_eq!(values, [50, -127, 0, 0]);
        assert!((scale - 0.01).abs() < 1e-6);
        let above = Quantized::of(&embedding[..], Precision::Uint8);
        let values = vec![178, 1, 128, 128];
        assert_eq!(above, Quantized::Uint8 { values, scale });
        let zeros = Quantized::of(&[0.0; 2][..], Precision::Int8);
        assert_eq!(
            zeros,
            Quantized::Int8 {
                values: vec![0, 0],
                scale: 0.0
            }
        );
    }

    /// As `numpy.packbits`, of whole bytes and of others.
    #[test]
    fn bits_are_packed_from_the_highest() {
        let embedding = [1.0, -1.0, 0.0, 0.5, -0.1, 0.1, 0.2, 0.3, 7.0];
        let packed = Quantized::of(&embedding[..], Precision::Ubinary);
        assert_eq!(packed, Quantized::Ubinary(vec![0b1001_0111, 0b1000_0000]));
        let signed = Quantized::of(&embedding[..], Precision::Binary);
        assert_eq!(signed, Quantized::Binary(vec![0x17, 0]));
        assert_eq!(Precision::Binary.width(embedding.len()), 2);
    }

    #[test]
    fn a_precision_has_one_name() {
        for (precision, _) in Precision::ALL {
            assert_eq!(precision.name().parse::<Precision>().unwrap(), precision);
        }
        assert!("int4".parse::<Precision>().is_err());
    }
}
