//! Schemas of the tools' arguments and results, such as every language model's API
//! takes.
//!
//! A schema has one `type`, and beside it nothing but `description`, `properties`,
//! `required`, `items` and `enum`: what the function declarations of OpenAI and
//! Gemini have in common. Neither takes all of JSON Schema, and one keyword too many
//! in one tool makes them refuse all tools (`format: uint32`, `type: [string, null]`,
//! `$ref`, `additionalProperties`). What schemas do not say, the server still checks.

use rmcp::model::JsonObject;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// What schemas may hold.
const KEYWORDS: [&str; 6] = [
    "type",
    "description",
    "properties",
    "required",
    "items",
    "enum",
];

/// The schema of a type.
pub(super) fn of<T: ToSchema>() -> Arc<JsonObject> {
    read::<T>("")
}

/// The schema of what has the properties of both.
pub(super) fn with(one: &JsonObject, other: &JsonObject) -> Arc<JsonObject> {
    let mut both = one.clone();
    join(&mut both, other.clone());
    Arc::new(both)
}

/// The schema of a type that holds predictions whose values are in this field.
pub(super) fn of_result<T: ToSchema>(field: &'static str) -> Arc<JsonObject> {
    read::<T>(field)
}

fn read<T: ToSchema>(form: &'static str) -> Arc<JsonObject> {
    let mut definitions = Vec::new();
    T::schemas(&mut definitions);
    let definitions = definitions.into_iter();
    let reader = Reader {
        definitions: definitions
            .map(|(name, schema)| (name, value(&schema)))
            .collect(),
        form,
    };
    let mut schema = reader.portable(&value(&T::schema()));
    // It would be about the type, and the tool has a description.
    schema.remove("description");
    Arc::new(schema)
}

fn value(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

/// Reads OpenAPI's schemas.
struct Reader {
    definitions: HashMap<String, Value>,
    /// Of several forms, the one with this property.
    form: &'static str,
}

impl Reader {
    fn portable(&self, schema: &Value) -> JsonObject {
        let mut portable = self.resolved(schema);
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            if !KEYWORDS.contains(&keyword.as_str()) {
                continue;
            }
            let value = match (keyword.as_str(), value) {
                ("type", Value::Array(types)) => {
                    let mut types = types.iter().filter(|it| *it != "null");
                    types.next().cloned().unwrap_or_default()
                }
                ("properties", Value::Object(properties)) => {
                    let properties = properties.iter();
                    let properties = properties
                        .map(|(name, schema)| (name.clone(), self.portable(schema).into()));
                    Value::Object(properties.collect())
                }
                ("items", schema) => self.portable(schema).into(),
                ("description", Value::String(text)) => text.replace('\n', " ").into(),
                (_, value) => value.clone(),
            };
            portable.insert(keyword.clone(), value);
        }
        portable
    }

    /// What a schema takes from others.
    fn resolved(&self, schema: &Value) -> JsonObject {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or(name);
            let definition = self.definitions.get(name);
            return definition.map_or_else(Map::new, |it| self.portable(it));
        }
        if let Some(forms) = schema["oneOf"].as_array() {
            let forms = forms.iter().filter(|it| it["type"] != "null");
            let forms: Vec<Value> = forms.map(|it| self.portable(it).into()).collect();
            let wanted = |it: &&Value| it["properties"].get(self.form).is_some();
            let form = forms.iter().find(wanted).or(forms.first());
            return form.and_then(Value::as_object).cloned().unwrap_or_default();
        }
        let mut whole = Map::new();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.flatten(&mut whole, part);
        }
        whole
    }

    /// Adds the members of a part that serde flattens.
    fn flatten(&self, whole: &mut JsonObject, part: &Value) {
        let mut portable = self.portable(part);
        // A part that may be `null` is one that may be absent.
        let forms = part["oneOf"].as_array().into_iter().flatten();
        if forms.into_iter().any(|it| it["type"] == "null") {
            portable.remove("required");
        }
        join(whole, portable);
    }
}

/// Adds what properties there are and which of them are required.
fn join(whole: &mut JsonObject, part: JsonObject) {
    for (keyword, value) in part {
        match (whole.get_mut(&keyword), value) {
            (Some(Value::Object(all)), Value::Object(more)) => all.extend(more),
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
            (_, value) => {
                whole.insert(keyword, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEYWORDS, of, of_result, with};
    use crate::mcp::{arguments, results};
    use serde_json::{Value, json};

    /// Every part has one type and no keyword that some API refuses.
    fn is_portable(schema: &Value) {
        let members = schema.as_object().unwrap();
        for keyword in members.keys() {
            assert!(KEYWORDS.contains(&keyword.as_str()), "{keyword}: {schema}");
        }
        match schema["type"].as_str().unwrap() {
            "object" => {
                let properties = schema["properties"].as_object().unwrap();
                assert!(!properties.is_empty(), "{schema}");
                properties.values().for_each(is_portable);
                for name in schema["required"].as_array().into_iter().flatten() {
                    assert!(properties.contains_key(name.as_str().unwrap()), "{schema}");
                }
            }
            "array" => is_portable(&schema["items"]),
            other => assert!(
                ["string", "integer", "number", "boolean"].contains(&other),
                "{schema}"
            ),
        }
    }

    #[test]
    fn optional_arguments_have_one_type() {
        let schema = Value::Object(of::<arguments::Embed>().as_ref().clone());
        assert_eq!(schema["required"], json!(["texts"]));
        let properties = &schema["properties"];
        assert_eq!(properties["texts"]["items"], json!({"type": "string"}));
        assert_eq!(properties["role"]["enum"], json!(["query", "document"]));
        assert_eq!(properties["dimensions"]["type"], "integer");
        is_portable(&schema);
    }

    #[test]
    fn reports_are_beside_results() {
        let (result, cut) = (of::<results::Embedded>(), of::<results::Cut>());
        let schema = Value::Object(with(&result, &cut).as_ref().clone());
        assert_eq!(
            schema["required"],
            json!(["embeddings", "embedding_space_id"])
        );
        let properties = &schema["properties"];
        assert_eq!(properties["embeddings"]["items"]["type"], "array");
        assert_eq!(properties["truncated"]["items"]["type"], "object");
        is_portable(&schema);
    }

    #[test]
    fn results_have_the_form_of_the_head() {
        for key in [
            "embeddings",
            "embedding",
            "sparse_embedding",
            "logits",
            "tokens",
            "masks",
        ] {
            let schema = of_result::<results::Encoded>(key).as_ref().clone();
            let schema = Value::Object(schema);
            is_portable(&schema);
            let result = &schema["properties"]["results"]["items"];
            assert!(result["properties"][key].is_object(), "{schema}");
            assert!(result["properties"]["tokens_total"].is_object(), "{schema}");
            let required = result["required"].as_array().unwrap();
            assert!(required.contains(&json!(key)), "{schema}");
            assert!(!required.contains(&json!("tokens_total")), "{schema}");
        }
    }
}
