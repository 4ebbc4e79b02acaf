//! What whoever runs the server asks: health, readiness, metrics, what it serves.

use super::App;
use super::reply::Answered;
use crate::failure::{Failure, Kind};
use crate::metrics;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use encoderfile::Info;
use encoderfile::manifest::Task;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Upstream's description of the model.
#[derive(Serialize, ToSchema)]
struct Model {
    /// The model's name.
    model_id: String,
    /// What it computes.
    model_type: &'static str,
    /// Classification: the labels.
    id2label: Option<BTreeMap<String, String>>,
}

/// TEI's description of the server, and ours of the file.
#[derive(Serialize, ToSchema)]
struct ServerInfo {
    /// The model's name.
    model_id: String,
    /// BLAKE3 of the file's payload, in hexadecimal.
    model_sha: String,
    /// How the large matrices are stored.
    model_dtype: &'static str,
    /// TEI's kind of model.
    model_type: Value,
    max_concurrent_requests: usize,
    /// Tokens of one text.
    max_input_length: u32,
    /// Tokens that may wait or be computed.
    max_batch_tokens: usize,
    max_batch_requests: Option<usize>,
    /// Texts in one request.
    max_client_batch_size: usize,
    auto_truncate: bool,
    /// Threads that tokenise and compute.
    tokenization_workers: usize,
    version: &'static str,
    sha: Option<String>,
    docker_label: Option<String>,
    /// Equal for two servers exactly when their embeddings may be compared.
    embedding_space_id: String,
    encoderfile: FileInfo,
}

/// What the file contains.
#[derive(Serialize, ToSchema)]
struct FileInfo {
    #[serde(flatten)]
    info: Info,
    /// What the model can be asked for.
    capabilities: Vec<&'static str>,
    /// Numbers in a result row: of an embedding, or one a label.
    width: usize,
    /// Fill-mask: how a text spells what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    mask_token: Option<String>,
}

/// Whether the process answers.
#[utoipa::path(get, path = "/health", tag = "operations",
    responses((status = 200, description = "it does, as upstream says it: a JSON string", body = String, content_type = "application/json")))]
pub(super) async fn health() -> Json<&'static str> {
    Json("OK!")
}

/// Whether the process answers, for SageMaker.
#[utoipa::path(get, path = "/ping", tag = "operations",
    responses((status = 200, description = "it does", body = String, content_type = "application/json")))]
pub(super) async fn ping() -> Json<&'static str> {
    Json("OK!")
}

/// Whether the process answers, for probes.
#[utoipa::path(get, path = "/livez", tag = "operations",
    responses((status = 200, description = "it does", body = String, content_type = "text/plain")))]
pub(super) async fn livez() -> &'static str {
    "OK!"
}

/// Whether requests should be sent here: not while shutting down.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, description = "they should", body = String, content_type = "text/plain")))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.draining.is_cancelled() {
        return Failure::new(Kind::Unavailable, "the server is shutting down").into_response();
    }
    "OK!".into_response()
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "in Prometheus' text format", body = String, content_type = "text/plain")))]
pub(super) async fn prometheus(State(app): State<Arc<App>>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    let body = metrics::render(&app.metrics, &app.service);
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Upstream: what the model is.
#[utoipa::path(get, path = "/model", tag = "encoderfile",
    responses((status = 200, description = "its name, task and labels", body = Model)))]
pub(super) async fn model(State(app): State<Arc<App>>) -> Json<impl Serialize> {
    let service = &app.service;
    let labels = &service.pipeline().labels;
    let numbered = labels.iter().enumerate();
    let id2label = numbered.map(|(id, label)| (id.to_string(), label.clone()));
    Json(Model {
        model_id: service.model_id.clone(),
        model_type: service.task().name(),
        id2label: (!labels.is_empty()).then(|| id2label.collect()),
    })
}

/// TEI: what is served, and what the file contains.
#[utoipa::path(get, path = "/info", tag = "tei",
    responses((status = 200, description = "limits, labels, hashes, licence", body = ServerInfo)))]
pub(super) async fn info(State(app): State<Arc<App>>) -> Json<impl Serialize> {
    let service = &app.service;
    let (info, limits) = (&service.info, &service.limits);
    let capabilities = service.capabilities().into_iter();
    Json(ServerInfo {
        model_id: service.model_id.clone(),
        model_sha: info.payload_digest.clone(),
        model_dtype: info.weights,
        model_type: model_type(&app),
        max_concurrent_requests: limits.max_concurrent_requests,
        max_input_length: info.max_tokens,
        max_batch_tokens: limits.max_queued_tokens,
        max_batch_requests: None,
        max_client_batch_size: limits.max_client_batch_size,
        auto_truncate: limits.auto_truncate,
        tokenization_workers: service.engine.workers(),
        version: env!("CARGO_PKG_VERSION"),
        sha: None,
        docker_label: None,
        embedding_space_id: info.embedding_space_id.clone(),
        encoderfile: FileInfo {
            info: info.clone(),
            capabilities: capabilities.map(|it| it.name()).collect(),
            width: service.served_width(),
            mask_token: service.encoder.mask_token(),
        },
    })
}

/// As TEI writes it.
fn model_type(app: &App) -> Value {
    let pipeline = app.service.pipeline();
    let labels = pipeline.labels.iter().enumerate();
    let id2label: serde_json::Map<String, Value> = labels
        .clone()
        .map(|(id, label)| (id.to_string(), label.clone().into()))
        .collect();
    let label2id: serde_json::Map<String, Value> = labels
        .map(|(id, label)| (label.clone(), id.into()))
        .collect();
    let head = json!({ "id2label": id2label, "label2id": label2id });
    match app.service.task() {
        Task::SentenceEmbedding => json!({ "embedding": { "pooling": pooling(pipeline) } }),
        Task::SparseEmbedding => json!({ "embedding": { "pooling": "splade" } }),
        Task::SequenceClassification if pipeline.labels.len() == 1 => json!({ "reranker": head }),
        Task::SequenceClassification => json!({ "classifier": head }),
        task => json!({ task.name(): head }),
    }
}

fn pooling(pipeline: &encoderfile::manifest::Pipeline) -> String {
    let modes = pipeline.pooling.iter().map(|mode| mode.name());
    modes.collect::<Vec<_>>().join("+")
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = Value)))]
pub(super) async fn openapi(State(app): State<Arc<App>>) -> Answered {
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], app.document.clone()).into_response())
}
