//! `cargo xtask bench`: everything the project must reach, measured, beside
//! ONNX Runtime in the same run.
//!
//! Every number is a median. What is compared is measured in turns (`bench/turns.rs`):
//! encoderfile as people run it, and sessions of ONNX Runtime, both loaded meanwhile
//! unless start and load are what is measured.
//!
//! `cargo xtask bench serve` is about the server alone (`bench/serve.rs`), `cargo
//! xtask bench browser` about the npm package (`bench/browser.rs`), `cargo xtask bench component`
//! about a component under wasmtime (`bench/component.rs`), `cargo xtask bench
//! kernels` about GEMM by shape (`bench/kernels.rs`), `cargo xtask bench encodings` about
//! matrices in fewer bits (`bench/encodings.rs`), `cargo xtask bench python` about the Python package
//! (`bench/python.rs`), `cargo xtask bench rows` about files of many rows (`bench/rows.rs`), `cargo
//! xtask bench scale` about Spark and Ray (`bench/scale.rs`).

mod accuracy;
mod browser;
mod client;
mod component;
mod conversation;
mod encodings;
mod int8;
mod kernels;
mod latency;
mod machine;
mod memory;
mod minilm;
mod multilingual;
mod passages;
mod peak;
mod peer;
mod profile;
mod python;
mod report;
mod rows;
mod scale;
mod serve;
mod share;
mod short;
mod sized;
mod speed;
mod startup;
mod subject;
mod turns;

use crate::dist::{self, Scope};
use crate::documents::{self, README};
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

    /// Fewer turns: minutes instead of a quarter of an hour
    #[arg(long)]
    quick: bool,

    /// The model's folder [default: the default model's, in float32]; for --profile also
    /// a name in xtask/bench/graphs
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// The texts for throughput, one a line
    #[arg(long, value_name = "FILE", default_value = PASSAGES)]
    passages: PathBuf,

    /// Write the tables as Markdown to FILE [default: bench.md in the target
    /// folder]; BENCHMARKS.md keeps its other sections, and the README
    /// shows some of the rows
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
    /// Measure a component under wasmtime: requests, and the start of a command
    Component(component::Arguments),
    /// Measure the npm package in Chromium, beside onnxruntime-web
    Browser(browser::Arguments),
    /// Measure what storing the matrices in fewer bits costs and saves, beside float32
    Encodings(encodings::Arguments),
    /// Measure the Python package, beside the command line and other packages
    Python(python::Arguments),
    /// Measure `infer` over files of many rows: Parquet, JSON lines, memory, killed runs
    Rows(rows::Arguments),
    /// Measure Spark and Ray, beside one process with as many threads
    Scale(scale::Arguments),
    /// Measure GEMM by shape, beside ONNX Runtime's and two crates'
    Kernels,
}

/// How often a thing is measured for its median.
#[derive(Clone, Copy)]
struct Turns {
    /// What takes a few seconds at most.
    short: usize,
    /// What takes longer.
    long: usize,
}

/// Five books' paragraphs, from the root.
const PASSAGES: &str = "xtask/bench/passages.txt";

/// The document with all measurements, some of them by hand.
const PAGE: &str = "BENCHMARKS.md";

/// The page's table for this kind of processor.
fn place() -> anyhow::Result<String> {
    let sets = peak::InstructionSet::all();
    let widest = sets.last().context("no instruction set")?;
    Ok(format!("measured with {}", widest.name))
}

/// The rows that the README shows, and what it calls them.
pub(crate) const SHOWN: [(&str, &str); 5] = [
    (
        "process start to first embedding",
        "process start to first embedding, all-MiniLM-L6-v2",
    ),
    (
        "start to first embedding, bert-base; beside it: load",
        "the same with BERT-base; beside it, loading a session alone",
    ),
    (
        "start to first embedding, deberta-v3-base; beside it: load",
        "the same with DeBERTa-v3-base; beside it, loading a session alone",
    ),
    (
        "the same; beside it: as they come, in padded 32s",
        "passages as they come, two threads; beside it, in padded batches of 32",
    ),
    (
        "peak memory of one text, in weights",
        "peak memory of one text, as a multiple of the weights",
    ),
];

const NOTE: &str = "\
The model is all-MiniLM-L6-v2 in float32 unless a row names another; those named
have the graph and the sizes of the model of that name, and random weights. Beside
it stands ONNX Runtime, unless a row says what. A ratio above 1 means that
encoderfile is ahead: the other's time over ours, our rate over the other's. Both
were measured in turns; numbers are medians, and the ratio of the best is that of
the best that each of them did. `×` is a multiple of the model's weights file.

