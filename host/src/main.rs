//! The base program of an encoderfile.

#[cfg(not(target_family = "wasm"))]
use encoderfile_licenses::NATIVE as NOTICES;
#[cfg(target_family = "wasm")]
use encoderfile_licenses::WASM as NOTICES;
use std::process::ExitCode;

fn main() -> ExitCode {
    encoderfile_host::run(&NOTICES, None)
}
