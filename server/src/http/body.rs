//! Reading a request's JSON, within its limits.

use super::App;
use crate::failure::{Failure, Kind};
use crate::fields::Object;
use crate::mcp::messages;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use encoderfile::json;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::sync::Arc;

/// From here on, parsing is not left to the threads that talk to clients.
const LARGE: usize = 64 << 10;

/// JSON, and said to be.
pub(crate) struct Json<T>(pub(crate) T);

/// JSON, whatever it is said to be: Ollama's own examples say nothing. What is not
/// said to be JSON any page may send without asking, so that is asked for here.
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
        parsed(request, app).await.map(Self)
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for AnyJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        if !is_json(request.headers()) && !app.origins.admit(&request) {
            return Err(Failure::new(
                Kind::Forbidden,
                "pages of other origins may not call (--cors-allow-origin)",
            ));
        }
        parsed(request, app).await.map(Self)
    }
}

async fn parsed<T>(request: Request, app: &Arc<App>) -> Result<T, Failure>
where
    T: DeserializeOwned + Send + 'static,
{
    let (_, bytes) = collect(request, app).await?;
    let most = values_max(app);
    read(bytes, move |bytes| {
        check_values(bytes, most)?;
        parse(bytes)
    })
    .await
}

/// Texts, lists and objects that one request may have. Each takes several times as much
/// memory as it has bytes, and texts are counted only when all of them are there: this
/// is more than any request of that many texts has.
fn values_max(app: &App) -> usize {
    /// Of a text with its pair and their names, in instances of several texts, and
    /// of a caller's metadata.
    const A_TEXT: usize = 64;
    /// Where few texts are taken, metadata and labels are still some.
    const TEXTS_MIN: usize = 1024;

    let texts = app.service.limits.max_client_batch_size.max(TEXTS_MIN);
    texts.saturating_mul(A_TEXT)
}

/// Counts by the bytes that texts, lists and objects begin with.
fn check_values(json: &[u8], most: usize) -> Result<(), Failure> {
    let mut count = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => count += 1,
            b'"' => {
                count += 1;
                skip_string(&mut bytes);
            }
            _ => {}
        }
    }
    if count <= most {
        return Ok(());
    }
    let message = format!(
        "{count} texts, lists and objects in one request, limit {most} (--max-client-batch-size)"
    );
    Err(Failure::new(Kind::Limit, message))
}

/// To behind the quotation mark that ends a string.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

/// Reads a body, if it is large away from the threads that talk to clients.
async fn read<T: Send + 'static>(
    bytes: Bytes,
    reader: impl FnOnce(&[u8]) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    if bytes.len() < LARGE {
        return reader(&bytes);
    }
    let read = tokio::task::spawn_blocking(move || reader(&bytes)).await;
    read.unwrap_or_else(|error| Err(Failure::new(Kind::Internal, error.to_string())))
}

/// The whole body, as far as it is taken, and the request around it.
pub(super) async fn collect(request: Request, app: &Arc<App>) -> Result<(Parts, Bytes), Failure> {
    let (parts, body) = request.into_parts();
    let read = Bytes::from_request(Request::from_parts(parts.clone(), body), app);
    let bytes = tokio::time::timeout(app.read_timeout, read).await;
    let bytes = bytes
        .map_err(|_| Failure::new(Kind::Timeout, "the request's body took too long to arrive"))?;
    let bytes = bytes.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(app),
        _ => Failure::new(Kind::Malformed, rejection.body_text()),
    })?;
    Ok((parts, bytes))
}

pub(super) fn too_large(app: &App) -> Failure {
    let limit = app.service.limits.payload_limit;
    let message = format!("the request has more than {limit} bytes (--payload-limit)");
    Failure::new(Kind::TooLarge, message)
}

/// A member that is `null` is as if absent: no field has to say so.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let malformed = |error: serde_json::Error| Failure::new(Kind::Malformed, error.to_string());
    let bytes = json::mend(bytes, &json::Nulls::ALL).map_err(malformed)?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let parsed = serde_path_to_error::deserialize(Object(&mut json)).map_err(|error| {
        let kind = match error.inner().classify() {
            Category::Data => Kind::Validation,
            Category::Io | Category::Syntax | Category::Eof => Kind::Malformed,
        };
        Failure::at_path(kind, &error)
    })?;
    json.end().map_err(malformed)?;
    Ok(parsed)
}

/// Mends the JSON of handlers that read their requests themselves: those of MCP,
/// which say of what they cannot read only how their parser got there.
pub(super) async fn mend_message(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if *request.method() != Method::POST || !is_json(request.headers()) {
        return next.run(request).await;
    }
    match mended(request, &app).await {
        Ok(request) => {
            let response = next.run(request).await;
            match response.status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                    Failure::new(Kind::Validation, "not a message of JSON-RPC 2.0").into_response()
                }
                _ => response,
            }
        }
        Err(failure) => failure.into_response(),
    }
}

async fn mended(request: Request, app: &Arc<App>) -> Result<Request, Failure> {
    let (mut parts, bytes) = collect(request, app).await?;
    let most = values_max(app);
    let mended = read(bytes, move |bytes| {
        check_values(bytes, most)?;
        match messages::read(bytes) {
            Ok(message) => Ok(message.into_owned()),
            Err(wrong) => Err(wrong.failure),
        }
    });
    let mended = mended.await?;
    parts
        .headers
        .insert(header::CONTENT_LENGTH, mended.len().into());
    Ok(Request::from_parts(parts, Body::from(mended)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let header = headers.get(header::CONTENT_TYPE);
    let header = header.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = header.split(';').next().unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::check_values;

    #[test]
    fn values_are_counted_by_how_they_begin() {
        for (json, count) in [
            ("1", 0),
            (r#"{"inputs": ["a", "b"]}"#, 5),
            (r#"[{}, {}, [], "[{\"["]"#, 5),
            (r#"["\\", "\\\"", 1, null]"#, 3),
            (r#"["unfinished"#, 2),
        ] {
            assert!(check_values(json.as_bytes(), count).is_ok(), "{json}");
            if let Some(fewer) = count.checked_sub(1) {
                let refused = check_values(json.as_bytes(), fewer).unwrap_err();
                assert!(
                    refused.to_string().starts_with(&format!("{count} texts")),
                    "{json}"
                );
            }
        }
    }
}
