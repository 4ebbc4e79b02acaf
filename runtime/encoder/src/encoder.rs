//! A loaded model.
//!
//! [`Session::infer`] is the one entry; [`Encoder::prepare`] and [`Session::step`]
//! are the same for whoever runs many texts.

use crate::error::{Error, OptionsError};
use crate::heads::{self, Capability, Head};
use crate::options::{Input, Options, Vectors};
use crate::processor::Processor;
use crate::session::Session;
use crate::tokenizer::{Tokenizer, Tokens};
use encoderfile_format::container::{ArtifactKind, ContainerError, Payload};
use encoderfile_format::limits::{GRAPH_LEN_MAX, TOKENIZER_LEN_MAX};
use encoderfile_format::manifest::{Pipeline, Task};
use encoderfile_format::source::Source;
use encoderfile_graph::Graph;
use std::sync::Arc;

/// A model ready to run, shared by any number of sessions.
pub struct Encoder {
    pub(crate) task: Task,
    pub(crate) pipeline: Pipeline,
    pub(crate) head: Arc<dyn Head>,
    pub(crate) weights: Arc<dyn Source>,
    tokenizer: Tokenizer,
    pub(crate) graph: Graph,
}

/// One of the two tasks of loading a model, which depend on nothing of each other.
pub type LoadTask<'a> = &'a mut (dyn FnMut() + Send);

impl Encoder {
    /// Loads the model of a payload.
    ///
    /// The hashes of tokenizer and graph are checked here; that of the weights
    /// is not. [`Payload::verify`] does it, and may run beside this on another
    /// thread.
    ///
    /// # Errors
    /// [`Error::File`] for a payload without a model, an artifact that is missing, too
    /// large or does not match its hash, a tokenizer or graph that cannot be served, and a
    /// pipeline that lacks what its task needs.
    pub fn load(payload: &Payload) -> Result<Self, Error> {
        Self::load_with(payload, |first, second| {
            first();
            second();
        })
    }

