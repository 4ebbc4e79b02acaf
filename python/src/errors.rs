//! Errors of the runtime as exceptions of `encoderfile.errors`: the same words, and a class for
//! who is at fault.

use encoderfile::{Error, FileError, one_line};
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::io;

/// A class of `encoderfile.errors`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    /// The file is at fault.
    File,
    /// There is no such file.
    FileNotFound,
    /// The request is at fault.
    Request,
    /// This package is.
    Internal,
    /// The model was closed.
    Closed,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::File => "ModelFileError",
            Self::FileNotFound => "ModelFileNotFoundError",
            Self::Request => "RequestError",
            Self::Internal => "InternalError",
            Self::Closed => "ClosedError",
        }
    }

    /// Who is at fault for `error`.
    fn of(error: &Error) -> Self {
        match error {
            Error::File(FileError::Open { source, .. })
                if (source.cause().downcast_ref())
                    .is_some_and(|it: &io::Error| it.kind() == io::ErrorKind::NotFound) =>
            {
                Self::FileNotFound
            }
            Error::File(_) => Self::File,
            Error::Request(_) => Self::Request,
            _ => Self::Internal,
        }
    }

    /// An exception of this class.
    pub(crate) fn exception(self, message: String) -> PyErr {
        Python::attach(|py| {
            let class = py.import("encoderfile.errors")?.getattr(self.name())?;
            let class = class.cast_into::<PyType>()?;
            Ok(PyErr::from_type(class, message))
        })
        .unwrap_or_else(|error: PyErr| error)
    }
}

/// The exception for an error of the runtime.
pub(crate) fn exception(error: &Error) -> PyErr {
    Class::of(error).exception(message(error))
}

/// The exception for an error of the runtime over one of several texts.
pub(crate) fn exception_of(error: &Error, index: usize) -> PyErr {
    Class::of(error).exception(format!("texts[{index}]: {}", message(error)))
}

fn message(error: &Error) -> String {
    let line = one_line(error);
    match encoderfile::detail(error) {
        Some(detail) if !line.contains(detail) => format!("{line}: {detail}"),
        _ => line,
    }
}
