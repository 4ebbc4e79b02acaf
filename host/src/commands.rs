//! What each command does.

mod info;

use crate::allocator;
use crate::cli::{Cli, Command};
use crate::source;
use anyhow::Context;
use encoderfile::graph::{ISA_VARIABLE, Isa};
#[cfg(not(target_family = "wasm"))]
use encoderfile::{Encoder, Error, Info};
use encoderfile::{Executor, Model, Payload, panics};
use encoderfile_infer::Opened;
use encoderfile_licenses::Notices;
use std::process::ExitCode;

/// Runs the command and says how the process should end.
pub(crate) fn run(cli: &Cli, notices: &Notices, loaded: Option<Model>) -> anyhow::Result<ExitCode> {
    if let Ok(name) = std::env::var(ISA_VARIABLE) {
        Isa::choose(&name).context(ISA_VARIABLE)?;
    }
    // It asks another process, which has the model.
    #[cfg(not(target_family = "wasm"))]
    if let Command::Health { settings } = &cli.command {
        println(&format!("ready: {}", encoderfile_server::health(settings)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let payload = panics::catch(|| source::open(cli.payload.as_deref()))??;
    match &cli.command {
        #[cfg(not(target_family = "wasm"))]
        Command::Serve {
            settings,
            onnx_runtime,
        } => {
            onnx_runtime.check()?;
            encoderfile_server::serve(settings, || Ok(model(&payload)?))?;
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(not(target_family = "wasm"))]
        Command::Mcp {
            settings,
            onnx_runtime,
        } => {
            onnx_runtime.check()?;
            encoderfile_server::mcp(settings, || Ok(model(&payload)?))?;
            Ok(ExitCode::SUCCESS)
        }
        // A server's panics are caught where they fail one request, and are logged.
        command => {
            let loaded = loaded.filter(|_| cli.payload.is_none());
            panics::catch(|| once(command, payload, loaded, notices))?
        }
    }
}

/// A command that ends by itself.
fn once(
    command: &Command,
    payload: Payload,
    loaded: Option<Model>,
    notices: &Notices,
) -> anyhow::Result<ExitCode> {
    let opened = |payload: Payload| match loaded {
        Some(model) => Opened::from(model),
        None => Opened::from(payload).then(allocator::release),
    };
    match command {
        Command::Infer {
            arguments,
            onnx_runtime,
        } => {
            onnx_runtime.check()?;
            encoderfile_infer::run(opened(payload), arguments, None)?;
        }
        Command::Info { licenses: true, .. } => info::print_licences(&payload, notices)?,
        Command::Info { json, .. } => info::print(&payload, *json)?,
        Command::SelfTest => return self_test(opened(payload)),
        Command::Tokenize { texts, options } => {
            encoderfile_infer::tokenize(opened(payload), texts, &options.0, None)?;
        }
        #[cfg(not(target_family = "wasm"))]
        Command::Health { .. } | Command::Serve { .. } | Command::Mcp { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn self_test(model: Opened) -> anyhow::Result<ExitCode> {
    let report = model.load(Executor::AllCores)?.self_test()?;
    let verdict = if report.passed() { "passed" } else { "FAILED" };
    println(&format!(
        "self-test {verdict}: {} cases, {} with other token ids, largest difference {:.1e} (limit {:.0e}), computed with {}",
        report.cases,
        report.token_mismatches,
        report.largest_difference,
        report.limit,
        Isa::in_use().name()
    ))?;
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a server serves.
#[cfg(not(target_family = "wasm"))]
fn model(payload: &Payload) -> Result<(Encoder, Info), Error> {
    let encoder = encoderfile::load(payload, Executor::AllCores)?;
    allocator::release();
    Ok((encoder, Info::of(payload)?))
}

/// `println!` without its panic when standard output is closed.
fn println(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").context("standard output")
}
