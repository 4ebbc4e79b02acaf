//! `/info`: TEI's description of a server, with what the file contains.

use crate::answer::Answered;
use crate::{Answer, Call};
use encoderfile::Info;
use encoderfile::manifest::{Pipeline, Task};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// TEI's description of the server, and ours of the file.
#[derive(Serialize, ToSchema)]
struct ServerInfo {
    /// The model's name.
    model_id: String,
    /// BLAKE3 of the file's payload, in hexadecimal.
    model_sha: String,
    /// How the large matrices are stored.
    model_dtype: String,
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
    /// Equal only for servers whose embeddings may be compared.
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

/// TEI: what is served, and what the file contains.
#[utoipa::path(get, path = "/info", tag = "tei",
    responses((status = 200, description = "limits, labels, hashes, licence", body = ServerInfo)))]
pub(super) async fn info(call: Call) -> Answered {
    let service = &call.service;
    let (info, limits) = (&service.info, &service.limits);
    let capabilities = service.capabilities().into_iter();
    Answer::small(&ServerInfo {
        model_id: service.model_id.clone(),
        model_sha: info.payload_digest.clone(),
        model_dtype: info.weights.clone(),
        model_type: model_type(&call),
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
fn model_type(call: &Call) -> Value {
    let pipeline = call.service.pipeline();
    let labels = pipeline.labels.iter().enumerate();
    let id2label: serde_json::Map<String, Value> = labels
        .clone()
        .map(|(id, label)| (id.to_string(), label.clone().into()))
        .collect();
    let label2id: serde_json::Map<String, Value> = labels
        .map(|(id, label)| (label.clone(), id.into()))
        .collect();
    let head = json!({ "id2label": id2label, "label2id": label2id });
    match call.service.task() {
        Task::SentenceEmbedding => json!({ "embedding": { "pooling": pooling(pipeline) } }),
        Task::SparseEmbedding => json!({ "embedding": { "pooling": "splade" } }),
        Task::SequenceClassification if pipeline.labels.len() == 1 => json!({ "reranker": head }),
        Task::SequenceClassification => json!({ "classifier": head }),
        task => json!({ task.name(): head }),
    }
}

fn pooling(pipeline: &Pipeline) -> String {
    let modes = pipeline.pooling.iter().map(|mode| mode.name());
    modes.collect::<Vec<_>>().join("+")
}
