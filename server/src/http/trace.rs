//! A span and a log line for each request.

use crate::telemetry;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use encoderfile_dialects::failure::{Failure, shown};
use std::time::Instant;
use tracing::{Instrument, Span, field, info, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Probes come every few seconds and say nothing.
const QUIET: [&str; 4] = ["/health", "/livez", "/readyz", "/metrics"];

/// Times a request and says how it ended.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    if QUIET.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let method = request.method().clone();
    let (method, path) = (shown(method.as_str()), shown(request.uri().path()));
    let span = span(&request);
    let begin = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    // To a microsecond.
    let ms = (begin.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    match response.extensions().get::<Failure>() {
        Some(failure) => warn!(%method, path, status, ms, error = %failure, "request"),
        None => info!(%method, path, status, ms, "request"),
    }
    response
}

/// A span for the trace that the client's headers name, or for a new one.
fn span(request: &Request) -> Span {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let (method, path) = (shown(method), shown(path));
    let span = tracing::info_span!(
        target: telemetry::SPANS,
        "request",
        otel.name = format!("{method} {path}"),
        otel.kind = "server",
        http.request.method = %method,
        url.path = path,
        http.response.status_code = field::Empty,
        encoderfile.tokens = field::Empty,
        encoderfile.queue_ms = field::Empty,
        encoderfile.inference_ms = field::Empty,
    );
    // Fails only where nothing is traced.
    let _ = span.set_parent(telemetry::parent(request.headers()));
    span
}
