//! Sequence classification: of texts and pairs, by trained labels, by labels
//! of the request, and as a score for reranking.

use super::{Session, truncated};
use crate::error::Error;
use crate::output::{Prediction, TokenUsage, Values};
use crate::pooling::{activate, argmax};
use crate::request::{Input, Options, Truncation};
use encoderfile_proto::Activation;

impl Session<'_> {
    pub(super) fn classify(
        &mut self,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Prediction, Error> {
        let second = options.query.is_some() || options.labels.is_some();
        if input.text_pair.is_some() && second {
            return Err(Error::Request(
                "`query` and `labels` make the pair themselves: give texts alone".into(),
            ));
        }
        if let Some(query) = &options.query {
            return self.score(query, input.text, options);
        }
        if let Some(labels) = &options.labels {
            return self.choose(input.text, labels, options);
        }
        let (logits, usage) = self.logits(input, options)?;
        let pipeline = &self.encoder.pipeline;
        let scores = activate(&logits, activation(pipeline.activation(), options));
        let predicted_index = argmax(&scores);
        let values = Values::SequenceClassification {
            predicted_label: pipeline.labels[predicted_index].clone(),
            logits,
            scores,
            predicted_index,
        };
        Ok(Prediction { values, usage })
    }

    /// How well `text` answers `query`.
    fn score(&mut self, query: &str, text: &str, options: &Options) -> Result<Prediction, Error> {
        let pair = Input {
            text: query,
            text_pair: Some(text),
        };
        let (logits, usage) = self.logits(pair, options)?;
        let pipeline = &self.encoder.pipeline;
        let scores = activate(&logits, activation(pipeline.rerank_activation(), options));
        Ok(Prediction {
            values: Values::Score { score: scores[0] },
            usage,
        })
    }

    /// Which of `labels` the text is about: those whose sentence follows from it.
    fn choose(
        &mut self,
        text: &str,
        labels: &[String],
        options: &Options,
    ) -> Result<Prediction, Error> {
        let pipeline = &self.encoder.pipeline;
        let entailment = pipeline.entailment.unwrap_or(0) as usize;
        // transformers looks for no label of that name: it is the first, or
        // where entailment is first, the last.
        let contradiction = if entailment == 0 {
            pipeline.labels.len() - 1
        } else {
            0
        };
        // The sentence with the label in it is never cut.
        let options = Options {
            truncation: Some(options.truncation.unwrap_or(Truncation::OnlyFirst)),
            ..options.clone()
        };
        let apart = options.multi_label || labels.len() == 1;
        let mut scores = Vec::new();
        let mut usage: Option<TokenUsage> = None;
        for label in labels {
            let hypothesis = options.template().replace("{}", label);
            let pair = Input {
                text,
                text_pair: Some(&hypothesis),
            };
            let (logits, used) = self.logits(pair, &options)?;
            let entailed = logits[entailment];
            scores.push(match (options.raw_scores, apart) {
                (true, _) | (_, false) => entailed,
                (_, true) => activate(&[logits[contradiction], entailed], Activation::Softmax)[1],
            });
            usage = usage.max(used);
        }
        if !options.raw_scores && !apart {
            scores = activate(&scores, Activation::Softmax);
        }
        let mut ranked: Vec<(&String, f32)> = labels.iter().zip(scores).collect();
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let (labels, scores) = ranked.into_iter().map(|(l, s)| (l.clone(), s)).unzip();
        Ok(Prediction {
            values: Values::ZeroShot { labels, scores },
            usage,
        })
    }

    fn logits(
        &mut self,
        input: Input<'_>,
        options: &Options,
    ) -> Result<(Vec<f32>, Option<TokenUsage>), Error> {
        let tokens = self.encoder.tokenize(input, options)?;
        Ok((self.evaluate(&tokens)?, truncated(&tokens)))
    }
}

fn activation(activation: Activation, options: &Options) -> Activation {
    if options.raw_scores {
        Activation::Identity
    } else {
        activation
    }
}
