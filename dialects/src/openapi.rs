//! The OpenAPI document. It is kept as a file, so that a program that serves it need not have
//! the code that describes every type.

use crate::texts;
use serde_json::Value;
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

#[cfg(test)]
mod composed;

/// The route of the document, under which `docs/schemas/openapi.json` is among the texts.
pub(crate) const ROUTE: &str = "/openapi.json";

/// A schema, or where it is in the document.
pub(crate) type AnySchema = RefOr<Schema>;

/// A type's schema.
pub(crate) fn schema<T: PartialSchema>() -> AnySchema {
    T::schema()
}

/// The document of a model.
///
/// # Errors
/// None that is known: of reading and writing JSON.
pub fn document(model_id: &str) -> Result<String, serde_json::Error> {
    let mut document: Value = serde_json::from_str(texts::text(ROUTE).unwrap_or_default())?;
    document["info"]["title"] = format!("encoderfile: {model_id}").into();
    serde_json::to_string(&document)
}
