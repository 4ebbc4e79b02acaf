//! Encoderfile's own routes, which are upstream's: `/predict`, what is served, and what an
//! operator asks of the process.

mod info;
pub(super) mod predict;

use super::answer::{Answer, Answered};
use super::route::route;
use super::tei::Tei;
use super::{Call, Dialect, Route};
use crate::failure::{Failure, Kind};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

const TEXT: &str = "text/plain; charset=utf-8";

/// Encoderfile's own, with TEI's error body.
pub(super) struct Encoderfile;

impl Dialect for Encoderfile {
    fn name(&self) -> &'static str {
        "encoderfile"
    }

    fn routes(&self) -> Vec<Route> {
        vec![
            route!(predict::predict),
            route!(model),
            route!(info::info),
            route!(health),
            route!(ping),
            route!(livez),
            route!(readyz),
            route!(prometheus),
            route!(openapi),
            // Upstream's name for it.
            route!(openapi).undocumented_at("/api-doc/openapi.json"),
        ]
    }

    fn error(&self, failure: &Failure, message: String) -> Value {
        Tei.error(failure, message)
    }

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        Tei.error_schema()
    }
}

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

/// Whether the process answers.
#[utoipa::path(get, path = "/health", tag = "operations",
    responses((status = 200, description = "it does, as upstream says it: a JSON string", body = String, content_type = "application/json")))]
async fn health(_: Call) -> Answered {
    Answer::small(&"OK!")
}

/// Whether the process answers, for SageMaker.
#[utoipa::path(get, path = "/ping", tag = "operations",
    responses((status = 200, description = "it does", body = String, content_type = "application/json")))]
async fn ping(_: Call) -> Answered {
    Answer::small(&"OK!")
}

/// Whether the process answers, for probes.
#[utoipa::path(get, path = "/livez", tag = "operations",
    responses((status = 200, description = "it does", body = String, content_type = "text/plain")))]
async fn livez(_: Call) -> Answered {
    Ok(Answer::text(TEXT, "OK!"))
}

/// Whether requests should be sent here: not while shutting down.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, description = "they should", body = String, content_type = "text/plain")))]
async fn readyz(call: Call) -> Answered {
    if call.process.is_stopping() {
        return Err(Failure::new(
            Kind::Unavailable,
            "the server is shutting down",
        ));
    }
    Ok(Answer::text(TEXT, "OK!"))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "in Prometheus' text format", body = String, content_type = "text/plain")))]
async fn prometheus(call: Call) -> Answered {
    let figures = call.process.metrics();
    Ok(Answer::text("text/plain; version=0.0.4", figures))
}

/// Upstream: what the model is.
#[utoipa::path(get, path = "/model", tag = "encoderfile",
    responses((status = 200, description = "its name, task and labels", body = Model)))]
async fn model(call: Call) -> Answered {
    let service = &call.service;
    let labels = &service.pipeline().labels;
    let numbered = labels.iter().enumerate();
    let id2label = numbered.map(|(id, label)| (id.to_string(), label.clone()));
    Answer::small(&Model {
        model_id: service.model_id.clone(),
        model_type: service.task().name(),
        id2label: (!labels.is_empty()).then(|| id2label.collect()),
    })
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = Value)))]
async fn openapi(call: Call) -> Answered {
    Ok(Answer::text("application/json", call.process.document()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{embeddings, has_numbers, reranker};

    #[test]
    fn predict_answers_with_the_models_results() {
        let model = embeddings();
        let answer = model.post(
            "/predict",
            r#"{"inputs": ["a cat"], "metadata": {"n": null}}"#,
        );
        assert_eq!(answer.headers["x-compute-tokens"], "4");
        let json = answer.good();
        let embedding = model.embedding("a cat");
        assert!(has_numbers(&json["results"][0]["embedding"], &embedding));
        assert_eq!(json["model_id"], "all-MiniLM-L6-v2");
        assert!(json["metadata"]["n"].is_null());
    }

    #[test]
    fn predict_takes_teis_requests_too() {
        let model = reranker();
        let json = model.post("/predict", r#"{"inputs": [["a", "b"]]}"#).good();
        assert_eq!(json[0][0]["label"], "LABEL_0");
        let unknown = r#"{"inputs": ["a"], "bogus": 1}"#;
        let json = model.post("/predict", unknown).refused(422);
        assert_eq!(json["error_type"], "Validation");
        assert!(
            json["error"].as_str().unwrap().contains("`bogus`"),
            "{json}"
        );
    }

    #[test]
    fn operators_are_told_what_is_served() {
        let model = embeddings();
        assert_eq!(model.get("/health").good(), "OK!");
        let json = model.get("/info").good();
        assert_eq!(json["encoderfile"]["width"], 384);
        assert_eq!(model.get("/readyz").refused(503)["error_type"], "Unhealthy");
        assert_eq!(
            model.get("/nowhere").refused(404)["error_type"],
            "Validation"
        );
    }
}
