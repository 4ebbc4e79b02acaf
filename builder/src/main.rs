//! The `encoderfile` command.

mod assemble_tool;
mod cli;
mod many;
mod runtime_command;
mod settings;
mod testing;

use anyhow::Context;
use clap::Parser;
use cli::{Cli, Command, Infer, SchemaArgument};
use encoderfile::graph::{ISA_VARIABLE, Isa};
use encoderfile::{Info, Payload, file, one_line, panics};
use encoderfile_builder::carried::Carried;
use encoderfile_builder::columnar::ParquetAndArrow;
use encoderfile_builder::error::detail;
use encoderfile_builder::precompiled::WASMTIME_VERSION;
use encoderfile_builder::target::WASI_TARGET;
use encoderfile_builder::{extract, inspect, run, schema};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to stdout.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match execute(&cli) {
        Ok(code) => code,
        Err(error) if encoderfile_infer::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, cli.verbose);
            ExitCode::FAILURE
        }
    }
}

/// One line for people, and the engine's own words for those who ask.
fn report(error: &anyhow::Error, verbose: bool) {
    let message = one_line(&**error);
    match detail(error) {
        Some(detail) if verbose => eprintln!("error: {message}\nthe engine says: {detail}"),
        Some(_) => eprintln!("error: {message} (--verbose says more)"),
        None => eprintln!("error: {message}"),
    }
}

/// As the encoderfile itself would.
fn compute(infer: &Infer) -> anyhow::Result<()> {
    let name = || infer.file.display().to_string();
    let payload = Payload::open(file::open(&infer.file)?).with_context(name)?;
    encoderfile_infer::run(payload.into(), &infer.arguments, Some(&ParquetAndArrow))
}

fn execute(cli: &Cli) -> anyhow::Result<ExitCode> {
    if let Ok(name) = std::env::var(ISA_VARIABLE) {
        Isa::choose(&name).context(ISA_VARIABLE)?;
    }
    match &cli.command {
        Command::Build(arguments) => match &arguments.many.models {
            Some(file) => return many::run(cli, arguments, file),
            None => settings::run(cli, arguments)?,
        },
        Command::Inspect { file, json } => {
            let description = inspect(file)?;
            print(&if *json {
                serde_json::to_string_pretty(&description)? + "\n"
            } else {
                inspect::to_text(&description)
            })?;
        }
        Command::Extract { file, output } => {
            for path in extract(file, output)? {
                print(&format!("{}\n", path.display()))?;
            }
        }
        Command::Infer(infer) => panics::catch(|| compute(infer))??,
        Command::Test(arguments) => return testing::run(arguments, cli.verbose),
        Command::Run(arguments) => {
            let base = Carried::open()?.program(WASI_TARGET)?;
            let (directories, passed) = (&arguments.directories, &arguments.arguments);
            let is_allowed = arguments.allow_precompiled;
            return run::run(&arguments.file, base, is_allowed, directories, passed);
        }
        Command::Schema { file } => {
            let schema = match file {
                SchemaArgument::Models => schema::of_models(),
                SchemaArgument::Encoderfile => schema::of_encoderfile(),
            };
            print(&(serde_json::to_string_pretty(&schema)? + "\n"))?;
        }
        Command::Licenses => print(&licences()?)?,
        Command::Version => {
            let targets = Carried::open()?.names();
            let version = env!("CARGO_PKG_VERSION");
            let sets = Isa::names();
            print(&format!(
                "encoderfile {version}\ntargets: {targets}\ninstruction sets: {sets}\nwasmtime: {WASMTIME_VERSION}\n"
            ))?;
        }
        Command::Runtime(command) => print(&runtime_command::run(cli, command)?)?,
        Command::NewTransform { model_type } => {
            print(&runtime_command::new_transform(model_type.as_deref())?)?;
        }
        Command::AssembleTool(arguments) => assemble_tool::assemble(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The licence of the model in this tool, and the notices of what is linked into it.
fn licences() -> anyhow::Result<String> {
    let carried = Carried::open()?;
    let notices = encoderfile_licenses::TOOL.text()?;
    if carried.is_empty() {
        return Ok(notices);
    }
    let Info { name, license, .. } = Info::of(&carried.default_model()?)?;
    Ok(format!("The model {name}: licence {license}\n\n{notices}"))
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever read our output has seen enough (`… | head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}
