//! Jina: `/v1/rerank`.

use super::answer::{Answer, Answered};
use super::openai::Usage;
use super::route::route;
use super::{Call, Dialect, Route};
use crate::failure::Failure;
use crate::fields::{object, whole};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Jina.
pub(super) struct Jina;

impl Dialect for Jina {
    fn name(&self) -> &'static str {
        "Jina"
    }

    fn routes(&self) -> Vec<Route> {
        vec![route!(rerank)]
    }

    fn error(&self, _: &Failure, message: String) -> Value {
        json!(JinaError { detail: message })
    }

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        crate::openapi::schema::<JinaError>()
    }

    fn names(&self) -> &'static [(&'static str, &'static str)] {
        &[("top_k", "top_n")]
    }

    fn texts(&self) -> Option<&'static str> {
        Some("documents")
    }
}

/// Jina's error.
#[derive(Serialize, ToSchema)]
struct JinaError {
    /// What is wrong and what to do.
    detail: String,
}

/// Documents to rank as answers to a query.
#[derive(Deserialize, ToSchema)]
#[schema(as = rerank::JinaRequest)]
struct Request {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    query: String,
    documents: Vec<Input>,
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
enum Input {
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
struct Response {
    model: String,
    results: Vec<Rank>,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
#[schema(as = rerank::JinaResult)]
struct Rank {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
}

/// Jina: the documents, best answer first.
#[utoipa::path(post, path = "/v1/rerank", operation_id = "jina", tag = "jina", request_body = Request,
    responses((status = 200, description = "best first", body = Response)))]
async fn rerank(call: Call, request: Request) -> Answered {
    let documents = request.documents.into_iter().map(|it| match it {
        Input::Text(text) => text,
        Input::Object(document) => document.text,
    });
    let documents: Vec<String> = documents.collect();
    let texts = documents.clone();
    let ranked = call
        .service
        .rank(call.client, request.query, texts, request.top_n);
    let (ranked, report) = ranked.await?;
    let results = ranked.into_iter().map(|it| Rank {
        index: it.index,
        relevance_score: it.score,
        document: request.return_documents.then(|| Document {
            text: documents[it.index].clone(),
        }),
    });
    let response = Response {
        model: call.service.model_id.clone(),
        results: results.collect(),
        usage: Usage::of(&report),
    };
    Ok(Answer::computed(&call, report, response))
}

#[cfg(test)]
mod tests {
    use crate::testing::{has_numbers, reranker};

    #[test]
    fn documents_are_given_back_with_their_scores() {
        let model = reranker();
        let request = r#"{"query": "a", "documents": ["b c", {"text": "a b"}]}"#;
        let json = model.post("/v1/rerank", request).good();
        let results = json["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            let score = model.score("a", result["document"]["text"].as_str().unwrap());
            assert!(has_numbers(
                &[result["relevance_score"].clone()].into(),
                &[score]
            ));
        }
        let best = [&results[0], &results[1]].map(|it| it["relevance_score"].as_f64());
        assert!(best[0] >= best[1], "{json}");
    }

    #[test]
    fn a_refusal_is_a_detail() {
        let request = r#"{"query": "a", "documents": [1]}"#;
        let json = reranker().post("/v1/rerank", request).refused(422);
        let detail = json["detail"].as_str().unwrap();
        assert!(detail.starts_with("`documents[0]`: "), "{detail}");
    }
}
