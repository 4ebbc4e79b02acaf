//! From the graph's output to one vector: pooling, and the modules after it.

use super::modules::{self, Module};
use crate::error::TaskProblem;
use crate::pooling::pool;
use encoderfile_format::Source;
use encoderfile_format::manifest::{Pipeline, Pooling};
use std::sync::Arc;

/// Pooling and modules as the folder says.
pub(super) struct Pooler {
    /// Empty where the graph pools.
    modes: Vec<Pooling>,
    modules: Vec<Module>,
    /// Of the graph's output.
    width: usize,
    exclude_prompt: bool,
}

impl Pooler {
    pub(super) fn new(pipeline: &Pipeline, weights: &Arc<dyn Source>) -> Result<Self, TaskProblem> {
        Ok(Self {
            modes: pipeline.pooling.clone(),
            modules: modules::load(&pipeline.modules, weights)?,
            width: pipeline.output.width as usize,
            exclude_prompt: pipeline.exclude_prompt,
        })
    }

    /// Whether the graph gives one row a text.
    pub(super) fn is_in_graph(&self) -> bool {
        self.modes.is_empty()
    }

    /// Whether a prompt's tokens take no part.
    pub(super) fn skips_prompt(&self) -> bool {
        self.exclude_prompt && !self.modes.is_empty()
    }

    /// The vector of one sequence: `output` is `[tokens, width]`, of which the first
    /// `skipped` rows take no part, or `[width]`.
    pub(super) fn apply(&self, output: Vec<f32>, skipped: usize) -> Vec<f32> {
        let pooled = if self.modes.is_empty() {
            output
        } else {
            pool(&output, self.width, &self.modes, skipped)
        };
        modules::apply(&self.modules, pooled)
    }
}
