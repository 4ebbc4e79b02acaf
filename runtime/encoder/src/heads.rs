//! What is particular to a task, a file each.
//!
//! A [`Head`] says what it needs of the pipeline, which options it takes, how an
//! item becomes sequences, what is kept of each (post-processing per sequence), what the
//! result is, and how it describes itself.

mod fill_mask;
mod hybrid;
mod late_interaction;
mod modules;
mod pooler;
mod sentence_embedding;
mod sequence_classification;
mod spans;
mod sparse_embedding;
mod token_classification;
mod token_embedding;

use crate::error::{Error, OptionsError, RequestError, TaskProblem};
use crate::options::{Input, Options};
use crate::output::{Entity, Values};
use crate::processor::Processor;
use crate::shared::Computed;
use crate::tokenizer::Tokens;
use encoderfile_format::Source;
use encoderfile_format::manifest::{Pipeline, Task};
use encoderfile_graph::AttentionMask;
use std::sync::Arc;

/// What a model can be asked for. A frontend offers what is listed, and asks for no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// A sentence embedding of a text.
    Embed,
    /// The similarity score of two texts, by their sentence embeddings.
    Similarity,
    /// An embedding of each token.
    TokenEmbeddings,
    /// A weight for each vocabulary entry that matters to a text.
    Sparse,
    /// The model's own labels for a text or pair.
    Classify,
    /// How well a text answers a query.
    Rerank,
    /// Labels that the request brings.
    ZeroShot,
    /// Labelled tokens and spans.
    Entities,
    /// The likeliest tokens at a mask.
    FillMask,
}

impl Capability {
    const ALL: [Self; 9] = [
        Self::Embed,
        Self::Similarity,
        Self::TokenEmbeddings,
        Self::Sparse,
        Self::Classify,
        Self::Rerank,
        Self::ZeroShot,
        Self::Entities,
        Self::FillMask,
    ];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// As `/info` lists it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Similarity => "similarity",
            Self::TokenEmbeddings => "token_embeddings",
            Self::Sparse => "sparse",
            Self::Classify => "classify",
            Self::Rerank => "rerank",
            Self::ZeroShot => "zero_shot",
            Self::Entities => "entities",
            Self::FillMask => "fill_mask",
        }
    }
}

/// An item as the graph takes it, and what its result needs of it besides.
pub(crate) struct Item {
    /// One after another; each is computed by itself.
    pub(crate) sequences: Vec<Tokens>,
    /// Spans: the text in code points.
    pub(crate) characters: Vec<char>,
    /// Pooling: the tokens in front of each sequence that take no part.
    pub(crate) skipped: usize,
    /// Whether the sequences are windows of one text.
    pub(crate) is_windows: bool,
    /// What it has in common with the other items of its request.
    pub(crate) shared: Option<Arc<Computed>>,
}

impl From<Vec<Tokens>> for Item {
    fn from(sequences: Vec<Tokens>) -> Self {
        Self {
            sequences,
            characters: Vec::new(),
            skipped: 0,
            is_windows: false,
            shared: None,
        }
    }
}

/// What is kept of a sequence until all of an item's have been computed.
pub(crate) enum Part {
    /// A vector, or logits.
    Vector(Vec<f32>),
    /// The spans of a window.
    Entities(Vec<Entity>),
    /// All of the result.
    Values(Values),
}

impl Part {
    /// The numbers of one that is numbers.
    fn vector(&self) -> Option<&[f32]> {
        match self {
            Self::Vector(vector) => Some(vector),
            Self::Entities(_) | Self::Values(_) => None,
        }
    }
}

/// One task: everything that is particular to it.
pub(crate) trait Head: Send + Sync {
    /// What the model can be asked for.
    fn capabilities(&self) -> Vec<Capability>;

    /// The field of a result that holds its values: see [`Values`].
    fn result(&self) -> &'static str;

    /// The request with whatever makes its result be in that field; `None` where the model has
    /// no such result.
    fn giving(&self, result: &str, options: Options) -> Option<Options> {
        (result == self.result()).then_some(options)
    }

    /// The options that this task takes beside those that all do, given the others
    /// of the request.
    fn options(&self, request: &Options) -> Vec<&'static str>;

    /// What is wrong with the options together, beyond what [`Options`] checks.
    fn problem(&self, _options: &Options) -> Option<OptionsError> {
        None
    }

    /// Whether an item may be two texts.
    fn takes_pairs(&self) -> bool {
        false
    }

    /// Whether an item may be token ids.
    fn takes_ids(&self) -> bool {
        false
    }

    /// Whether a role is the name of a prompt and nothing more, so that a request has
    /// either of them.
    fn role_is_prompt(&self) -> bool {
        true
    }

    /// What its sequences need of the attention mask.
    fn attention_mask(&self) -> AttentionMask {
        AttentionMask::Ones
    }

    /// Whether the graph may give masked logits (-inf): those of vocabulary entries that
    /// are never predicted.
    fn masks_vocabulary(&self) -> bool {
        false
    }

