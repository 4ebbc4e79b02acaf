//! Why a request failed: one table from error to HTTP status, gRPC code and
//! each dialect's name for it.

use crate::engine::{Refusal, TextError};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use encoderfile_runtime::tokenizer::TokenizerError;
use encoderfile_runtime::{Error, one_line};
use std::time::Duration;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not the JSON that the route takes.
    Malformed,
    /// Nothing to compute.
    Empty,
    /// No key, or none that is known.
    Unauthorized,
    /// From a page that may not call.
    Forbidden,
    /// No such route.
    NotFound,
    /// A route that has other methods.
    Method,
    /// The client took too long to send its request.
    Timeout,
    /// More bytes than are taken.
    TooLarge,
    /// Not JSON by its content type.
    MediaType,
    /// More texts or characters than are taken.
    Limit,
    /// More tokens than are taken, where the text may not be cut.
    TooLong,
    /// Something that this model cannot do, or not so.
    Validation,
    /// A text that the tokenizer refuses.
    Tokenizer,
    /// The model failed.
    Backend,
    /// The model computes numbers that are not finite.
    NotFinite,
    /// Too much to do.
    Overloaded,
    /// A bug.
    Internal,
    /// Shutting down.
    Unavailable,
}

impl Kind {
    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Empty => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Limit | Self::TooLong => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Validation | Self::Tokenizer => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Backend | Self::NotFinite => StatusCode::FAILED_DEPENDENCY,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The gRPC code.
    pub(crate) fn code(self) -> tonic::Code {
        match self {
            Self::Malformed | Self::Empty | Self::MediaType => tonic::Code::InvalidArgument,
            Self::TooLong | Self::Validation | Self::Tokenizer => tonic::Code::InvalidArgument,
            Self::Unauthorized => tonic::Code::Unauthenticated,
            Self::Forbidden => tonic::Code::PermissionDenied,
            Self::NotFound | Self::Method => tonic::Code::Unimplemented,
            Self::Timeout => tonic::Code::DeadlineExceeded,
            Self::TooLarge | Self::Limit | Self::Overloaded => tonic::Code::ResourceExhausted,
            Self::Backend | Self::Internal => tonic::Code::Internal,
            // As HTTP's 424: the same text will not do better.
            Self::NotFinite => tonic::Code::FailedPrecondition,
            Self::Unavailable => tonic::Code::Unavailable,
        }
    }

    /// TEI's `error_type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Malformed | Self::MediaType | Self::TooLarge | Self::Limit => "Validation",
            Self::Validation | Self::TooLong | Self::Method => "Validation",
            Self::Forbidden | Self::NotFound | Self::Timeout => "Validation",
            Self::Empty => "Empty",
            Self::Unauthorized => "Unauthorized",
            Self::Tokenizer => "Tokenizer",
            Self::Backend | Self::NotFinite | Self::Internal => "Backend",
            Self::Overloaded => "Overloaded",
            Self::Unavailable => "Unhealthy",
        }
    }
}

/// A failure, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// When it is worth trying again.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// For a text of several.
    pub(crate) fn of_text(mut self, index: usize) -> Self {
        self.message = format!("text {}: {}", index + 1, self.message);
        self
    }

    /// Whole seconds to wait, at least one.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        /// Nobody should wait longer for an estimate.
        const LONGEST: u64 = 60;

        let wait = self.retry_after?;
        let begun = u64::from(wait.subsec_nanos() > 0);
        Some((wait.as_secs() + begun).clamp(1, LONGEST))
    }
}

/// What serde found, and in which field.
pub(crate) fn at_path(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    if path == "." {
        return error.inner().to_string();
    }
    format!("`{path}`: {}", error.inner())
}

/// The body is written where the dialect is known: [`crate::http::dialect`].
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Failure {
    /// For gRPC, with the code that a service has for it.
    pub(crate) fn into_status(self, code: tonic::Code) -> tonic::Status {
        let mut status = tonic::Status::new(code, &self.message);
        if let Some(seconds) = self.retry_after_seconds() {
            status.metadata_mut().insert("retry-after", seconds.into());
        }
        status
    }
}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        let code = failure.kind.code();
        failure.into_status(code)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { retry_after } => Self {
                kind: Kind::Overloaded,
                message: "too many tokens are waiting; try again later, or serve with a larger --max-queued-tokens".into(),
                retry_after: Some(retry_after),
            },
            Refusal::Closed => Self::new(Kind::Unavailable, "the server is shutting down"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Tokenizer(TokenizerError::Encode(_) | TokenizerError::Decode(_)) => {
                Kind::Tokenizer
            }
            Error::TooManyTokens { .. } => Kind::TooLong,
            Error::Tokenizer(_) | Error::TokenId { .. } => Kind::Validation,
            Error::Request(_) | Error::Option { .. } | Error::NoMask { .. } => Kind::Validation,
            Error::TextLength { .. } => Kind::Limit,
            Error::NotFinite { .. } => Kind::NotFinite,
            _ => Kind::Backend,
        };
        Self::new(kind, one_line(&error))
    }
}

impl From<TextError> for Failure {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Runtime(error) => error.into(),
            TextError::Panic => Self::new(Kind::Internal, error.to_string()),
        }
    }
}
