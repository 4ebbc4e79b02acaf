//! Errors as JavaScript sees them: an `Error` with a `code`, which
//! `npm/src/error.ts` lists.

use encoderfile::container::ContainerError;
use encoderfile::{Error, FileError, RequestError, one_line};
use js_sys::Reflect;
use wasm_bindgen::prelude::*;

/// What a failure is thrown as.
pub(crate) fn thrown(code: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    // A new object takes any property.
    let _ = Reflect::set(&error, &"code".into(), &code.into());
    error.into()
}

/// A model that cannot be opened.
pub(crate) fn opening(error: impl Into<Error>) -> JsValue {
    let error = error.into();
    let code = match &error {
        Error::File(FileError::Container(error)) => match error {
            ContainerError::TooShort { .. } | ContainerError::Magic { .. } => "not_encoderfile",
            ContainerError::Version { .. } | ContainerError::Flags { .. } => "unsupported_format",
            _ => "corrupt",
        },
        _ => "unsupported_model",
    };
    thrown(code, &one_line(&error))
}

/// A text without a result.
pub(crate) fn computing(error: &Error) -> JsValue {
    let code = match error {
        Error::Request(RequestError::Query(_)) => "invalid_option",
        Error::Request(RequestError::Options(_)) => "invalid_option",
        Error::Request(_) => "invalid_input",
        Error::File(FileError::NotFinite { .. }) => "not_finite",
        _ => "internal",
    };
    thrown(code, &one_line(error))
}

/// What a JavaScript exception says.
pub(crate) fn words(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => format!("{error:?}"),
    }
}
