//! How embeddings are written: in which numbers, and as a list or as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encoderfile::precision::{Precision, Quantized};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Numbers by the names that Cohere, Voyage and Jina have for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = embeddings::OutputDtype)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutputDtype {
    /// float32.
    #[default]
    Float,
    /// IEEE 754 binary16.
    Float16,
    /// The embedding divided by its `scale`, its largest magnitude / 127.
    Int8,
    /// The same + 128.
    Uint8,
    /// Whether each value is above 0: 8 bits in an int8, the first the highest, less 128.
    Binary,
    /// The same 8 in a uint8.
    Ubinary,
}

impl From<OutputDtype> for Precision {
    fn from(dtype: OutputDtype) -> Self {
        match dtype {
            OutputDtype::Float => Self::Float32,
            OutputDtype::Float16 => Self::Float16,
            OutputDtype::Int8 => Self::Int8,
            OutputDtype::Uint8 => Self::Uint8,
            OutputDtype::Binary => Self::Binary,
            OutputDtype::Ubinary => Self::Ubinary,
        }
    }
}

/// A list of numbers, or their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = embeddings::EncodingFormat)]
#[serde(rename_all = "snake_case")]
pub(super) enum EncodingFormat {
    #[default]
    Float,
    /// Little-endian.
    Base64,
}

/// An embedding in JSON.
#[derive(Serialize, ToSchema)]
#[schema(as = embeddings::Vector)]
#[serde(untagged)]
pub(super) enum Vector {
    #[schema(value_type = Vec<f32>)]
    Numbers(Quantized<'static>),
    Base64(String),
}

impl EncodingFormat {
    /// An embedding, and its scale where it has one.
    pub(super) fn write(self, embedding: Vec<f32>, dtype: OutputDtype) -> (Vector, Option<f32>) {
        let numbers = Quantized::of(embedding, dtype.into());
        let scale = numbers.scale();
        let vector = match self {
            Self::Float => Vector::Numbers(numbers),
            Self::Base64 => {
                let mut bytes = Vec::new();
                numbers.write_bytes(&mut bytes);
                Vector::Base64(STANDARD.encode(bytes))
            }
        };
        (vector, scale)
    }
}
