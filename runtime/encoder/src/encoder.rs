//! A loaded model and what it computes.
//!
//! [`Session::infer`] is the one entry. [`Work`] takes a text through it, and
//! what each task makes of the graph's output is in the other modules below.

mod classification;
mod fill_mask;
mod finite;
mod repool;
mod sentence;
mod spans;
mod tokens;
mod work;

pub use repool::PoolingChoice;
pub use work::{Session, Work};

use crate::error::{Error, LimitedBy, RequestError, TaskProblem};
use crate::modules::{self, Module};
use crate::request::{Input, Long, Options, Truncation};
use crate::tokenizer::{Tokenizer, Tokens};
use encoderfile_format::container::{ArtifactKind, ContainerError, Payload};
use encoderfile_format::limits::{GRAPH_LEN_MAX, TEXT_LEN_MAX, TOKENIZER_LEN_MAX};
use encoderfile_format::manifest::{Pipeline, Task};
use encoderfile_format::source::Source;
use encoderfile_graph::Graph;
use std::sync::Arc;

/// A model ready to run, shared by any number of sessions.
pub struct Encoder {
    task: Task,
    pipeline: Pipeline,
    modules: Vec<Module>,
    tokenizer: Tokenizer,
    graph: Graph,
}

/// Half of the work of loading a model.
pub type Half<'a> = &'a mut (dyn FnMut() + Send);

/// A text or pair with a prompt in front of it.
struct Prompted<'a> {
    text: String,
    pair: Option<&'a str>,
}

impl Prompted<'_> {
    fn input(&self) -> Input<'_> {
        match self.pair {
            Some(pair) => Input::Pair(&self.text, pair),
            None => Input::Text(&self.text),
        }
    }
}

impl Encoder {
    /// Loads the model of a payload.
    ///
    /// The hashes of tokenizer and graph are checked here; that of the weights
    /// is not. [`Payload::verify`] does it, and may run beside this on another
    /// thread.
    pub fn load(payload: &Payload) -> Result<Self, Error> {
        Self::load_with(payload, |first, second| {
            first();
            second();
        })
    }

