//! Token classification: a label for each token, or spans of them.

use super::spans::{Spans, join_overlapping};
use super::token_embedding::rows;
use super::{Capability, Head, Item, Part, check_labels, check_rank};
use crate::error::{OptionsError, RequestError, TaskProblem};
use crate::options::{Aggregation, Input, Options, Overflow};
use crate::output::{TokenPrediction, Values};
use crate::pooling::{activate, argmax};
use crate::processor::Processor;
use crate::tokenizer::Tokens;
use encoderfile_format::manifest::{Activation, Pipeline};

pub(super) struct TokenClassification {
    labels: Vec<String>,
    activation: Activation,
    unknown_token_id: Option<u32>,
}

impl TokenClassification {
    pub(super) fn new(pipeline: &Pipeline) -> Result<Self, TaskProblem> {
        check_rank(pipeline, true)?;
        check_labels(pipeline, pipeline.output.width as usize)?;
        Ok(Self {
            labels: pipeline.labels.clone(),
            activation: pipeline.activation,
            unknown_token_id: pipeline.unknown_token_id,
        })
    }

    fn predictions(&self, sequence: &Tokens, logits: &[f32], options: &Options) -> Values {
        let rows = rows(sequence, logits, self.labels.len(), options);
        let predictions = rows.map(|(token_info, logits)| {
            let scores = activate(logits, self.activation);
            let best = argmax(&scores);
            TokenPrediction {
                token_info,
                logits: logits.to_vec(),
                label: self.labels[best].clone(),
                score: scores[best],
                scores,
            }
        });
        Values::TokenClassification {
            tokens: predictions.collect(),
        }
    }
}

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline) -> String {
    format!("logits per token: {}", pipeline.output.width)
}

impl Head for TokenClassification {
    fn capabilities(&self) -> Vec<Capability> {
        vec![Capability::Entities]
    }

    fn result(&self) -> &'static str {
        "tokens"
    }

    fn options(&self, _request: &Options) -> Vec<&'static str> {
        vec!["special_tokens", "aggregation", "ignore_labels", "stride"]
    }

    fn problem(&self, options: &Options) -> Option<OptionsError> {
        let spans = !matches!(options.aggregation, None | Some(Aggregation::None));
        if options.stride.is_some() && !spans {
            return Some(OptionsError::Needs {
                option: "stride",
                needs: "an `aggregation` of simple, first, average or max: windows are joined by their spans",
            });
        }
        if options.ignore_labels.is_some() && options.aggregation.is_none() {
            return Some(OptionsError::Needs {
                option: "ignore_labels",
                needs: "an `aggregation`",
            });
        }
        if options.special_tokens && options.aggregation.is_some() {
            return Some(OptionsError::SpecialTokensOfSpans);
        }
        if options.stride.is_some() && options.overflow == Overflow::Error {
            return Some(OptionsError::Exclusive {
                options: &["stride", "overflow=error"],
            });
        }
        None
    }

    fn item(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Item, RequestError> {
        let sequences = match options.stride {
            Some(stride) => processor.overlapping_windows(input, stride, options)?,
            None => vec![processor.sequence(input, options)?],
        };
        Ok(Item {
            characters: match input {
                Input::Text(text) if options.aggregation.is_some() => text.chars().collect(),
                _ => Vec::new(),
            },
            is_windows: options.stride.is_some(),
            ..Item::from(sequences)
        })
    }

    fn reduce(
        &self,
        processor: Processor<'_>,
        sequence: &Tokens,
        output: Vec<f32>,
        item: &Item,
        options: &Options,
    ) -> Result<Part, RequestError> {
        if options.aggregation.is_none() {
            return Ok(Part::Values(self.predictions(sequence, &output, options)));
        }
        let spans = Spans {
            tokenizer: processor.tokenizer,
            labels: &self.labels,
            unknown_token_id: self.unknown_token_id,
        };
        let entities = spans.of(sequence, &output, &item.characters, options)?;
        Ok(Part::Entities(entities))
    }

    fn finish(&self, _item: &Item, parts: Vec<Part>, _options: &Options) -> Option<Values> {
        let windows = parts.len();
        let entities = parts.into_iter().flat_map(|part| match part {
            Part::Entities(entities) => entities,
            _ => Vec::new(),
        });
        let mut entities = entities.collect();
        if windows > 1 {
            entities = join_overlapping(entities);
        }
        Some(Values::Entities { entities })
    }
}
