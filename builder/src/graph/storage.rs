//! How each large matrix is stored: what was asked for, for all and for some by name.

use super::tensors;
use crate::error::BuildError;
use encoderfile::graph::Uses;
use encoderfile::manifest::Compute;
use encoderfile::onnx::{GraphProto, TensorProto, tensor_proto::DataType};
use encoderfile::weights::{NoSuchEncoding, PANEL, WeightsEncoding};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An encoding for the matrices whose description has a text in it: `embeddings=int8:64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A part of a matrix's description ([`Matrix::description`]).
    pub pattern: String,
    /// Theirs.
    pub encoding: WeightsEncoding,
}

/// A text that is no [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchRule {
    /// It has no pattern.
    #[error("`{0}` is no rule: PATTERN=ENCODING, such as embeddings=int8:64")]
    Pattern(String),
    /// It has no encoding.
    #[error(transparent)]
    Encoding(#[from] NoSuchEncoding),
}

impl FromStr for Rule {
    type Err = NoSuchRule;

    fn from_str(text: &str) -> Result<Self, NoSuchRule> {
        let parts = text
            .rsplit_once('=')
            .filter(|(pattern, _)| !pattern.is_empty());
        let (pattern, encoding) = parts.ok_or_else(|| NoSuchRule::Pattern(text.into()))?;
        Ok(Self {
            pattern: pattern.into(),
            encoding: encoding.parse()?,
        })
    }
}

impl Rule {
    /// Whether it is for a matrix.
    pub(crate) fn is_for(&self, matrix: &Matrix) -> bool {
        matrix.description.contains(&self.pattern)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.pattern, self.encoding)
    }
}

/// A matrix that is large enough to be stored in fewer bits.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The tensor's name.
    pub name: String,
    /// What rules look for a text in: `embeddings` for a table that rows are taken of, the
    /// tensor's name, and those of the nodes that use it.
    pub description: String,
    /// Whether products with it are all that is done with it.
    pub is_multiplied: bool,
    /// `[rows, columns]`.
    pub shape: (usize, usize),
    /// As it is in the source: float16, or else float32.
    pub source: WeightsEncoding,
    /// How it was quantised in the source, where storing it so again loses no more than rounding
    /// scales to float16 does.
    pub kept: Option<WeightsEncoding>,
}

impl Matrix {
    /// Those of a graph.
    pub(super) fn all(graph: &GraphProto) -> Vec<Self> {
        let uses = Uses::of(graph);
        let tensors = graph.initializer.iter();
        let matrices = tensors.filter(|it| tensors::is_matrix(it));
        matrices.map(|tensor| Self::of(tensor, &uses)).collect()
    }

    fn of(tensor: &TensorProto, uses: &Uses<'_>) -> Self {
        let nodes = uses.nodes(&tensor.name);
        let is_table = nodes.iter().any(|node| node.op_type == "Gather");
        let role = if is_table { "embeddings " } else { "" };
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        let dim = |axis: usize| {
            tensor
                .dims
                .get(axis)
                .and_then(|it| usize::try_from(*it).ok())
        };
        Self {
            name: tensor.name.clone(),
            description: format!("{role}{} {}", tensor.name, names.join(" ")),
            is_multiplied: uses.is_matmul_weight(&tensor.name, &tensor.dims),
            shape: (dim(0).unwrap_or_default(), dim(1).unwrap_or_default()),
            source: match tensor.data_type == DataType::Float16 as i32 {
                true => WeightsEncoding::F16,
                false => WeightsEncoding::F32,
            },
            kept: None,
        }
    }

    /// How many bytes it takes.
    pub(crate) fn length(&self, encoding: WeightsEncoding) -> u64 {
        let (rows, columns) = self.shape;
        let (units, unit_len) = match self.is_multiplied {
            true => (columns.div_ceil(PANEL), encoding.unit_len(rows, PANEL)),
            false => (rows, encoding.unit_len(columns, 1)),
        };
        unit_len.unwrap_or_default() as u64 * units as u64
    }

    /// What a matrix becomes that is to be stored so: nothing is gained by float32 of what was
    /// float16.
    pub(crate) fn stored_as(&self, encoding: WeightsEncoding) -> WeightsEncoding {
        match encoding {
            WeightsEncoding::F32 => self.source,
            smaller => smaller,
        }
    }
}

/// How each large matrix of a graph is stored.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// What products are computed in.
    pub compute: Compute,
    /// By the tensor's name; those that are not there are stored as they are in the source.
    pub encodings: HashMap<String, WeightsEncoding>,
    /// Those whose values are on the steps that they are stored in, and need no compensation.
    pub(super) on_steps: HashSet<String>,
    /// The panels of those that were rounded with compensation.
    pub(super) compensated: HashMap<String, Arc<[u8]>>,
}

impl Storage {
    /// All as they are in the source, computed in float32.
    pub fn exact() -> Self {
        Self::default()
    }

    /// One encoding for all, or that of the source, and then rule after rule.
    ///
    /// # Errors
    /// [`BuildError::Rule`] for a rule that is for no matrix.
    pub(crate) fn of(
        matrices: &[Matrix],
        encoding: Option<WeightsEncoding>,
        rules: &[Rule],
        compute: Compute,
    ) -> Result<Self, BuildError> {
        // Smoothing for int8 products multiplies rows by factors of their own.
        let kept = |it: &Matrix| it.kept.filter(|_| compute == Compute::F32);
        let of_all = |it: &Matrix| match encoding {
            Some(encoding) => it.stored_as(encoding),
            None => kept(it).unwrap_or(it.source),
        };
        let all = matrices.iter();
        let mut encodings: HashMap<String, WeightsEncoding> =
            all.map(|it| (it.name.clone(), of_all(it))).collect();
        for rule in rules {
            let chosen = matrices.iter().filter(|it| rule.is_for(it));
            let chosen = chosen.map(|it| (it.name.clone(), it.stored_as(rule.encoding)));
            let chosen: Vec<_> = chosen.collect();
            if chosen.is_empty() {
                return Err(BuildError::Rule {
                    rule: rule.to_string(),
                    matrices: matrices.iter().map(|it| it.description.clone()).collect(),
                });
            }
            encodings.extend(chosen);
        }
        let on_steps = matrices.iter().filter(|it| {
            let encoding = kept(it);
            encoding.is_some() && encodings.get(&it.name).copied() == encoding
        });
        Ok(Self {
            compute,
            on_steps: on_steps.map(|it| it.name.clone()).collect(),
            encodings,
            compensated: HashMap::new(),
        })
    }

    /// Those that were rounded with compensation, and all others as they are in the source.
    pub(crate) fn compensated(&self) -> Self {
        let encodings = self.encodings.iter();
        let encodings = encodings.filter(|(name, _)| self.compensated.contains_key(*name));
        Self {
            encodings: encodings.map(|(name, it)| (name.clone(), *it)).collect(),
            compensated: self.compensated.clone(),
            ..Self::default()
        }
    }

    /// How a matrix is stored.
    pub(crate) fn encoding(&self, matrix: &Matrix) -> WeightsEncoding {
        let encoding = self.encodings.get(&matrix.name);
        encoding.copied().unwrap_or(matrix.source)
    }

    /// Whether any value is rounded, or products are.
    pub(crate) fn is_exact(&self, matrices: &[Matrix]) -> bool {
        self.compute == Compute::F32 && matrices.iter().all(|it| self.encoding(it) == it.source)
    }
}
