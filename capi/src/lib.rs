//! `libencoderfile`: the runtime behind a C interface.

use std::ffi::{CStr, c_char};

/// The version of this library.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The version of this library, such as `0.1.0`. It is valid for as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn encoderfile_version() -> *const c_char {
    VERSION.as_ptr()
}
