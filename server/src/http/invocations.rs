//! `/invocations` and `/vertex`: what SageMaker and Vertex AI send to a container.
//!
//! The request is TEI's for the model's task, or Hugging Face's where TEI has
//! none; the routes of those answer it.

use super::App;
use super::body::Json;
use super::predict::from_fields;
use super::reply::Answered;
use super::{hugging_face, tei};
use crate::engine::Client;
use crate::failure::{Failure, Kind};
use axum::body::to_bytes;
use axum::extract::State;
use axum::response::IntoResponse;
use encoderfile::manifest::Task;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// TEI's request for the model's task.
///
/// Of a reranker, `query` and `texts` are ranked, and `inputs` classified. A request
/// of Hugging Face's (`parameters`, inputs that are objects) is answered as `POST /`
/// does.
#[utoipa::path(post, path = "/invocations", tag = "tei", request_body = Object,
    responses((status = 200, description = "as the route for the task answers", body = Value)))]
pub(super) async fn invoke(
    State(app): State<Arc<App>>,
    client: Client,
    Json(fields): Json<Map<String, Value>>,
) -> Answered {
    by_task(app, client, fields).await
}

async fn by_task(app: Arc<App>, client: Client, mut fields: Map<String, Value>) -> Answered {
    if is_rerank(&fields) {
        let request = Json(from_fields(fields)?);
        return tei::classify::rerank(State(app), client, request).await;
    }
    if is_hugging_faces(&fields) {
        return hugging_face::infer(State(app), client, Json(fields)).await;
    }
    for name in HUGGING_FACES_EMPTY {
        fields.remove(name);
    }
    match app.service.task() {
        Task::SentenceEmbedding => tei::embed(State(app), client, Json(from_fields(fields)?)).await,
        Task::SparseEmbedding => {
            tei::embed_sparse(State(app), client, Json(from_fields(fields)?)).await
        }
        Task::SequenceClassification => {
            tei::classify::predict(&app, client, from_fields(fields)?).await
        }
        _ => hugging_face::infer(State(app), client, Json(fields)).await,
    }
}

/// What Hugging Face's clients send beside `inputs` though it says nothing of the
/// task: how to wait, and no parameters.
const HUGGING_FACES_EMPTY: [&str; 2] = ["options", "parameters"];

/// The fields beside `inputs` that no request of TEI's has.
const HUGGING_FACES: [&str; 9] = [
    "candidate_labels",
    "encoding_format",
    "function_to_apply",
    "hypothesis_template",
    "max_length",
    "multi_label",
    "padding",
    "top_k",
    "truncation",
];

/// Whether a request is Hugging Face's: by its parameters, or by inputs that are
/// objects (a text and its pair, sentences to compare).
fn is_hugging_faces(fields: &Map<String, Value>) -> bool {
    let has_objects = match fields.get("inputs") {
        Some(Value::Array(inputs)) => inputs.iter().any(Value::is_object),
        Some(inputs) => inputs.is_object(),
        None => false,
    };
    let parameters = fields.get("parameters");
    let has_parameters =
        parameters.is_some_and(|it| it.as_object().is_none_or(|it| !it.is_empty()));
    let has_fields = HUGGING_FACES.iter().any(|name| fields.contains_key(*name));
    has_objects || has_parameters || has_fields
}

/// Whether a request can only be TEI's for reranking.
pub(super) fn is_rerank(fields: &Map<String, Value>) -> bool {
    fields.contains_key("query") && fields.contains_key("texts")
}

/// Several requests.
#[derive(Deserialize, ToSchema)]
#[schema(as = vertex::Request)]
pub(super) struct VertexRequest {
    /// Each as `/invocations` takes it.
    #[schema(value_type = Vec<Object>)]
    instances: Vec<Map<String, Value>>,
}

/// The answers in the order of the requests.
#[derive(Serialize, ToSchema)]
#[schema(as = vertex::Response)]
pub(super) struct VertexResponse {
    predictions: Vec<Value>,
}

/// Several of TEI's requests for the model's task; the first that fails fails all.
#[utoipa::path(post, path = "/vertex", tag = "tei", request_body = VertexRequest,
    responses((status = 200, description = "in the order of the requests", body = VertexResponse)))]
pub(super) async fn vertex(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<VertexRequest>,
) -> Answered {
    let (count, limit) = (
        request.instances.len(),
        app.service.limits.max_client_batch_size,
    );
    if count > limit {
        let message =
            format!("{count} `instances` in one request, limit {limit} (--max-client-batch-size)");
        return Err(Failure::new(Kind::Limit, message));
    }
    let mut predictions = Vec::with_capacity(count);
    for (index, instance) in request.instances.into_iter().enumerate() {
        let answer = by_task(app.clone(), client, instance).await;
        let answer = answer.map_err(|failure| failure.within(&format!("instances[{index}]")))?;
        let internal = |error: String| Failure::new(Kind::Internal, error);
        let body = to_bytes(answer.into_body(), usize::MAX).await;
        let body = body.map_err(|error| internal(error.to_string()))?;
        let value = serde_json::from_slice(&body);
        predictions.push(value.map_err(|error| internal(error.to_string()))?);
    }
    Ok(axum::Json(VertexResponse { predictions }).into_response())
}
