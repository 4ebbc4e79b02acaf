//! What each command does.

mod info;
mod results;

use crate::cli::{Cli, Command, Format, Infer, Texts};
use crate::inputs::Items;
use crate::progress::Progress;
use crate::{infer, source};
use anyhow::Context;
#[cfg(not(target_family = "wasm"))]
use encoderfile::Info;
use encoderfile::graph::{ISA_VARIABLE, Isa};
use encoderfile::output::Tokenized;
use encoderfile::{Encoder, Options, Payload, Prediction, TokenUsage, golden, output};
use results::Results;
use std::process::ExitCode;

/// Runs the command and says how the process should end.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    if let Ok(name) = std::env::var(ISA_VARIABLE) {
        Isa::choose(&name).context(ISA_VARIABLE)?;
    }
    let payload = source::open(cli.payload.as_deref())?;
    match &cli.command {
        Command::Infer(arguments) => infer(&payload, arguments)?,
        Command::Info { json } => info::print(&payload, *json)?,
        Command::SelfTest => return self_test(&payload),
        Command::Tokenize { texts, options } => tokenize(&payload, texts, &options.0)?,
        #[cfg(not(target_family = "wasm"))]
        Command::Serve {
            settings,
            onnx_runtime,
        } => {
            onnx_runtime.check()?;
            encoderfile_server::serve(settings, || model(&payload))?;
        }
        #[cfg(not(target_family = "wasm"))]
        Command::Mcp {
            settings,
            onnx_runtime,
        } => {
            onnx_runtime.check()?;
            encoderfile_server::mcp(settings, || model(&payload))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn infer(payload: &Payload, arguments: &Infer) -> anyhow::Result<()> {
    arguments.onnx_runtime.check()?;
    let items = Items::open(&arguments.texts, arguments.format == Format::Jsonl)?;
    let encoder = load(payload)?;
    let options = &arguments.options.0;
    encoder.check(options)?;
    let threads = match arguments.threads {
        Some(threads) => threads.get(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    encoder.use_cores(threads);
    let progress = Progress::new(items.total());
    let output = arguments.texts.output.as_deref();
    let mut results = Results::open(output, arguments.format, &payload.manifest().name)?;
    // Answers to a query are ranked when all of them are known.
    let mut answers = options.query.as_ref().map(|_| Vec::new());
    let emit = |index, prediction: Prediction| {
        if let Some(usage) = &prediction.usage {
            progress.note(&note(index, usage));
        }
        match &mut answers {
            Some(answers) => {
                answers.push(prediction);
                Ok(())
            }
            None => results.push(&prediction),
        }
    };
    infer::run(&encoder, items, options, threads, &progress, emit)?;
    for ranked in output::rank(&answers.unwrap_or_default(), options.top_k) {
        results.push(&ranked)?;
    }
    progress.finish();
    results.finish()
}

fn tokenize(payload: &Payload, arguments: &Texts, options: &Options) -> anyhow::Result<()> {
    let items = Items::open(arguments, false)?;
    let encoder = load(payload)?;
    encoder.check(options)?;
    let output = arguments.output.as_deref();
    let mut results = Results::open(output, Format::Json, &payload.manifest().name)?;
    for (index, item) in items.enumerate() {
        let item = item?;
        let tokens = encoder.tokenize(item.input(), options);
        let tokens = tokens.with_context(|| format!("text {}", index + 1))?;
        results.push(&Tokenized::from(tokens))?;
    }
    results.finish()
}

fn self_test(payload: &Payload) -> anyhow::Result<ExitCode> {
    let encoder = load(payload)?;
    let report = golden::self_test(payload, &encoder)?;
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

/// Loads the model while other cores read the tokenizer, and check the weights
/// against their hash.
#[cfg(not(target_family = "wasm"))]
fn load(payload: &Payload) -> anyhow::Result<Encoder> {
    std::thread::scope(|scope| {
        let verification = scope.spawn(|| payload.verify());
        let encoder = Encoder::load_with(payload, |tokenizer, graph| {
            // The scope waits for it, and takes on a panic in it.
            std::thread::scope(|scope| {
                scope.spawn(tokenizer);
                graph();
            });
        });
        match verification.join() {
            Ok(verified) => verified?,
            Err(_) => anyhow::bail!("the hash check ended unexpectedly"),
        }
        Ok(encoder?)
    })
}

/// Checks the weights against their hash, then loads the model.
#[cfg(target_family = "wasm")]
fn load(payload: &Payload) -> anyhow::Result<Encoder> {
    payload.verify()?;
    Ok(Encoder::load(payload)?)
}

/// What a server serves.
#[cfg(not(target_family = "wasm"))]
fn model(payload: &Payload) -> anyhow::Result<(Encoder, Info)> {
    Ok((load(payload)?, Info::of(payload)?))
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
