//! A text on its way to its result, one sequence after another.

use super::{Encoder, Prompted, finite};
use crate::error::{Error, OptionsError, RequestError};
use crate::output::{Entity, Prediction, TokenUsage, Values};
use crate::request::{Input, Long, Options, Truncation};
use crate::tokenizer::Tokens;
use encoderfile_format::manifest::Task;
use encoderfile_graph::Run;
use std::collections::VecDeque;
use std::sync::Arc;

/// A tokenised text or pair with what its sequences gave so far.
///
/// Most texts are one sequence. Zero-shot classification has one a label, and
/// a long text may be read in windows; whoever runs many texts can turn to
/// another between two sequences.
pub struct Work {
    pub(super) options: Arc<Options>,
    /// Those still to be computed.
    sequences: VecDeque<Tokens>,
    pub(super) parts: Vec<Part>,
    usage: Option<TokenUsage>,
    tokens: usize,
    /// Spans: the text in code points.
    pub(super) characters: Vec<char>,
    /// Sentence embeddings: the tokens in front that take no part in pooling.
    pub(super) skipped: usize,
}

/// What one sequence gave.
pub(super) enum Part {
    /// A vector, or logits.
    Vector(Vec<f32>),
    /// The spans of a window.
    Entities(Vec<Entity>),
    /// All of the result.
    Values(Values),
}

impl Work {
    /// How many tokens all its sequences have together.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// How many tokens the next sequence has; 0 after the last.
    pub fn next_tokens(&self) -> usize {
        self.sequences.front().map_or(0, |tokens| tokens.ids.len())
    }

    /// The vectors or logits of all sequences.
    pub(super) fn vectors(&mut self) -> Vec<Vec<f32>> {
        let parts = self.parts.drain(..);
        let vectors = parts.filter_map(|part| match part {
            Part::Vector(vector) => Some(vector),
            _ => None,
        });
        vectors.collect()
    }
}

impl Encoder {
    /// Tokenises a text or pair and refuses what cannot be computed.
    pub fn prepare(&self, input: Input<'_>, options: &Arc<Options>) -> Result<Work, Error> {
        // While it is tokenised its thread is not free for another text.
        let _text = self.graph.enter();
        self.check(options)?;
        self.check_input(input)?;
        let sequences = self.sequences(input, options)?;
        for tokens in &sequences {
            self.check_ids(tokens)?;
        }
        if self.task == Task::FillMask {
            self.check_masks(&sequences[0], options)?;
        }
        let spans = options.aggregation.is_some();
        Ok(Work {
            options: options.clone(),
            parts: Vec::with_capacity(sequences.len()),
            usage: usage(&sequences, options),
            tokens: sequences.iter().map(|tokens| tokens.ids.len()).sum(),
            characters: match input {
                Input::Text(text) if spans => text.chars().collect(),
                _ => Vec::new(),
            },
            skipped: self.skipped(options)?,
            sequences: sequences.into(),
        })
    }

    fn check_input(&self, input: Input<'_>) -> Result<(), OptionsError> {
        let (form, applies) = match input {
            Input::Text(_) => return Ok(()),
            Input::Pair(..) => ("text_pair", self.task == Task::SequenceClassification),
            Input::Ids(_) => (
                "token ids",
                matches!(
                    self.task,
                    Task::Embedding | Task::SentenceEmbedding | Task::SparseEmbedding
                ),
            ),
        };
        if applies {
            return Ok(());
        }
        Err(OptionsError::Inapplicable {
            option: form,
            task: self.task.name(),
        })
    }

    fn sequences(&self, input: Input<'_>, options: &Options) -> Result<Vec<Tokens>, Error> {
        if options.query.is_some() || options.labels.is_some() {
            return self.pairs(input, options);
        }
        if options.long == Long::Mean {
            self.check_length(input)?;
            let prompt = options.prompt(&self.pipeline);
            let limit = options.max_tokens;
            let prompt_len = self.tokenizer.prompt_len(prompt, limit)?;
            let prompted = self.prompted(input, prompt)?;
            let input = prompted.as_ref().map_or(input, Prompted::input);
            return Ok(self.tokenizer.even_windows(input, prompt_len, limit)?);
        }
        if let Some(stride) = options.stride {
            self.check_length(input)?;
            let side = options.truncation_side;
            let limit = options.max_tokens;
            return Ok(self.tokenizer.windows(input, stride, side, limit)?);
        }
        Ok(vec![self.tokenize(input, options)?])
    }

    /// The pairs that a query, or the labels of zero-shot classification, make.
    fn pairs(&self, input: Input<'_>, options: &Options) -> Result<Vec<Tokens>, Error> {
        let Input::Text(text) = input else {
            return Err(OptionsError::PairOfPairs.into());
        };
        if let Some(query) = &options.query {
            return Ok(vec![self.tokenize(Input::Pair(query, text), options)?]);
        }
        // The sentence with the label in it is never cut.
        let options = Options {
            truncation: Some(options.truncation.unwrap_or(Truncation::OnlyFirst)),
            ..options.clone()
        };
        let labels = options.labels.iter().flatten();
        let hypotheses = labels.map(|label| options.template().replace("{}", label));
        let pairs = hypotheses.map(|it| self.tokenize(Input::Pair(text, &it), &options));
        pairs.collect()
    }

    fn skipped(&self, options: &Options) -> Result<usize, RequestError> {
        if !self.pipeline.exclude_prompt || self.pipeline.pooling.is_empty() || options.unpooled {
            return Ok(0);
        }
        let prompt = options.prompt(&self.pipeline);
        self.tokenizer.prompt_len(prompt, options.max_tokens)
    }
}

