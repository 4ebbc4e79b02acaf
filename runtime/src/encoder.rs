//! A loaded model and what it computes.

use crate::container::{ArtifactKind, ContainerError, Payload};
use crate::error::Error;
use crate::graph::{Graph, Run};
use crate::limits::{GRAPH_LEN_MAX, TEXT_LEN_MAX, TOKENIZER_LEN_MAX};
use crate::output::{Prediction, TokenInfo, TokenPrediction, TokenUsage, TokenVector, Values};
use crate::pooling::{activate, argmax, normalize, pool};
use crate::source::Source;
use crate::tokenizer::{Tokenizer, Tokens};
use encoderfile_proto::{Pipeline, Pooling, Task};
use std::sync::Arc;

/// A model ready to run, shared by any number of sessions.
pub struct Encoder {
    task: Task,
    pipeline: Pipeline,
    pooling: Vec<Pooling>,
    tokenizer: Tokenizer,
    graph: Graph,
}

/// What a request may say. The default is what the model folder says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Divide embeddings by their L2 norm, or not.
    pub normalize: Option<bool>,
    /// Per-token tasks: also the tokens that are not in the text.
    pub special_tokens: bool,
    /// What to do with a text that does not fit.
    pub over_long: OverLong,
}

/// What to do with a text of more tokens than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverLong {
    /// Cut it and say so in the result.
    #[default]
    Truncate,
    /// Refuse it.
    Error,
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
        let output = pipeline.output.as_ref();
        let width = output.map_or(0, |output| output.width as usize);
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
        let per_token = output.is_some_and(|output| output.per_token);
        let fits = match task {
            Task::SequenceClassification => !per_token,
            // Pooled in the graph, or here.
            Task::SentenceEmbedding => true,
            Task::Embedding | Task::TokenClassification | Task::Unspecified => per_token,
        };
        if !fits {
            return Err(Error::Manifest("output rank does not fit the task"));
        }
        Ok(Self {
            task,
            pooling: pipeline.pooling().collect(),
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

    /// A session with scratch memory of its own. One thread uses one session.
    pub fn session(&self) -> Result<Session<'_>, Error> {
        Ok(Session {
            encoder: self,
            run: self.graph.run()?,
        })
    }

    /// Tokenises a text as the model sees it.
    pub fn tokenize(&self, text: &str, over_long: OverLong) -> Result<Tokens, Error> {
        if text.len() > TEXT_LEN_MAX {
            return Err(Error::TextLength {
                length: text.len(),
                limit: TEXT_LEN_MAX,
            });
        }
        let tokens = self.tokenizer.encode(text)?;
        if over_long == OverLong::Error && tokens.total > tokens.ids.len() {
            return Err(Error::TooManyTokens {
                tokens_total: tokens.total,
                max_tokens: self.pipeline.max_tokens as usize,
            });
        }
        let vocabulary_size = self.pipeline.vocabulary_size;
        match tokens.ids.iter().find(|id| **id >= vocabulary_size) {
            Some(id) => Err(Error::TokenId {
                id: *id,
                vocabulary_size,
            }),
            None => Ok(tokens),
        }
    }
}

/// One thread's use of an [`Encoder`].
pub struct Session<'a> {
    encoder: &'a Encoder,
    run: Run<'a>,
}

