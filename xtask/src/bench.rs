//! `cargo xtask bench`: everything the project must reach, measured, beside
//! ONNX Runtime in the same run.
//!
//! Every number is a median of several runs. Those of encoderfile are of whole
//! processes, model load and output included; those of ONNX Runtime leave out
//! its load where the row is about speed.
//!
//! `cargo xtask bench serve` is about the server alone (`bench/serve.rs`), `cargo
//! xtask bench browser` about the npm package (`bench/browser.rs`).

mod accuracy;
mod browser;
mod machine;
mod memory;
mod peer;
mod profile;
mod report;
mod serve;
mod speed;
mod startup;
mod subject;

use crate::dist::{self, Native};
use crate::setup::{self, WASM};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use machine::Machine;
use peer::Peer;
use report::Report;
use std::fs;
use std::path::{Path, PathBuf};
use subject::{Inputs, Subject};

/// `cargo xtask bench`
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Fewer runs: minutes instead of a quarter of an hour
    #[arg(long)]
    quick: bool,

    /// The model's folder
    #[arg(
        long,
        value_name = "DIR",
        default_value = "../shared/models/all-MiniLM-L6-v2"
    )]
    model: PathBuf,

    /// The texts for throughput, one a line
    #[arg(
        long,
        value_name = "FILE",
        default_value = "../shared/data/passages.txt"
    )]
    passages: PathBuf,

    /// Write the table as Markdown to FILE [default: bench.md in the target folder]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Instead of all that, show where the time of a text goes, by operator
    #[arg(long)]
    profile: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Measure the server of a built file under load
    Serve(serve::Arguments),
    /// Measure the npm package in Chromium, beside onnxruntime-web
    Browser(browser::Arguments),
}

/// How often a thing is measured for its median.
#[derive(Clone, Copy)]
struct Runs {
    /// What takes less than a second or two.
    short: usize,
    /// What takes longer.
    long: usize,
}

const NOTE: &str = "\
Every number is a median. `×` is a multiple of the model's weights file; the
ratio is encoderfile over ONNX Runtime. Times of encoderfile over the passages
hold process start, model load and printing; those of ONNX Runtime do not.";

/// Measures, prints and writes the table.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Some(Command::Serve(arguments)) => return serve::run(workspace, arguments),
        Some(Command::Browser(arguments)) => return browser::run(workspace, arguments),
        None if arguments.profile => return profile::run(workspace, &arguments.model),
        None => {}
    }
    let mut steps = Steps::new();
    steps.begin(
        "setup",
        "the wasm target, the wasmtime CLI, and ONNX Runtime to compare with",
    );
    setup::targets(workspace, &mut steps, &[WASM])?;
    let wasmtime = setup::wasmtime(workspace)?;
    let peer = Peer::install(workspace)?;
    let dist = dist::build(workspace, &mut steps, Native::Programs)?;

    let machine = Machine::now();
    steps.begin("measure", "one thing after the other, each several times");
    let inputs = Inputs {
        model: arguments.model.clone(),
        passages: arguments.passages.clone(),
        runs: arguments.runs(),
    };
    let subject = Subject::prepare(workspace, dist, wasmtime, inputs)?;
    let report = measure(&subject, &peer)?;

    let notes = format!("{machine}\n{}\n", peer.versions()?);
    let write = arguments.write.as_deref();
    publish(workspace, &report, &notes, write, "bench.md")
}

/// Prints the table and writes it to `path`, or to the target folder.
fn publish(
    workspace: &Workspace,
    report: &Report,
    notes: &str,
    path: Option<&Path>,
    default: &str,
) -> anyhow::Result<()> {
    println!("\n{notes}\n{}", report.to_terminal());
    let path = path.map_or_else(|| workspace.target.join(default), Path::to_owned);
    fs::write(&path, format!("{notes}\n{}", report.to_markdown()))
        .with_context(|| path.display().to_string())?;
    println!("written to {}", workspace.shown(&path));
    Ok(())
}

fn measure(subject: &Subject, peer: &Peer) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.note(NOTE.into());
    accuracy::measure(subject, &mut report)?;
    let load_ms = speed::measure(subject, peer, &mut report)?;
    startup::measure(subject, peer, load_ms, &mut report)?;
    memory::measure(subject, peer, &mut report)?;
    Ok(report)
}

impl Arguments {
    fn runs(&self) -> Runs {
        if self.quick {
            Runs { short: 3, long: 1 }
        } else {
            Runs { short: 7, long: 3 }
        }
    }
}

/// The middle one of `runs` measurements (the upper, of an even number).
fn median(runs: usize, mut once: impl FnMut() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut values = Vec::with_capacity(runs);
    for _ in 0..runs {
        values.push(once()?);
    }
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2);
    middle.copied().context("a measurement of no runs")
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn one_slow_run_does_not_move_the_median() {
        let mut times = [1.0, 90.0, 2.0].into_iter();
        let middle = median(3, || Ok(times.next().unwrap())).unwrap();
        assert!((middle - 2.0).abs() < 1e-12);
        assert!(median(0, || Ok(0.0)).is_err());
    }
}
