//! What each command does.

mod info;
mod results;

use crate::cli::{Cli, Command, Format, Infer, Texts};
use crate::inputs::Items;
use crate::progress::Progress;
use crate::source;
use anyhow::Context;
use encoderfile::graph::{ISA_VARIABLE, Isa};
#[cfg(not(target_family = "wasm"))]
use encoderfile::{Encoder, Error, Info};
use encoderfile::{Executor, Model, Options, Payload, Prediction, TokenUsage, output, panics};
use results::Results;
use std::process::ExitCode;

/// Runs the command and says how the process should end.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
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
        command => panics::catch(|| once(command, payload))?,
    }
}

/// A command that ends by itself.
fn once(command: &Command, payload: Payload) -> anyhow::Result<ExitCode> {
    match command {
        Command::Infer(arguments) => infer(payload, arguments)?,
        Command::Info { licenses: true, .. } => info::print_licences(&payload)?,
        Command::Info { json, .. } => info::print(&payload, *json)?,
        Command::SelfTest => return self_test(payload),
        Command::Tokenize { texts, options } => tokenize(payload, texts, &options.0)?,
        #[cfg(not(target_family = "wasm"))]
        Command::Health { .. } | Command::Serve { .. } | Command::Mcp { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn infer(payload: Payload, arguments: &Infer) -> anyhow::Result<()> {
    arguments.onnx_runtime.check()?;
    let items = Items::open(&arguments.texts, arguments.format == Format::Jsonl)?;
    let executor = arguments
        .threads
        .map_or(Executor::AllCores, Executor::Threads);
    let model = Model::from_payload(payload, executor)?;
    let options = &arguments.options.0;
    model.check(options)?;
    let total = items.total();
    let progress = Progress::new(total);
    let output = arguments.texts.output.as_deref();
    let mut results = Results::open(output, arguments.format, &model.info().name)?;
    // Answers to a query are ranked when all of them are known.
    let mut answers = options.query.as_ref().map(|_| Vec::new());
    model.infer_each(items, options, |index, result| {
        let prediction = match result {
            Err(error) if total != Some(1) => {
                return Err(anyhow::Error::new(error).context(format!("text {}", index + 1)));
            }
            result => result?,
        };
        if let Some(usage) = &prediction.usage {
            progress.note(&note(index, usage));
        }
        push(&mut answers, &mut results, prediction)?;
        progress.advance();
        Ok(())
    })?;
    for ranked in output::rank(&answers.unwrap_or_default(), options.top_k) {
        results.push(&ranked)?;
    }
    progress.finish();
    results.finish()
}

/// Keeps an answer to a query; writes every other result.
fn push(
    answers: &mut Option<Vec<Prediction>>,
    results: &mut Results,
    prediction: Prediction,
) -> anyhow::Result<()> {
    match answers {
        Some(answers) => {
            answers.push(prediction);
            Ok(())
        }
        None => results.push(&prediction),
    }
}

fn tokenize(payload: Payload, arguments: &Texts, options: &Options) -> anyhow::Result<()> {
    let items = Items::open(arguments, false)?;
    let model = Model::from_payload(payload, Executor::AllCores)?;
    model.check(options)?;
    let output = arguments.output.as_deref();
    let mut results = Results::open(output, Format::Json, &model.info().name)?;
    for (index, item) in items.enumerate() {
        let tokens = model.tokenize(item?, options);
        results.push(&tokens.with_context(|| format!("text {}", index + 1))?)?;
    }
    results.finish()
}

fn self_test(payload: Payload) -> anyhow::Result<ExitCode> {
    let report = Model::from_payload(payload, Executor::AllCores)?.self_test()?;
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
    Ok((encoder, Info::of(payload)?))
}

/// What became of a text that did not fit.
fn note(index: usize, usage: &TokenUsage) -> String {
    let (text, total) = (index + 1, usage.tokens_total);
    match usage.windows {
        Some(windows) => format!("note: text {text} has {total} tokens, read in {windows} windows"),
        None => format!(
            "note: text {text} has {total} tokens; the model used the {} it takes",
            usage.tokens_used
        ),
    }
}

/// `println!` without its panic when standard output is closed.
fn println(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").context("standard output")
}
