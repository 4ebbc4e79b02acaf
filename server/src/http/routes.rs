//! The dialects' routes as axum's, and their failures as responses.
//!
//! This is all that has to be written again for another transport.

use super::{App, body};
use crate::mcp::messages::Mcp;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use encoderfile_dialects::engine::Client;
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::{self as dialects, Answer, Call, DIALECTS, Dialect, Ready, Route};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::Span;

/// Which dialect each path belongs to.
pub(super) type Owners = BTreeMap<String, &'static dyn Dialect>;

/// Every route of every dialect.
pub(super) fn routes() -> (Router<Arc<App>>, Owners) {
    let mut owners = Owners::new();
    let mut router = Router::new();
    for dialect in DIALECTS {
        for route in dialect.routes() {
            owners.insert(route.path.clone(), dialect);
            let path = route.path.clone();
            router = router.route(&path, method_router(dialect, route));
        }
    }
    (router, owners)
}

fn method_router(dialect: &'static dyn Dialect, route: Route) -> MethodRouter<Arc<App>> {
    let method = match route.has_body() {
        true => MethodFilter::POST,
        false => MethodFilter::GET,
    };
    let route = Arc::new(route);
    on(
        method,
        async move |State(app): State<Arc<App>>, request: Request| {
            answer(app, dialect, route, request).await
        },
    )
}

/// Reads a request, waits for the model, and writes the answer.
async fn answer(
    app: Arc<App>,
    dialect: &'static dyn Dialect,
    route: Arc<Route>,
    request: Request,
) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    route.check_head(dialect, &head, &app.origins)?;
    let client = head.extensions.get::<Client>().copied();
    let (head, ready) = if route.has_body() {
        let (head, bytes) = body::collect(Request::from_parts(head, body), &app).await?;
        (head, read(route, bytes, &app).await?)
    } else {
        (head, route.read(&[], &app.service.limits)?)
    };
    let call = Call {
        service: app.service.clone(),
        process: app,
        client: client.unwrap_or(Client::Local),
        head: Arc::new(head),
    };
    let answer = ready.run(call).await?;
    record(&answer);
    Ok(write(answer).await?)
}

async fn read(route: Arc<Route>, bytes: Bytes, app: &Arc<App>) -> Result<Ready, Failure> {
    let app = app.clone();
    body::read(bytes, move |bytes| route.read(bytes, &app.service.limits)).await
}

/// Writes large answers away from the threads that talk to clients.
async fn write(answer: Answer) -> Result<Response, Failure> {
    let response = if answer.is_written() {
        answer.write()
    } else {
        let written = tokio::task::spawn_blocking(move || answer.write()).await;
        written.map_err(|error| Failure::new(Kind::Internal, error.to_string()))?
    };
    Ok(response?.map(Body::from))
}

/// Says in the trace what it took.
fn record(answer: &Answer) {
    let Some(report) = &answer.report else { return };
    let span = Span::current();
    span.record("encoderfile.tokens", report.tokens);
    span.record("encoderfile.queue_ms", report.queued.as_secs_f64() * 1e3);
    span.record(
        "encoderfile.inference_ms",
        report.inference.as_secs_f64() * 1e3,
    );
}

/// A failure as a response, whose body is written where the dialect is known: [`render`].
pub(crate) struct Refused(pub(crate) Failure);

impl Refused {
    pub(super) fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self(Failure::new(kind, message))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(failure) = self;
        let mut response = failure.kind.status().into_response();
        response.extensions_mut().insert(failure);
        response
    }
}

/// Gives a failure the body that the dialect has for it: that of the route, or where no
/// route has the path, that of the path's beginning.
pub(super) async fn render(
    State(owners): State<Arc<Owners>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let owner = matched.and_then(|path| owners.get(path.as_str()).copied());
    let dialect = owner.unwrap_or_else(|| match request.uri().path() {
        "/mcp" => &Mcp,
        path => dialects::of_unknown(path),
    });
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return response;
    };
    let (rendered, failure) = dialects::error_response(dialect, failure);
    let (rendered, body) = rendered.into_parts();
    *response.status_mut() = rendered.status;
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    // axum's, of the empty body.
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(rendered.headers);
    // For the log.
    response.extensions_mut().insert(failure);
    response
}
