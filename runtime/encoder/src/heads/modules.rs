//! What follows pooling, or stands behind each token's row: the Dense, `LayerNorm` and
//! Normalize modules of sentence-transformers.

use crate::error::TaskProblem;
use crate::pooling::normalize;
use encoderfile_format::manifest::{self, DenseFunction, Residual, StoredTensor};
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
        residual: Option<Residual<Vec<f32>>>,
    },
    LayerNorm {
        weight: Vec<f32>,
        bias: Vec<f32>,
        epsilon: f32,
    },
    L2Norm,
}

/// Loads modules of a pipeline, whose widths fit one another: see `Pipeline::check`.
pub(crate) fn load(
    modules: &[manifest::Module],
    weights: &Arc<dyn Source>,
) -> Result<Vec<Module>, TaskProblem> {
    // Tensors that share bytes could be many times the file together.
    let mut left = weights.len();
    let mut read = |tensor: StoredTensor| {
        let rest = left.checked_sub(tensor.length);
        left = rest.ok_or(TaskProblem::ModuleBounds)?;
        read(tensor, weights)
    };
    let modules = modules.iter().map(|module| {
        Ok(match module {
            manifest::Module::Dense(dense) => Module::Dense {
                weight: read(dense.weight)?,
                bias: match dense.bias {
                    None => Vec::new(),
                    Some(bias) => read(bias)?,
                },
                function: dense.function,
                residual: match dense.residual {
                    None => None,
                    Some(Residual::Identity) => Some(Residual::Identity),
                    Some(Residual::Projected(weight)) => Some(Residual::Projected(read(weight)?)),
                },
            },
            manifest::Module::LayerNorm(norm) => Module::LayerNorm {
                weight: read(norm.weight)?,
                bias: read(norm.bias)?,
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

/// What all modules make of a vector.
pub(crate) fn apply(modules: &[Module], vector: Vec<f32>) -> Vec<f32> {
    let width = vector.len();
    apply_each(modules, vector, width).values
}

/// What all modules make of each of some vectors of that width.
pub(crate) fn apply_each(modules: &[Module], values: Vec<f32>, width: usize) -> Vectors {
    let vectors = Vectors { values, width };
    let modules = modules.iter();
    modules.fold(vectors, |vectors, module| module.apply(vectors))
}

/// Vectors of one width, one after another.
pub(crate) struct Vectors {
    pub(crate) values: Vec<f32>,
    pub(crate) width: usize,
}

impl Vectors {
    /// Each of them.
    pub(crate) fn each_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.width.max(1))
    }
}

impl Module {
    /// The next vectors.
    fn apply(&self, mut vectors: Vectors) -> Vectors {
        match self {
            Self::Dense {
                weight,
                bias,
                function,
                residual,
            } => {
                let mut next = dense(&vectors, weight, bias, *function);
                let around = match residual {
                    None => return next,
                    Some(Residual::Identity) => vectors,
                    Some(Residual::Projected(weight)) => {
                        dense(&vectors, weight, &[], DenseFunction::Identity)
                    }
                };
                let values = next.values.iter_mut().zip(around.values);
                values.for_each(|(it, x)| *it += x);
                return next;
            }
            Self::LayerNorm {
                weight,
                bias,
                epsilon,
            } => {
                let each = vectors.each_mut();
                each.for_each(|vector| layer_norm(vector, weight, bias, *epsilon));
            }
            Self::L2Norm => vectors.each_mut().for_each(normalize),
        }
        vectors
    }
}

/// A row of the matrix is read once for several vectors: that of a token's projection has
/// megabytes, and there are thousands of tokens.
fn dense(vectors: &Vectors, weight: &[f32], bias: &[f32], function: DenseFunction) -> Vectors {
    /// Vectors of 768 values that are in a first-level cache beside a row.
    const BLOCK: usize = 8;

    let (taken, given) = (vectors.width, weight.len() / vectors.width.max(1));
    let count = vectors.values.len() / taken.max(1);
    let mut values = vec![0.0; count * given];
    let blocks = vectors.values.chunks((BLOCK * taken).max(1));
    for (block, next) in blocks.zip(values.chunks_mut((BLOCK * given).max(1))) {
        let biases = bias.iter().copied().chain(std::iter::repeat(0.0));
        let rows = weight.chunks_exact(taken).zip(biases);
        for (place, (row, bias)) in rows.enumerate() {
            for (vector, next) in block.chunks_exact(taken).zip(next.chunks_exact_mut(given)) {
                next[place] = activate(dot(row, vector) + bias, function);
            }
        }
    }
    Vectors {
        values,
        width: given,
    }
}

/// A sum in lanes, which takes an eighth of the time of one after another: there may be
/// a product for each token of a text.
pub(super) fn dot(one: &[f32], other: &[f32]) -> f32 {
    const LANES: usize = 8;

    let (ones, ones_rest) = one.as_chunks::<LANES>();
    let (others, others_rest) = other.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (one, other) in ones.iter().zip(others) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += one * other;
        }
    }
    let rest = ones_rest
        .iter()
        .zip(others_rest)
        .map(|(one, other)| one * other);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
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
        let vector = Vectors {
            values: vec![2.0, 1.0],
            width: 2,
        };
        let dense = |function| dense(&vector, &weight, &[0.5, 0.0], function).values;
        assert_eq!(dense(DenseFunction::Identity), [4.5, -5.5]);
        assert_eq!(dense(DenseFunction::Relu), [4.5, 0.0]);
        assert_eq!(
            dense(DenseFunction::Tanh),
            [4.5_f32.tanh(), (-5.5_f32).tanh()]
        );
    }

    #[test]
    fn tensors_that_share_bytes_are_refused() {
        let tensor = |offset| StoredTensor { offset, length: 8 };
        let norm = |weight, bias| {
            let (weight, bias) = (tensor(weight), tensor(bias));
            manifest::Module::LayerNorm(manifest::LayerNorm {
                weight,
                bias,
                epsilon: 0.0,
            })
        };
        let weights: Arc<dyn Source> = Arc::new(vec![0; 16]);
        let load = |modules: &[_]| load(modules, &weights).map(|it| it.len());
        assert_eq!(load(&[norm(0, 8)]), Ok(1));
        let twice = load(&[norm(0, 8), norm(0, 8)]);
        assert_eq!(twice, Err(TaskProblem::ModuleBounds));
    }

    /// torch's, of `pylate.models.Dense`: the residual is added after the function.
    #[test]
    fn a_residual_is_added_after_the_function() {
        let dense = |residual| Module::Dense {
            weight: vec![1.0, 2.0, -3.0, 0.5],
            bias: vec![0.5, 0.0],
            function: DenseFunction::Relu,
            residual: Some(residual),
        };
        let identity = [dense(Residual::Identity)];
        assert_eq!(apply(&identity, vec![2.0, 1.0]), [6.5, 1.0]);
        let projected = [dense(Residual::Projected(vec![0.0, 1.0, 2.0, 0.0]))];
        assert_eq!(apply(&projected, vec![2.0, 1.0]), [5.5, 4.0]);
    }

    #[test]
    fn many_vectors_are_what_each_is_alone() {
        let weight = (0..12_u8).map(f32::from).collect();
        let modules = [Module::Dense {
            weight,
            bias: vec![0.5, -0.5, 0.0],
            function: DenseFunction::Tanh,
            residual: None,
        }];
        for count in 0..20_u8 {
            let values: Vec<f32> = (0..4 * count).map(|it| f32::from(it) / 100.0).collect();
            let alone = values
                .chunks_exact(4)
                .map(|it| apply(&modules, it.to_vec()));
            let alone = alone.collect::<Vec<_>>().concat();
            let together = apply_each(&modules, values, 4);
            assert_eq!((together.values, together.width), (alone, 3));
        }
    }

    #[test]
    fn a_product_of_any_length_is_the_sum_of_all() {
        for length in 0..20_u8 {
            let numbers: Vec<f32> = (0..length).map(f32::from).collect();
            let expected: f32 = numbers.iter().map(|it| it * it).sum();
            assert_eq!(dot(&numbers, &numbers), expected);
        }
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
