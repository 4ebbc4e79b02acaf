//! gRPC's code for each kind of failure.

use encoderfile_dialects::failure::{Failure, Kind};
use tonic::{Code, Status};

/// A failure with the code that gRPC has for it.
pub(crate) fn status(failure: Failure) -> Status {
    let code = code(failure.kind);
    with_code(&failure, code)
}

/// With the code that a service has for it.
pub(crate) fn with_code(failure: &Failure, code: Code) -> Status {
    let mut status = Status::new(code, failure.to_string());
    if let Some(seconds) = failure.retry_after_seconds() {
        status.metadata_mut().insert("retry-after", seconds.into());
    }
    status
}

/// The code of a kind.
pub(crate) fn code(kind: Kind) -> Code {
    match kind {
        Kind::Malformed | Kind::Empty | Kind::MediaType => Code::InvalidArgument,
        Kind::TooLong | Kind::Validation | Kind::Tokenizer => Code::InvalidArgument,
        Kind::Unauthorized => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::NotFound | Kind::Method => Code::Unimplemented,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::TooLarge | Kind::Limit | Kind::Overloaded => Code::ResourceExhausted,
        Kind::Backend | Kind::Internal => Code::Internal,
        // As HTTP's 424: the same text will not do better.
        Kind::NotFinite => Code::FailedPrecondition,
        Kind::Unavailable => Code::Unavailable,
    }
}
