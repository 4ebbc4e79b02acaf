//! Who may ask: bearer keys, the same for HTTP, gRPC and MCP.

use super::routes::Refused;
use crate::keys::Keys;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use encoderfile_dialects::engine::Client;
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::page;
use std::net::SocketAddr;
use std::sync::Arc;

/// Probes, which have no secret; nor has the page, which asks for the key.
const OPEN: [&str; 4] = ["/health", "/livez", "/ping", "/readyz"];

/// Lets requests pass that carry a key, and notes whose it is.
pub(crate) async fn require(
    State(keys): State<Arc<Keys>>,
    mut request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    let open = reads && (OPEN.contains(&path) || page::paths().any(|it| it == path));
    match check(&keys, &request) {
        Ok(client) => {
            request.extensions_mut().insert(client);
        }
        Err(_) if open => {}
        Err(failure) => {
            let mut response = Refused(failure).into_response();
            let challenge = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            return response;
        }
    }
    next.run(request).await
}

/// Whose request it is.
pub(crate) fn check<B>(keys: &Keys, request: &http::Request<B>) -> Result<Client, Failure> {
    if keys.is_empty() {
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        return Ok(address.map_or(Client::Local, |it| Client::Address(it.0.ip())));
    }
    let header = request.headers().get(header::AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok());
    let key = header.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let Some(key) = key else {
        return Err(Failure::new(
            Kind::Unauthorized,
            "no key: send `Authorization: Bearer KEY`",
        ));
    };
    match keys.find(key) {
        Some(index) => Ok(Client::Key(index)),
        None => Err(Failure::new(Kind::Unauthorized, "unknown key")),
    }
}
