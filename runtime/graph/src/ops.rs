//! tract's operators over the kernels of `encoderfile-kernels`: shapes and tensors here,
//! numbers there.
//!
//! **Invariant:** an operator computes what it replaces, in the same floating-point
//! evaluation order but for what ARCHITECTURE.md names: sums of a softmax or a LayerNorm,
//! attention's scales, and products with the reciprocal of what a row is divided by.

pub(crate) mod attention;
pub(crate) mod computed_slice;
pub(crate) mod disentangled;
pub(crate) mod embedding;
pub(crate) mod geglu;
pub(crate) mod head_layout;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod quantisation;
pub(crate) mod range;
pub(crate) mod rope;
pub(crate) mod stored_tensor;
pub(crate) mod weights;

use crate::cores::Cores;
use encoderfile_format::manifest::Compute;
use encoderfile_kernels::Isa;
use std::sync::Arc;

/// What tract asks of every operator: its name. Weights are no text.
macro_rules! debug_is_name {
    ($($operator:ty),* $(,)?) => {
        $(impl std::fmt::Debug for $operator {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(stringify!($operator))
            }
        })*
    };
}

debug_is_name!(
    attention::Attention,
    disentangled::DisentangledBias,
    embedding::EmbeddingLookup,
    geglu::GeGlu,
    layer_norm::LayerNorm,
    linear::Linear,
    linear::LinearGroup,
    linear::MatMulWeight,
    quantisation::Dequantize,
    quantisation::Quantize,
    quantisation::RoundToSteps,
    rope::Rope,
    stored_tensor::StoredTensor,
);

/// What operators compute with.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) isa: Isa,
    /// How products with large matrices are computed.
    pub(crate) compute: Compute,
    pub(crate) cores: Arc<Cores>,
}

#[cfg(test)]
impl Backend {
    /// In float32 on several cores, in the instruction set that the environment names.
    pub(crate) fn of_tests() -> Self {
        let cores = Cores::one();
        cores.allow(3);
        Self {
            isa: isa_of_tests(),
            compute: Compute::F32,
            cores: Arc::new(cores),
        }
    }
}

/// This crate's own tests have no program around them that would choose.
#[cfg(test)]
pub(crate) fn isa_of_tests() -> Isa {
    if let Ok(name) = std::env::var(encoderfile_kernels::ISA_VARIABLE) {
        Isa::choose(&name).unwrap();
    }
    Isa::in_use()
}
