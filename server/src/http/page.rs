//! The page for people.

use super::App;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

/// Nothing but what this server sends.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'";

pub(super) fn routes() -> Router<Arc<App>> {
    let html = include_str!("../page/index.html");
    let css = include_str!("../page/page.css");
    let script = include_str!("../page/page.js");
    Router::new()
        // There is none; browsers ask all the same.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/", get(async || file("text/html; charset=utf-8", html)))
        .route(
            "/page.css",
            get(async || file("text/css; charset=utf-8", css)),
        )
        .route(
            "/page.js",
            get(async || file("text/javascript; charset=utf-8", script)),
        )
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))),
        text,
    )
}
