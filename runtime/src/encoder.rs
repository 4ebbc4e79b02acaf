//! A loaded model and what it computes.
//!
//! [`Session::infer`] is the one entry; what each task makes of the graph's
//! output is in the modules below.

mod classification;
mod fill_mask;
mod sentence;
mod spans;
mod tokens;

use crate::container::{ArtifactKind, ContainerError, Payload};
use crate::error::Error;
use crate::graph::{Graph, Run};
use crate::limits::{GRAPH_LEN_MAX, TEXT_LEN_MAX, TOKENIZER_LEN_MAX};
use crate::modules::{self, Module};
use crate::output::{Prediction, TokenUsage, Values};
use crate::request::{Input, Long, Options, Truncation};
use crate::source::Source;
use crate::tokenizer::{Tokenizer, Tokens};
use encoderfile_proto::{Pipeline, Pooling, Task};
use std::sync::Arc;

/// A model ready to run, shared by any number of sessions.
pub struct Encoder {
    task: Task,
    pipeline: Pipeline,
    pooling: Vec<Pooling>,
    modules: Vec<Module>,
    tokenizer: Tokenizer,
    graph: Graph,
}

impl Encoder {
    /// Loads the model of a payload.
    ///
    /// The hashes of tokenizer and graph are checked here; that of the weights
    /// is not. [`Payload::verify`] does it, and may run beside this on another
    /// thread.
    pub fn load(payload: &Payload) -> Result<Self, Error> {
        let manifest = payload.manifest();
        let pipeline = manifest.pipeline.clone();
        let pipeline = pipeline.ok_or(Error::Manifest("no pipeline; this file holds no model"))?;
        let tokenizer = payload.read(ArtifactKind::Tokenizer, TOKENIZER_LEN_MAX)?;
        let graph = payload.read(ArtifactKind::Graph, GRAPH_LEN_MAX)?;
        let weights: Arc<dyn Source> = match payload.artifact(ArtifactKind::Weights) {
            Ok(weights) => Arc::new(weights),
            Err(ContainerError::Missing { .. }) => Arc::new(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        Self::from_parts(manifest.task(), pipeline, &tokenizer, &graph, &weights)
    }

    /// Makes a model of its parts: a `tokenizer.json`, an ONNX graph, and the
    /// tensors that are not in the graph.
    pub fn from_parts(
        task: Task,
        pipeline: Pipeline,
        tokenizer: &[u8],
        graph: &[u8],
        weights: &Arc<dyn Source>,
    ) -> Result<Self, Error> {
        check(task, &pipeline)?;
        Ok(Self {
            task,
            pooling: pipeline.pooling().collect(),
            modules: modules::load(&pipeline, weights)?,
            tokenizer: Tokenizer::load(tokenizer, &pipeline)?,
            graph: Graph::load(graph, weights, &pipeline)?,
            pipeline,
        })
    }

    /// What the model computes.
    pub fn task(&self) -> Task {
        self.task
    }

    /// How texts become results.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The tokenizer with the model's limit.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Refuses options that this model cannot serve; [`Session::infer`] does too.
    pub fn check(&self, options: &Options) -> Result<(), Error> {
        options.check(self.task, &self.pipeline)
    }

    /// A session with scratch memory of its own. One thread uses one session.
    pub fn session(&self) -> Result<Session<'_>, Error> {
        Ok(Session {
            encoder: self,
            run: self.graph.run()?,
        })
    }

    /// Tokenises a text or pair as the model sees it, prompt included.
    pub fn tokenize(&self, input: Input<'_>, options: &Options) -> Result<Tokens, Error> {
        self.check_length(input)?;
        let prompt = options.prompt(&self.pipeline);
        let prompted;
        let input = if prompt.is_empty() {
            input
        } else {
            prompted = format!("{prompt}{}", input.text);
            Input {
                text: &prompted,
                ..input
            }
        };
        // A text alone is always its pair's first, and only that can be cut.
        let truncation = match input.text_pair {
            Some(_) => options.truncation(&self.pipeline),
            None => Truncation::LongestFirst,
        };
        let tokens = self
            .tokenizer
            .encode(input, truncation, options.truncation_side)?;
        if options.long == Long::Error && tokens.total > tokens.ids.len() {
            return Err(Error::TooManyTokens {
                tokens_total: tokens.total,
                max_tokens: self.pipeline.max_tokens as usize,
            });
        }
        self.check_ids(&tokens)?;
        Ok(tokens)
    }

    fn check_length(&self, input: Input<'_>) -> Result<(), Error> {
        let length = input.text.len() + input.text_pair.map_or(0, str::len);
        if length > TEXT_LEN_MAX {
            return Err(Error::TextLength {
                length,
                limit: TEXT_LEN_MAX,
            });
        }
        Ok(())
    }

    fn check_ids(&self, tokens: &Tokens) -> Result<(), Error> {
        let vocabulary_size = self.pipeline.vocabulary_size;
        match tokens.ids.iter().find(|id| **id >= vocabulary_size) {
            Some(id) => Err(Error::TokenId {
                id: *id,
                vocabulary_size,
            }),
            None => Ok(()),
        }
    }

    /// How many numbers the graph gives for a token, or for the text.
    fn width(&self) -> usize {
        let output = self.pipeline.output.as_ref();
        output.map_or(1, |output| output.width as usize)
    }
}

/// Refuses a pipeline that lacks what its task needs.
fn check(task: Task, pipeline: &Pipeline) -> Result<(), Error> {
    let output = pipeline.output.as_ref();
    let width = output.map_or(0, |output| output.width as usize);
    let per_token = output.is_some_and(|output| output.per_token);
    let classifies = matches!(
        task,
        Task::SequenceClassification | Task::TokenClassification
    );
    if width == 0 || task == Task::Unspecified {
        return Err(Error::Manifest("no task or no output width"));
    }
    if classifies && pipeline.labels.len() != width {
        return Err(Error::Manifest("not one label for each logit"));
    }
    // Sentence embeddings may be pooled in the graph.
    let one_row = match task {
        Task::SequenceClassification => true,
        Task::SentenceEmbedding => pipeline.pooling.is_empty(),
        _ => false,
    };
    if per_token == one_row {
        return Err(Error::Manifest("output rank does not fit the task"));
    }
    let entailment = pipeline.entailment;
    if entailment.is_some_and(|label| label as usize >= width || width < 2) {
        return Err(Error::Manifest("no such entailment label"));
    }
    if task == Task::FillMask && pipeline.mask_token_id.is_none() {
        return Err(Error::Manifest("no mask token"));
    }
    Ok(())
}

/// One thread's use of an [`Encoder`].
pub struct Session<'a> {
    encoder: &'a Encoder,
    run: Run<'a>,
}

