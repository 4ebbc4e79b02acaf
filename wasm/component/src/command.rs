//! `wasi:cli/run`: the command line of every encoderfile.

use crate::Component;
use crate::bindings::exports::wasi::cli::run::Guest;
use crate::loaded;
use encoderfile_licenses::COMPONENT;
use std::process::ExitCode;

impl Guest for Component {
    fn run() -> Result<(), ()> {
        match encoderfile_host::run(&COMPONENT, loaded::loaded()) == ExitCode::SUCCESS {
            true => Ok(()),
            false => Err(()),
        }
    }
}
