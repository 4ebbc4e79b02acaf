//! A span and a log line for each request.

use crate::failure::Failure;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use std::time::Instant;
use tracing::{Instrument, field, info, info_span, warn};

/// Probes come every few seconds and say nothing.
const QUIET: [&str; 4] = ["/health", "/livez", "/readyz", "/metrics"];

/// Times a request and says how it ended.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if QUIET.contains(&path.as_str()) {
        return next.run(request).await;
    }
    let span = info_span!(
        "request",
        otel.name = format!("{} {path}", request.method()),
        otel.kind = "server",
        method = %request.method(),
        path,
        status = field::Empty,
    );
    let begin = Instant::now();
    async move {
        let response = next.run(request).await;
        let status = response.status().as_u16();
        tracing::Span::current().record("status", status);
        let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
        match response.extensions().get::<Failure>() {
            Some(failure) => warn!(status, milliseconds, error = %failure, "failed"),
            None => info!(status, milliseconds, "answered"),
        }
        response
    }
    .instrument(span)
    .await
}
