//! How each dialect says that something failed.

use crate::failure::{Failure, Kind};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// Whose API a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// TEI's, upstream's and our own.
    Tei,
    OpenAi,
    Ollama,
    Cohere,
    Jina,
    HuggingFace,
    Mcp,
}

/// TEI's error.
#[derive(Serialize, ToSchema)]
pub(crate) struct TeiError {
    /// What is wrong and what to do.
    pub(crate) error: String,
    /// The kind of error.
    pub(crate) error_type: &'static str,
}

/// OpenAI's error.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiError {
    error: OpenAiErrorBody,
}

#[derive(Serialize, ToSchema)]
struct OpenAiErrorBody {
    /// What is wrong and what to do.
    message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field at fault, where that is known.
    param: Option<String>,
    /// A name for programs.
    code: Option<&'static str>,
}

/// Ollama's error.
#[derive(Serialize, ToSchema)]
pub(crate) struct OllamaError {
    /// What is wrong and what to do.
    error: String,
}

/// Cohere's error.
#[derive(Serialize, ToSchema)]
pub(crate) struct CohereError {
    /// What is wrong and what to do.
    message: String,
}

/// Jina's error.
#[derive(Serialize, ToSchema)]
pub(crate) struct JinaError {
    /// What is wrong and what to do.
    detail: String,
}

impl Dialect {
    /// The dialect of a path.
    pub(crate) fn of_path(path: &str) -> Self {
        match path {
            "/v1/rerank" => Self::Jina,
            "/v2/rerank" => Self::Cohere,
            "/mcp" => Self::Mcp,
            "/" => Self::HuggingFace,
            // TEI's name for OpenAI's route.
            "/embeddings" => Self::OpenAi,
            _ if path.starts_with("/v1/") => Self::OpenAi,
            _ if path.starts_with("/api/") => Self::Ollama,
            _ => Self::Tei,
        }
    }

    /// The status of a failure, where it is not the table's.
    fn status(self, kind: Kind) -> Option<StatusCode> {
        let is_ollamas = self == Self::Ollama && kind == Kind::TooLong;
        is_ollamas.then_some(StatusCode::BAD_REQUEST)
    }

    /// What it calls options of the runtime's, where that is something else.
    pub(crate) fn names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Ollama => &[("max_tokens", "num_ctx")],
            Self::Cohere | Self::Jina => &[("top_k", "top_n")],
            Self::HuggingFace => &[
                ("max_tokens", "max_length"),
                ("labels", "candidate_labels"),
                ("template", "hypothesis_template"),
                ("aggregation", "aggregation_strategy"),
                ("long=error", "truncation: false"),
            ],
            Self::Tei | Self::OpenAi | Self::Mcp => &[],
        }
    }

    /// What it calls the texts to compute, where all its routes call them the same.
    fn texts(self) -> Option<&'static str> {
        match self {
            Self::Tei | Self::HuggingFace | Self::Mcp => None,
            Self::OpenAi | Self::Ollama => Some("input"),
            Self::Cohere | Self::Jina => Some("documents"),
        }
    }

    /// What it writes of a failure.
    pub(crate) fn body(self, failure: &Failure) -> serde_json::Value {
        let texts = self.texts().filter(|_| failure.kind == Kind::Empty);
        let message = match texts {
            Some(field) => format!("`{field}`: {failure}"),
            None => failure.to_string(),
        };
        match self {
            Self::Tei | Self::HuggingFace => json!(TeiError {
                error: message,
                error_type: failure.kind.name(),
            }),
            Self::OpenAi => json!(OpenAiError {
                error: openai(failure.kind, message, failure.field().or(texts)),
            }),
            Self::Ollama => json!(OllamaError { error: message }),
            Self::Cohere => json!(CohereError { message }),
            Self::Jina => json!(JinaError { detail: message }),
            Self::Mcp => json!({
                "jsonrpc": "2.0",
                "id": null,
                "error": { "code": json_rpc(failure.kind), "message": message },
            }),
        }
    }
}

/// Of errors before a message is read.
fn json_rpc(kind: Kind) -> i32 {
    match kind {
        Kind::Malformed => -32700,
        Kind::Validation => -32600,
        Kind::Internal => -32603,
        _ => -32000,
    }
}

fn openai(kind: Kind, message: String, field: Option<&str>) -> OpenAiErrorBody {
    let (kind, code) = match kind {
        Kind::NotFound if field == Some("model") => {
            ("invalid_request_error", Some("model_not_found"))
        }
        Kind::Unauthorized => ("authentication_error", Some("invalid_api_key")),
        Kind::Overloaded => ("rate_limit_error", Some("rate_limit_exceeded")),
        Kind::NotFinite => ("server_error", Some("not_finite")),
        Kind::Backend | Kind::Internal | Kind::Unavailable => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    OpenAiErrorBody {
        message,
        kind,
        param: field.map(str::to_owned),
        code,
    }
}

/// Gives a failure the body that the route's dialect has for it.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let dialect = Dialect::of_path(request.uri().path());
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return response;
    };
    let failure = failure.in_words_of(dialect);
    let (mut parts, _) = response.into_parts();
    if let Some(status) = dialect.status(failure.kind) {
        parts.status = status;
    }
    if let Some(seconds) = failure.retry_after_seconds() {
        parts
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = axum::Json(dialect.body(&failure)).into_response();
    let content_type = body.headers().get(header::CONTENT_TYPE).cloned();
    if let Some(content_type) = content_type {
        parts.headers.insert(header::CONTENT_TYPE, content_type);
    }
    let mut response = Response::from_parts(parts, body.into_body());
    // For the log.
    response.extensions_mut().insert(failure);
    response
}
