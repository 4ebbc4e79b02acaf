//! Dialects without a server: the bytes of a request in, those of a response out.
//!
//! There is no runtime of an async library around them either: whatever is awaited can be
//! awaited anywhere.

use super::{Call, DIALECTS, Dialect, Process, Route, error_response, of_unknown};
use crate::engine::{Client, OnThisThread};
use crate::failure::{Failure, Kind};
use crate::limits::{Defaults, Limits};
use crate::origins::Origins;
use crate::service::Service;
use encoderfile::{Encoder, Info, Options, Payload, Values};
use http::request::Builder;
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Of the model that the tool carries: 384 dimensions, at most 256 tokens.
pub(crate) fn embeddings() -> Model {
    static SERVICE: LazyLock<Arc<Service>> =
        LazyLock::new(|| service("../models/all-MiniLM-L6-v2.ef"));

    Model(SERVICE.clone())
}

/// A cross-encoder with one logit: `encoderfile build --target bundle` made it of
/// `tests/models/cls-pair-rerank`.
pub(crate) fn reranker() -> Model {
    static SERVICE: LazyLock<Arc<Service>> =
        LazyLock::new(|| service("src/samples/cls-pair-rerank.ef"));

    Model(SERVICE.clone())
}

fn service(path: &str) -> Arc<Service> {
    let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let payload = Payload::open(Arc::new(file)).unwrap();
    let encoder = Arc::new(Encoder::load(&payload).unwrap());
    let engine = Arc::new(OnThisThread::new(encoder.clone()));
    let (limits, defaults) = (Limits::DEFAULT, Defaults::default());
    let info = Info::of(&payload).unwrap();
    Arc::new(Service::new(encoder, engine, info, limits, defaults).unwrap())
}

/// A model that every dialect serves.
pub(crate) struct Model(Arc<Service>);

/// A response, read.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) json: Value,
}

impl Model {
    pub(crate) fn encoder(&self) -> Arc<Encoder> {
        self.0.encoder.clone()
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.answer(Request::get(path), "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answered {
        let head = Request::post(path).header("content-type", "application/json");
        self.answer(head, body)
    }

    /// Answers a request as a transport does.
    pub(crate) fn answer(&self, head: Builder, body: &str) -> Answered {
        let (head, body) = head.body(body.as_bytes()).unwrap().into_parts();
        let (dialect, response) = match find(&head) {
            Some((dialect, route)) => (dialect, self.answer_by(dialect, &route, head, body)),
            None => {
                let failure = Failure::new(Kind::NotFound, "no such route");
                (of_unknown(head.uri.path()), Err(failure))
            }
        };
        let response = response.unwrap_or_else(|failure| error_response(dialect, failure).0);
        let (head, body) = response.into_parts();
        Answered {
            status: head.status.as_u16(),
            headers: head.headers,
            json: serde_json::from_slice(&body).unwrap(),
        }
    }

    fn answer_by(
        &self,
        dialect: &dyn Dialect,
        route: &Route,
        head: http::request::Parts,
        body: &[u8],
    ) -> Result<Response<Vec<u8>>, Failure> {
        route.check_head(dialect, &head, &Origins::default())?;
        let ready = route.read(body, &self.0.limits)?;
        let call = Call {
            service: self.0.clone(),
            process: Arc::new(Stopping),
            client: Client::Local,
            head: Arc::new(head),
        };
        block_on(ready.run(call))?.write()
    }

    /// The runtime's embedding of a text.
    pub(crate) fn embedding(&self, text: &str) -> Vec<f32> {
        match self.infer(text, &Options::default()) {
            Values::SentenceEmbedding { embedding } => embedding,
            other => panic!("{other:?}"),
        }
    }

    /// The runtime's score of a document as an answer to a query.
    pub(crate) fn score(&self, query: &str, document: &str) -> f32 {
        let options = Options {
            query: Some(query.to_owned()),
            ..Options::default()
        };
        match self.infer(document, &options) {
            Values::Score { score } => score,
            other => panic!("{other:?}"),
        }
    }

    fn infer(&self, text: &str, options: &Options) -> Values {
        let mut session = self.0.encoder.session().unwrap();
        session.infer(text, options).unwrap().values
    }
}

impl Answered {
    /// The JSON of an answer that is as it should be.
    pub(crate) fn good(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        self.json
    }

    /// The JSON of a refusal.
    pub(crate) fn refused(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        self.json
    }
}

/// Whether a JSON list has these numbers, as float32.
pub(crate) fn has_numbers(json: &Value, numbers: &[f32]) -> bool {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "what was written are float32 numbers"
    )]
    let equal = |(json, number): (&Value, &f32)| json.as_f64().map(|it| it as f32) == Some(*number);
    let list = json.as_array().unwrap();
    list.len() == numbers.len() && list.iter().zip(numbers).all(equal)
}

/// A process that has been told to stop.
struct Stopping;

impl Process for Stopping {
    fn is_stopping(&self) -> bool {
        true
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn document(&self) -> String {
        "{}".into()
    }
}

/// The route that has a request's method and path.
fn find(head: &http::request::Parts) -> Option<(&'static dyn Dialect, Route)> {
    let path = head.uri.path();
    let fits = |route: &Route| route.has_path(path) && route.method == head.method;
    DIALECTS.into_iter().find_map(|dialect| {
        let route = dialect.routes().into_iter().find(fits)?;
        Some((dialect, route))
    })
}

/// Waits for a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
