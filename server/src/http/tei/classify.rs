//! TEI's `/predict` and `/rerank`.

use super::{Direction, long};
use crate::engine::{Client, Text};
use crate::failure::{Failure, Kind};
use crate::http::App;
use crate::http::body::Json;
use crate::http::reply::{Answered, reply};
use crate::service::Capability;
use axum::extract::State;
use encoderfile::output::rank;
use encoderfile::{Options, Prediction, Side, Values};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A text, a pair, or a batch of either.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::PredictInputs)]
#[serde(
    untagged,
    expecting = "a text, a list of two texts, or a list of lists of one or two texts"
)]
pub(in crate::http) enum PredictInputs {
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
pub(in crate::http) struct PredictRequest {
    inputs: PredictInputs,
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// Give logits.
    #[serde(default)]
    raw_scores: bool,
}

/// A label and its score.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = tei::Class)]
pub(crate) struct Class {
    pub(crate) score: f32,
    pub(crate) label: String,
}

/// TEI's `/predict`.
pub(in crate::http) async fn predict(
    app: &App,
    client: Client,
    request: PredictRequest,
) -> Answered {
    app.service.require(Capability::Classify)?;
    let options = Options {
        long: long(app, request.truncate),
        truncation_side: request.truncation_direction.map(Side::from),
        raw_scores: request.raw_scores,
        ..Options::default()
    };
    let (texts, batch) = match request.inputs {
        PredictInputs::One(text) => (vec![Text::One(text)], false),
        PredictInputs::Pair(pair) => (vec![text_or_pair(pair)?], false),
        PredictInputs::Batch(batch) => {
            let texts = batch.into_iter().map(text_or_pair);
            (texts.collect::<Result<_, _>>()?, true)
        }
    };
    let answer = app.service.infer(client, texts, options).await?;
    let labels = &app.service.pipeline().labels;
    let predictions = answer.predictions.into_iter();
    let mut classes: Vec<Vec<Class>> = predictions.map(|it| ranked(it, labels)).collect();
    match batch {
        true => reply(app, &answer.report, classes).await,
        false => reply(app, &answer.report, classes.pop().unwrap_or_default()).await,
    }
}

fn text_or_pair(texts: Vec<String>) -> Result<Text, Failure> {
    let count = texts.len();
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next(), texts.next()) {
        (Some(text), None, _) => Ok(Text::One(text)),
        (Some(text), Some(pair), None) => Ok(Text::Pair(text, pair)),
        _ => Err(Failure::new(
            Kind::Validation,
            format!("`inputs`: a list of {count} texts is neither a text nor a pair"),
        )),
    }
}

/// All labels with their scores, best first.
pub(crate) fn ranked(prediction: Prediction, labels: &[String]) -> Vec<Class> {
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
pub(in crate::http) struct RerankRequest {
    query: String,
    texts: Vec<String>,
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// Give logits.
    #[serde(default)]
    raw_scores: bool,
    /// Give the texts back.
    #[serde(default)]
    return_text: bool,
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
pub(in crate::http) async fn rerank(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<RerankRequest>,
) -> Answered {
    app.service.require(Capability::Rerank)?;
    let options = Options {
        long: long(&app, request.truncate),
        truncation_side: request.truncation_direction.map(Side::from),
        raw_scores: request.raw_scores,
        query: Some(request.query),
        ..Options::default()
    };
    let texts = request.texts.iter().cloned().map(Text::One).collect();
    let answer = app.service.infer(client, texts, options).await?;
    let ranks = rank(&answer.predictions, None).into_iter().map(|it| Rank {
        index: it.index,
        score: it.score,
        text: request.return_text.then(|| request.texts[it.index].clone()),
    });
    reply(&app, &answer.report, ranks.collect::<Vec<_>>()).await
}
