//! Errors as JavaScript sees them: an `Error` with a `code`, which
//! `npm/src/error.ts` lists.

use encoderfile::container::ContainerError;
use encoderfile::{Error, one_line};
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
        Error::Container(ContainerError::TooShort { .. } | ContainerError::Magic { .. }) => {
            "not_encoderfile"
        }
        Error::Container(ContainerError::Version { .. } | ContainerError::Flags { .. }) => {
            "unsupported_format"
        }
        Error::Container(_) => "corrupt",
        _ => "unsupported_model",
    };
    thrown(code, &one_line(&error))
}

/// A text without a result.
pub(crate) fn computing(error: &Error) -> JsValue {
    let code = match error {
        Error::Request(_) | Error::Option { .. } => "invalid_option",
        Error::NotFinite { .. } => "not_finite",
        Error::Container(_) | Error::Graph(_) => "internal",
        _ => "invalid_input",
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
