//! The routes, and the document that describes them.

use super::dialect::{CohereError, Dialect, JinaError, OllamaError, OpenAiError, TeiError};
use super::{App, hugging_face, invocations, ollama, openai, operations, predict, rerank, tei};
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, Object, RefOr, ResponseBuilder, Schema, Type};
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
        .routes(routes!(tei::classify::rerank))
        .routes(routes!(tei::similarity_route))
        .routes(routes!(tei::tokens::tokenize))
        .routes(routes!(tei::tokens::decode))
        .routes(routes!(operations::info))
        .routes(routes!(invocations::invoke))
        .routes(routes!(invocations::vertex))
        .routes(routes!(hugging_face::infer))
        .routes(routes!(openai::embeddings))
        .routes(routes!(openai::embeddings_alias))
        .routes(routes!(openai::models))
        .routes(routes!(openai::model))
        .routes(routes!(ollama::embed))
        .routes(routes!(ollama::embeddings))
        .routes(routes!(ollama::show))
        .routes(routes!(ollama::tags))
        .routes(routes!(ollama::ps))
        .routes(routes!(ollama::version))
        .routes(routes!(rerank::cohere))
        .routes(routes!(rerank::jina))
        .routes(routes!(operations::health))
        .routes(routes!(operations::ping))
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
    merge_options(components);
    allow_absence(components);
    // Only where the server was started with keys.
    let nothing = SecurityRequirement::default();
    let bearer = SecurityRequirement::new("key", Vec::<String>::new());
    document.security = Some(vec![nothing, bearer]);
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

/// Makes the options of `/predict` fields of its request, as they are in the JSON.
///
/// For flattened fields utoipa says that two schemas hold at once; as neither
/// allows the other's fields, no request would fit.
fn merge_options(components: &mut Components) {
    let schemas = &mut components.schemas;
    let options = schemas.remove("Options");
    let request = schemas.get_mut("PredictRequest");
    let (Some(RefOr::T(Schema::Object(options))), Some(RefOr::T(request))) = (options, request)
    else {
        return;
    };
    let Schema::AllOf(both) = request else {
        return;
    };
    let own = both.items.iter().find_map(|item| match item {
        RefOr::T(Schema::Object(own)) => Some(own.clone()),
        _ => None,
    });
    let mut merged = own.unwrap_or_default();
    merged.properties.extend(options.properties);
    merged.description = both.description.take();
    merged.additional_properties = options.additional_properties;
    *request = Schema::Object(merged);
}

/// Fields of something flattened that may be absent: the schema may hold or not.
///
/// utoipa says that the whole is `null` where they are absent.
fn allow_absence(components: &mut Components) {
    let null = SchemaType::Type(Type::Null);
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::AllOf(all)) = schema else {
            continue;
        };
        for part in &mut all.items {
            let RefOr::T(Schema::OneOf(either)) = part else {
                continue;
            };
            for choice in &mut either.items {
                if matches!(choice, RefOr::T(Schema::Object(it)) if it.schema_type == null) {
                    *choice = RefOr::T(Schema::Object(Object::default()));
                }
            }
        }
    }
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
