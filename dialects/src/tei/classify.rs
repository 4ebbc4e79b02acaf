//! TEI's `/predict` and `/rerank`.

use super::Direction;
use crate::answer::Answered;
use crate::failure::{Failure, Kind};
use crate::service::Capability;
use crate::{Answer, Call};
use encoderfile::Item;
use encoderfile::output::rank;
use encoderfile::{Options, Prediction, Side, Values};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A text, a pair, or a batch of either.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::PredictInputs)]
#[serde(
    untagged,
    expecting = "a text, a list of two texts, or a list of lists of one or two texts"
)]
pub(crate) enum PredictInputs {
    /// A text.
    One(String),
    /// A text, or a pair.
    Pair(Vec<String>),
    /// Several of those.
    Batch(Vec<Vec<String>>),
}

/// Texts or pairs to classify.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::PredictRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictRequest {
    inputs: PredictInputs,
    /// Truncate what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// The truncation side: which end is truncated.
    truncation_direction: Option<Direction>,
    /// Give logits.
    #[serde(default)]
    raw_scores: bool,
}

/// A label and its score.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = tei::Class)]
pub struct Class {
    /// After the activation, or a logit.
    pub score: f32,
    /// Of the model, or of the request.
    pub label: String,
}

/// TEI's `/predict`.
pub(crate) async fn predict(call: &Call, request: PredictRequest) -> Answered {
    call.service.require(Capability::Classify)?;
    let options = Options {
        overflow: call.service.overflow(request.truncate),
        truncation_side: request.truncation_direction.map(Side::from),
        raw_scores: request.raw_scores,
        ..Options::default()
    };
    let (texts, batch) = match request.inputs {
        PredictInputs::One(text) => (vec![Item::Text(text)], false),
        PredictInputs::Pair(pair) => (vec![text_or_pair(pair)?], false),
        PredictInputs::Batch(batch) => {
            let texts = batch.into_iter().map(text_or_pair);
            (texts.collect::<Result<_, _>>()?, true)
        }
    };
    let answer = call.service.infer(call.client, texts, options).await?;
    let labels = &call.service.pipeline().labels;
    let predictions = answer.predictions.into_iter();
    let mut classes: Vec<Vec<Class>> = predictions.map(|it| ranked(it, labels)).collect();
    match batch {
        true => Ok(Answer::computed(call, answer.report, classes)),
        false => Ok(Answer::computed(
            call,
            answer.report,
            classes.pop().unwrap_or_default(),
        )),
    }
}

fn text_or_pair(texts: Vec<String>) -> Result<Item, Failure> {
    let count = texts.len();
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next(), texts.next()) {
        (Some(text), None, _) => Ok(Item::Text(text)),
        (Some(text), Some(pair), None) => Ok(Item::Pair(text, pair)),
        _ => Err(Failure::new(
            Kind::Validation,
            format!("`inputs`: a list of {count} texts is neither a text nor a pair"),
        )),
    }
}

/// All labels with their scores, best first.
pub fn ranked(prediction: Prediction, labels: &[String]) -> Vec<Class> {
    let Values::SequenceClassification { scores, .. } = prediction.values else {
        return Vec::new();
    };
    let classes = labels.iter().zip(scores);
    let mut classes: Vec<Class> = classes
        .map(|(label, score)| Class {
            score,
            label: label.clone(),
        })
        .collect();
    classes.sort_by(|a, b| b.score.total_cmp(&a.score));
    classes
}

/// Texts to rank as answers to a query.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::RerankRequest)]
pub(crate) struct RerankRequest {
    query: String,
    texts: Vec<String>,
    /// Truncate what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// The truncation side: which end is truncated.
    truncation_direction: Option<Direction>,
    /// Give logits.
    #[serde(default)]
    raw_scores: bool,
    /// Give the texts back.
    #[serde(default)]
    return_text: bool,
}

/// Whether a request can only be TEI's for reranking.
pub(crate) fn is_rerank(fields: &Map<String, Value>) -> bool {
    fields.contains_key("query") && fields.contains_key("texts")
}

/// A text's place and score.
#[derive(Serialize, ToSchema)]
#[schema(as = tei::Rank)]
struct Rank {
    /// Its place in the request.
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The texts, best answer first.
#[utoipa::path(post, path = "/rerank", tag = "tei", request_body = RerankRequest,
    responses((status = 200, description = "best first", body = Vec<Rank>)))]
pub(crate) async fn rerank(call: Call, request: RerankRequest) -> Answered {
    call.service.require(Capability::Rerank)?;
    let options = Options {
        overflow: call.service.overflow(request.truncate),
        truncation_side: request.truncation_direction.map(Side::from),
        raw_scores: request.raw_scores,
        query: Some(request.query),
        ..Options::default()
    };
    let texts = request.texts.iter().cloned().map(Item::Text).collect();
    let answer = call.service.infer(call.client, texts, options).await?;
    let ranks = rank(&answer.predictions, None).into_iter().map(|it| Rank {
        index: it.index,
        score: it.score,
        text: request.return_text.then(|| request.texts[it.index].clone()),
    });
    Ok(Answer::computed(
        &call,
        answer.report,
        ranks.collect::<Vec<_>>(),
    ))
}
