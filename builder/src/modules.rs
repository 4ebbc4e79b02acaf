//! The modules after a graph, as they are stored behind its weights.

use crate::folder::{DenseWeights, HybridWeights, ModuleWeights};
use crate::graph::Weights;
use encoderfile::manifest::{Dense, Hybrid, LayerNorm, Module, Residual, StoredTensor};
use encoderfile::weights::TENSOR_ALIGNMENT;

/// Puts the weights of the modules behind the graph's.
pub(crate) fn place_modules(modules: &[ModuleWeights], weights: &mut Weights) -> Vec<Module> {
    let modules = modules.iter().map(|module| match module {
        ModuleWeights::Dense(dense) => Module::Dense(place_dense(dense, weights)),
        ModuleWeights::LayerNorm {
            weight,
            bias,
            epsilon,
        } => Module::LayerNorm(LayerNorm {
            weight: place(weight, weights),
            bias: place(bias, weights),
            epsilon: *epsilon,
        }),
        ModuleWeights::L2Norm => Module::L2Norm,
    });
    modules.collect()
}

/// Puts those of the layers beside the pooling there.
pub(crate) fn place_hybrid(hybrid: &HybridWeights, weights: &mut Weights) -> Hybrid {
    Hybrid {
        sparse: place_dense(&hybrid.sparse, weights),
        colbert: place_dense(&hybrid.colbert, weights),
        unweighted: hybrid.unweighted.clone(),
    }
}

fn place_dense(dense: &DenseWeights, weights: &mut Weights) -> Dense {
    Dense {
        in_features: dense.in_features,
        out_features: dense.out_features,
        weight: place(&dense.weight, weights),
        bias: dense.bias.as_deref().map(|bias| place(bias, weights)),
        function: dense.function,
        residual: dense.residual.as_ref().map(|residual| match residual {
            Residual::Identity => Residual::Identity,
            Residual::Projected(weight) => Residual::Projected(place(weight, weights)),
        }),
    }
}

fn place(values: &[f32], weights: &mut Weights) -> StoredTensor {
    let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
    let length = bytes.len() as u64;
    StoredTensor {
        offset: weights.push(bytes, TENSOR_ALIGNMENT),
        length,
    }
}
