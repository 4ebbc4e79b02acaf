//! Ollama's embeddings.

use super::App;
use super::body::AnyJson;
use super::reply::{Answered, reply};
use crate::engine::{Client, Text};
use axum::Json;
use axum::extract::State;
use encoderfile_runtime::{Long, Options};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = ollama::EmbedRequest)]
pub(super) struct EmbedRequest {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    input: Input,
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Keep so many of the first values.
    dimensions: Option<usize>,
    /// The model is always loaded.
    #[allow(dead_code, reason = "clients send it")]
    keep_alive: Option<Value>,
    /// None of Ollama's applies to encoders.
    #[allow(dead_code, reason = "clients send it")]
    options: Option<Value>,
}

/// One text or several.
#[derive(Deserialize, ToSchema)]
#[schema(as = ollama::Input)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// Vectors in the order of the texts, of length 1.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::EmbedResponse)]
pub(super) struct EmbedResponse {
    model: String,
    embeddings: Vec<Vec<f32>>,
    /// Nanoseconds.
    total_duration: u64,
    /// Nanoseconds: the model was loaded before the server listened.
    load_duration: u64,
    /// Tokens that were computed.
    prompt_eval_count: usize,
}

/// A vector for each text.
#[utoipa::path(post, path = "/api/embed", tag = "ollama", request_body = EmbedRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbedResponse)))]
pub(super) async fn embed(
    State(app): State<Arc<App>>,
    client: Client,
    AnyJson(request): AnyJson<EmbedRequest>,
) -> Answered {
    let options = Options {
        long: match request.truncate {
            Some(false) => Long::Error,
            _ => Long::Truncate,
        },
        normalize: Some(true),
        dimensions: request.dimensions,
        ..Options::default()
    };
    let texts = match request.input {
        Input::One(text) => vec![Text::One(text)],
        Input::Many(texts) => texts.into_iter().map(Text::One).collect(),
    };
    let (embeddings, report) = app.service.embed(client, texts, options).await?;
    let response = EmbedResponse {
        model: app.service.model_id.clone(),
        embeddings,
        total_duration: u64::try_from(report.total.as_nanos()).unwrap_or(u64::MAX),
        load_duration: 0,
        prompt_eval_count: report.tokens,
    };
    reply(&app, &report, response).await
}

/// A text to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = ollama::EmbeddingsRequest)]
pub(super) struct EmbeddingsRequest {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    prompt: String,
    /// The model is always loaded.
    #[allow(dead_code, reason = "clients send it")]
    keep_alive: Option<Value>,
    /// None of Ollama's applies to encoders.
    #[allow(dead_code, reason = "clients send it")]
    options: Option<Value>,
}

/// A vector, not divided by its norm.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::EmbeddingsResponse)]
pub(super) struct EmbeddingsResponse {
    embedding: Vec<f32>,
}

/// The older form: one text.
#[utoipa::path(post, path = "/api/embeddings", tag = "ollama", request_body = EmbeddingsRequest,
    responses((status = 200, description = "of any length", body = EmbeddingsResponse)))]
pub(super) async fn embeddings(
    State(app): State<Arc<App>>,
    client: Client,
    AnyJson(request): AnyJson<EmbeddingsRequest>,
) -> Answered {
    let options = Options {
        normalize: Some(false),
        ..Options::default()
    };
    let texts = vec![Text::One(request.prompt)];
    let (mut vectors, report) = app.service.embed(client, texts, options).await?;
    let embedding = vectors.pop().unwrap_or_default();
    reply(&app, &report, EmbeddingsResponse { embedding }).await
}

/// The models of this server.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Tags)]
struct Tags {
    models: Vec<Model>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Model)]
struct Model {
    name: String,
    model: String,
    /// Unknown: files carry no timestamps.
    modified_at: &'static str,
    /// Bytes of the file's parts.
    size: u64,
    digest: String,
    details: Details,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Details)]
struct Details {
    format: &'static str,
    family: String,
    families: Vec<String>,
    parameter_size: String,
    quantization_level: &'static str,
}

/// The one model there is.
#[utoipa::path(get, path = "/api/tags", tag = "ollama",
    responses((status = 200, description = "a list of one", body = Tags)))]
pub(super) async fn tags(State(app): State<Arc<App>>) -> Json<impl Serialize> {
    let service = &app.service;
    let info = &service.info;
    Json(Tags {
        models: vec![Model {
            name: service.model_id.clone(),
            model: service.model_id.clone(),
            modified_at: "1970-01-01T00:00:00Z",
            size: info.sizes_bytes.iter().map(|(_, bytes)| bytes).sum(),
            digest: info.payload_digest.clone(),
            details: Details {
                format: "encoderfile",
                family: info.architecture.clone(),
                families: vec![info.architecture.clone()],
                parameter_size: String::new(),
                quantization_level: info.weights,
            },
        }],
    })
}

/// What answers.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Version)]
struct Version {
    version: &'static str,
}

/// The server's version.
#[utoipa::path(get, path = "/api/version", tag = "ollama",
    responses((status = 200, description = "of encoderfile", body = Version)))]
pub(super) async fn version() -> Json<impl Serialize> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION"),
    })
}
