//! Answers: what handlers give back, and the headers that say what it took.

use super::Call;
use crate::failure::{Failure, Kind};
use crate::service::{Report, Service};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

const COMPUTE_TYPE: &str = "x-compute-type";
const COMPUTE_TIME: &str = "x-compute-time";
const COMPUTE_CHARACTERS: &str = "x-compute-characters";
const COMPUTE_TOKENS: &str = "x-compute-tokens";
const TOTAL_TIME: &str = "x-total-time";
const TOKENIZATION_TIME: &str = "x-tokenization-time";
const QUEUE_TIME: &str = "x-queue-time";
const INFERENCE_TIME: &str = "x-inference-time";
const EMBEDDING_SPACE_ID: &str = "x-embedding-space-id";
const TRUNCATED_COUNT: &str = "x-truncated-count";
const TRUNCATED_INPUTS: &str = "x-truncated-inputs";

/// The headers that answers have of their own.
pub const HEADERS: [&str; 11] = [
    COMPUTE_TYPE,
    COMPUTE_TIME,
    COMPUTE_CHARACTERS,
    COMPUTE_TOKENS,
    TOTAL_TIME,
    TOKENIZATION_TIME,
    QUEUE_TIME,
    INFERENCE_TIME,
    EMBEDDING_SPACE_ID,
    TRUNCATED_COUNT,
    TRUNCATED_INPUTS,
];

/// What a handler gives back.
pub(crate) type Answered = Result<Answer, Failure>;

/// A successful response, whose body may still have to be serialised.
pub struct Answer {
    headers: HeaderMap,
    body: Body,
    /// What computing it took, if anything was computed.
    pub report: Option<Report>,
}

enum Body {
    Written(Vec<u8>),
    /// A thousand vectors are megabytes of JSON, which take their time to write.
    Unwritten(Box<dyn FnOnce() -> Result<Vec<u8>, Failure> + Send>),
}

impl Answer {
    fn new(content_type: &'static str, body: Body) -> Self {
        let mut headers = HeaderMap::new();
        let content_type = HeaderValue::from_static(content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        Self {
            headers,
            body,
            report: None,
        }
    }

    /// A small value, serialised at once.
    pub fn small(value: &impl Serialize) -> Answered {
        Ok(Self::new("application/json", Body::Written(json(value)?)))
    }

    /// A text of a type other than JSON's, or JSON that is written already.
    pub fn text(content_type: &'static str, text: impl Into<String>) -> Self {
        Self::new(content_type, Body::Written(text.into().into_bytes()))
    }

    /// A value that is made when it is written.
    pub fn made_by<T: Serialize>(
        make: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Self {
        let write = move || json(&make()?);
        Self::new("application/json", Body::Unwritten(Box::new(write)))
    }

    /// A value that was computed.
    pub fn computed<T>(call: &Call, report: Report, value: T) -> Self
    where
        T: Serialize + Send + 'static,
    {
        Self::made_by(move || Ok(value)).with(call, report)
    }

    /// Adds what it took to the headers.
    pub fn with(mut self, call: &Call, report: Report) -> Self {
        add_headers(&mut self.headers, &call.service, &report);
        self.report = Some(report);
        self
    }

    /// Whether [`Answer::write`] has nothing to serialise, and so takes no time.
    pub fn is_written(&self) -> bool {
        matches!(self.body, Body::Written(_))
    }

    /// The response.
    pub fn write(self) -> Result<Response<Vec<u8>>, Failure> {
        let mut response = Response::new(self.body.write()?);
        *response.headers_mut() = self.headers;
        Ok(response)
    }

    /// Its JSON, to be part of another answer.
    pub(super) fn into_value(self) -> Result<Value, Failure> {
        let written = serde_json::from_slice(&self.body.write()?);
        written.map_err(|error| Failure::new(Kind::Internal, error.to_string()))
    }
}

impl Body {
    fn write(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Written(body) => Ok(body),
            Self::Unwritten(write) => write(),
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
}

/// What a request took, what was cut, and with what its vectors may be compared.
pub fn add_headers(headers: &mut HeaderMap, service: &Service, report: &Report) {
    let mut number = |name: &'static str, number: u128| {
        if let Ok(value) = HeaderValue::from_str(&number.to_string()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    number(COMPUTE_TIME, milliseconds(report.total));
    number(COMPUTE_CHARACTERS, report.characters as u128);
    number(COMPUTE_TOKENS, report.tokens as u128);
    number(TOTAL_TIME, milliseconds(report.total));
    number(TOKENIZATION_TIME, milliseconds(report.tokenization));
    number(QUEUE_TIME, milliseconds(report.queued));
    number(INFERENCE_TIME, milliseconds(report.inference));
    let cut = report.truncated.len() + usize::from(report.truncated_source.is_some());
    if cut > 0 {
        number(TRUNCATED_COUNT, cut as u128);
    }
    headers.insert(COMPUTE_TYPE, HeaderValue::from_static("cpu"));
    let space = &service.info.embedding_space_id;
    if service.embeds()
        && let Ok(space) = HeaderValue::from_str(space)
    {
        headers.insert(EMBEDDING_SPACE_ID, space);
    }
    if let Some(list) = truncated(report) {
        headers.insert(TRUNCATED_INPUTS, list);
    }
}

fn milliseconds(time: Duration) -> u128 {
    time.as_millis()
}

/// A structured field list (RFC 8941) of the texts that were cut, at most as
/// many as headers should be long. A source is no place in a list, and has its name.
fn truncated(report: &Report) -> Option<HeaderValue> {
    const LISTED: usize = 64;

    let cut = report.truncated.iter().take(LISTED);
    let item = |name: &str, total, used| format!("{name};total={total};used={used}");
    let source = report.truncated_source;
    let source = source.map(|(total, used)| item("source", total, used));
    let cut = cut.map(|(index, total, used)| item(&index.to_string(), *total, *used));
    let items: Vec<String> = source.into_iter().chain(cut).collect();
    if items.is_empty() {
        return None;
    }
    HeaderValue::from_str(&items.join(", ")).ok()
}
