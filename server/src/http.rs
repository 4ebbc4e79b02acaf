//! HTTP by axum: the routes of [`encoderfile_dialects`], the page and MCP, and around them what
//! belongs to the transport: limits, codings, keys, origins, traces.

mod access;
mod body;
mod coding;
mod routes;
mod trace;

use crate::engine::Engine;
use crate::keys::Keys;
use crate::metrics;
use crate::run::Served;
use crate::settings::Serve;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Method, Response, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use encoderfile_dialects::failure::Kind;
use encoderfile_dialects::origins::Origins;
use encoderfile_dialects::service::Service;
use encoderfile_dialects::{self as dialects, Process, page};
use metrics_exporter_prometheus::PrometheusHandle;
use routes::Refused;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

pub(crate) use access::check as check_key;

/// What all of HTTP shares.
pub(crate) struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: PrometheusHandle,
    /// Whether the server has been told to stop.
    pub(crate) draining: CancellationToken,
    pub(crate) read_timeout: Duration,
    /// Whose pages may call.
    pub(crate) origins: Origins,
    /// The OpenAPI document.
    document: String,
}

impl App {
    pub(crate) fn new(
        served: Served,
        metrics: PrometheusHandle,
        settings: &Serve,
    ) -> anyhow::Result<Self> {
        let Served { service, engine } = served;
        let origins = Origins::new(&settings.access.cors_allow_origin);
        let document = dialects::document(&service.model_id)?;
        Ok(Self {
            read_timeout: settings.limits.read_timeout(),
            service,
            engine,
            metrics,
            origins,
            draining: CancellationToken::new(),
            document,
        })
    }
}

impl Process for App {
    fn is_stopping(&self) -> bool {
        self.draining.is_cancelled()
    }

    fn metrics(&self) -> String {
        metrics::render(&self.metrics, &self.engine)
    }

    fn document(&self) -> String {
        self.document.clone()
    }
}

/// All of HTTP, with `mcp` at /mcp if there is one.
pub(crate) fn router(
    app: Arc<App>,
    settings: &Serve,
    keys: Arc<Keys>,
    mcp: Option<Router>,
) -> Router {
    let (routes, owners) = routes::routes();
    let mut routes = routes
        .merge(page())
        .method_not_allowed_fallback(async || {
            Refused::new(
                Kind::Method,
                "this route has other methods; see /openapi.json",
            )
        })
        .fallback(async || Refused::new(Kind::NotFound, "no such route; see /openapi.json"))
        .with_state(app.clone());
    if let Some(mcp) = mcp {
        let mended = mcp.layer(from_fn_with_state(app.clone(), body::mend_message));
        routes = routes.nest("/mcp", mended);
    }
    let cors = cors(&app.origins);
    routes
        .layer(from_fn_with_state(app, coding::decode))
        .layer(DefaultBodyLimit::max(settings.limits.payload_limit))
        .layer(from_fn_with_state(keys, access::require))
        .layer(option_layer(cors))
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                axum::response::IntoResponse::into_response(Refused::new(
                    Kind::Internal,
                    "the request failed unexpectedly",
                ))
            },
        ))
        .layer(from_fn_with_state(Arc::new(owners), routes::render))
        .layer(from_fn(trace::trace))
}

/// The page for people.
fn page() -> Router<Arc<App>> {
    let file = async |uri: Uri| page::file(uri.path()).map_or_else(none, |it| it.map(Body::from));
    page::paths().fold(Router::new(), |routes, path| routes.route(path, get(file)))
}

fn none() -> Response<Body> {
    Response::new(Body::empty())
}

/// What pages read of answers, beside the headers of our own.
const EXPOSED: [&str; 5] = [
    "mcp-protocol-version",
    "mcp-session-id",
    "retry-after",
    "accept-encoding",
    "www-authenticate",
];

/// No browser asks less often.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The origins whose pages may call.
fn cors(origins: &Origins) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let exposed = dialects::HEADERS.iter().chain(&EXPOSED);
    let exposed = exposed.map(|name| HeaderName::from_static(name));
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        // Clients send headers of their own, and new ones with each version, and
        // nothing here depends on what a header is called. For pages of other
        // origins there is no answer, whatever it says of headers.
        .allow_headers(AllowHeaders::mirror_request())
        .allow_private_network(true)
        .expose_headers(exposed.collect::<Vec<_>>())
        .max_age(PREFLIGHT_AGE);
    Some(layer.allow_origin(if origins.is_any() {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.header_values())
    }))
}