impl Session<'_> {
    /// The result for one text.
    pub fn infer(&mut self, text: &str, options: &Options) -> Result<Prediction, Error> {
        self.check(options)?;
        let tokens = self.encoder.tokenize(text, options.over_long)?;
        let output = self.evaluate(&tokens)?;
        let truncated = (tokens.total > tokens.ids.len()).then_some(TokenUsage {
            tokens_total: tokens.total,
            tokens_used: tokens.ids.len(),
        });
        let values = match self.encoder.task {
            Task::SentenceEmbedding => Values::SentenceEmbedding {
                embedding: self.sentence_embedding(&output, options),
            },
            Task::SequenceClassification => self.classification(output),
            Task::TokenClassification => Values::TokenClassification {
                tokens: self.token_predictions(&tokens, &output, options),
            },
            Task::Embedding | Task::Unspecified => Values::Embedding {
                embeddings: self.token_vectors(&tokens, &output, options),
            },
        };
        Ok(Prediction { values, truncated })
    }

    /// The tokens of a text and the task's plain numbers for it, special tokens
    /// included: what golden cases compare.
    pub fn raw(&mut self, text: &str) -> Result<(Tokens, Vec<f32>), Error> {
        let tokens = self.encoder.tokenize(text, OverLong::Truncate)?;
        let output = self.evaluate(&tokens)?;
        let values = match self.encoder.task {
            Task::SentenceEmbedding => self.sentence_embedding(&output, &Options::default()),
            _ => output,
        };
        Ok((tokens, values))
    }

    fn check(&self, options: &Options) -> Result<(), Error> {
        let task = self.encoder.task;
        let refuse = |option| {
            Err(Error::Option {
                option,
                task: task.name(),
            })
        };
        let embeds = matches!(task, Task::Embedding | Task::SentenceEmbedding);
        let per_token = matches!(task, Task::Embedding | Task::TokenClassification);
        if options.normalize.is_some() && !embeds {
            return refuse("normalize");
        }
        if options.special_tokens && !per_token {
            return refuse("special_tokens");
        }
        Ok(())
    }

    fn evaluate(&mut self, tokens: &Tokens) -> Result<Vec<f32>, Error> {
        if tokens.ids.is_empty() {
            // A tokenizer without special tokens makes no token of an empty text.
            return Ok(if self.has_one_row() {
                vec![0.0; self.width()]
            } else {
                Vec::new()
            });
        }
        Ok(self.run.evaluate(&tokens.ids, &tokens.type_ids)?)
    }

    /// Whether the graph gives one row for the text.
    fn has_one_row(&self) -> bool {
        let output = self.encoder.pipeline.output.as_ref();
        output.is_some_and(|output| !output.per_token)
    }

    fn width(&self) -> usize {
        let output = self.encoder.pipeline.output.as_ref();
        output.map_or(1, |output| output.width as usize)
    }

    fn sentence_embedding(&self, hidden: &[f32], options: &Options) -> Vec<f32> {
        let encoder = self.encoder;
        let mut embedding = if self.has_one_row() {
            hidden.to_vec()
        } else {
            pool(hidden, self.width(), &encoder.pooling)
        };
        if options.normalize.unwrap_or(encoder.pipeline.normalize) {
            normalize(&mut embedding);
        }
        embedding
    }

    fn classification(&self, logits: Vec<f32>) -> Values {
        let pipeline = &self.encoder.pipeline;
        let scores = activate(&logits, pipeline.activation());
        let predicted_index = argmax(&scores);
        Values::SequenceClassification {
            predicted_label: pipeline.labels[predicted_index].clone(),
            logits,
            scores,
            predicted_index,
        }
    }

    fn token_vectors(
        &self,
        tokens: &Tokens,
        hidden: &[f32],
        options: &Options,
    ) -> Vec<TokenVector> {
        let rows = self.rows(tokens, hidden, options);
        let vectors = rows.map(|(token_info, row)| {
            let mut embedding = row.to_vec();
            if options.normalize == Some(true) {
                normalize(&mut embedding);
            }
            TokenVector {
                embedding,
                token_info,
            }
        });
        vectors.collect()
    }

    fn token_predictions(
        &self,
        tokens: &Tokens,
        logits: &[f32],
        options: &Options,
    ) -> Vec<TokenPrediction> {
        let pipeline = &self.encoder.pipeline;
        let rows = self.rows(tokens, logits, options);
        let predictions = rows.map(|(token_info, logits)| {
            let scores = activate(logits, pipeline.activation());
            let best = argmax(&scores);
            TokenPrediction {
                token_info,
                logits: logits.to_vec(),
                label: pipeline.labels[best].clone(),
                score: scores[best],
                scores,
            }
        });
        predictions.collect()
    }

    /// Each token that the options ask for, with its row of `values`.
    fn rows<'v>(
        &self,
        tokens: &'v Tokens,
        values: &'v [f32],
        options: &'v Options,
    ) -> impl Iterator<Item = (TokenInfo, &'v [f32])> {
        let rows = values.chunks_exact(self.width()).enumerate();
        rows.filter(|(index, _)| options.special_tokens || !tokens.special[*index])
            .map(|(index, row)| {
                let (start, end) = tokens.offsets[index];
                let token_info = TokenInfo {
                    token: tokens.tokens[index].clone(),
                    token_id: tokens.ids[index],
                    start,
                    end,
                };
                (token_info, row)
            })
    }
}
