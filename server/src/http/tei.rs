//! TEI's routes: embeddings and similarity here, the others below.

pub(crate) mod classify;
pub(crate) mod tokens;

use super::App;
use super::body::Json;
use super::reply::{Answered, reply};
use crate::engine::{Client, Text};
use crate::failure::{Failure, Kind};
use crate::fields::{object, some_object, whole};
use crate::service::Capability;
use axum::extract::State;
use encoderfile::output::SparseValue;
use encoderfile::{Long, Options, Prediction, Side, Values};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// One text, or the ids of its tokens.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = tei::Single)]
#[serde(untagged, expecting = "a text or a list of token ids")]
pub(super) enum Single {
    Text(String),
    Ids(Vec<u32>),
}

/// One text or several, or the ids of their tokens.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::Inputs)]
#[serde(
    untagged,
    expecting = "a text, a list of texts, a list of token ids or a list of such lists"
)]
pub(super) enum Inputs {
    One(Single),
    Many(Vec<Single>),
}

impl Inputs {
    /// The texts. An empty list is none.
    pub(super) fn into_texts(self) -> Vec<Text> {
        let text = |single| match single {
            Single::Text(text) => Text::One(text),
            Single::Ids(ids) => Text::Ids(ids),
        };
        match self {
            Self::One(Single::Ids(ids)) if ids.is_empty() => Vec::new(),
            Self::One(single) => vec![text(single)],
            Self::Many(many) => many.into_iter().map(text).collect(),
        }
    }
}

/// An end of a text, written as TEI's Rust and Python clients do.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = tei::Direction)]
pub(super) enum Direction {
    #[serde(alias = "left")]
    Left,
    #[serde(alias = "right")]
    Right,
}

impl From<Direction> for Side {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Left => Self::Left,
            Direction::Right => Self::Right,
        }
    }
}

/// What becomes of a long text.
fn long(app: &App, truncate: Option<bool>) -> Long {
    if truncate.unwrap_or(app.service.limits.auto_truncate) {
        Long::Truncate
    } else {
        Long::Error
    }
}

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::EmbedRequest)]
pub(super) struct EmbedRequest {
    pub(super) inputs: Inputs,
    /// Cut what is too long, rather than refuse it.
    pub(super) truncate: Option<bool>,
    /// Which end is cut.
    pub(super) truncation_direction: Option<Direction>,
    /// The model's prompt to put in front of each text.
    pub(super) prompt_name: Option<String>,
    /// Divide by the L2 norm.
    #[serde(default = "yes")]
    pub(super) normalize: Option<bool>,
    /// Keep so many of the first values.
    #[serde(default, deserialize_with = "whole")]
    pub(super) dimensions: Option<usize>,
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "serde's default has the field's type"
)]
fn yes() -> Option<bool> {
    Some(true)
}

impl EmbedRequest {
    fn options(&self, app: &App) -> Options {
        Options {
            long: long(app, self.truncate),
            truncation_side: self.truncation_direction.map(Side::from),
            prompt_name: self.prompt_name.clone(),
            ..Options::default()
        }
    }
}

/// A vector for each text.
#[utoipa::path(post, path = "/embed", tag = "tei", request_body = EmbedRequest,
    responses((status = 200, description = "[texts][dimensions]", body = Vec<Vec<f32>>)))]
pub(super) async fn embed(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<EmbedRequest>,
) -> Answered {
    let options = Options {
        normalize: request.normalize,
        dimensions: request.dimensions,
        ..request.options(&app)
    };
    let texts = request.inputs.into_texts();
    let (vectors, report) = app.service.embed(client, texts, options).await?;
    reply(&app, &report, vectors).await
}

/// Texts whose tokens to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::EmbedTokensRequest)]
pub(super) struct EmbedTokensRequest {
    inputs: Inputs,
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// The model's prompt to put in front of each text.
    prompt_name: Option<String>,
}

