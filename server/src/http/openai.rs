//! OpenAI's embeddings.

use super::App;
use super::body::Json as Body;
use super::reply::{Answered, reply};
use super::tei::Inputs;
use crate::engine::Client;
use crate::failure::{Failure, Kind};
use crate::fields::whole;
use crate::service::Report;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encoderfile::{Long, Options};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = openai::EmbeddingsRequest)]
pub(super) struct EmbeddingsRequest {
    /// Texts, or token ids of this model's vocabulary.
    input: Inputs,
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    #[allow(dead_code, reason = "clients send it")]
    user: Option<String>,
    /// As numbers, or as the base64 of their float32 bytes, little-endian.
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// Keep so many of the first values.
    #[serde(default, deserialize_with = "whole")]
    dimensions: Option<usize>,
}

/// How vectors are written.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[schema(as = openai::EncodingFormat)]
#[serde(rename_all = "snake_case")]
pub(super) enum EncodingFormat {
    #[default]
    Float,
    Base64,
}

/// Vectors in the order of the texts.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::EmbeddingsResponse)]
pub(super) struct EmbeddingsResponse {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

/// A text's vector.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Embedding)]
struct Embedding {
    object: &'static str,
    embedding: Vector,
    index: usize,
}

/// Numbers or base64.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Vector)]
#[serde(untagged)]
pub(super) enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// Tokens that were computed, special tokens included.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Usage)]
pub(super) struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Usage {
    pub(super) fn of(report: &Report) -> Self {
        Self {
            prompt_tokens: report.tokens,
            total_tokens: report.tokens,
        }
    }
}

/// A vector for each text.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingsRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbeddingsResponse)))]
pub(super) async fn embeddings(
    State(app): State<Arc<App>>,
    client: Client,
    Body(request): Body<EmbeddingsRequest>,
) -> Answered {
    let long = if app.service.limits.auto_truncate {
        Long::Truncate
    } else {
        Long::Error
    };
    let options = Options {
        long,
        dimensions: request.dimensions,
        normalize: Some(true),
        ..Options::default()
    };
    let texts = request.input.into_texts();
    let (vectors, report) = app.service.embed(client, texts, options).await?;
    let format = request.encoding_format;
    let data = vectors.into_iter().enumerate();
    let data = data.map(|(index, vector)| Embedding {
        object: "embedding",
        embedding: format.write(vector),
        index,
    });
    let response = EmbeddingsResponse {
        object: "list",
        data: data.collect(),
        model: app.service.model_id.clone(),
        usage: Usage::of(&report),
    };
    reply(&app, &report, response).await
}

/// `/v1/embeddings` under the name that TEI has for it too.
#[utoipa::path(post, path = "/embeddings", tag = "tei", request_body = EmbeddingsRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbeddingsResponse)))]
pub(super) async fn embeddings_alias(
    app: State<Arc<App>>,
    client: Client,
    request: Body<EmbeddingsRequest>,
) -> Answered {
    embeddings(app, client, request).await
}

impl EncodingFormat {
    pub(super) fn write(self, vector: Vec<f32>) -> Vector {
        match self {
            Self::Float => Vector::Float(vector),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|it| it.to_le_bytes()).collect();
                Vector::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

/// The models of this server.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Models)]
struct Models {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = openai::Model)]
struct Model {
    id: String,
    object: &'static str,
    /// Unknown: files carry no timestamps.
    created: u64,
    owned_by: &'static str,
}

/// The one model there is.
#[utoipa::path(get, path = "/v1/models", tag = "openai",
    responses((status = 200, description = "a list of one", body = Models)))]
pub(super) async fn models(State(app): State<Arc<App>>) -> Json<impl Serialize> {
    Json(Models {
        object: "list",
        data: vec![Model::of(&app)],
    })
}

/// The model, if it has this name.
#[utoipa::path(get, path = "/v1/models/{*model}", tag = "openai",
    params(("model" = String, Path, description = "its name")),
    responses((status = 200, description = "it has", body = Model)))]
pub(super) async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<impl Serialize>, Failure> {
    let Path(name) =
        name.map_err(|error| Failure::new(Kind::Malformed, error.body_text()).about("model"))?;
    let model = Model::of(&app);
    if name != model.id {
        let message = format!("no model {name:?}; this server has {:?}", model.id);
        return Err(Failure::new(Kind::NotFound, message).about("model"));
    }
    Ok(Json(model))
}

impl Model {
    fn of(app: &App) -> Self {
        Self {
            id: app.service.model_id.clone(),
            object: "model",
            created: 0,
            owned_by: "encoderfile",
        }
    }
}
