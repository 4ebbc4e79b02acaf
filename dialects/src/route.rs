//! A route: a handler, what it takes, and its part of the OpenAPI document.

use super::answer::Answered;
use super::body::{self, is_json};
use super::{Answer, Dialect};
use crate::engine::Client;
use crate::failure::{Failure, Kind};
use crate::limits::Limits;
use crate::origins::Origins;
use crate::service::Service;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use http::request::Parts;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use utoipa::openapi::path::HttpMethod;

/// What handlers are given beside the body.
#[derive(Clone)]
pub struct Call {
    /// The model.
    pub service: Arc<Service>,
    /// What is around it.
    pub process: Arc<dyn Process>,
    /// Whose request it is.
    pub client: Client,
    /// Method, path, query and headers.
    pub head: Arc<Parts>,
}

/// What the operator's routes ask of the process around the service.
pub trait Process: Send + Sync {
    /// Whether it is shutting down.
    fn is_stopping(&self) -> bool;

    /// Its metrics, in Prometheus' text format.
    fn metrics(&self) -> String;

    /// The OpenAPI document.
    fn document(&self) -> String;
}

/// A method and a path, and what answers them.
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// As axum and OpenAPI write it, with `{*name}` for all that is left of it.
    pub path: String,
    /// Makes its operation, and the schemas that the operation refers to.
    #[cfg(test)]
    pub(crate) document: fn() -> utoipa::openapi::OpenApi,
    read: Reader,
}

/// Reads what a handler takes of a body.
type Reader = Box<dyn Fn(&[u8]) -> Result<Ready, Failure> + Send + Sync>;

/// A request whose body has been read.
pub struct Ready(Box<dyn FnOnce(Call) -> BoxFuture<'static, Answered> + Send>);

impl Ready {
    /// Runs the handler. Dropping the future takes the request's texts out of the queue.
    pub fn run(self, call: Call) -> BoxFuture<'static, Result<Answer, Failure>> {
        self.0(call)
    }
}

/// `async fn(Call)`, or `async fn(Call, T)` with a `T` that is read from JSON.
pub(crate) trait Handler<Takes>: Copy + Send + Sync + 'static {
    /// Reads what the handler takes of the body.
    fn read(self, body: &[u8]) -> Result<Ready, Failure>;
}

impl<H, F> Handler<()> for H
where
    H: Fn(Call) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    fn read(self, _: &[u8]) -> Result<Ready, Failure> {
        Ok(Ready(Box::new(move |call| self(call).boxed())))
    }
}

impl<H, T, F> Handler<(T,)> for H
where
    H: Fn(Call, T) -> F + Copy + Send + Sync + 'static,
    T: DeserializeOwned + Send + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    fn read(self, body: &[u8]) -> Result<Ready, Failure> {
        let request = body::parse(body)?;
        Ok(Ready(Box::new(move |call| self(call, request).boxed())))
    }
}

impl Route {
    /// A route of a handler and what `#[utoipa::path]` says of it: see [`route!`].
    pub(crate) fn new<Described: utoipa::Path, Takes>(
        handler: impl Handler<Takes>,
        #[cfg(test)] document: fn() -> utoipa::openapi::OpenApi,
    ) -> Self {
        let is_post = Described::methods().contains(&HttpMethod::Post);
        Self {
            method: if is_post { Method::POST } else { Method::GET },
            path: Described::path(),
            #[cfg(test)]
            document,
            read: Box::new(move |body| handler.read(body)),
        }
    }

    /// The same at another path, which the document does not have.
    pub fn undocumented_at(self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            #[cfg(test)]
            document: utoipa::openapi::OpenApi::default,
            ..self
        }
    }

    /// Whether a request's path is its own.
    pub fn has_path(&self, path: &str) -> bool {
        match self.path.split_once("{*") {
            Some((prefix, _)) => path.len() > prefix.len() && path.starts_with(prefix),
            None => self.path == path,
        }
    }

    /// Whether there is a body to read.
    pub fn has_body(&self) -> bool {
        self.method == Method::POST
    }

    /// Refuses what is known to be wrong before the body is there.
    pub fn check_head(
        &self,
        dialect: &dyn Dialect,
        head: &Parts,
        origins: &Origins,
    ) -> Result<(), Failure> {
        if !self.has_body() || is_json(&head.headers) {
            return Ok(());
        }
        if !dialect.takes_any_content_type() {
            return Err(Failure::new(
                Kind::MediaType,
                "send JSON, and `content-type: application/json`",
            ));
        }
        if !origins.admit(head) {
            return Err(Failure::new(
                Kind::Forbidden,
                "pages of other origins may not call (--cors-allow-origin)",
            ));
        }
        Ok(())
    }

    /// Reads a body.
    pub fn read(&self, body: &[u8], limits: &Limits) -> Result<Ready, Failure> {
        if self.has_body() {
            body::check_values(body, limits)?;
        }
        (self.read)(body)
    }
}

/// The route of a handler that `#[utoipa::path]` describes.
macro_rules! route {
    ($handler:ident) => {
        $crate::route::route!(self::$handler)
    };
    ($module:ident :: $handler:ident) => {{
        #[cfg(test)]
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($module::$handler))]
        struct Alone;

        pastey::paste! {
            $crate::Route::new::<$module::[<__path_ $handler>], _>(
                $module::$handler,
                #[cfg(test)]
                <Alone as utoipa::OpenApi>::openapi,
            )
        }
    }};
}
pub(super) use route;
