//! Sequence classification: of texts and pairs, by trained labels, by labels
//! of the request, and as a score for reranking.

use super::Encoder;
use super::work::Work;
use crate::output::Values;
use crate::pooling::{activate, argmax};
use crate::request::Options;
use encoderfile_format::manifest::Activation;

impl Encoder {
    /// The result of the logits of one text or pair, or of one pair a label.
    pub(super) fn classes(&self, work: &mut Work) -> Values {
        let mut logits = work.vectors();
        let options = &*work.options;
        if let Some(labels) = &options.labels {
            return self.choice(&logits, labels, options);
        }
        let logits = logits.pop().unwrap_or_default();
        let pipeline = &self.pipeline;
        if options.query.is_some() {
            let scores = activate(&logits, activation(pipeline.rerank_activation, options));
            return Values::Score { score: scores[0] };
        }
        let scores = activate(&logits, activation(pipeline.activation, options));
        let predicted_index = argmax(&scores);
        Values::SequenceClassification {
            predicted_label: pipeline.labels[predicted_index].clone(),
            logits,
            scores,
            predicted_index,
        }
    }

    /// Which of `labels` the text is about: those whose sentence follows from it.
    fn choice(&self, logits: &[Vec<f32>], labels: &[String], options: &Options) -> Values {
        let pipeline = &self.pipeline;
        let entailment = pipeline.entailment.unwrap_or(0) as usize;
        // transformers looks for no label of that name: it is the first, or
        // where entailment is first, the last.
        let contradiction = if entailment == 0 {
            pipeline.labels.len() - 1
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

fn activation(activation: Activation, options: &Options) -> Activation {
    if options.raw_scores {
        Activation::Identity
    } else {
        activation
    }
}
