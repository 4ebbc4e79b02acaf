//! The HTTP APIs that are spoken here, one file each, and what they have in common.
//!
//! **Invariant: nothing here knows the transport, or what computes.** A request is an
//! [`http::request::Parts`] and the bytes of its body, a response an [`http::Response`] of bytes:
//! the `http` crate is what axum, hyper and the hosts of WebAssembly components all have as their
//! types, and has no I/O of its own. Texts go to an [`Engine`](engine::Engine). There is no axum,
//! hyper or tokio among the dependencies, which `cargo xtask test` checks.
//!
//! A request is answered in three steps, so that a transport decides on which threads they
//! run: [`Route::read`] parses the body, [`Ready::run`] waits for the model, and
//! [`Answer::write`] serialises the result.

#![forbid(unsafe_code)]

mod answer;
mod body;
mod cohere;
mod encoderfile;
pub mod engine;
pub mod failure;
pub mod fields;
mod figures;
mod hugging_face;
mod invocations;
mod jina;
pub mod json;
pub mod limits;
mod ollama;
mod openai;
mod openapi;
pub mod origins;
pub mod page;
mod route;
pub mod service;
pub mod tei;
#[cfg(test)]
mod testing;
mod texts;
mod vector;

use crate::failure::{Failure, Kind};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

pub use answer::{Answer, HEADERS, add_headers};
pub use body::{check_values, is_json};
pub use openapi::document;
pub use route::{Call, Process, Ready, Route};

/// Every dialect. A new one is a file and a line here.
pub const DIALECTS: [&dyn Dialect; 8] = [
    &encoderfile::Encoderfile,
    &tei::Tei,
    &openai::OpenAi,
    &ollama::Ollama,
    &cohere::Cohere,
    &jina::Jina,
    &hugging_face::HuggingFace,
    &invocations::Invocations,
];

/// An API with its own routes, names and error body.
pub trait Dialect: Sync {
    /// Its name for people, in the OpenAPI document.
    fn name(&self) -> &'static str;

    /// Its routes, as [`route!`](route::route) makes them of handlers.
    fn routes(&self) -> Vec<Route>;

    /// The body of an error response. `message` is the failure's, with the field that the
    /// texts are in where the failure names none.
    fn error(&self, failure: &Failure, message: String) -> Value;

    /// The schema of [`Dialect::error`].
    #[cfg(test)]
    fn error_schema(&self) -> openapi::AnySchema;

    /// The status of an error response, where clients expect another one than the table's.
    fn status(&self, kind: Kind) -> StatusCode {
        kind.status()
    }

    /// What it calls options of the runtime: pairs of our name and its name.
    fn names(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The field that the texts are in, where its routes name no other.
    fn texts(&self) -> Option<&'static str> {
        None
    }

    /// Whether requests may leave out `content-type: application/json`. Browsers send such
    /// requests across origins without a preflight, so their origin is checked instead.
    fn takes_any_content_type(&self) -> bool {
        false
    }

    /// Whether requests to this path, which no route has, get this dialect's error body.
    fn has_unknown(&self, _path: &str) -> bool {
        false
    }
}

/// The dialect of a path that no route has.
pub fn of_unknown(path: &str) -> &'static dyn Dialect {
    let mut dialects = DIALECTS.into_iter();
    let dialect = dialects.find(|dialect| dialect.has_unknown(path));
    dialect.unwrap_or(&encoderfile::Encoderfile)
}

/// The error response of a dialect, with the dialect's names for options, and the failure in
/// those words for the log.
pub fn error_response(dialect: &dyn Dialect, failure: Failure) -> (Response<Vec<u8>>, Failure) {
    let failure = failure.in_words_of(dialect);
    let body = error_body(dialect, &failure).to_string().into_bytes();
    let mut response = Response::new(body);
    *response.status_mut() = dialect.status(failure.kind);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = failure.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    (response, failure)
}

/// The error body of a dialect.
pub fn error_body(dialect: &dyn Dialect, failure: &Failure) -> Value {
    let is_unnamed = failure.kind == Kind::Empty && failure.field().is_none();
    let field = dialect.texts().filter(|_| is_unnamed);
    let message = match field {
        Some(field) => format!("`{field}`: {failure}"),
        None => failure.to_string(),
    };
    dialect.error(failure, message)
}

#[cfg(test)]
mod tests {
    use super::{DIALECTS, of_unknown};
    use std::collections::BTreeMap;

    #[test]
    fn each_path_belongs_to_one_dialect() {
        let mut owners = BTreeMap::new();
        for dialect in DIALECTS {
            for route in dialect.routes() {
                let owner = owners.entry(route.path).or_insert(dialect.name());
                assert_eq!(*owner, dialect.name());
            }
        }
        assert!(owners.len() > 25, "{owners:?}");
    }

    #[test]
    fn unknown_paths_are_answered_by_their_prefix() {
        for (path, name) in [
            ("/v1/nowhere", "OpenAI"),
            ("/api/nowhere", "Ollama"),
            ("/v2/nowhere", "encoderfile"),
            ("/nowhere", "encoderfile"),
        ] {
            assert_eq!(of_unknown(path).name(), name, "{path}");
        }
    }
}