impl EmbedTokensRequest {
    fn into_parts(self, app: &App) -> (Vec<Text>, Options) {
        let options = Options {
            long: long(app, self.truncate),
            truncation_side: self.truncation_direction.map(Side::from),
            prompt_name: self.prompt_name,
            ..Options::default()
        };
        (self.inputs.into_texts(), options)
    }
}

/// A vector for each token of each text, special tokens included, before pooling.
#[utoipa::path(post, path = "/embed_all", tag = "tei", request_body = EmbedTokensRequest,
    responses((status = 200, description = "[texts][tokens][hidden_size]", body = Vec<Vec<Vec<f32>>>)))]
pub(super) async fn embed_all(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<EmbedTokensRequest>,
) -> Answered {
    app.service.require(Capability::TokenEmbeddings)?;
    let (texts, options) = request.into_parts(&app);
    let options = Options {
        unpooled: app.service.capabilities().contains(&Capability::Embed),
        special_tokens: true,
        ..options
    };
    let answer = app.service.infer(client, texts, options).await?;
    let rows: Vec<Vec<Vec<f32>>> = answer.predictions.into_iter().map(token_rows).collect();
    reply(&app, &answer.report, rows).await
}

/// The vectors of a text's tokens.
pub(crate) fn token_rows(prediction: Prediction) -> Vec<Vec<f32>> {
    match prediction.values {
        Values::Embedding { embeddings } => embeddings
            .into_iter()
            .map(|token| token.embedding)
            .collect(),
        _ => Vec::new(),
    }
}

/// The nonzero weights of each text's vocabulary vector.
#[utoipa::path(post, path = "/embed_sparse", tag = "tei", request_body = EmbedTokensRequest,
    responses((status = 200, description = "[texts][weights]", body = Vec<Vec<SparseValue>>)))]
pub(super) async fn embed_sparse(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<EmbedTokensRequest>,
) -> Answered {
    app.service.require(Capability::Sparse)?;
    let (texts, options) = request.into_parts(&app);
    let answer = app.service.infer(client, texts, options).await?;
    let weights = answer.predictions.into_iter().map(|it| match it.values {
        Values::SparseEmbedding { sparse_embedding } => sparse_embedding,
        _ => Vec::new(),
    });
    reply(&app, &answer.report, weights.collect::<Vec<_>>()).await
}

/// A sentence and those to compare it with.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::SimilarityRequest)]
pub(super) struct SimilarityRequest {
    #[serde(deserialize_with = "object")]
    inputs: SimilarityInputs,
    #[serde(default, deserialize_with = "some_object")]
    parameters: Option<SimilarityParameters>,
}

/// A sentence and those to compare it with.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::SimilarityInputs)]
pub(super) struct SimilarityInputs {
    pub(super) source_sentence: String,
    pub(super) sentences: Vec<String>,
}

/// How the sentences are embedded.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = tei::SimilarityParameters)]
pub(super) struct SimilarityParameters {
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// The model's prompt to put in front of each sentence.
    prompt_name: Option<String>,
}

/// How alike sentences are, by the model's own measure.
#[utoipa::path(post, path = "/similarity", tag = "tei", request_body = SimilarityRequest,
    responses((status = 200, description = "[sentences]", body = Vec<f32>)))]
pub(super) async fn similarity_route(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<SimilarityRequest>,
) -> Answered {
    let parameters = request.parameters.unwrap_or_default();
    similarities(&app, client, request.inputs, parameters).await
}

pub(super) async fn similarities(
    app: &App,
    client: Client,
    inputs: SimilarityInputs,
    parameters: SimilarityParameters,
) -> Answered {
    app.service.require(Capability::Similarity)?;
    if inputs.sentences.is_empty() {
        return Err(Failure::new(Kind::Empty, "`sentences` is empty"));
    }
    let options = Options {
        long: long(app, parameters.truncate),
        truncation_side: parameters.truncation_direction.map(Side::from),
        prompt_name: parameters.prompt_name,
        ..Options::default()
    };
    let (source, sentences) = (inputs.source_sentence, inputs.sentences);
    let compared = app.service.similarity(client, source, sentences, options);
    let (values, report) = compared.await?;
    reply(app, &report, values).await
}
