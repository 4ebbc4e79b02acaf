//! The server without sockets, for the fuzz targets: a request goes through everything
//! that stands behind an accepted connection.

use crate::grpc;
use crate::http::{self, App};
use crate::keys::Keys;
use crate::run;
use crate::settings::Serve;
use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use clap::{Args, Command, FromArgMatches};
use encoderfile::{Encoder, Info};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// A served model.
pub struct InProcess {
    http: Router,
    grpc: Router,
    runtime: Runtime,
}

/// What it answered.
pub struct Answer {
    /// Of HTTP.
    pub status: StatusCode,
    /// With gRPC's status, where that is in the trailers too.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Vec<u8>,
}

impl InProcess {
    /// Serves a model as `serve` does with these arguments.
    ///
    /// # Errors
    /// For arguments that `serve` does not take.
    pub fn start(encoder: Encoder, info: Info, arguments: &[&str]) -> anyhow::Result<Self> {
        let command = Serve::augment_args(Command::new("serve").no_binary_name(true));
        let settings = Serve::from_arg_matches(&command.try_get_matches_from(arguments)?)?;
        let runtime = run::runtime()?;
        let entered = runtime.enter();
        let served = run::start(&settings, encoder, info)?;
        let service = served.service.clone();
        let keys = Arc::new(Keys::load(&settings.access)?);
        let app = Arc::new(App::new(served, recorder(), &settings)?);
        let mcp = crate::mcp::router(&app, &settings.access.allowed_host);
        let grpc = grpc::router(service, keys.clone(), app.draining.clone())?;
        let http = http::router(app, &settings, keys, Some(mcp));
        drop(entered);
        Ok(Self {
            http,
            grpc,
            runtime,
        })
    }

    /// The answer to an HTTP request.
    ///
    /// # Errors
    /// Where the answer's body fails.
    pub fn http(&self, request: Request<Vec<u8>>) -> anyhow::Result<Answer> {
        self.answer(self.http.clone(), request)
    }

    /// The answer to a request of gRPC, with the message framed as HTTP/2 carries it.
    ///
    /// # Errors
    /// Where the answer's body fails.
    pub fn grpc(&self, request: Request<Vec<u8>>) -> anyhow::Result<Answer> {
        self.answer(self.grpc.clone(), request)
    }

    fn answer(&self, router: Router, request: Request<Vec<u8>>) -> anyhow::Result<Answer> {
        self.runtime.block_on(async {
            let response = router.oneshot(request.map(Body::from)).await;
            let Ok(response) = response;
            let (head, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.context("the body")?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.into(),
            })
        })
    }
}

/// Of this server alone: the process has one recorder, which nobody reads here.
fn recorder() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    recorder.handle()
}
