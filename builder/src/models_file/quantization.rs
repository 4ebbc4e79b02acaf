//! `quantization:` of a model, and what of it is served.

use crate::precision::{Precision, TargetSize};
use anyhow::{bail, ensure};
use encoderfile::weights::{GroupLen, WeightsEncoding};
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
    /// Values that share a scale, of 8 and of 4 bits.
    #[schemars(extend("enum" = [32, 64, 128, null]))]
    pub group_size: Option<u32>,
    /// The most that a file may take, in megabytes: with 4 bits for all matrices unless said, and
    /// more for those that lose most.
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

    /// How the weights are stored. All that these keys can ask for is decided here.
    ///
    /// # Errors
    /// A message alone, with the key, for what contradicts another key or is not supported.
    pub fn precision(&self) -> anyhow::Result<Precision> {
        let dtype = self.dtype()?;
        let group_len = self.group_len()?;
        let weights = dtype.map(|dtype| match dtype {
            Dtype::Float32 => WeightsEncoding::F32,
            Dtype::Float16 => WeightsEncoding::F16,
            Dtype::Bfloat16 => WeightsEncoding::Bf16,
            Dtype::Int8 => WeightsEncoding::Int8(group_len.unwrap_or_default()),
            Dtype::Int4 => WeightsEncoding::Int4(group_len.unwrap_or_default()),
        });
        let is_grouped = weights.is_none_or(|it| it.group_len().is_some());
        if let (Some(size), false) = (self.group_size, is_grouped) {
            bail!("`quantization.group_size`: {size}; only values of 8 and 4 bits share scales");
        }
        let megabytes = self.target_size_mb.map(u64::from);
        Ok(Precision {
            // Of a size alone, it decides what fits.
            weights: weights.or(group_len.map(WeightsEncoding::Int4)),
            target_size: megabytes.map(|it| TargetSize::of_file(it.saturating_mul(1_000_000))),
            ..Precision::default()
        })
    }

    fn group_len(&self) -> anyhow::Result<Option<GroupLen>> {
        let Some(size) = self.group_size else {
            return Ok(None);
        };
        let group_len = usize::try_from(size).ok().and_then(GroupLen::of);
        ensure!(
            group_len.is_some(),
            "`quantization.group_size`: {size}; expected 32, 64 or 128"
        );
        ensure!(
            self.bits.is_some() || self.dtype.is_some() || self.target_size_mb.is_some(),
            "`quantization.group_size`: {size}, but neither `bits` nor `dtype` says of what"
        );
        Ok(group_len)
    }
}
