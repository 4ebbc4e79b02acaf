//! text-embeddings-inference: embeddings and similarity here, the other routes below.

pub mod classify;
pub mod tokens;

use super::answer::{Answer, Answered};
use super::route::route;
use super::{Call, Dialect, Route};
use crate::failure::{Failure, Kind};
use crate::fields::{object, some_object, whole};
use crate::service::Capability;
use encoderfile::Item;
use encoderfile::output::SparseValue;
use encoderfile::{Options, Prediction, Side, Values};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// text-embeddings-inference.
pub struct Tei;

impl Dialect for Tei {
    fn name(&self) -> &'static str {
        "text-embeddings-inference"
    }

    fn routes(&self) -> Vec<Route> {
        vec![
            route!(embed),
            route!(embed_all),
            route!(embed_sparse),
            route!(similarity),
            route!(classify::rerank),
            route!(tokens::tokenize),
            route!(tokens::decode),
        ]
    }

    fn error(&self, failure: &Failure, message: String) -> Value {
        json!(TeiError {
            error: message,
            error_type: failure.kind.name(),
        })
    }

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        crate::openapi::schema::<TeiError>()
    }
}

/// TEI's error.
#[derive(Serialize, ToSchema)]
struct TeiError {
    /// What is wrong and what to do.
    error: String,
    /// The kind of error.
    error_type: &'static str,
}

/// One text, or the ids of its tokens.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = tei::Single)]
#[serde(untagged, expecting = "a text or a list of token ids")]
pub(super) enum Single {
    Text(String),
    Ids(Vec<u32>),
}

impl From<Single> for Item {
    fn from(single: Single) -> Self {
        match single {
            Single::Text(text) => Self::Text(text),
            Single::Ids(ids) => Self::Ids(ids),
        }
    }
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
    pub(super) fn into_texts(self) -> Vec<Item> {
        match self {
            Self::One(Single::Ids(ids)) if ids.is_empty() => Vec::new(),
            Self::One(single) => vec![single.into()],
            Self::Many(many) => many.into_iter().map(Item::from).collect(),
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

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::EmbedRequest)]
pub(super) struct EmbedRequest {
    pub(super) inputs: Inputs,
    /// Truncate what is too long, rather than refuse it.
    pub(super) truncate: Option<bool>,
    /// The truncation side: which end is truncated.
    pub(super) truncation_direction: Option<Direction>,
    /// The model's prompt to prepend to each text.
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
    fn options(&self, call: &Call) -> Options {
        Options {
            overflow: call.service.overflow(self.truncate),
            truncation_side: self.truncation_direction.map(Side::from),
            prompt_name: self.prompt_name.clone(),
            ..Options::default()
        }
    }
}

/// A vector for each text.
#[utoipa::path(post, path = "/embed", tag = "tei", request_body = EmbedRequest,
    responses((status = 200, description = "[texts][dimensions]", body = Vec<Vec<f32>>)))]
pub(super) async fn embed(call: Call, request: EmbedRequest) -> Answered {
    let options = Options {
        normalize: request.normalize,
        dimensions: request.dimensions,
        ..request.options(&call)
    };
    let texts = request.inputs.into_texts();
    let (vectors, report) = call.service.embed(call.client, texts, options).await?;
    Ok(Answer::computed(&call, report, vectors))
}

/// Texts whose tokens to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::EmbedTokensRequest)]
pub(super) struct EmbedTokensRequest {
    inputs: Inputs,
    /// Truncate what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// The truncation side: which end is truncated.
    truncation_direction: Option<Direction>,
    /// The model's prompt to prepend to each text.
    prompt_name: Option<String>,
}