Times of a text are those of a process that is loaded, `infer --threads N`, which
answers each before it gets the next, and of a session of ONNX Runtime that is
loaded; both with tokenising and pooling. Passages, texts of few words and first embeddings are those
of whole processes, start and load included, here alone: ONNX Runtime's texts
are those of a loaded session, and its load is the making of the session alone, in
a new process of Python.";

/// Measures, prints and writes the table.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Some(Command::Serve(arguments)) => return serve::run(workspace, arguments),
        Some(Command::Component(arguments)) => return component::run(workspace, arguments),
        Some(Command::Browser(arguments)) => return browser::run(workspace, arguments),
        Some(Command::Kernels) => return kernels::run(workspace),
        Some(Command::Python(arguments)) => return python::run(workspace, arguments),
        Some(Command::Rows(arguments)) => return rows::run(workspace, arguments),
        Some(Command::Scale(arguments)) => return scale::run(workspace, arguments),
        None if arguments.profile => return profile::run(workspace, arguments.model.as_deref()),
        Some(Command::Encodings(_)) | None => {}
    }
    let mut steps = Steps::new();
    steps.begin(
        "setup",
        "the wasm target, the wasmtime CLI, and ONNX Runtime to compare with",
    );
    setup::targets(workspace, &mut steps, &[WASM])?;
    let wasmtime = setup::wasmtime::find(workspace)?;
    let peer = Peer::install(workspace)?;
    let dist = dist::build(workspace, &mut steps, Scope::Programs)?;

    let write = arguments.write.as_deref();
    if is_page(workspace, write) {
        documents::check(workspace, PAGE, &place()?)?;
    }
    let machine = Machine::now()?;
    println!("{machine}");
    steps.begin("measure", "in turns, each several times");
    let folder = workspace.target.join("bench");
    let minilm = minilm::make(workspace, &dist, &folder)?;
    peer.inline(&minilm)?;
    let inputs = Inputs {
        model: arguments.model().cloned().unwrap_or_else(|| minilm.clone()),
        minilm,
        passages: arguments.passages.clone(),
        turns: arguments.turns(),
    };
    let subject = Subject::prepare(workspace, dist, wasmtime, inputs)?;
    if let Some(Command::Encodings(_)) = arguments.command {
        let report = encodings::measure(&subject, &peer)?;
        return publish(workspace, &report, "", None, "encodings.md");
    }
    let report = measure(&subject, &peer)?;

    let notes = format!("{}\n\n{machine}\n", peer.versions()?);
    if !is_page(workspace, write) {
        return publish(workspace, &report, &notes, write, "bench.md");
    }
    println!("\n{notes}\n{}", report.to_terminal());
    let measured = format!("{notes}\n{}", report.to_markdown());
    documents::write(workspace, PAGE, &place()?, &measured)?;
    let shown = report.shown(&SHOWN)?.to_markdown();
    documents::write(
        workspace,
        README,
        "benchmarks",
        &format!("{shown}\n{machine}\n"),
    )
}

fn is_page(workspace: &Workspace, path: Option<&Path>) -> bool {
    let page = workspace.root.join(PAGE).canonicalize().ok();
    page.is_some() && page == path.and_then(|path| path.canonicalize().ok())
}

/// Prints the tables and writes them to `path`, or to the target folder.
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
    let Turns { short, long } = subject.inputs.turns;
    report.note(format!(
        "{short} turns of everything, {long} of all passages."
    ));
    let service = peer.serve()?;
    speed::measure(subject, &service, &mut report)?;
    share::measure(subject, &mut report)?;
    sized::measure(subject, peer, &service, &mut report)?;
    int8::measure(subject, peer, &service, &mut report)?;
    passages::measure(subject, &service, &mut report)?;
    short::measure(subject, &service, &mut report)?;
    startup::first_result(subject, peer, &mut report)?;
    multilingual::measure(subject, peer, &mut report)?;
    speed::wasm(subject, &mut report)?;
    memory::measure(subject, peer, &mut report)?;
    accuracy::measure(subject, &mut report)?;
    startup::alone(subject, &mut report)?;
    Ok(report)
}

impl Arguments {
    fn model(&self) -> Option<&PathBuf> {
        match &self.command {
            Some(Command::Encodings(of_encodings)) => of_encodings.model.as_ref(),
            _ => self.model.as_ref(),
        }
    }

    fn turns(&self) -> Turns {
        if self.quick {
            Turns { short: 3, long: 1 }
        } else {
            Turns { short: 9, long: 5 }
        }
    }
}
