//! Requests with their reference results: what a model folder's
//! `requests.json` holds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A text or a pair.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<String>,
}

impl Item {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self {
            text: text.into(),
            text_pair: None,
        }
    }
}

/// Some items, how they are to be computed, and what comes out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// For messages.
    pub name: String,
    /// The runtime's request fields.
    pub options: Map<String, Value>,
    /// What is asked about.
    pub items: Vec<Item>,
    /// One an item, or for a query one an answer. Only what is here is compared.
    pub results: Vec<Value>,
}

/// Options as flags of `infer`.
pub fn arguments(options: &Map<String, Value>) -> Vec<String> {
    let arguments = options.iter().map(|(name, value)| {
        let flag = format!("--{}", name.replace('_', "-"));
        match value {
            // Whether embeddings are normalised has two answers, other flags have one.
            Value::Bool(true) if name != "normalize" => flag,
            Value::Array(values) => {
                let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                format!("{flag}={}", values.join(","))
            }
            Value::String(text) => format!("{flag}={text}"),
            other => format!("{flag}={other}"),
        }
    });
    arguments.collect()
}

/// The body of a request.
pub fn body(items: &[Item], options: &Map<String, Value>) -> serde_json::Result<Value> {
    let mut body = options.clone();
    body.insert("inputs".into(), serde_json::to_value(items)?);
    Ok(Value::Object(body))
}
