//! `libencoderfile`: the runtime behind a C interface, and an extension of SQLite.
//!
//! A function here reads what its caller's pointers say, makes one call of the crate
//! `encoderfile`, and writes the result where the caller wants it. `include/encoderfile.h` is made
//! of this crate by `tests/header.rs`, comments included.
//!
//! **Invariants:** all `unsafe` is in this crate's reading and writing of the caller's memory
//! (`memory`), and in SQLite's registration (`sqlite`). No panic leaves an entry point: each that
//! can fail runs in [`border::fallible`], the others cannot panic. A model is a number and never an
//! address (`handle`), so that one that was closed, or belongs to the process that this one was
//! forked from, is an error.

pub mod border;
pub mod handle;
pub mod json;
pub mod memory;
pub mod model;
pub mod sqlite;
pub mod vectors;

use std::ffi::{CStr, CString, c_char};
use std::sync::OnceLock;

/// The version of this library.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The version of the interface: see `encoderfile_abi_version`. The number in the library's
/// soname, and in the version of its symbols.
pub const ABI_VERSION: u32 = 0;

/// The version of this library, such as `0.1.0`. It is valid for as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn encoderfile_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the interface of the library that is loaded. A program works with it if this is
/// the `ENCODERFILE_ABI_VERSION` that it was compiled with.
#[unsafe(no_mangle)]
pub extern "C" fn encoderfile_abi_version() -> u32 {
    ABI_VERSION
}

/// The notices of the software of others in this library, with their licence texts: UTF-8, which
/// is valid for as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn encoderfile_licenses() -> *const c_char {
    static NOTICES: OnceLock<CString> = OnceLock::new();
    let notices = NOTICES.get_or_init(|| {
        let text = encoderfile_licenses::LIBRARY.text();
        CString::new(text.unwrap_or_else(|error| error.to_string())).unwrap_or_default()
    });
    notices.as_ptr()
}
