//! What follows pooling: the Dense, `LayerNorm` and Normalize modules of
//! sentence-transformers.

use crate::error::TaskProblem;
use crate::pooling::normalize;
use encoderfile_format::manifest::{self, DenseFunction, Pipeline, StoredTensor};
use encoderfile_format::source::Source;
use std::sync::Arc;

/// A step from one vector to the next, with its weights loaded.
pub(crate) enum Module {
    Dense {
        /// `[out_features, in_features]`.
        weight: Vec<f32>,
        /// `[out_features]`.
        bias: Vec<f32>,
        function: DenseFunction,
    },
    LayerNorm {
        weight: Vec<f32>,
        bias: Vec<f32>,
        epsilon: f32,
    },
    L2Norm,
}

/// Loads the modules of a pipeline, whose widths fit one another: see
/// `Pipeline::check`.
pub(crate) fn load(
    pipeline: &Pipeline,
    weights: &Arc<dyn Source>,
) -> Result<Vec<Module>, TaskProblem> {
    let modules = pipeline.modules.iter().map(|module| {
        Ok(match module {
            manifest::Module::Dense(dense) => Module::Dense {
                weight: read(dense.weight, weights)?,
                bias: match dense.bias {
                    None => Vec::new(),
                    Some(bias) => read(bias, weights)?,
                },
                function: dense.function,
            },
            manifest::Module::LayerNorm(norm) => Module::LayerNorm {
                weight: read(norm.weight, weights)?,
                bias: read(norm.bias, weights)?,
                epsilon: norm.epsilon,
            },
            manifest::Module::L2Norm => Module::L2Norm,
        })
    });
    modules.collect()
}

/// The float32 values of a tensor in the weights artifact.
fn read(tensor: StoredTensor, weights: &Arc<dyn Source>) -> Result<Vec<f32>, TaskProblem> {
    let end = tensor.offset.checked_add(tensor.length);
    let inside = end.is_some_and(|end| end <= weights.len());
    // Checked before anything of this length is allocated.
    let Some(length) = usize::try_from(tensor.length).ok().filter(|_| inside) else {
        return Err(TaskProblem::ModuleBounds);
    };
    let mut bytes = vec![0; length];
    let result = weights.read_at(tensor.offset, &mut bytes);
    result.map_err(|_| TaskProblem::ModuleRead)?;
    let values = bytes.as_chunks::<4>().0.iter();
    Ok(values.map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

impl Module {
    /// The next vector.
    pub(crate) fn apply(&self, mut vector: Vec<f32>) -> Vec<f32> {
        match self {
            Self::Dense {
                weight,
                bias,
                function,
            } => dense(&vector, weight, bias, *function),
            Self::LayerNorm {
                weight,
                bias,
                epsilon,
            } => {
                layer_norm(&mut vector, weight, bias, *epsilon);
                vector
            }
            Self::L2Norm => {
                normalize(&mut vector);
                vector
            }
        }
    }
}

fn dense(vector: &[f32], weight: &[f32], bias: &[f32], function: DenseFunction) -> Vec<f32> {
    let biases = bias.iter().copied().chain(std::iter::repeat(0.0));
    let rows = weight.chunks_exact(vector.len()).zip(biases);
    rows.map(|(row, bias)| {
        let products = row.iter().zip(vector).map(|(weight, value)| weight * value);
        activate(products.sum::<f32>() + bias, function)
    })
    .collect()
}

fn activate(x: f32, function: DenseFunction) -> f32 {
    match function {
        DenseFunction::Identity => x,
        DenseFunction::Tanh => x.tanh(),
        DenseFunction::Relu => x.max(0.0),
        DenseFunction::Gelu => 0.5 * x * (1.0 + libm::erff(x / std::f32::consts::SQRT_2)),
        DenseFunction::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        DenseFunction::Silu => x / (1.0 + (-x).exp()),
    }
}

fn layer_norm(vector: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let len = vector.len() as f32;
    let mean = vector.iter().sum::<f32>() / len;
    let squares = vector.iter().map(|value| (value - mean) * (value - mean));
    let deviation = (squares.sum::<f32>() / len + epsilon).sqrt();
    for ((value, weight), bias) in vector.iter_mut().zip(weight).zip(bias) {
        *value = (*value - mean) / deviation * weight + bias;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_multiplies_adds_and_activates() {
        let weight = [1.0, 2.0, -3.0, 0.5];
        let dense = |function| dense(&[2.0, 1.0], &weight, &[0.5, 0.0], function);
        assert_eq!(dense(DenseFunction::Identity), [4.5, -5.5]);
        assert_eq!(dense(DenseFunction::Relu), [4.5, 0.0]);
        assert_eq!(
            dense(DenseFunction::Tanh),
            [4.5_f32.tanh(), (-5.5_f32).tanh()]
        );
    }

    #[test]
    fn layer_norm_has_mean_zero_and_variance_one() {
        let mut vector = [1.0, 3.0];
        layer_norm(&mut vector, &[1.0, 2.0], &[0.0, 1.0], 0.0);
        assert_eq!(vector, [-1.0, 3.0]);
    }

    /// torch.nn.functional.gelu(torch.tensor([1.0, -2.0]))
    #[test]
    fn gelu_is_the_one_with_the_error_function() {
        for (x, expected) in [(1.0, 0.841_344_8), (-2.0, -0.045_500_3)] {
            let gelu = activate(x, DenseFunction::Gelu);
            assert!((gelu - expected).abs() < 1e-6, "gelu({x}) = {gelu}");
        }
    }
}
