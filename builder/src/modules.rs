//! The modules after a graph, as they are stored behind its weights.

use crate::folder::ModuleWeights;
use crate::graph::Weights;
use encoderfile::manifest::{Dense, LayerNorm, Module, Residual, StoredTensor};
use encoderfile::weights::TENSOR_ALIGNMENT;

/// Puts the weights of the modules behind the graph's.
pub(crate) fn place_modules(modules: &[ModuleWeights], weights: &mut Weights) -> Vec<Module> {
    let mut place = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        let length = bytes.len() as u64;
        StoredTensor {
            offset: weights.push(bytes, TENSOR_ALIGNMENT),
            length,
        }
    };
    let modules = modules.iter().map(|module| match module {
        ModuleWeights::Dense {
            in_features,
            out_features,
            weight,
            bias,
            function,
            residual,
        } => Module::Dense(Dense {
            in_features: *in_features,
            out_features: *out_features,
            weight: place(weight),
            bias: bias.as_deref().map(&mut place),
            function: *function,
            residual: residual.as_ref().map(|residual| match residual {
                Residual::Identity => Residual::Identity,
                Residual::Projected(weight) => Residual::Projected(place(weight)),
            }),
        }),
        ModuleWeights::LayerNorm {
            weight,
            bias,
            epsilon,
        } => Module::LayerNorm(LayerNorm {
            weight: place(weight),
            bias: place(bias),
            epsilon: *epsilon,
        }),
        ModuleWeights::L2Norm => Module::L2Norm,
    });
    modules.collect()
}