    /// As [`Encoder::load`]; `both` runs the two halves of the work, which depend
    /// on nothing of each other, perhaps at once.
    pub fn load_with(
        payload: &Payload,
        both: impl FnOnce(Half<'_>, Half<'_>),
    ) -> Result<Self, Error> {
        let model = payload.model()?;
        let (task, pipeline) = (model.task, model.pipeline.clone());
        check(task, &pipeline)?;
        let weights: Arc<dyn Source> = match payload.artifact(ArtifactKind::Weights) {
            Ok(weights) => Arc::new(weights),
            Err(ContainerError::Missing { .. }) => Arc::new(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let load_tokenizer = || {
            let tokenizer = payload.read(ArtifactKind::Tokenizer, TOKENIZER_LEN_MAX)?;
            Ok::<_, Error>(Tokenizer::load(&tokenizer, &pipeline)?)
        };
        let load_graph = || {
            let graph = payload.read(ArtifactKind::Graph, GRAPH_LEN_MAX)?;
            Ok::<_, Error>(Graph::load(&graph, &weights, &pipeline)?)
        };
        let (mut tokenizer, mut graph) = (None, None);
        both(
            &mut || {
                tokenizer = Some(load_tokenizer());
            },
            &mut || {
                graph = Some(load_graph());
            },
        );
        Ok(Self {
            task,
            modules: modules::load(&pipeline, &weights)?,
            tokenizer: tokenizer.unwrap_or_else(load_tokenizer)?,
            graph: graph.unwrap_or_else(load_graph)?,
            pipeline,
        })
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
        pipeline.check()?;
        check(task, &pipeline)?;
        Ok(Self {
            task,
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
        Ok(options.check(self.task, &self.pipeline)?)
    }

    /// Whether one sequence gives a row a token, with a width that
    /// [`crate::Options::unpooled`] can give out.
    pub fn has_token_vectors(&self) -> bool {
        let embeds = matches!(self.task, Task::Embedding | Task::SentenceEmbedding);
        embeds && self.pipeline.output.per_token
    }

    /// A session with scratch memory of its own. One thread uses one session.
    pub fn session(&self) -> Result<Session<'_>, Error> {
        Ok(Session {
            encoder: self,
            run: self.graph.run()?,
        })
    }

    /// Lets one text be computed on several cores while fewer texts than `cores`
    /// are; on one core until then. No result depends on it.
    ///
    /// Where there are no threads, in wasm, nothing changes.
    pub fn use_cores(&self, cores: usize) {
        self.graph.use_cores(cores);
    }

    /// Tokenises a text or pair as the model sees it, prompt included.
    pub fn tokenize(&self, input: Input<'_>, options: &Options) -> Result<Tokens, Error> {
        self.check_length(input)?;
        let prompted = self.prompted(input, options.prompt(&self.pipeline))?;
        let input = prompted.as_ref().map_or(input, Prompted::input);
        // A text alone is always its pair's first, and only that can be cut.
        let truncation = match input {
            Input::Pair(..) => options.truncation(&self.pipeline),
            _ => Truncation::LongestFirst,
        };
        let tokens = self.tokenizer.encode(
            input,
            truncation,
            options.truncation_side,
            options.max_tokens,
        )?;
        if options.long == Long::Error && tokens.total > tokens.ids.len() {
            let max_tokens = self.tokenizer.limit(options.max_tokens);
            let is_requests = options.max_tokens == Some(max_tokens);
            return Err(RequestError::TooManyTokens {
                tokens_total: tokens.total,
                max_tokens,
                limited_by: if is_requests {
                    LimitedBy::Request
                } else {
                    LimitedBy::Model
                },
            }
            .into());
        }
        self.check_ids(&tokens)?;
        Ok(tokens)
    }

    /// All tokens of a text, prompt included, however many the model takes.
    pub fn tokenize_whole(&self, input: Input<'_>, options: &Options) -> Result<Tokens, Error> {
        self.check(options)?;
        self.check_length(input)?;
        let prompted = self.prompted(input, options.prompt(&self.pipeline))?;
        let input = prompted.as_ref().map_or(input, Prompted::input);
        Ok(self.tokenizer.encode_whole(input)?)
    }

    /// The prompt and the first text together, where there is a prompt.
    fn prompted<'a>(
        &self,
        input: Input<'a>,
        prompt: &str,
    ) -> Result<Option<Prompted<'a>>, RequestError> {
        if prompt.is_empty() {
            return Ok(None);
        }
        let (text, pair) = match input {
            Input::Text(text) => (format!("{prompt}{text}"), None),
            // How the last token of a prompt joins a text is the tokenizer's to say.
            Input::Ids(ids) => (
                format!("{prompt}{}", self.tokenizer.decode(ids, true)?),
                None,
            ),
            Input::Pair(text, pair) => (format!("{prompt}{text}"), Some(pair)),
        };
        Ok(Some(Prompted { text, pair }))
    }

    fn check_length(&self, input: Input<'_>) -> Result<(), RequestError> {
        let length = match input {
            Input::Text(text) => text.len(),
            Input::Pair(text, pair) => text.len() + pair.len(),
            Input::Ids(ids) => size_of_val(ids),
        };
        if length > TEXT_LEN_MAX {
            return Err(RequestError::TextLength {
                length,
                limit: TEXT_LEN_MAX,
            });
        }
        Ok(())
    }

    fn check_ids(&self, tokens: &Tokens) -> Result<(), RequestError> {
        let vocabulary_size = self.pipeline.vocabulary_size;
        match tokens.ids.iter().find(|id| **id >= vocabulary_size) {
            Some(id) => Err(RequestError::TokenId {
                id: *id,
                vocabulary_size,
            }),
            None => Ok(()),
        }
    }

    /// How many numbers the graph gives for a token, or for the text.
    fn width(&self) -> usize {
        self.pipeline.output.width as usize
    }
}

/// Refuses a pipeline that lacks what its task needs.
fn check(task: Task, pipeline: &Pipeline) -> Result<(), TaskProblem> {
    let width = pipeline.output.width as usize;
    let classifies = matches!(
        task,
        Task::SequenceClassification | Task::TokenClassification
    );
    let logits = match task {
        Task::SequenceClassification => pipeline.embedding_width(),
        _ => width,
    };
    if classifies && pipeline.labels.len() != logits {
        return Err(TaskProblem::Labels);
    }
    // What is not pooled here is pooled in the graph.
    let one_row = match task {
        Task::SequenceClassification | Task::SentenceEmbedding => pipeline.pooling.is_empty(),
        _ => false,
    };
    if pipeline.output.per_token == one_row {
        return Err(TaskProblem::OutputRank);
    }
    let entailment = pipeline.entailment;
    if entailment.is_some_and(|label| label as usize >= logits || logits < 2) {
        return Err(TaskProblem::EntailmentLabel);
    }
    if task == Task::FillMask && pipeline.mask_token_id.is_none() {
        return Err(TaskProblem::MaskToken);
    }
    Ok(())
}