impl EmbedTokensRequest {
    fn into_parts(self, call: &Call) -> (Vec<Item>, Options) {
        let options = Options {
            overflow: call.service.overflow(self.truncate),
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
async fn embed_all(call: Call, request: EmbedTokensRequest) -> Answered {
    call.service.require(Capability::TokenEmbeddings)?;
    let (texts, options) = request.into_parts(&call);
    let options = Options {
        unpooled: call.service.capabilities().contains(&Capability::Embed),
        special_tokens: true,
        ..options
    };
    let answer = call.service.infer(call.client, texts, options).await?;
    let rows: Vec<Vec<Vec<f32>>> = answer.predictions.into_iter().map(token_rows).collect();
    Ok(Answer::computed(&call, answer.report, rows))
}

/// The vectors of a text's tokens.
pub fn token_rows(prediction: Prediction) -> Vec<Vec<f32>> {
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
pub(super) async fn embed_sparse(call: Call, request: EmbedTokensRequest) -> Answered {
    let (texts, options) = request.into_parts(&call);
    let options = call.service.sparse(options)?;
    let answer = call.service.infer(call.client, texts, options).await?;
    let weights = answer.predictions.into_iter().map(|it| match it.values {
        Values::SparseEmbedding { sparse_embedding } => sparse_embedding,
        _ => Vec::new(),
    });
    Ok(Answer::computed(
        &call,
        answer.report,
        weights.collect::<Vec<_>>(),
    ))
}

/// A sentence and those to compare it with.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::SimilarityRequest)]
struct SimilarityRequest {
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
    /// Truncate what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// The truncation side: which end is truncated.
    truncation_direction: Option<Direction>,
    /// The model's prompt to prepend to each sentence.
    prompt_name: Option<String>,
}

/// Similarity scores of sentences, by the model's own measure.
#[utoipa::path(post, path = "/similarity", operation_id = "similarity_route", tag = "tei", request_body = SimilarityRequest,
    responses((status = 200, description = "[sentences]", body = Vec<f32>)))]
async fn similarity(call: Call, request: SimilarityRequest) -> Answered {
    let parameters = request.parameters.unwrap_or_default();
    similarities(&call, request.inputs, parameters).await
}

pub(super) async fn similarities(
    call: &Call,
    inputs: SimilarityInputs,
    parameters: SimilarityParameters,
) -> Answered {
    call.service.require(Capability::Similarity)?;
    if inputs.sentences.is_empty() {
        return Err(Failure::new(Kind::Empty, "`sentences` is empty"));
    }
    let options = Options {
        overflow: call.service.overflow(parameters.truncate),
        truncation_side: parameters.truncation_direction.map(Side::from),
        prompt_name: parameters.prompt_name,
        ..Options::default()
    };
    let (source, sentences) = (inputs.source_sentence, inputs.sentences);
    let compared = call
        .service
        .similarity(call.client, source, sentences, options);
    let (values, report) = compared.await?;
    Ok(Answer::computed(call, report, values))
}

#[cfg(test)]
mod tests {
    use crate::testing::{embeddings, has_numbers, reranker};

    #[test]
    fn embeddings_are_the_models() {
        let model = embeddings();
        let json = model.post("/embed", r#"{"inputs": ["a", "a cat"]}"#).good();
        assert!(has_numbers(&json[0], &model.embedding("a")));
        assert!(has_numbers(&json[1], &model.embedding("a cat")));
        let json = model.post("/embed", r#"{"inputs": []}"#).refused(400);
        assert_eq!(json["error_type"], "Empty");
    }

    #[test]
    fn tokens_are_spelt_as_the_text_spells_them() {
        let model = embeddings();
        let json = model.post("/tokenize", r#"{"inputs": "A Cat"}"#).good();
        assert_eq!(json[0][2]["text"], "Cat");
        assert_eq!(json[0][2]["start"], 2);
        let json = model.post("/tokenize", r#"{"inputs": 1}"#).refused(422);
        assert!(
            json["error"].as_str().unwrap().starts_with("`inputs`"),
            "{json}"
        );
    }

    #[test]
    fn texts_are_ranked_by_their_scores() {
        let model = reranker();
        let request = r#"{"query": "a", "texts": ["b c", "a b"], "return_text": true}"#;
        let json = model.post("/rerank", request).good();
        for rank in json.as_array().unwrap() {
            let score = model.score("a", rank["text"].as_str().unwrap());
            assert!(has_numbers(&[rank["score"].clone()].into(), &[score]));
        }
        assert!(
            json[0]["score"].as_f64() >= json[1]["score"].as_f64(),
            "{json}"
        );
        let json = embeddings().post("/rerank", request).refused(422);
        assert!(
            json["error"].as_str().unwrap().contains("`rerank`"),
            "{json}"
        );
    }
}
