//! `quantization:` of a model, and what of it is served.

use anyhow::{bail, ensure};
use encoderfile::manifest::WeightsEncoding;
use schemars::JsonSchema;
use serde::Deserialize;

/// How the large matrices are stored. `bits` and `dtype` say the same.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "quantization")]
pub struct Quantization {
    /// Bits of a value: 32, 16, 8 or 4.
    #[schemars(extend("enum" = [32, 16, 8, 4, null]))]
    pub bits: Option<u32>,
    /// Type of a value.
    pub dtype: Option<Dtype>,
    /// Values that share a scale.
    #[schemars(range(min = 1))]
    pub group_size: Option<u32>,
    /// The most that the weights may take, in megabytes.
    #[schemars(range(min = 1))]
    pub target_size_mb: Option<u32>,
}

/// A type of values, as PyTorch calls it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32 bits.
    Float32,
    /// 16 bits.
    Float16,
    /// 16 bits, with the range of float32.
    Bfloat16,
    /// 8 bits, and scales.
    Int8,
    /// 4 bits, and scales.
    Int4,
}

impl Dtype {
    const fn bits(self) -> u32 {
        match self {
            Self::Float32 => 32,
            Self::Float16 | Self::Bfloat16 => 16,
            Self::Int8 => 8,
            Self::Int4 => 4,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// The usual type of so many bits.
    const fn of_bits(bits: u32) -> Option<Self> {
        match bits {
            32 => Some(Self::Float32),
            16 => Some(Self::Float16),
            8 => Some(Self::Int8),
            4 => Some(Self::Int4),
            _ => None,
        }
    }
}

impl Quantization {
    fn dtype(&self) -> anyhow::Result<Option<Dtype>> {
        let Some(bits) = self.bits else {
            return Ok(self.dtype);
        };
        let Some(usual) = Dtype::of_bits(bits) else {
            bail!("`quantization.bits`: {bits}; expected 32, 16, 8 or 4");
        };
        let dtype = self.dtype.unwrap_or(usual);
        let name = dtype.name();
        ensure!(
            dtype.bits() == bits,
            "`quantization.dtype`: {name} has {} bits, and `quantization.bits` is {bits}",
            dtype.bits()
        );
        Ok(Some(dtype))
    }

    /// How the weights are stored; `None` for as they are. All that these keys can ask for is
    /// decided here.
    ///
    /// # Errors
    /// A message alone, with the key, for what contradicts another key or is not supported.
    pub fn weights(&self) -> anyhow::Result<Option<WeightsEncoding>> {
        let dtype = self.dtype()?;
        if let Some(size) = self.group_size {
            bail!("`quantization.group_size`: {size} is not supported yet");
        }
        if let Some(size) = self.target_size_mb {
            bail!("`quantization.target_size_mb`: {size} is not supported yet");
        }
        match (dtype, self.bits) {
            (None, _) => Ok(None),
            (Some(Dtype::Float32), _) => Ok(Some(WeightsEncoding::F32)),
            (Some(Dtype::Float16), _) => Ok(Some(WeightsEncoding::F16)),
            (Some(Dtype::Int8), _) => Ok(Some(WeightsEncoding::Int8)),
            (Some(Dtype::Int4), Some(bits)) => {
                bail!("`quantization.bits`: {bits} is not supported yet")
            }
            (Some(dtype), _) => bail!(
                "`quantization.dtype`: {} is not supported yet",
                dtype.name()
            ),
        }
    }
}
