//! `cargo xtask bench serve`: what `./model.encoderfile serve` does under load.
//!
//! Invariant: this ends by itself. Every wait has a limit, and every server is
//! killed when its handle is dropped, also when a measurement fails.
//!
//! Clients are threads that block on std's sockets, because the two of them
//! share their cores with the server: a request costs a few system calls, and
//! no answer is parsed.

mod connections;
mod fairness;
mod mixed;
mod server;
mod shutdown;
mod throughput;

use super::machine::Machine;
use super::report::Report;
use super::{PASSAGES, minilm, publish};
use crate::dist::{self, Scope};
use crate::setup::{self, WASM};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::{Context, anyhow, ensure};
use std::fs;
use std::path::PathBuf;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// `cargo xtask bench serve`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Shorter measurements: about three minutes instead of a quarter of an hour
    #[arg(long)]
    quick: bool,

    /// The model's folder [default: the default model's, in float32]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// Measure this encoderfile (of sentence embeddings), and build nothing
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    file: Option<PathBuf>,

    /// The texts, one a line
    #[arg(long, value_name = "FILE", default_value = PASSAGES)]
    passages: PathBuf,

    /// How long the mixed load lasts [default: 10, or 20 seconds with --quick]
    #[arg(long, value_name = "N")]
    minutes: Option<u32>,

    /// Write the table as Markdown to FILE [default: bench-serve.md in the target folder]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// A short text, where a row says nothing else.
const SHORT_TEXT: &str = "A cat sits on the mat.";

/// What is measured, with what and for how long.
struct Subject {
    /// The encoderfile.
    file: PathBuf,
    /// For the servers' logs.
    folder: PathBuf,
    passages_file: PathBuf,
    passages: Vec<String>,
    plan: Plan,
}

/// How long things take.
#[derive(Clone, Copy)]
struct Plan {
    /// Times that the passages are read; rows are medians of so many runs.
    runs: usize,
    /// Of a fixed-rate probe.
    probe: Duration,
    /// Of the mixed load.
    mixed: Duration,
}

const NOTE: &str = "\
Clients and server share this machine, over 127.0.0.1. Latencies are seen by the
client, of whole answers. Probes at a fixed rate count from when a request was
due, so a server that stalls cannot hide it by delaying the next question.";

type Section = fn(&Subject, &mut Report) -> anyhow::Result<()>;

const SECTIONS: [(&str, &str, Section); 5] = [
    (
        "throughput",
        "infer, one large request, 32 clients",
        throughput::measure,
    ),
    (
        "fairness",
        "short texts while a large request is in work",
        fairness::measure,
    ),
    (
        "connections",
        "10,000 idle ones, and 200 that never finish their headers",
        connections::measure,
    ),
    ("mixed load", "all kinds of clients at once", mixed::measure),
    ("shutdown", "SIGTERM under load", shutdown::measure),
];

/// Measures, prints and writes the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    let subject = Subject::prepare(workspace, &mut steps, arguments)?;
    let machine = Machine::now()?;
    let mut report = Report::default();
    report.note(NOTE.into());
    let mut failed = Vec::new();
    for (name, what, measure) in SECTIONS {
        steps.begin(name, what);
        // What was measured so far is worth its minutes.
        if let Err(error) = measure(&subject, &mut report) {
            eprintln!("    failed: {error:#}");
            report.note(format!("{name} FAILED: {error:#}"));
            failed.push(name);
        }
    }
    let write = arguments.write.as_deref();
    publish(
        workspace,
        &report,
        &format!("{machine}\n"),
        write,
        "bench-serve.md",
    )?;
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

impl Subject {
    fn prepare(
        workspace: &Workspace,
        steps: &mut Steps,
        arguments: &Arguments,
    ) -> anyhow::Result<Self> {
        let passages = &arguments.passages;
        let texts = fs::read_to_string(passages).with_context(|| passages.display().to_string())?;
        let texts: Vec<String> = texts.lines().map(str::to_owned).collect();
        ensure!(
            texts.len() >= 100,
            "{}: fewer than 100 texts",
            passages.display()
        );
        let folder = workspace.target.join("bench").join("serve");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let file = match &arguments.file {
            Some(file) => file.canonicalize(),
            None => Ok(build(workspace, steps, arguments, folder.join("model"))?),
        };
        Ok(Self {
            file: file.context("--file")?,
            folder,
            passages_file: passages.clone(),
            passages: texts,
            plan: arguments.plan(),
        })
    }

    /// Of the passages, from the beginning.
    fn first_passages(&self, count: usize) -> &[String] {
        self.passages.get(..count).unwrap_or(&self.passages)
    }
}

fn build(
    workspace: &Workspace,
    steps: &mut Steps,
    arguments: &Arguments,
    file: PathBuf,
) -> anyhow::Result<PathBuf> {
    steps.begin("setup", "the wasm target, for the base in the tool");
    setup::targets(workspace, steps, &[WASM])?;
    let dist = dist::build(workspace, steps, Scope::Programs)?;
    let folder = workspace.target.join("bench");
    let model = minilm::or_given(arguments.model.as_deref(), workspace, &dist, &folder)?;
    dist.build_model(Some(&model), None, &[], &file)?;
    Ok(file)
}

impl Arguments {
    fn plan(&self) -> Plan {
        let minutes = |count: u32| Duration::from_secs(60) * count;
        if self.quick {
            Plan {
                runs: 1,
                probe: Duration::from_secs(4),
                mixed: self.minutes.map_or(Duration::from_secs(20), minutes),
            }
        } else {
            Plan {
                runs: 3,
                probe: Duration::from_secs(8),
                mixed: minutes(self.minutes.unwrap_or(10)),
            }
        }
    }
}

/// What a thread measured.
pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow!("a client panicked"))
}
