//! Cohere's and Jina's reranking.

use super::App;
use super::body::Json;
use super::openai::Usage;
use super::reply::{Answered, reply};
use crate::engine::{Client, Text};
use crate::failure::Failure;
use crate::fields::{object, whole};
use crate::service::{Capability, Report};
use axum::extract::State;
use encoderfile::Options;
use encoderfile::output::{Ranked, rank};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use utoipa::ToSchema;

/// Documents to rank as answers to a query.
#[derive(Deserialize, ToSchema)]
#[schema(as = rerank::CohereRequest)]
pub(super) struct CohereRequest {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    query: String,
    documents: Vec<String>,
    /// At most so many results.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "whole")]
    top_n: Option<usize>,
    /// Long documents are always cut as the model says.
    #[allow(dead_code, reason = "clients send it")]
    #[serde(default, deserialize_with = "whole")]
    max_tokens_per_doc: Option<usize>,
}

/// The best answers first.
#[derive(Serialize, ToSchema)]
#[schema(as = rerank::CohereResponse)]
pub(super) struct CohereResponse {
    id: String,
    results: Vec<CohereResult>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
#[schema(as = rerank::CohereResult)]
struct CohereResult {
    index: usize,
    relevance_score: f32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = rerank::Meta)]
struct Meta {
    api_version: ApiVersion,
    billed_units: BilledUnits,
}

#[derive(Serialize, ToSchema)]
#[schema(as = rerank::ApiVersion)]
struct ApiVersion {
    version: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = rerank::BilledUnits)]
struct BilledUnits {
    search_units: u32,
}

/// Cohere: the documents, best answer first.
#[utoipa::path(post, path = "/v2/rerank", tag = "cohere", request_body = CohereRequest,
    responses((status = 200, description = "best first", body = CohereResponse)))]
pub(super) async fn cohere(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<CohereRequest>,
) -> Answered {
    let documents = request.documents.into_iter();
    let (ranked, report) = ranked(&app, client, request.query, documents, request.top_n).await?;
    let results = ranked.into_iter().map(|it| CohereResult {
        index: it.index,
        relevance_score: it.score,
    });
    let response = CohereResponse {
        id: next_id(),
        results: results.collect(),
        meta: Meta {
            api_version: ApiVersion { version: "2" },
            billed_units: BilledUnits { search_units: 0 },
        },
    };
    reply(&app, &report, response).await
}

/// Told apart within this process.
fn next_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);

    format!("rerank-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Documents to rank as answers to a query.
#[derive(Deserialize, ToSchema)]
#[schema(as = rerank::JinaRequest)]
pub(super) struct JinaRequest {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    query: String,
    documents: Vec<JinaDocument>,
    /// At most so many results.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "whole")]
    top_n: Option<usize>,
    /// Give the documents back.
    #[serde(default = "yes")]
    return_documents: bool,
}

fn yes() -> bool {
    true
}

/// A text, or an object that has one.
#[derive(Deserialize, ToSchema)]
#[schema(as = rerank::JinaDocument)]
#[serde(untagged, expecting = "a text or an object with `text`")]
enum JinaDocument {
    Text(String),
    Object(#[serde(deserialize_with = "object")] Document),
}

/// A document.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[schema(as = rerank::Document)]
struct Document {
    text: String,
}

/// The best answers first.
#[derive(Serialize, ToSchema)]
#[schema(as = rerank::JinaResponse)]
pub(super) struct JinaResponse {
    model: String,
    results: Vec<JinaResult>,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
#[schema(as = rerank::JinaResult)]
struct JinaResult {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
}

/// Jina: the documents, best answer first.
#[utoipa::path(post, path = "/v1/rerank", tag = "jina", request_body = JinaRequest,
    responses((status = 200, description = "best first", body = JinaResponse)))]
pub(super) async fn jina(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<JinaRequest>,
) -> Answered {
    let documents = request.documents.into_iter().map(|it| match it {
        JinaDocument::Text(text) => text,
        JinaDocument::Object(document) => document.text,
    });
    let documents: Vec<String> = documents.collect();
    let texts = documents.iter().cloned();
    let (ranked, report) = ranked(&app, client, request.query, texts, request.top_n).await?;
    let results = ranked.into_iter().map(|it| JinaResult {
        index: it.index,
        relevance_score: it.score,
        document: request.return_documents.then(|| Document {
            text: documents[it.index].clone(),
        }),
    });
    let response = JinaResponse {
        model: app.service.model_id.clone(),
        results: results.collect(),
        usage: Usage::of(&report),
    };
    reply(&app, &report, response).await
}

async fn ranked(
    app: &App,
    client: Client,
    query: String,
    documents: impl Iterator<Item = String>,
    top_n: Option<usize>,
) -> Result<(Vec<Ranked>, Report), Failure> {
    app.service.require(Capability::Rerank)?;
    let options = Options {
        query: Some(query),
        top_k: top_n,
        ..Options::default()
    };
    let texts = documents.map(Text::One).collect();
    let answer = app.service.infer(client, texts, options).await?;
    Ok((rank(&answer.predictions, top_n), answer.report))
}
