//! The routes, and the document that describes them.

use super::dialect::{CohereError, Dialect, JinaError, OllamaError, OpenAiError, TeiError};
use super::{App, hugging_face, invocations, ollama, openai, operations, predict, rerank, tei};
use axum::extract::State;
use axum::routing::get;
use serde_json::{Map, Value, json};
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
    // The name of a model may have slashes, which a path of the document cannot say.
    let paths = &mut document.paths.paths;
    if let Some(model) = paths.remove("/v1/models/{*model}") {
        paths.insert("/v1/models/{model}".into(), model);
    }
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
            if dialect == Dialect::Ollama {
                add_failures(operation, dialect, &[FOREIGN_PAGE]);
            }
        }
        if let Some(operation) = &mut item.get {
            add_failures(operation, dialect, &GET_FAILURES);
        }
    }
    // What serde calls untagged takes the first form that fits, and more than
    // one may.
    let written = document.to_json()?.replace("\"oneOf\":", "\"anyOf\":");
    let mut document: Value = serde_json::from_str(&written)?;
    allow_null(&mut document);
    Ok(document.to_string())
}

/// What a request may leave out may also be `null` in it: see [`super::body`].
fn allow_null(document: &mut Value) {
    let mut schemas = document["components"]["schemas"].take();
    let mut reached = Vec::new();
    let paths = document["paths"].as_object_mut();
    for item in paths.into_iter().flat_map(Map::values_mut) {
        let content = item.pointer_mut("/post/requestBody/content");
        let bodies = content.and_then(Value::as_object_mut);
        for body in bodies.into_iter().flat_map(Map::values_mut) {
            allow_null_in(&mut body["schema"], &mut reached);
        }
    }
    let mut done = 0;
    while let Some(name) = reached.get(done).cloned() {
        allow_null_in(&mut schemas[name], &mut reached);
        done += 1;
    }
    document["components"]["schemas"] = schemas;
}

/// Notes in `reached` the names of the schemas that this one refers to.
fn allow_null_in(schema: &mut Value, reached: &mut Vec<String>) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if let Some(name) = members.get("$ref").and_then(Value::as_str) {
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        if !reached.contains(&name) {
            reached.push(name);
        }
    }
    for keyword in ["anyOf", "allOf"] {
        let forms = members.get_mut(keyword).and_then(Value::as_array_mut);
        for form in forms.into_iter().flatten() {
            allow_null_in(form, reached);
        }
    }
    if let Some(items) = members.get_mut("items") {
        allow_null_in(items, reached);
    }
    let required = members.get("required").cloned().unwrap_or_default();
    let is_required = |name: &String| {
        required
            .as_array()
            .is_some_and(|it| it.contains(&json!(name)))
    };
    let properties = members.get_mut("properties");
    for (name, property) in properties
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        allow_null_in(property, reached);
        if !is_required(name) {
            or_null(property);
        }
    }
    if members.get("additionalProperties") == Some(&Value::Bool(false)) {
        members["additionalProperties"] = json!({ "type": "null" });
    }
}

fn or_null(schema: &mut Value) {
    let null = json!("null");
    match schema.get_mut("type") {
        Some(Value::Array(types)) if types.contains(&null) => {}
        Some(Value::Array(types)) => types.push(null),
        Some(name) => {
            *name = json!([name, "null"]);
            let values = schema.get_mut("enum").and_then(Value::as_array_mut);
            values.into_iter().for_each(|it| it.push(Value::Null));
        }
        None => {
            let forms = schema.get("anyOf").and_then(Value::as_array);
            let has_null = forms.is_some_and(|it| it.iter().any(|it| it["type"] == null));
            let is_anything = ["$ref", "anyOf", "allOf"]
                .iter()
                .all(|it| schema.get(it).is_none());
            if !has_null && !is_anything {
                *schema = json!({ "anyOf": [{ "type": "null" }, schema.take()] });
            }
        }
    }
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

/// Of routes that take JSON of whatever content type.
const FOREIGN_PAGE: (&str, &str) = ("403", "from a page of an origin that may not call");

fn add_failures(operation: &mut Operation, dialect: Dialect, failures: &[(&str, &str)]) {
    for (status, description) in failures {
        let schema = match dialect {
            // MCP has no route in this document.
            Dialect::Tei | Dialect::HuggingFace | Dialect::Mcp => TeiError::schema(),
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
