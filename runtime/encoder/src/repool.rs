//! Another pooling than the file says, for whoever serves a model.
//!
//! The vectors are then those of another model, so the id of the space they may
//! be compared in is another one too.

use crate::encoder::Encoder;
use crate::error::{Error, OptionsError, PoolingProblem};
use crate::heads;
use crate::info::Info;
use encoderfile_format::manifest::{Pooling, Splade, Task};

/// How token vectors become the vector of a text, as TEI's `--pooling` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingChoice {
    /// The vector of the first token.
    Cls,
    /// The mean over all tokens.
    Mean,
    /// The vector of the last token.
    LastToken,
    /// Of a masked language model: the largest weight of each vocabulary entry.
    Splade,
}

impl PoolingChoice {
    fn mode(self) -> Option<Pooling> {
        match self {
            Self::Cls => Some(Pooling::Cls),
            Self::Mean => Some(Pooling::Mean),
            Self::LastToken => Some(Pooling::LastToken),
            Self::Splade => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Mean => "mean",
            Self::LastToken => "last-token",
            Self::Splade => "splade",
        }
    }
}

impl Encoder {
    /// The model with another pooling; what it says of itself follows in `info`.
    /// A model of token vectors becomes one of texts, and a masked language model
    /// a sparse one. Modules after the pooling stay, and have to fit.
    ///
    /// # Errors
    /// [`Error::Request`] with [`OptionsError::Pooling`] for a pooling that the model cannot
    /// have, and [`Error::File`] where the weights of its modules cannot be read.
    pub fn repool(mut self, choice: PoolingChoice, info: &mut Info) -> Result<Self, Error> {
        let refuse = |problem| {
            let pooling = choice.name();
            Err(OptionsError::Pooling { pooling, problem }.into())
        };
        let per_token = self.pipeline.output.per_token;
        let Some(mode) = choice.mode() else {
            return match self.task {
                Task::SparseEmbedding => Ok(self),
                Task::FillMask => {
                    self.task = Task::SparseEmbedding;
                    self.pipeline.splade = Some(Splade::default());
                    self.repooled(choice, info)
                }
                _ => refuse(PoolingProblem::NoLogits),
            };
        };
        match self.task {
            Task::SentenceEmbedding if !per_token => refuse(PoolingProblem::InGraph),
            Task::SentenceEmbedding if self.pipeline.pooling == [mode] => Ok(self),
            Task::SentenceEmbedding
                if !self.pipeline.modules.is_empty() && self.pipeline.pooling.len() > 1 =>
            {
                refuse(PoolingProblem::Width)
            }
            Task::SentenceEmbedding | Task::Embedding => {
                self.task = Task::SentenceEmbedding;
                self.pipeline.pooling = vec![mode];
                self.repooled(choice, info)
            }
            task => refuse(PoolingProblem::Task(task.name())),
        }
    }

    fn repooled(mut self, choice: PoolingChoice, info: &mut Info) -> Result<Self, Error> {
        self.head = heads::new(self.task, &self.pipeline, &self.weights)?;
        let id = format!("{} pooling {}", info.embedding_space_id, choice.name());
        info.embedding_space_id = blake3::hash(id.as_bytes()).to_hex().to_string();
        info.describe(self.task, &self.pipeline);
        Ok(self)
    }
}
