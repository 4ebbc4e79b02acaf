//! What a call says when it fails, and the one place in which entry points run.

use crate::memory;
use encoderfile::panics::catch;
use encoderfile::{Error, RequestError, one_line};
use std::ffi::{CString, c_char};
use std::ptr;

/// Whether a call succeeded, and who can do something about it if not.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It succeeded.
    Ok = 0,
    /// The file is at fault: it is not there, is damaged, or holds what cannot be served.
    File = 1,
    /// The texts, the options or the request are at fault: the same model answers others.
    Request = 2,
    /// This library is at fault. Please report it, with the message.
    Bug = 3,
    /// The call is at fault: a pointer that is NULL or not aligned, a length beyond memory, or
    /// text that is not UTF-8.
    Argument = 4,
    /// The caller's memory has too little room; the message says how much is needed.
    BufferTooSmall = 5,
    /// There is no such model: it was closed, or never opened.
    Closed = 6,
    /// The model belongs to the process that this one was forked from: open it again in this one.
    Forked = 7,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The runtime's errors, in its words.
    #[error(transparent)]
    Model(#[from] Error),
    /// A pointer that may not be NULL.
    #[error("`{argument}` is NULL")]
    Null {
        /// The parameter.
        argument: String,
    },
    /// A pointer that is no address of its type.
    #[error("`{argument}` is not aligned")]
    Misaligned {
        /// The parameter.
        argument: String,
    },
    /// A length that no memory has.
    #[error("`{argument}` is longer than memory: {len} elements")]
    TooLong {
        /// The parameter.
        argument: String,
        /// What the caller said.
        len: usize,
    },
    /// Text in another encoding.
    #[error("`{argument}` is not UTF-8 at byte {offset}")]
    Utf8 {
        /// The parameter.
        argument: String,
        /// Where the first byte that is wrong stands.
        offset: usize,
    },
    /// More threads than anybody has cores.
    #[error("`threads` is {threads}; at most {max} are possible, 0 for one a core")]
    Threads {
        /// What the caller said.
        threads: usize,
        /// The limit.
        max: usize,
    },
    /// Too little room for results.
    #[error(
        "the buffer has room for {capacity} numbers: {rows} texts of {width} values need {needed}"
    )]
    BufferTooSmall {
        /// In numbers.
        capacity: usize,
        /// Texts.
        rows: usize,
        /// Numbers of a text.
        width: usize,
        /// In numbers.
        needed: u128,
    },
    /// A result that is no row of numbers.
    #[error("this model does not give one vector a text; use `encoderfile_infer_json`")]
    NotOneVector,
    /// A handle of no model.
    #[error("there is no such model: it was closed, or never opened")]
    Closed,
    /// A handle of the parent process.
    #[error(
        "the model was opened before this process was forked, and its threads are in the other one: open it again in this process"
    )]
    Forked,
    /// A value of SQL that is of another type.
    #[error("{function}: {argument} is {found}; it takes {takes}")]
    SqlType {
        /// The SQL function.
        function: &'static str,
        /// Which of its arguments.
        argument: &'static str,
        /// The type of the value.
        found: &'static str,
        /// What it could be.
        takes: &'static str,
    },
    /// A query without the text that it is about.
    #[error("entities: it takes a text, as in `SELECT * FROM entities('…')`")]
    NoText,
    /// A function of SQL before any model is loaded.
    #[error("no model is loaded; `SELECT encoderfile_load('a name', 'a path')` loads one")]
    NoModel,
    /// A name that none of the connection's models has.
    #[error("no model is loaded as \"{name}\"; there is {loaded}")]
    NoSuchModel {
        /// What the query says.
        name: String,
        /// All names.
        loaded: String,
    },
    /// A name that is another file's.
    #[error("\"{name}\" is {path} in this connection; choose another name")]
    NameTaken {
        /// What the query says.
        name: String,
        /// The file that has the name.
        path: String,
    },
}

impl Failure {
    /// Who can do something about it.
    pub fn status(&self) -> Status {
        match self {
            Self::Model(Error::File(_)) => Status::File,
            Self::Model(Error::Request(_)) | Self::NotOneVector => Status::Request,
            Self::BufferTooSmall { .. } => Status::BufferTooSmall,
            Self::Closed => Status::Closed,
            Self::Forked => Status::Forked,
            Self::Null { .. }
            | Self::Misaligned { .. }
            | Self::TooLong { .. }
            | Self::Utf8 { .. }
            | Self::Threads { .. }
            | Self::SqlType { .. }
            | Self::NoText
            | Self::NoModel
            | Self::NoSuchModel { .. }
            | Self::NameTaken { .. } => Status::Argument,
            Self::Model(_) => Status::Bug,
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Model(error.into())
    }
}

/// What a call says of its failure: a status, and a message for people.
#[derive(Debug)]
pub struct Report {
    status: Status,
    message: CString,
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        // A path that somebody gave may have a NUL in it.
        let message = one_line(&failure).replace('\0', "\u{fffd}");
        Self {
            status: failure.status(),
            message: CString::new(message).unwrap_or_default(),
        }
    }
}

/// Runs what an entry point does. A panic is [`Status::Bug`].
///
/// # Safety
/// `error` is NULL, or a pointer can be written there.
pub unsafe fn fallible(
    error: *mut *mut Report,
    body: impl FnOnce() -> Result<(), Failure>,
) -> Status {
    let result = catch(body).unwrap_or_else(|bug| Err(Error::from(bug).into()));
    let (status, report) = match result {
        Ok(()) => (Status::Ok, ptr::null_mut()),
        Err(failure) => (
            failure.status(),
            Box::into_raw(Box::new(Report::from(failure))),
        ),
    };
    // SAFETY: as this function's caller says.
    match unsafe { memory::place(error) } {
        Some(place) => {
            place.write(report);
        }
        // SAFETY: it was made above, and nobody else has it.
        None if !report.is_null() => drop(unsafe { Box::from_raw(report) }),
        None => {}
    }
    status
}

/// The status that came with an error; `ENCODERFILE_STATUS_OK` for NULL.
///
/// # Safety
/// `error` is NULL, or an error of this library that is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_error_status(error: *const Report) -> Status {
    // SAFETY: as the caller says.
    unsafe { error.as_ref() }.map_or(Status::Ok, |it| it.status)
}

/// What went wrong, where, and what to do: one line of UTF-8 without a line break, in the words of
/// the command line and of the server. It is valid until the error is freed; for NULL it is empty.
///
/// # Safety
/// `error` is NULL, or an error of this library that is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_error_message(error: *const Report) -> *const c_char {
    // SAFETY: as the caller says.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |it| it.message.as_ptr())
}

/// Frees an error. NULL is allowed.
///
/// # Safety
/// `error` is NULL, or an error of this library that is not freed; afterwards it and its message
/// may not be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_error_free(error: *mut Report) {
    if !error.is_null() {
        // SAFETY: `fallible` made it with `Box::into_raw`, and the caller gives it back once.
        drop(unsafe { Box::from_raw(error) });
    }
}
