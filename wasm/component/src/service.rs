//! `wasi:http/incoming-handler`: the server's dialects and its page, a request at a time.

use crate::Component;
use crate::bindings::exports::wasi::http::incoming_handler::Guest;
use crate::bindings::wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method as WasiMethod, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use crate::bindings::wasi::io::streams::StreamError;
use crate::loaded::{self, Problem};
use encoderfile_dialects::engine::{Client, OnThisThread};
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::limits::{Defaults, Limits};
use encoderfile_dialects::origins::Origins;
use encoderfile_dialects::service::Service;
use encoderfile_dialects::{
    Call, DIALECTS, Dialect, Process, Route, document, error_response, of_unknown, page,
};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use std::sync::{Arc, OnceLock};

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let response = match head(&request) {
            Ok(head) => answer(head, &request),
            Err(failure) => refuse(of_unknown("/"), failure),
        };
        write(response, out);
    }
}

/// Bytes of a body that are read at once.
const READ_LEN: u64 = 64 << 10;

/// Bytes that a stream always takes at once.
const WRITE_LEN: usize = 4096;

/// The head of a request as the dialects read it.
fn head(request: &IncomingRequest) -> Result<Parts, Failure> {
    let wrong = |what: &str| Failure::new(Kind::Malformed, format!("not a request: its {what}"));
    let method = match request.method() {
        WasiMethod::Get => Method::GET,
        WasiMethod::Head => Method::HEAD,
        WasiMethod::Post => Method::POST,
        WasiMethod::Put => Method::PUT,
        WasiMethod::Delete => Method::DELETE,
        WasiMethod::Connect => Method::CONNECT,
        WasiMethod::Options => Method::OPTIONS,
        WasiMethod::Trace => Method::TRACE,
        WasiMethod::Patch => Method::PATCH,
        WasiMethod::Other(name) => name.parse().map_err(|_| wrong("method"))?,
    };
    let path = request.path_with_query().unwrap_or_else(|| "/".into());
    let head = Request::builder().method(method).uri(path).body(());
    let (mut head, ()) = head.map_err(|_| wrong("path"))?.into_parts();
    for (name, value) in request.headers().entries() {
        let name = name.parse::<HeaderName>().map_err(|_| wrong("headers"))?;
        let value = HeaderValue::from_bytes(&value).map_err(|_| wrong("headers"))?;
        head.headers.append(name, value);
    }
    Ok(head)
}

/// The answer of the dialect that has the path.
fn answer(head: Parts, request: &IncomingRequest) -> Response<Vec<u8>> {
    let path = head.uri.path().to_owned();
    // Whoever asks for a head gets it.
    let method = match head.method {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    if method == Method::GET
        && let Some(file) = page::file(&path)
    {
        return file.map(|text| text.as_bytes().to_vec());
    }
    match find(&path, &method) {
        Found::Route(dialect, route) => {
            let answered = answer_by(dialect, &route, head, request);
            answered.unwrap_or_else(|failure| refuse(dialect, failure))
        }
        Found::Path(dialect) => {
            let message = "this route has other methods; see /openapi.json";
            refuse(dialect, Failure::new(Kind::Method, message))
        }
        Found::Nothing => {
            let message = "no such route; see /openapi.json";
            refuse(of_unknown(&path), Failure::new(Kind::NotFound, message))
        }
    }
}

/// What has a path.
enum Found {
    Route(&'static dyn Dialect, Box<Route>),
    /// With other methods.
    Path(&'static dyn Dialect),
    Nothing,
}

fn find(path: &str, method: &Method) -> Found {
    let mut found = Found::Nothing;
    for dialect in DIALECTS {
        for route in dialect.routes() {
            if !route.has_path(path) {
                continue;
            }
            if route.method == *method {
                return Found::Route(dialect, Box::new(route));
            }
            found = Found::Path(dialect);
        }
    }
    found
}

fn answer_by(
    dialect: &dyn Dialect,
    route: &Route,
    head: Parts,
    request: &IncomingRequest,
) -> Result<Response<Vec<u8>>, Failure> {
    route.check_head(dialect, &head, &Origins::default())?;
    let limits = Limits::DEFAULT;
    let body = match route.has_body() {
        true => read(request, &head.headers, limits.payload_limit)?,
        false => Vec::new(),
    };
    let ready = route.read(&body, &limits)?;
    let service = service()?;
    let call = Call {
        process: Arc::new(Host(service.model_id.clone())),
        service,
        client: Client::Local,
        head: Arc::new(head),
    };
    let unfinished = || Failure::new(Kind::Internal, "the answer waits for something");
    ready
        .run(call)
        .now_or_never()
        .ok_or_else(unfinished)??
        .write()
}

/// The body, if it is not too long.
fn read(request: &IncomingRequest, headers: &HeaderMap, limit: usize) -> Result<Vec<u8>, Failure> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let message = "a compressed body is not read here; send it as it is";
        return Err(Failure::new(Kind::MediaType, message));
    }
    let broken = || Failure::new(Kind::Malformed, "the body could not be read to its end");
    let incoming = request.consume().map_err(|()| broken())?;
    let stream = incoming.stream().map_err(|()| broken())?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ_LEN) {
            Ok(bytes) => body.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(broken()),
        }
        if body.len() > limit {
            let message = format!("the body has more than {limit} bytes");
            return Err(Failure::new(Kind::TooLarge, message));
        }
    }
    drop(stream);
    drop(IncomingBody::finish(incoming));
    Ok(body)
}

/// The model in this component, as it is served.
fn service() -> Result<Arc<Service>, Failure> {
    static SERVICE: OnceLock<Result<Arc<Service>, Problem>> = OnceLock::new();

    let service = SERVICE.get_or_init(|| {
        let model = loaded::own()?;
        let encoder = model.encoder().clone();
        let engine = Arc::new(OnThisThread::new(encoder.clone()));
        let (limits, defaults) = (Limits::DEFAULT, Defaults::default());
        let service = Service::new(encoder, engine, model.info().clone(), limits, defaults);
        service.map(Arc::new).map_err(|error| Problem::of(&error))
    });
    let failed = |problem: Problem| Failure::new(Kind::Backend, problem.message);
    service.clone().map_err(failed)
}

/// The process around the dialects: that of the host, of which nothing is known.
struct Host(String);

impl Process for Host {
    fn is_stopping(&self) -> bool {
        false
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn document(&self) -> String {
        document(&self.0).unwrap_or_default()
    }
}

fn refuse(dialect: &dyn Dialect, failure: Failure) -> Response<Vec<u8>> {
    error_response(dialect, failure).0
}

/// Sends a response. A client that has gone is nobody's fault.
fn write(response: Response<Vec<u8>>, out: ResponseOutparam) {
    let (head, bytes) = response.into_parts();
    let headers = Fields::new();
    for (name, value) in &head.headers {
        // Those of the dialects are valid.
        let _ = headers.append(name.as_str(), value.as_bytes());
    }
    let length = bytes.len().to_string();
    let _ = headers.append(header::CONTENT_LENGTH.as_str(), length.as_bytes());
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(head.status.as_u16());
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    let Ok(body) = body else { return };
    if let Ok(stream) = body.write() {
        for piece in bytes.chunks(WRITE_LEN) {
            if stream.blocking_write_and_flush(piece).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
