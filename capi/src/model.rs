//! Models: opened, described, closed.

use crate::border::{Failure, Report, Status, fallible};
use crate::handle::{self, Handle};
use crate::memory;
use encoderfile::panics::catch;
use encoderfile::{Executor, Model};
use std::ffi::{c_char, c_void};
use std::num::NonZeroUsize;

/// More are no help to anybody, and would each take a stack.
const THREADS_MAX: usize = 1024;

/// Opens an encoderfile of any kind (native, wasm, or a payload alone).
///
/// The file is mapped: whoever changes it while it is open gets wrong numbers, or SIGBUS where it is
/// shortened. Replace it by renaming another to its name.
///
/// `path`: of `path_len` bytes of UTF-8.
/// `threads`: how many compute at once: 0 for one a core, 1 for the caller's alone, at most 1024. No
/// result depends on it.
/// `model`: where the model is written; 0 where the call fails. Close it with
/// `encoderfile_close`.
/// `error`: NULL, or where an error is written for `encoderfile_error_free`, NULL for none.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_open(
    path: *const c_char,
    path_len: usize,
    threads: usize,
    model: *mut Handle,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        fallible(error, || {
            let model = memory::required("model", model)?;
            model.write(Handle::default());
            let path = memory::text("path", path, path_len)?;
            let opened = Model::open_with(path, executor(threads)?)?;
            model.write(handle::keep(opened));
            Ok(())
        })
    }
}

/// Opens an encoderfile that is in memory, of which a copy is made.
///
/// `data`: its `len` bytes.
/// The others are as in `encoderfile_open`.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_open_bytes(
    data: *const c_void,
    len: usize,
    threads: usize,
    model: *mut Handle,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        fallible(error, || {
            let model = memory::required("model", model)?;
            model.write(Handle::default());
            let bytes = memory::elements("data", data.cast::<u8>(), len)?;
            let opened = Model::from_bytes(bytes, executor(threads)?)?;
            model.write(handle::keep(opened));
            Ok(())
        })
    }
}

fn executor(threads: usize) -> Result<Executor, Failure> {
    if threads > THREADS_MAX {
        return Err(Failure::Threads {
            threads,
            max: THREADS_MAX,
        });
    }
    Ok(match NonZeroUsize::new(threads) {
        None => Executor::AllCores,
        Some(NonZeroUsize::MIN) => Executor::OneThread,
        Some(threads) => Executor::Threads(threads),
    })
}

/// Closes a model; nothing happens for one that is closed, and for 0. Calls that other threads are
/// in come to their end, and the last of them frees its memory.
#[unsafe(no_mangle)]
pub extern "C" fn encoderfile_close(model: Handle) {
    // What a model's memory says when it goes cannot be told to anybody.
    let _ = catch(|| handle::close(model));
}

/// How many values the embedding of a text has, where a request asks for no other `dimensions`.
///
/// `dimensions`: where it is written: 0 for a model that gives no one vector a text.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_dimensions(
    model: Handle,
    dimensions: *mut usize,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        fallible(error, || {
            let place = memory::required("dimensions", dimensions)?;
            place.write(0);
            place.write(handle::model(model)?.dimensions().unwrap_or(0));
            Ok(())
        })
    }
}
