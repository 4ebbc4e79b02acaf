//! The OpenAPI document, put together from the routes: what `docs/schemas/openapi.json` has to be.

use crate::{DIALECTS, Dialect, Route};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::{env, fs};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, Info, License, Object, OpenApi, Paths, RefOr, ResponseBuilder, Schema,
    Type,
};

/// The document, with every way in which a route can fail.
fn compose() -> Value {
    let mut document = OpenApi::new(info(), Paths::new());
    for dialect in DIALECTS {
        for route in dialect.routes() {
            document.merge(operation(dialect, &route));
        }
    }
    let components = document.components.get_or_insert_default();
    let key = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    components.add_security_scheme("key", key);
    allow_absence(components);
    // Only where the server was started with keys.
    let nothing = SecurityRequirement::default();
    let bearer = SecurityRequirement::new("key", Vec::<String>::new());
    document.security = Some(vec![nothing, bearer]);
    let mut document = serde_json::to_value(document).unwrap();
    any_of(&mut document);
    allow_null(&mut document);
    document
}

fn info() -> Info {
    let names: Vec<&str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    let names = names.join(", ");
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".into());
    let mut info = Info::new("encoderfile", env!("CARGO_PKG_VERSION"));
    info.description = Some(format!(
        "One encoder model in one file: the APIs of {names}."
    ));
    info.license = Some(license);
    info
}

/// A route's part of the document.
fn operation(dialect: &dyn Dialect, route: &Route) -> OpenApi {
    let mut document = (route.document)();
    let paths = std::mem::take(&mut document.paths.paths);
    for (path, mut item) in paths {
        if let Some(operation) = &mut item.post {
            add_failures(operation, dialect, &POST_FAILURES);
            if dialect.takes_any_content_type() {
                add_failures(operation, dialect, &[FOREIGN_PAGE]);
            }
        }
        if let Some(operation) = &mut item.get {
            add_failures(operation, dialect, &GET_FAILURES);
        }
        // The name of a model may have slashes, which a path of the document cannot say.
        document.paths.paths.insert(path.replace("{*", "{"), item);
    }
    document
}

/// What serde calls untagged takes the first form that fits, and more than one may:
/// `anyOf`, where utoipa says `oneOf`.
fn any_of(part: &mut Value) {
    match part {
        Value::Object(members) => {
            let renamed = std::mem::take(members)
                .into_iter()
                .map(|(name, mut value)| {
                    any_of(&mut value);
                    // A property of that name has a schema, which is no list.
                    match name == "oneOf" && value.is_array() {
                        true => ("anyOf".to_owned(), value),
                        false => (name, value),
                    }
                });
            *members = renamed.collect();
        }
        Value::Array(values) => values.iter_mut().for_each(any_of),
        _ => {}
    }
}

/// What a request may leave out may also be `null` in it: see [`crate::body`].
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

fn add_failures(operation: &mut Operation, dialect: &dyn Dialect, failures: &[(&str, &str)]) {
    for (status, description) in failures {
        let response = ResponseBuilder::new()
            .description(*description)
            .content(
                "application/json",
                Content::new(Some(dialect.error_schema())),
            )
            .build();
        let responses = &mut operation.responses.responses;
        responses
            .entry((*status).into())
            .or_insert(RefOr::T(response));
    }
}

/// `SNAPSHOTS=overwrite cargo test -p encoderfile-dialects openapi` writes it.
#[test]
fn the_document_that_is_kept_is_that_of_the_routes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schemas/openapi.json");
    let composed = serde_json::to_string_pretty(&compose()).unwrap() + "\n";
    if env::var_os("SNAPSHOTS").is_some_and(|it| it == "overwrite") {
        fs::write(path, &composed).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap();
    let differs = composed
        .lines()
        .zip(kept.lines())
        .find(|(one, other)| one != other);
    assert_eq!(differs, None, "write it with SNAPSHOTS=overwrite");
    assert_eq!(composed.len(), kept.len());
}

#[test]
fn a_model_has_its_name_in_it() {
    let document: Value = serde_json::from_str(&super::document("a/b").unwrap()).unwrap();
    assert_eq!(document["info"]["title"], "encoderfile: a/b");
    assert_eq!(document["paths"], compose()["paths"]);
}

fn references(part: &Value, found: &mut BTreeSet<String>) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole_and_its_operations_have_names_of_their_own() {
    let document = compose();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 30, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{path}: {name} is another operation's");
        }
    }
}

#[test]
fn a_property_may_be_called_one_of() {
    let mut schema = json!({ "properties": { "oneOf": { "oneOf": [{ "oneOf": [] }] } } });
    any_of(&mut schema);
    let expected = json!({ "properties": { "oneOf": { "anyOf": [{ "anyOf": [] }] } } });
    assert_eq!(schema, expected);
}
