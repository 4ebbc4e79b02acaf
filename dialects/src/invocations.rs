//! SageMaker and Vertex AI: what they send to a container, `/invocations` and `/vertex`.
//!
//! The request is TEI's for the model's task, or Hugging Face's where TEI has
//! none; the routes of those answer it.

use super::answer::{Answer, Answered};
use super::encoderfile::predict::from_fields;
use super::hugging_face::{self, HuggingFace};
use super::route::route;
use super::tei::{self, Tei, classify};
use super::{Call, Dialect, Route};
use crate::failure::{Failure, Kind};
use encoderfile::manifest::Task;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// SageMaker and Vertex AI, with TEI's error body.
pub(super) struct Invocations;

impl Dialect for Invocations {
    fn name(&self) -> &'static str {
        "SageMaker and Vertex AI"
    }

    fn routes(&self) -> Vec<Route> {
        vec![route!(invoke), route!(vertex)]
    }

    fn error(&self, failure: &Failure, message: String) -> Value {
        Tei.error(failure, message)
    }

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        Tei.error_schema()
    }
}

/// TEI's request for the model's task.
///
/// Of a reranker, `query` and `texts` are ranked, and `inputs` classified. A request
/// of Hugging Face's (`parameters`, inputs that are objects) is answered as `POST /`
/// does.
#[utoipa::path(post, path = "/invocations", tag = "tei", request_body = Object,
    responses((status = 200, description = "as the route for the task answers", body = Value)))]
async fn invoke(call: Call, fields: Map<String, Value>) -> Answered {
    by_task(call, fields).await
}

async fn by_task(call: Call, mut fields: Map<String, Value>) -> Answered {
    if classify::is_rerank(&fields) {
        return classify::rerank(call, from_fields(fields)?).await;
    }
    if is_hugging_faces(&fields) {
        return as_hugging_face(call, fields).await;
    }
    for name in HUGGING_FACES_EMPTY {
        fields.remove(name);
    }
    match call.service.task() {
        Task::SentenceEmbedding => tei::embed(call, from_fields(fields)?).await,
        Task::SparseEmbedding => tei::embed_sparse(call, from_fields(fields)?).await,
        Task::SequenceClassification => classify::predict(&call, from_fields(fields)?).await,
        _ => as_hugging_face(call, fields).await,
    }
}

/// Hugging Face's requests have Hugging Face's names for options.
async fn as_hugging_face(call: Call, fields: Map<String, Value>) -> Answered {
    let answered = hugging_face::infer(call, fields).await;
    answered.map_err(|failure| failure.in_words_of(&HuggingFace))
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

/// Several requests.
#[derive(Deserialize, ToSchema)]
#[schema(as = vertex::Request)]
struct VertexRequest {
    /// Each as `/invocations` takes it.
    #[schema(value_type = Vec<Object>)]
    instances: Vec<Map<String, Value>>,
}

/// The answers in the order of the requests.
#[derive(Serialize, ToSchema)]
#[schema(as = vertex::Response)]
struct VertexResponse {
    predictions: Vec<Value>,
}

/// Several of TEI's requests for the model's task; the first that fails fails all.
#[utoipa::path(post, path = "/vertex", tag = "tei", request_body = VertexRequest,
    responses((status = 200, description = "in the order of the requests", body = VertexResponse)))]
async fn vertex(call: Call, request: VertexRequest) -> Answered {
    let (count, limit) = (
        request.instances.len(),
        call.service.limits.max_client_batch_size,
    );
    if count > limit {
        let message =
            format!("{count} `instances` in one request, limit {limit} (--max-client-batch-size)");
        return Err(Failure::new(Kind::Limit, message));
    }
    let mut answers = Vec::with_capacity(count);
    for (index, instance) in request.instances.into_iter().enumerate() {
        let answer = by_task(call.clone(), instance).await;
        answers.push(answer.map_err(|failure| failure.within(&format!("instances[{index}]")))?);
    }
    let report = answers.last().and_then(|answer| answer.report.clone());
    let mut answer = Answer::made_by(move || {
        let predictions = answers.into_iter().map(Answer::into_value);
        Ok(VertexResponse {
            predictions: predictions.collect::<Result<_, _>>()?,
        })
    });
    // For the trace: there is no header of any one instance.
    answer.report = report;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use crate::testing::{embeddings, has_numbers};

    #[test]
    fn requests_are_answered_by_task() {
        let model = embeddings();
        let json = model.post("/invocations", r#"{"inputs": "a cat"}"#).good();
        assert!(has_numbers(&json[0], &model.embedding("a cat")));
        let request = r#"{"inputs": "a", "parameters": {"truncation": true, "max_length": 0}}"#;
        let json = model.post("/invocations", request).refused(422);
        assert!(
            json["error"].as_str().unwrap().contains("`max_length`"),
            "{json}"
        );
    }

    #[test]
    fn instances_are_answered_in_their_order() {
        let model = embeddings();
        let request = r#"{"instances": [{"inputs": "a"}, {"inputs": ["a cat"]}]}"#;
        let json = model.post("/vertex", request).good();
        assert!(has_numbers(
            &json["predictions"][0][0],
            &model.embedding("a")
        ));
        assert!(has_numbers(
            &json["predictions"][1][0],
            &model.embedding("a cat")
        ));
        let request = r#"{"instances": [{"inputs": "a"}, {"inputs": []}]}"#;
        let json = model.post("/vertex", request).refused(400);
        let message = json["error"].as_str().unwrap();
        assert!(message.starts_with("`instances[1]`: "), "{message}");
    }
}
