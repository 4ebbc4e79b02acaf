//! Cohere: `/v2/embed` and `/v2/rerank`.

mod embed;

use super::answer::{Answer, Answered};
use super::route::route;
use super::{Call, Dialect, Route};
use crate::failure::Failure;
use crate::fields::whole;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use utoipa::ToSchema;

/// Cohere.
pub(crate) struct Cohere;

impl Dialect for Cohere {
    fn name(&self) -> &'static str {
        "Cohere"
    }

    fn routes(&self) -> Vec<Route> {
        vec![
            route!(rerank),
            route!(embed::embed),
            route!(embed::embed_v1),
        ]
    }

    fn error(&self, _: &Failure, message: String) -> Value {
        json!(CohereError { message })
    }

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        crate::openapi::schema::<CohereError>()
    }

    fn names(&self) -> &'static [(&'static str, &'static str)] {
        &[("top_k", "top_n"), ("dimensions", "output_dimension")]
    }

    fn texts(&self) -> Option<&'static str> {
        Some("documents")
    }
}

/// Cohere's error.
#[derive(Serialize, ToSchema)]
struct CohereError {
    /// What is wrong and what to do.
    message: String,
}

/// Documents to rank as answers to a query.
#[derive(Deserialize, ToSchema)]
#[schema(as = rerank::CohereRequest)]
struct Request {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    query: String,
    documents: Vec<String>,
    /// At most so many results.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "whole")]
    top_n: Option<usize>,
    /// Long documents are always truncated to the model's limit.
    #[allow(dead_code, reason = "clients send it")]
    #[serde(default, deserialize_with = "whole")]
    max_tokens_per_doc: Option<usize>,
}

/// The best answers first.
#[derive(Serialize, ToSchema)]
#[schema(as = rerank::CohereResponse)]
struct Response {
    id: String,
    results: Vec<Rank>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
#[schema(as = rerank::CohereResult)]
struct Rank {
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
#[utoipa::path(post, path = "/v2/rerank", operation_id = "cohere", tag = "cohere", request_body = Request,
    responses((status = 200, description = "best first", body = Response)))]
async fn rerank(call: Call, request: Request) -> Answered {
    let ranked = call
        .service
        .rank(call.client, request.query, request.documents, request.top_n);
    let (ranked, report) = ranked.await?;
    let results = ranked.into_iter().map(|it| Rank {
        index: it.index,
        relevance_score: it.score,
    });
    let response = Response {
        id: next_id("rerank"),
        results: results.collect(),
        meta: Meta {
            api_version: ApiVersion { version: "2" },
            billed_units: BilledUnits { search_units: 0 },
        },
    };
    Ok(Answer::computed(&call, report, response))
}

/// Told apart within this process.
fn next_id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);

    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use crate::testing::{has_numbers, reranker};

    #[test]
    fn the_best_documents_come_first() {
        let model = reranker();
        let documents = ["b c", "a b", "c"];
        let request = r#"{"query": "a", "documents": ["b c", "a b", "c"], "top_n": 2}"#;
        let json = model.post("/v2/rerank", request).good();
        let mut scores = documents.map(|document| model.score("a", document));
        scores.sort_by(|a, b| b.total_cmp(a));
        let results = json["results"].as_array().unwrap();
        let found = results.iter().map(|it| it["relevance_score"].clone());
        assert!(has_numbers(&found.collect(), &scores[..2]), "{json}");
    }

    #[test]
    fn a_refusal_has_coheres_names() {
        let request = r#"{"query": "a", "documents": ["b"], "top_n": 0}"#;
        let json = reranker().post("/v2/rerank", request).refused(422);
        assert!(
            json["message"].as_str().unwrap().contains("`top_n`"),
            "{json}"
        );
        let request = r#"{"query": "a", "documents": []}"#;
        let json = reranker().post("/v2/rerank", request).refused(400);
        let message = json["message"].as_str().unwrap();
        assert!(message.starts_with("`documents`: "), "{message}");
    }
}
