//! The routes, and the document that describes them.

use super::dialect::{CohereError, Dialect, JinaError, OllamaError, OpenAiError, TeiError};
use super::{App, hugging_face, ollama, openai, operations, predict, rerank, tei};
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, RefOr, ResponseBuilder};
use utoipa::{OpenApi, PartialSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(OpenApi)]
#[openapi(info(
    title = "encoderfile",
    description = "One encoder model in one file: the APIs of encoderfile, text-embeddings-inference, OpenAI, Ollama, Cohere and Jina.",
    license(name = "Apache-2.0", identifier = "Apache-2.0"),
))]
struct Document;

/// Every route but the page and MCP.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    let alias = get(async |app: State<Arc<App>>| operations::openapi(app).await);
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(predict::predict))
        .routes(routes!(operations::model))
        .routes(routes!(tei::embed))
        .routes(routes!(tei::embed_all))
        .routes(routes!(tei::embed_sparse))
        .routes(routes!(tei::rerank))
        .routes(routes!(tei::similarity_route))
        .routes(routes!(tei::tokenize))
        .routes(routes!(tei::decode))
        .routes(routes!(operations::info))
        .routes(routes!(hugging_face::infer))
        .routes(routes!(openai::embeddings))
        .routes(routes!(openai::models))
        .routes(routes!(openai::model))
        .routes(routes!(ollama::embed))
        .routes(routes!(ollama::embeddings))
        .routes(routes!(ollama::tags))
        .routes(routes!(ollama::version))
        .routes(routes!(rerank::cohere))
        .routes(routes!(rerank::jina))
        .routes(routes!(operations::health))
        .routes(routes!(operations::livez))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::prometheus))
        .routes(routes!(operations::openapi))
        .route("/api-doc/openapi.json", alias)
}

/// The document, with every way in which a route can fail.
pub(super) fn document(model_id: &str) -> anyhow::Result<String> {
    let (_, mut document) = routes().split_for_parts();
    document.info.title = format!("encoderfile: {model_id}");
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let components = document.components.get_or_insert_default();
    let key = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    components.add_security_scheme("key", key);
    for (path, item) in &mut document.paths.paths {
        let dialect = Dialect::of_path(path);
        if let Some(operation) = &mut item.post {
            add_failures(operation, dialect, &POST_FAILURES);
        }
        if let Some(operation) = &mut item.get {
            add_failures(operation, dialect, &GET_FAILURES);
        }
    }
    // What serde calls untagged takes the first form that fits, and more than
    // one may.
    Ok(document.to_json()?.replace("\"oneOf\":", "\"anyOf\":"))
}

const GET_FAILURES: [(&str, &str); 4] = [
    ("400", "a path that is no text"),
    ("404", "no such route, or no such model"),
    ("401", "no key, or an unknown one"),
    ("503", "shutting down"),
];

const POST_FAILURES: [(&str, &str); 11] = [
    ("400", "not JSON, or nothing to compute"),
    ("401", "no key, or an unknown one"),
    ("408", "the request took too long to arrive"),
    ("413", "more bytes than are taken"),
    ("415", "not JSON by its content type"),
    (
        "422",
        "a field that does not fit, more than is taken, or what this model cannot do",
    ),
    ("424", "the model failed"),
    ("429", "too much to do; Retry-After says when to come back"),
    ("500", "a bug"),
    ("503", "shutting down"),
    ("404", "no such route"),
];

fn add_failures(operation: &mut Operation, dialect: Dialect, failures: &[(&str, &str)]) {
    for (status, description) in failures {
        let schema = match dialect {
            Dialect::Tei => TeiError::schema(),
            Dialect::OpenAi => OpenAiError::schema(),
            Dialect::Ollama => OllamaError::schema(),
            Dialect::Cohere => CohereError::schema(),
            Dialect::Jina => JinaError::schema(),
        };
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/json", Content::new(Some(schema)))
            .build();
        let responses = &mut operation.responses.responses;
        responses
            .entry((*status).into())
            .or_insert(RefOr::T(response));
    }
}
