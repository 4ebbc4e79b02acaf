//! What follows pooling: the Dense, `LayerNorm` and Normalize modules of
//! sentence-transformers.

use crate::error::Error;
use crate::pooling::normalize;
use encoderfile_format::source::Source;
use encoderfile_proto::{DenseFunction, Pipeline, Tensor, module::Step};
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

/// Loads the modules of a pipeline, whose widths have to fit one another.
pub(crate) fn load(pipeline: &Pipeline, weights: &Arc<dyn Source>) -> Result<Vec<Module>, Error> {
    let output = pipeline.output.as_ref();
    let output = output.map_or(0, |output| output.width as usize);
    let mut width = output * pipeline.pooling.len().max(1);
    let mut modules = Vec::new();
    for module in &pipeline.modules {
        let read = |tensor: &Option<Tensor>, len: usize| match tensor {
            Some(tensor) => read(tensor, len, weights),
            None => Err(Error::Manifest("a module without its weights")),
        };
        modules.push(match &module.step {
            Some(Step::Dense(dense)) => {
                let outputs = dense.out_features as usize;
                if dense.in_features as usize != width || outputs == 0 {
                    return Err(Error::Manifest("a Dense module of another width"));
                }
                let len = outputs.checked_mul(width);
                let len = len.ok_or(Error::Manifest("a Dense module of another width"))?;
                width = outputs;
                Module::Dense {
                    weight: read(&dense.weight, len)?,
                    bias: match &dense.bias {
                        None => Vec::new(),
                        bias => read(bias, outputs)?,
                    },
                    function: dense.function(),
                }
            }
            Some(Step::LayerNorm(norm)) => Module::LayerNorm {
                weight: read(&norm.weight, width)?,
                bias: read(&norm.bias, width)?,
                epsilon: norm.epsilon,
            },
            Some(Step::L2Norm(_)) => Module::L2Norm,
            None => return Err(Error::Manifest("a module of no known kind")),
        });
    }
    Ok(modules)
}

/// `len` values from the weights artifact.
fn read(tensor: &Tensor, len: usize, weights: &Arc<dyn Source>) -> Result<Vec<f32>, Error> {
    let bytes = (len as u64).checked_mul(4);
    let end = tensor.offset.checked_add(tensor.length);
    // Checked before anything of this length is allocated.
    if bytes != Some(tensor.length) || end.is_none_or(|end| end > weights.len()) {
        return Err(Error::Manifest(
            "a module whose weights have another length",
        ));
    }
    let mut bytes = vec![0; len * 4];
    let result = weights.read_at(tensor.offset, &mut bytes);
    result.map_err(|_| Error::Manifest("a module whose weights cannot be read"))?;
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