    /// As [`Encoder::load`]; `join` runs both tasks, possibly in parallel.
    ///
    /// # Errors
    /// The same.
    pub fn load_with(
        payload: &Payload,
        join: impl FnOnce(LoadTask<'_>, LoadTask<'_>),
    ) -> Result<Self, Error> {
        let model = payload.model()?;
        let (task, pipeline) = (model.task, model.pipeline.clone());
        let weights: Arc<dyn Source> = match payload.artifact(ArtifactKind::Weights) {
            Ok(weights) => Arc::new(weights),
            Err(ContainerError::Missing { .. }) => Arc::new(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let head = heads::new(task, &pipeline, &weights)?;
        let mask = head.attention_mask();
        let load_tokenizer = || {
            let tokenizer = payload.read(ArtifactKind::Tokenizer, TOKENIZER_LEN_MAX)?;
            Ok::<_, Error>(Tokenizer::load(&tokenizer, &pipeline)?)
        };
        let load_graph = || {
            let graph = payload.read(ArtifactKind::Graph, GRAPH_LEN_MAX)?;
            Ok::<_, Error>(Graph::load(&graph, &weights, &pipeline, mask)?)
        };
        let (mut tokenizer, mut graph) = (None, None);
        join(
            &mut || {
                tokenizer = Some(load_tokenizer());
            },
            &mut || {
                graph = Some(load_graph());
            },
        );
        Ok(Self {
            task,
            head,
            weights: Arc::clone(&weights),
            tokenizer: tokenizer.unwrap_or_else(load_tokenizer)?,
            graph: graph.unwrap_or_else(load_graph)?,
            pipeline,
        })
    }

    /// Makes a model of its parts: a `tokenizer.json`, an ONNX graph, and the
    /// tensors that are not in the graph. No hash is checked.
    ///
    /// # Errors
    /// [`Error::File`] for a pipeline beyond its bounds, a tokenizer or graph that cannot be
    /// served, and a pipeline that lacks what its task needs.
    pub fn from_parts(
        task: Task,
        pipeline: Pipeline,
        tokenizer: &[u8],
        graph: &[u8],
        weights: &Arc<dyn Source>,
    ) -> Result<Self, Error> {
        pipeline.check()?;
        let head = heads::new(task, &pipeline, weights)?;
        Ok(Self {
            task,
            weights: Arc::clone(weights),
            tokenizer: Tokenizer::load(tokenizer, &pipeline)?,
            graph: Graph::load(graph, weights, &pipeline, head.attention_mask())?,
            head,
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

    /// What the model can be asked for.
    pub fn capabilities(&self) -> Vec<Capability> {
        self.head.capabilities()
    }

    /// The field of a result that holds its values where the request says nothing of
    /// it: see [`crate::Values`].
    pub fn result(&self) -> &'static str {
        self.head.result()
    }

    /// The options with whatever makes a result be in that field ([`Encoder::result`]), for a
    /// model that has several kinds of results; `None` where it has none there.
    pub fn giving(&self, result: &str, options: Options) -> Option<Options> {
        self.head.giving(result, options)
    }

    /// The options with whatever makes results be of that kind: the token embeddings of a model
    /// that pools them, one of several vectors.
    ///
    /// # Errors
    /// [`OptionsError::NotGiven`] for a kind that the model does not give.
    pub fn asked_for(&self, kind: Capability, options: Options) -> Result<Options, Error> {
        let capabilities = self.capabilities();
        if !capabilities.contains(&kind) {
            let error = OptionsError::NotGiven {
                capability: kind.name(),
                task: self.task.name(),
                given: capabilities.iter().map(|it| it.name()).collect(),
            };
            return Err(error.into());
        }
        let pools = capabilities.contains(&Capability::Embed);
        let is_hybrid = pools && capabilities.contains(&Capability::Sparse);
        Ok(match kind {
            Capability::TokenEmbeddings if is_hybrid => Options {
                vectors: Some(Vectors::Colbert),
                ..options
            },
            Capability::TokenEmbeddings if pools => Options {
                unpooled: true,
                ..options
            },
            Capability::Sparse if is_hybrid => Options {
                vectors: Some(Vectors::Sparse),
                ..options
            },
            _ => options,
        })
    }

    /// Refuses options that this model cannot serve; [`Session::infer`] does too.
    ///
    /// # Errors
    /// [`Error::Request`] for options of another task and values that make no sense.
    pub fn check(&self, options: &Options) -> Result<(), Error> {
        Ok(options.check(&*self.head, self.task, &self.pipeline)?)
    }

    /// A session with scratch memory of its own. One thread uses one session.
    ///
    /// # Errors
    /// [`Error::File`] where the engine makes no state for the plan.
    pub fn session(&self) -> Result<Session<'_>, Error> {
        Ok(Session {
            encoder: self,
            run: self.graph.run()?,
        })
    }

    /// Lets one text be computed on several cores while there are at least two of `cores`
    /// for each text that is being computed. No result depends on it.
    ///
    /// Where there are no threads, in wasm, nothing changes.
    pub fn use_cores(&self, cores: usize) {
        self.graph.use_cores(cores);
    }

    /// Tokenises a text or pair as the model sees it, prompt included.
    ///
    /// # Errors
    /// [`Error::Request`] for texts that cannot be tokenised or do not fit, and token ids
    /// beyond the model's vocabulary.
    pub fn tokenize(&self, input: Input<'_>, options: &Options) -> Result<Tokens, Error> {
        Ok(self.head.sequence(self.processor(), input, options)?)
    }

    /// All tokens of a text, prompt included, however many the model takes.
    ///
    /// # Errors
    /// As [`Encoder::check`], and for texts that cannot be tokenised.
    pub fn tokenize_whole(&self, input: Input<'_>, options: &Options) -> Result<Tokens, Error> {
        self.check(options)?;
        Ok(self.head.whole(self.processor(), input, options)?)
    }

    /// The mask token as a text has to spell it, if the task has one.
    pub fn mask_token(&self) -> Option<String> {
        let id = self.pipeline.mask_token_id?;
        self.tokenizer.decode(&[id], false).ok()
    }

    pub(crate) fn processor(&self) -> Processor<'_> {
        Processor {
            tokenizer: &self.tokenizer,
            pipeline: &self.pipeline,
        }
    }
}
