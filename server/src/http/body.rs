//! Receiving a request's body, within its time and length.

use super::App;
use super::routes::Refused;
use crate::mcp::messages;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::{check_values, is_json};
use std::sync::Arc;

/// From here on, parsing is not left to the threads that talk to clients.
const LARGE: usize = 64 << 10;

/// Reads a body, if it is large away from the threads that talk to clients.
pub(super) async fn read<T: Send + 'static>(
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

/// Sanitises the JSON of handlers that read their requests themselves: those of MCP,
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
                    Refused::new(Kind::Validation, "not a message of JSON-RPC 2.0").into_response()
                }
                _ => response,
            }
        }
        Err(failure) => Refused(failure).into_response(),
    }
}

async fn mended(request: Request, app: &Arc<App>) -> Result<Request, Failure> {
    let (mut parts, bytes) = collect(request, app).await?;
    let limits = app.service.limits.clone();
    let mended = read(bytes, move |bytes| {
        check_values(bytes, &limits)?;
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
