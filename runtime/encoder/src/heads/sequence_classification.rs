//! Sequence classification: of texts and pairs, by trained labels, by labels
//! of the request, and as a score for reranking.

use super::pooler::Pooler;
use super::{Capability, Head, Item, Part, check_labels, check_rank, vectors};
use crate::error::{OptionsError, RequestError, TaskProblem};
use crate::options::{Input, Options, TruncationStrategy};
use crate::output::Values;
use crate::pooling::{activate, argmax};
use crate::processor::Processor;
use crate::tokenizer::Tokens;
use encoderfile_format::Source;
use encoderfile_format::manifest::{Activation, Pipeline};
use std::sync::Arc;

pub(super) struct SequenceClassification {
    /// Of cross-encoders whose head is not in the graph.
    pooler: Pooler,
    labels: Vec<String>,
    activation: Activation,
    rerank_activation: Activation,
    /// The label that says that the second text follows from the first.
    entailment: Option<usize>,
}

impl SequenceClassification {
    pub(super) fn new(pipeline: &Pipeline, weights: &Arc<dyn Source>) -> Result<Self, TaskProblem> {
        check_rank(pipeline, !pipeline.pooling.is_empty())?;
        let logits = pipeline.embedding_width();
        check_labels(pipeline, logits)?;
        if pipeline.entailment.is_some() && logits < 2 {
            return Err(TaskProblem::EntailmentLabel);
        }
        Ok(Self {
            pooler: Pooler::new(pipeline, weights)?,
            labels: pipeline.labels.clone(),
            activation: pipeline.activation,
            rerank_activation: pipeline.rerank_activation,
            entailment: pipeline.entailment.map(|label| label as usize),
        })
    }

    /// The pairs that a query, or the labels of zero-shot classification, make.
    fn pairs(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Vec<Tokens>, RequestError> {
        let Input::Text(text) = input else {
            return Err(OptionsError::PairOfPairs.into());
        };
        if let Some(query) = &options.query {
            return Ok(vec![processor.sequence(Input::Pair(query, text), options)?]);
        }
        // The sentence with the label in it is never truncated, unless the request says so.
        let options = Options {
            truncation_strategy: Some(
                options
                    .truncation_strategy
                    .unwrap_or(TruncationStrategy::OnlyFirst),
            ),
            ..options.clone()
        };
        let labels = options.labels.iter().flatten();
        let hypotheses = labels.map(|label| options.template().replace("{}", label));
        let pairs = hypotheses.map(|it| processor.sequence(Input::Pair(text, &it), &options));
        pairs.collect()
    }

    fn zero_shot_problem(&self, options: &Options) -> Option<OptionsError> {
        let labels = options.labels.as_ref()?;
        if self.entailment.is_none() {
            return Some(OptionsError::Needs {
                option: "labels",
                needs: "a model trained on natural language inference: one with a label whose name starts with \"entail\"",
            });
        }
        if labels.is_empty() {
            return Some(OptionsError::Empty { option: "labels" });
        }
        if options.query.is_some() {
            return Some(OptionsError::Exclusive {
                options: &["labels", "query"],
            });
        }
        let template = options.template();
        (template.matches("{}").count() != 1).then(|| OptionsError::Template {
            template: template.to_owned(),
        })
    }

    /// Which of `labels` the text is about: those whose sentence follows from it.
    fn choice(&self, logits: &[Vec<f32>], labels: &[String], options: &Options) -> Values {
        let entailment = self.entailment.unwrap_or(0);
        // transformers looks for no label of that name: it is the first, or
        // where entailment is first, the last.
        let contradiction = if entailment == 0 {
            self.labels.len() - 1
        } else {
            0
        };
        let apart = options.multi_label || labels.len() == 1;
        let score = |logits: &Vec<f32>| {
            let entailed = logits[entailment];
            match (options.raw_scores, apart) {
                (true, _) | (_, false) => entailed,
                (_, true) => activate(&[logits[contradiction], entailed], Activation::Softmax)[1],
            }
        };
        let mut scores: Vec<f32> = logits.iter().map(score).collect();
        if !options.raw_scores && !apart {
            scores = activate(&scores, Activation::Softmax);
        }
        let mut ranked: Vec<(&String, f32)> = labels.iter().zip(scores).collect();
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let (labels, scores) = ranked.into_iter().map(|(l, s)| (l.clone(), s)).unzip();
        Values::ZeroShot { labels, scores }
    }
}

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline) -> String {
    let (width, activation) = (pipeline.embedding_width(), pipeline.activation.name());
    let relevance = match pipeline.labels.len() {
        1 => format!(", relevance by {}", pipeline.rerank_activation.name()),
        _ => String::new(),
    };
    format!("logits per text: {width}; scores by {activation}{relevance}")
}

impl Head for SequenceClassification {
    fn capabilities(&self) -> Vec<Capability> {
        let mut capabilities = vec![Capability::Classify];
        if self.labels.len() == 1 {
            capabilities.push(Capability::Rerank);
        }
        if self.entailment.is_some() {
            capabilities.push(Capability::ZeroShot);
        }
        capabilities
    }

    fn result(&self) -> &'static str {
        "logits"
    }

    fn options(&self, request: &Options) -> Vec<&'static str> {
        let mut options = vec![
            "truncation_strategy",
            "prompt",
            "prompt_name",
            "query",
            "labels",
            "template",
            "raw_scores",
        ];
        options.extend(request.query.as_ref().map(|_| "top_k"));
        options
    }

    fn problem(&self, options: &Options) -> Option<OptionsError> {
        self.zero_shot_problem(options).or_else(|| {
            let logits = self.labels.len();
            (options.query.is_some() && logits != 1).then_some(OptionsError::NoScore { logits })
        })
    }

    fn takes_pairs(&self) -> bool {
        true
    }

    fn item(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Item, RequestError> {
        let makes_pairs = options.query.is_some() || options.labels.is_some();
        let sequences = match makes_pairs {
            true => self.pairs(processor, input, options)?,
            false => vec![processor.sequence(input, options)?],
        };
        Ok(Item {
            skipped: match self.pooler.skips_prompt() {
                true => processor.prompt_len(options)?,
                false => 0,
            },
            ..Item::from(sequences)
        })
    }

    fn reduce(
        &self,
        _processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
        item: &Item,
        _options: &Options,
    ) -> Result<Part, RequestError> {
        Ok(Part::Vector(self.pooler.apply(output, item.skipped)))
    }

    fn finish(&self, _item: &Item, parts: Vec<Part>, options: &Options) -> Option<Values> {
        let mut logits = vectors(parts);
        if let Some(labels) = &options.labels {
            return Some(self.choice(&logits, labels, options));
        }
        let logits = logits.pop().unwrap_or_default();
        if options.query.is_some() {
            let scores = activate(&logits, activation(self.rerank_activation, options));
            let score = *scores.first()?;
            return Some(Values::Score { score });
        }
        let scores = activate(&logits, activation(self.activation, options));
        let predicted_index = argmax(&scores);
        Some(Values::SequenceClassification {
            predicted_label: self.labels.get(predicted_index)?.clone(),
            logits,
            scores,
            predicted_index,
        })
    }

    fn golden(
        &self,
        _processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
    ) -> Result<Vec<f32>, RequestError> {
        Ok(self.pooler.apply(output, 0))
    }
}

fn activation(activation: Activation, options: &Options) -> Activation {
    if options.raw_scores {
        Activation::Identity
    } else {
        activation
    }
}
