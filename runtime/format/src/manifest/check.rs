//! Every bound on what a manifest says.

use super::{
    Dense, Hybrid, Input, LateInteraction, LayerNorm, Manifest, Module, Pipeline, Residual,
    StoredTensor, Task,
};
use crate::limits::{
    BASES_MAX, GRAPHS_MAX, INPUTS_MAX, MODULES_MAX, OUTPUT_WIDTH_MAX, POOLING_MODES_MAX,
    TOKENS_MAX, VOCABULARY_MAX,
};

use std::collections::HashSet;

/// A manifest that no builder writes, and which of its fields it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A number outside of its bounds.
    #[error("`{field}` is {got}, expected {least} to {most}")]
    Bound {
        /// The field of manifest.proto.
        field: &'static str,
        /// What the file says.
        got: u64,
        /// The smallest number that is allowed.
        least: u64,
        /// The largest number that is allowed.
        most: u64,
    },
    /// A choice that this version does not know.
    #[error("`{field}` is {number}, which this version of encoderfile does not know")]
    Unknown {
        /// The field of manifest.proto.
        field: &'static str,
        /// What the file says.
        number: i32,
    },
    /// A field that must be there.
    #[error("no `{field}`")]
    Absent {
        /// The field of manifest.proto.
        field: &'static str,
    },
    /// An input of other axes than a batch of one and the tokens.
    #[error(
        "input `{input}` has axes of its own, which this version of encoderfile does not serve"
    )]
    Axes {
        /// The input's name in the graph.
        input: String,
    },
    /// A module that does not take what the one before it gives.
    #[error("module {index} takes {got} values, but is given {expected}")]
    Width {
        /// Which of the pipeline's modules, from 0; a hybrid's layers are behind them.
        index: usize,
        /// How many values the module before it gives.
        expected: usize,
        /// How many values it takes.
        got: usize,
    },
    /// A tensor with more or fewer bytes than its shape has.
    #[error("module {index}: a tensor of {got} bytes, expected {expected}")]
    TensorLength {
        /// Which of the pipeline's modules, from 0.
        index: usize,
        /// float32 values of its shape, in bytes.
        expected: u64,
        /// What the file says.
        got: u64,
    },
    /// A hash that is no SHA-256.
    #[error("`{field}` has {got} bytes, expected 32")]
    HashLength {
        /// The field of manifest.proto.
        field: &'static str,
        /// What the file says.
        got: usize,
    },
    /// A number that is not finite.
    #[error("module {index}: `epsilon` is {got}")]
    Epsilon {
        /// Which of the pipeline's modules, from 0.
        index: usize,
        /// What the file says.
        got: String,
    },
    /// A name that is given twice, or to nothing.
    #[error("`{field}` is {name:?}, which is {problem}")]
    Name {
        /// The field of manifest.proto.
        field: &'static str,
        /// What the file says.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Manifest {
    /// Refuses what no builder writes. The reader and the writer both ask.
    ///
    /// # Errors
    /// [`ManifestError`], which names the field.
    pub fn check(&self) -> Result<(), ManifestError> {
        bound("bases", self.bases.len(), 0..=BASES_MAX)?;
        bound("graphs", self.graphs.len(), 0..=GRAPHS_MAX)?;
        let released = self.release.iter().flat_map(|it| &it.programs).count();
        bound("release.programs", released, 0..=BASES_MAX)?;
        match &self.model {
            Some(model) => {
                if model.task == Task::LateInteraction {
                    // It pools nothing, so that a row of the graph is a token's.
                    bound("pooling", model.pipeline.pooling.len(), 0..=0)?;
                    if model.pipeline.late_interaction.is_none() {
                        let field = "pipeline.late_interaction";
                        return Err(ManifestError::Absent { field });
                    }
                }
                model.pipeline.check()
            }
            None => Ok(()),
        }
    }
}

impl Pipeline {
    /// Refuses numbers, widths and lengths that no model has.
    ///
    /// # Errors
    /// [`ManifestError`], which names the field.
    pub fn check(&self) -> Result<(), ManifestError> {
        bound("max_tokens", self.max_tokens, 1..=TOKENS_MAX)?;
        bound("vocabulary_size", self.vocabulary_size, 1..=VOCABULARY_MAX)?;
        bound("output.width", self.output.width, 1..=OUTPUT_WIDTH_MAX)?;
        bound("pooling", self.pooling.len(), 0..=POOLING_MODES_MAX)?;
        bound("modules", self.modules.len(), 0..=MODULES_MAX)?;
        self.check_inputs()?;
        let mut width = self.pooled_width();
        for (index, module) in self.modules.iter().enumerate() {
            width = module.check(index, width)?;
        }
        bound("dimensions", self.dimensions as usize, 0..=width)?;
        if let Some(entailment) = self.entailment {
            let last = self.labels.len().saturating_sub(1);
            bound("entailment", entailment as usize, 0..=last)?;
        }
        if let Some(late_interaction) = &self.late_interaction {
            late_interaction.check(self)?;
        }
        if let Some(hybrid) = &self.hybrid {
            hybrid.check(self)?;
        }
        let named = |name: &str| self.prompts.iter().any(|prompt| prompt.name == name);
        if !self.default_prompt.is_empty() && !named(&self.default_prompt) {
            return Err(ManifestError::Name {
                field: "default_prompt",
                name: self.default_prompt.clone(),
                problem: "no prompt of the model",
            });
        }
        Ok(())
    }

