//! The model in this component, loaded when it is first asked for.

use encoderfile::{Error, Executor, Model, one_line};
use std::path::Path;
use std::sync::OnceLock;

static OWN: OnceLock<Result<Model, Problem>> = OnceLock::new();

/// The model in this component.
///
/// # Errors
/// Why there is none, each time anew.
pub(crate) fn own() -> Result<Model, Problem> {
    OWN.get_or_init(|| load(None)).clone()
}

/// The model in this component, where it is loaded: of a snapshot from the start.
pub(crate) fn loaded() -> Option<Model> {
    OWN.get()?.clone().ok()
}

/// The model in a file, or that in this component.
pub(crate) fn open(path: Option<&str>) -> Result<Model, Problem> {
    match path {
        Some(path) => load(Some(Path::new(path))),
        None => own(),
    }
}

fn load(path: Option<&Path>) -> Result<Model, Problem> {
    let payload = encoderfile_host::open(path).map_err(|error| Problem {
        message: one_line(&*error),
        is_bug: false,
    })?;
    let model = match path {
        Some(_) => Model::from_payload(payload, Executor::OneThread),
        // There may be an instance for each request. Who runs it trusts the program in the file, and
        // can check the file: `encoderfile inspect` and `self-test` do.
        None => Model::from_trusted_payload(payload, Executor::OneThread),
    };
    model.map_err(|error| Problem::of(&error))
}

/// Why there is no model.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) is_bug: bool,
}

impl Problem {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            message: one_line(error),
            is_bug: matches!(error, Error::Bug(_)),
        }
    }
}
