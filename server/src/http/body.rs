//! Reading a request's JSON, within its limits.

use super::App;
use crate::failure::{Failure, Kind, at_path};
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::sync::Arc;

/// From here on, parsing is not left to the threads that talk to clients.
const LARGE: usize = 64 << 10;

/// JSON, and said to be.
pub(crate) struct Json<T>(pub(crate) T);

/// JSON, whatever it is said to be: Ollama's own examples say nothing.
pub(crate) struct AnyJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        if !is_json(request.headers()) {
            return Err(Failure::new(
                Kind::MediaType,
                "send JSON, and `content-type: application/json`",
            ));
        }
        AnyJson::from_request(request, app)
            .await
            .map(|it| Self(it.0))
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for AnyJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let read = Bytes::from_request(request, app);
        let bytes = tokio::time::timeout(app.read_timeout, read).await;
        let bytes = bytes.map_err(|_| {
            Failure::new(Kind::Timeout, "the request's body took too long to arrive")
        })?;
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Failure::new(
                Kind::TooLarge,
                format!(
                    "the request has more than {} bytes (--payload-limit)",
                    app.service.limits.payload_limit
                ),
            ),
            _ => Failure::new(Kind::Malformed, rejection.body_text()),
        })?;
        if bytes.len() < LARGE {
            return parse(&bytes).map(Self);
        }
        let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
        parsed
            .unwrap_or_else(|error| Err(Failure::new(Kind::Internal, error.to_string())))
            .map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let kind = match error.inner().classify() {
            Category::Data => Kind::Validation,
            Category::Io | Category::Syntax | Category::Eof => Kind::Malformed,
        };
        Failure::new(kind, at_path(&error))
    })?;
    let rest = json.end();
    rest.map_err(|error| Failure::new(Kind::Malformed, error.to_string()))?;
    Ok(parsed)
}

fn is_json(headers: &HeaderMap) -> bool {
    let header = headers.get(header::CONTENT_TYPE);
    let header = header.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = header.split(';').next().unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