impl Session<'_> {
    /// The result for one text or pair.
    pub fn infer<'t>(
        &mut self,
        input: impl Into<Input<'t>>,
        options: &Options,
    ) -> Result<Prediction, Error> {
        let input = input.into();
        let task = self.encoder.task;
        self.encoder.check(options)?;
        if input.text_pair.is_some() && task != Task::SequenceClassification {
            return Err(Error::Option {
                option: "text_pair",
                task: task.name(),
            });
        }
        match task {
            Task::SentenceEmbedding => self.sentence_embedding(input.text, options),
            Task::SparseEmbedding => self.sparse_embedding(input.text, options),
            Task::SequenceClassification => self.classify(input, options),
            Task::TokenClassification if options.aggregation.is_some() => {
                self.entities(input.text, options)
            }
            Task::TokenClassification => self.token_predictions(input.text, options),
            Task::FillMask => self.fill_masks(input.text, options),
            Task::Embedding | Task::Unspecified => self.token_vectors(input.text, options),
        }
    }

    /// The tokens of a text and the task's plain numbers for it, special tokens
    /// included: what golden cases compare.
    pub fn raw(&mut self, text: &str) -> Result<(Tokens, Vec<f32>), Error> {
        /// Of a row of vocabulary logits, so many say whether it was computed right.
        const LOGITS: usize = 64;

        let options = Options::default();
        let tokens = self.encoder.tokenize(text.into(), &options)?;
        let output = self.evaluate(&tokens)?;
        let values = match self.encoder.task {
            Task::SentenceEmbedding => match self.sentence_embedding(text, &options)?.values {
                Values::SentenceEmbedding { embedding } => embedding,
                _ => Vec::new(),
            },
            Task::SparseEmbedding | Task::FillMask => {
                let rows = output.chunks_exact(self.encoder.width());
                let heads = rows.map(|row| &row[..row.len().min(LOGITS)]);
                heads.collect::<Vec<_>>().concat()
            }
            _ => output,
        };
        Ok((tokens, values))
    }

    /// The graph's output for a sequence, row after row.
    fn evaluate(&mut self, tokens: &Tokens) -> Result<Vec<f32>, Error> {
        if tokens.ids.is_empty() {
            // A tokenizer without special tokens makes no token of an empty text.
            let output = self.encoder.pipeline.output.as_ref();
            let per_token = output.is_none_or(|output| output.per_token);
            let len = if per_token { 0 } else { self.encoder.width() };
            return Ok(vec![0.0; len]);
        }
        Ok(self.run.evaluate(&tokens.ids, &tokens.type_ids)?)
    }
}

/// How much of a text was used, where that was not all of it.
fn truncated(tokens: &Tokens) -> Option<TokenUsage> {
    (tokens.total > tokens.ids.len()).then_some(TokenUsage {
        tokens_total: tokens.total,
        tokens_used: tokens.ids.len(),
        windows: None,
    })
}