    /// The sequence of an item that is one, as the model sees it.
    fn sequence(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Tokens, RequestError> {
        processor.sequence(input, options)
    }

    /// The same, however many tokens the model takes.
    fn whole(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Tokens, RequestError> {
        processor.whole(input, options)
    }

    /// The sequence that every item of a request needs, and that is computed once for all
    /// of them: a query.
    fn shared(
        &self,
        _processor: Processor<'_>,
        _options: &Options,
    ) -> Result<Option<Tokens>, RequestError> {
        Ok(None)
    }

    /// The sequences of an item.
    fn item(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Item, RequestError> {
        Ok(vec![self.sequence(processor, input, options)?].into())
    }

    /// What is kept of one of its sequences, for which the graph gave `output`:
    /// `[tokens, width]`, or `[width]` where the graph pools.
    fn reduce(
        &self,
        processor: Processor<'_>,
        sequence: &Tokens,
        output: Vec<f32>,
        item: &Item,
        options: &Options,
    ) -> Result<Part, RequestError>;

    /// The result of an item, from what was kept of its sequences; `None` where no
    /// part says anything. Not asked where a part is all of the result.
    fn finish(&self, _item: &Item, _parts: Vec<Part>, _options: &Options) -> Option<Values> {
        None
    }

    /// The numbers that a golden case keeps of the graph's output for a text.
    fn golden(
        &self,
        _processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
    ) -> Result<Vec<f32>, RequestError> {
        Ok(output)
    }
}

/// The head of a task.
///
/// # Errors
/// [`TaskProblem`] for a pipeline that lacks what the task needs.
pub(crate) fn new(
    task: Task,
    pipeline: &Pipeline,
    weights: &Arc<dyn Source>,
) -> Result<Arc<dyn Head>, Error> {
    Ok(match task {
        Task::Embedding => Arc::new(token_embedding::TokenEmbedding::new(pipeline)?),
        Task::SentenceEmbedding => match &pipeline.hybrid {
            Some(hybrid) => Arc::new(hybrid::HybridEmbedding::new(pipeline, hybrid, weights)?),
            None => Arc::new(sentence_embedding::SentenceEmbedding::new(
                pipeline, weights,
            )?),
        },
        Task::SparseEmbedding => Arc::new(sparse_embedding::SparseEmbedding::new(pipeline)?),
        Task::SequenceClassification => Arc::new(
            sequence_classification::SequenceClassification::new(pipeline, weights)?,
        ),
        Task::TokenClassification => {
            Arc::new(token_classification::TokenClassification::new(pipeline)?)
        }
        Task::FillMask => Arc::new(fill_mask::FillMask::new(pipeline)?),
        Task::LateInteraction => {
            Arc::new(late_interaction::LateInteraction::new(pipeline, weights)?)
        }
    })
}

/// What comes out, in words: "384-dimensional embedding: mean, normalised".
pub(crate) fn describe(task: Task, pipeline: &Pipeline) -> String {
    match task {
        Task::Embedding => token_embedding::describe(pipeline),
        Task::SentenceEmbedding => match &pipeline.hybrid {
            Some(hybrid) => hybrid::describe(pipeline, hybrid),
            None => sentence_embedding::describe(pipeline),
        },
        Task::SparseEmbedding => sparse_embedding::describe(pipeline),
        Task::SequenceClassification => sequence_classification::describe(pipeline),
        Task::TokenClassification => token_classification::describe(pipeline),
        Task::FillMask => fill_mask::describe(pipeline),
        Task::LateInteraction => late_interaction::describe(pipeline),
    }
}

/// How the vectors of a task are meant to be compared; `None` where results are none.
pub(crate) fn similarity(task: Task, pipeline: &Pipeline) -> Option<&'static str> {
    match task {
        Task::Embedding | Task::SentenceEmbedding | Task::SparseEmbedding => {
            Some(pipeline.similarity.name())
        }
        Task::LateInteraction => late_interaction::similarity(pipeline),
        Task::SequenceClassification | Task::TokenClassification | Task::FillMask => None,
    }
}

/// The vectors among the parts of an item.
fn vectors(parts: Vec<Part>) -> Vec<Vec<f32>> {
    let vectors = parts.into_iter().filter_map(|part| match part {
        Part::Vector(vector) => Some(vector),
        _ => None,
    });
    vectors.collect()
}

/// Refuses a graph that gives one row a text where the task takes one a token, or the
/// other way round.
fn check_rank(pipeline: &Pipeline, per_token: bool) -> Result<(), TaskProblem> {
    if pipeline.output.per_token == per_token {
        return Ok(());
    }
    Err(TaskProblem::OutputRank)
}

/// Refuses a classifier without a label for each of its logits.
fn check_labels(pipeline: &Pipeline, logits: usize) -> Result<(), TaskProblem> {
    if pipeline.labels.len() == logits {
        return Ok(());
    }
    Err(TaskProblem::Labels)
}