/// How much was used of a text, where that was not all of it or not at once.
fn usage(sequences: &[Tokens], options: &Options) -> Option<TokenUsage> {
    if options.long == Long::Mean || options.stride.is_some() {
        return (sequences.len() > 1).then(|| TokenUsage {
            tokens_total: sequences[0].total,
            tokens_used: sequences[0].total,
            windows: Some(sequences.len()),
        });
    }
    let cut = sequences.iter().filter(|it| it.total > it.ids.len());
    let usages = cut.map(|tokens| TokenUsage {
        tokens_total: tokens.total,
        tokens_used: tokens.ids.len(),
        windows: None,
    });
    usages.max()
}

/// One thread's use of an [`Encoder`].
pub struct Session<'a> {
    pub(super) encoder: &'a Encoder,
    pub(super) run: Run<'a>,
}

impl Session<'_> {
    /// The result for one text or pair.
    pub fn infer<'t>(
        &mut self,
        input: impl Into<Input<'t>>,
        options: &Options,
    ) -> Result<Prediction, Error> {
        self.infer_with(input.into(), &Arc::new(options.clone()))
    }

    /// As [`Session::infer`], for many texts with the same options.
    ///
    /// # Errors
    /// The same.
    pub fn infer_with(
        &mut self,
        input: Input<'_>,
        options: &Arc<Options>,
    ) -> Result<Prediction, Error> {
        let mut work = self.encoder.prepare(input, options)?;
        loop {
            if let Some(prediction) = self.step(&mut work)? {
                return Ok(prediction);
            }
        }
    }

    /// Computes the next sequence; gives the result after the last.
    pub fn step(&mut self, work: &mut Work) -> Result<Option<Prediction>, Error> {
        if let Some(tokens) = work.sequences.pop_front() {
            let output = self.evaluate(&tokens)?;
            let part = self.encoder.reduce(&tokens, output, work)?;
            work.parts.push(part);
        }
        if !work.sequences.is_empty() {
            return Ok(None);
        }
        let values = self.encoder.finish(work)?;
        finite::check_values(&values)?;
        Ok(Some(Prediction {
            values,
            usage: work.usage,
            tokens: work.tokens,
        }))
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
            Task::SentenceEmbedding => match self.infer(text, &options)?.values {
                Values::SentenceEmbedding { embedding } => embedding,
                _ => Vec::new(),
            },
            Task::SparseEmbedding | Task::FillMask => {
                let rows = output.chunks_exact(self.encoder.width());
                let heads = rows.map(|row| &row[..row.len().min(LOGITS)]);
                heads.collect::<Vec<_>>().concat()
            }
            Task::SequenceClassification => self.encoder.pooled(output, 0, &Options::default()),
            _ => output,
        };
        Ok((tokens, values))
    }

    /// Computes the graph for a text, and names each of its operators to `after`
    /// when it is done, for whoever looks where the time goes.
    pub fn operators(&mut self, text: &str, after: impl FnMut(&str)) -> Result<(), Error> {
        let tokens = self.encoder.tokenize(text.into(), &Options::default())?;
        let Tokens { ids, type_ids, .. } = &tokens;
        self.run.evaluate_observed(ids, type_ids, after)?;
        Ok(())
    }

    /// The graph's output for a sequence, row after row.
    fn evaluate(&mut self, tokens: &Tokens) -> Result<Vec<f32>, Error> {
        if tokens.ids.is_empty() {
            // A tokenizer without special tokens makes no token of an empty text.
            let per_token = self.encoder.pipeline.output.per_token;
            let len = if per_token { 0 } else { self.encoder.width() };
            return Ok(vec![0.0; len]);
        }
        let output = self.run.evaluate(&tokens.ids, &tokens.type_ids)?;
        finite::check_output(&output, self.encoder)?;
        Ok(output)
    }

    /// Computes the graph for a sequence of these tokens as they are, and makes
    /// nothing of it: whether the model holds that many.
    pub fn compute(&mut self, ids: &[u32]) -> Result<(), Error> {
        let output = self.run.evaluate(ids, &vec![0; ids.len()])?;
        Ok(finite::check_output(&output, self.encoder)?)
    }
}

impl Encoder {
    /// What is kept of the graph's output for one sequence.
    fn reduce(&self, tokens: &Tokens, output: Vec<f32>, work: &Work) -> Result<Part, Error> {
        let options = &*work.options;
        Ok(match self.task {
            Task::SentenceEmbedding if !options.unpooled => {
                Part::Vector(self.pooled(output, work.skipped, options))
            }
            // Without pooling that is what the graph gives.
            Task::SequenceClassification => {
                Part::Vector(self.pooled(output, work.skipped, options))
            }
            Task::TokenClassification if options.aggregation.is_some() => {
                Part::Entities(self.window_entities(tokens, &output, &work.characters, options)?)
            }
            Task::TokenClassification => {
                Part::Values(self.token_predictions(tokens, &output, options))
            }
            Task::SparseEmbedding => Part::Values(self.sparse_embedding(&output, options)),
            Task::FillMask => Part::Values(self.fill_masks(tokens, &output, options)?),
            Task::SentenceEmbedding | Task::Embedding => {
                Part::Values(self.token_vectors(tokens, &output, options))
            }
        })
    }

    /// The result of the whole text.
    fn finish(&self, work: &mut Work) -> Result<Values, Error> {
        if let Some(Part::Values(_)) = work.parts.first()
            && let Some(Part::Values(values)) = work.parts.pop()
        {
            return Ok(values);
        }
        Ok(match self.task {
            Task::TokenClassification => self.entities(work),
            Task::SequenceClassification => self.classes(work),
            _ => self.sentence_embedding(work),
        })
    }
}
