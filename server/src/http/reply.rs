//! Answers: JSON, with what it took in the headers.

use super::App;
use crate::failure::{Failure, Kind};
use crate::service::{Report, Service};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use encoderfile::manifest::Task;
use serde::Serialize;
use std::time::Duration;
use tracing::Span;

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
pub(super) const HEADERS: [&str; 11] = [
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
pub(super) type Answered = Result<Response, Failure>;

/// Writes the answer, away from the threads that talk to clients: a thousand
/// vectors are megabytes of JSON.
pub(super) async fn reply<T>(app: &App, report: &Report, value: T) -> Answered
where
    T: Serialize + Send + 'static,
{
    let span = Span::current();
    span.record("encoderfile.tokens", report.tokens);
    span.record("encoderfile.queue_ms", report.queued.as_secs_f64() * 1e3);
    span.record(
        "encoderfile.inference_ms",
        report.inference.as_secs_f64() * 1e3,
    );
    let json = tokio::task::spawn_blocking(move || serde_json::to_vec(&value)).await;
    let json = json.map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
    let json = json.map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
    let kind = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, kind)], json).into_response();
    add_headers(response.headers_mut(), &app.service, report);
    Ok(response)
}

/// What a request took, what was cut, and with what its vectors may be compared.
pub(crate) fn add_headers(headers: &mut HeaderMap, service: &Service, report: &Report) {
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
    let compares = matches!(
        service.task(),
        Task::Embedding | Task::SentenceEmbedding | Task::SparseEmbedding
    );
    let space = &service.info.embedding_space_id;
    if compares && let Ok(space) = HeaderValue::from_str(space) {
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
