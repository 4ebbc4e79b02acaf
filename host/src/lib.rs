//! The base program of an encoderfile: appended to it, a payload becomes a
//! command that computes what its model computes.
//!
//! The same program is built natively and for wasm32-wasip1, and is the command of the component for
//! wasm32-wasip2. It finds its payload ([`source`]) and does what it is told ([`commands`]): the crate
//! `encoderfile_infer` reads texts and writes results, `encoderfile_server` answers requests.

mod allocator;
mod cli;
mod commands;
mod source;

pub use source::open;

use clap::Parser;
use clap::error::ErrorKind;
use encoderfile::{Model, detail, one_line};
use encoderfile_licenses::Notices;
use std::hint::black_box;
use std::process::ExitCode;

/// How the builder knows a base program from any other, and what it can be built with:
/// [`BASE_MARK`](encoderfile::container::BASE_MARK), and the version of the format.
static MARK: &str = "encoderfile base program of format 2\n";

/// Does what the command line says, in a program with these notices, of whose own model somebody may
/// have loaded it already.
pub fn run(notices: &Notices, loaded: Option<Model>) -> ExitCode {
    // What nobody reads, a linker leaves out.
    black_box(MARK);
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
            eprintln!(
                "error: invalid UTF-8 in an argument; texts in other encodings must be converted"
            );
            return ExitCode::from(cli::USAGE_ERROR);
        }
        Err(error) => {
            // Help and version are no errors and go to stdout.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                cli::USAGE_ERROR
            } else {
                0
            });
        }
    };
    #[cfg(target_family = "wasm")]
    end_on_panic(cli.verbose);
    match commands::run(&cli, notices, loaded) {
        Ok(code) => code,
        Err(error) if encoderfile_infer::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, cli.verbose);
            ExitCode::FAILURE
        }
    }
}

/// Panics do not unwind here: what others report as an error ends the program in the
/// hook.
#[cfg(target_family = "wasm")]
fn end_on_panic(verbose: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        let bug = encoderfile::panics::bug(panic.payload());
        report(&bug.into(), verbose);
        encoderfile::output_file::remove_unfinished();
        std::process::exit(1);
    }));
}

/// One line for people, and the engine's own words for those who ask.
fn report(error: &anyhow::Error, verbose: bool) {
    let message = one_line(&**error);
    match detail(&**error) {
        Some(detail) if verbose => eprintln!("error: {message}\nthe engine says: {detail}"),
        Some(_) => eprintln!("error: {message} (--verbose says more)"),
        None => eprintln!("error: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::MARK;
    use encoderfile::container::{BASE_MARK, FORMAT_VERSION};

    #[test]
    fn the_mark_names_the_version_that_is_read() {
        assert_eq!(MARK, format!("{BASE_MARK}{FORMAT_VERSION}\n"));
    }
}