    fn check_inputs(&self) -> Result<(), ManifestError> {
        bound("inputs", self.inputs.len(), 1..=INPUTS_MAX)?;
        let mut names = HashSet::new();
        for input in &self.inputs {
            input.check(self.max_tokens)?;
            if !names.insert(&input.name) {
                return Err(ManifestError::Name {
                    field: "inputs.name",
                    name: input.name.clone(),
                    problem: "the name of two inputs",
                });
            }
        }
        Ok(())
    }
}

impl Input {
    /// Positions are 32-bit signed integers in some graphs.
    fn check(&self, max_tokens: u32) -> Result<(), ManifestError> {
        let most = i32::MAX.unsigned_abs().saturating_sub(max_tokens);
        bound("inputs.first_position", self.first_position, 0..=most)
    }
}

impl LateInteraction {
    fn check(&self, pipeline: &Pipeline) -> Result<(), ManifestError> {
        let last = pipeline.vocabulary_size.saturating_sub(1);
        for role in [&self.query, &self.document] {
            let most = TOKENS_MAX;
            bound("late_interaction.max_tokens", role.max_tokens, 0..=most)?;
            let prefix = role.prefix_id.unwrap_or(0);
            bound("late_interaction.prefix_id", prefix, 0..=last)?;
        }
        if let Some(expansion) = &self.expansion {
            let (id, length) = (expansion.token_id, expansion.length);
            bound("late_interaction.expansion.token_id", id, 0..=last)?;
            bound("late_interaction.expansion.length", length, 1..=TOKENS_MAX)?;
        }
        ascending("late_interaction.skiplist", &self.skiplist, last)
    }
}

impl Hybrid {
    /// Both layers take rows of the graph, which pools nothing.
    fn check(&self, pipeline: &Pipeline) -> Result<(), ManifestError> {
        let modes = POOLING_MODES_MAX;
        bound("pooling", pipeline.pooling.len(), 1..=modes)?;
        let width = pipeline.output.width as usize;
        let after = pipeline.modules.len();
        let weights = self.sparse.check(after, width)?;
        bound("hybrid.sparse.out_features", weights, 1..=1)?;
        self.colbert.check(after.saturating_add(1), width)?;
        let last = pipeline.vocabulary_size.saturating_sub(1);
        ascending("hybrid.unweighted", &self.unweighted, last)
    }
}

/// Ascending, so that there are no more of them than entries in the vocabulary.
fn ascending(field: &'static str, ids: &[u32], last: u32) -> Result<(), ManifestError> {
    let mut least = 0;
    for id in ids {
        bound(field, *id, least..=last)?;
        least = id.saturating_add(1);
    }
    Ok(())
}

impl Module {
    /// The width of what it gives, for values of `width`.
    fn check(&self, index: usize, width: usize) -> Result<usize, ManifestError> {
        match self {
            Self::Dense(dense) => dense.check(index, width),
            Self::LayerNorm(norm) => norm.check(index, width).map(|()| width),
            Self::L2Norm => Ok(width),
        }
    }
}

impl Dense {
    fn check(&self, index: usize, width: usize) -> Result<usize, ManifestError> {
        let most = OUTPUT_WIDTH_MAX;
        bound("modules.dense.out_features", self.out_features, 1..=most)?;
        let (inputs, outputs) = (self.in_features as usize, self.out_features as usize);
        if inputs != width {
            return Err(ManifestError::Width {
                index,
                expected: width,
                got: inputs,
            });
        }
        self.weight.check(index, &[inputs, outputs])?;
        if let Some(bias) = &self.bias {
            bias.check(index, &[outputs])?;
        }
        match &self.residual {
            None => {}
            Some(Residual::Projected(weight)) => weight.check(index, &[inputs, outputs])?,
            Some(Residual::Identity) if inputs == outputs => {}
            Some(Residual::Identity) => {
                return Err(ManifestError::Width {
                    index,
                    expected: outputs,
                    got: inputs,
                });
            }
        }
        Ok(outputs)
    }
}

impl LayerNorm {
    fn check(&self, index: usize, width: usize) -> Result<(), ManifestError> {
        self.weight.check(index, &[width])?;
        self.bias.check(index, &[width])?;
        if self.epsilon.is_finite() && self.epsilon >= 0.0 {
            return Ok(());
        }
        let got = self.epsilon.to_string();
        Err(ManifestError::Epsilon { index, got })
    }
}

impl StoredTensor {
    fn check(&self, index: usize, shape: &[usize]) -> Result<(), ManifestError> {
        let numbers = shape.iter().map(|length| *length as u64);
        let expected = numbers.fold(size_of::<f32>() as u64, u64::saturating_mul);
        if self.length == expected {
            return Ok(());
        }
        Err(ManifestError::TensorLength {
            index,
            expected,
            got: self.length,
        })
    }
}

/// Refuses a number outside of `allowed`.
fn bound<N: Copy + PartialOrd + TryInto<u64>>(
    field: &'static str,
    got: N,
    allowed: std::ops::RangeInclusive<N>,
) -> Result<(), ManifestError> {
    if allowed.contains(&got) {
        return Ok(());
    }
    let plain = |number: N| number.try_into().unwrap_or(u64::MAX);
    Err(ManifestError::Bound {
        field,
        got: plain(got),
        least: plain(*allowed.start()),
        most: plain(*allowed.end()),
    })
}
