//! `cargo xtask bench browser`: the npm package in headless Chromium, beside
//! onnxruntime-web in the same page.

use super::machine::Machine;
use super::report::{Report, Target, Unit};
use super::{minilm, publish};
use crate::dist::{self, Scope};
use crate::npm;
use crate::process;
use crate::setup::{self, WASM, clients};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// `cargo xtask bench browser`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model's folder: sentence embeddings by mean pooling, in float32
    /// [default: the default model's]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// How often the shortest things are measured
    #[arg(long, value_name = "N", default_value = "7")]
    runs: u32,

    /// Write the table as Markdown to FILE [default: bench-browser.md in the target folder]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// What measure.mjs prints.
#[derive(Deserialize)]
struct Measured {
    peer: String,
    lengths: Vec<Length>,
    first_ms: f64,
    wasm_bytes: f64,
    brotli_bytes: f64,
    peer_wasm_bytes: f64,
}

/// A text of so many tokens, special tokens included.
#[derive(Deserialize)]
struct Length {
    tokens: u32,
    ms: f64,
    peer_ms: f64,
    /// The least of all runs: what other work on the machine did not disturb.
    least_ms: f64,
    peer_least_ms: f64,
}

const NOTE: &str = "\
One thread each, in one page of headless Chromium, four runs each in turn. The
least is what other work on a shared machine did not disturb. encoderfile runs in
its worker and tokenises the text, the peer is given the ids. The vectors of both
are compared, within 1e-5.";

/// Measures, prints and writes the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    steps.begin("setup", "Node, Chromium and onnxruntime-web");
    setup::targets(workspace, &mut steps, &[WASM])?;
    let node = setup::node()?;
    let chromium = clients::chromium(&mut steps)?.context("no Chromium to measure in")?;
    clients::packages_of(workspace, "tests/browser")?;
    clients::packages_of(workspace, "xtask/bench/browser")?;
    let dist = dist::build(workspace, &mut steps, Scope::Programs)?;
    let package = npm::build(workspace, &mut steps, &node)?;

    let folder = workspace.target.join("bench-browser");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let model = minilm::or_given(arguments.model.as_deref(), workspace, &dist, &folder)?;
    let bundle = folder.join("model.ef");
    dist.build_model(Some(&model), Some("bundle"), &[], &bundle)?;
    for name in ["model.onnx", "weights"] {
        let from = model.join(name);
        if from.exists() {
            fs::copy(&from, folder.join(name)).with_context(|| from.display().to_string())?;
        }
    }

    let machine = Machine::now()?;
    steps.begin("measure", "both at the same texts (some minutes)");
    let mut measure = Command::new(node);
    measure.arg(workspace.root.join("xtask/bench/browser/measure.mjs"));
    measure.arg("--package").arg(&package.tarball);
    measure.arg("--chromium").arg(chromium);
    measure.arg("--files").arg(&folder);
    let json = process::capture(measure.args(["--runs", &arguments.runs.to_string()]))?;
    let measured: Measured = serde_json::from_str(&json).context("the output of measure.mjs")?;
    let notes = format!("{machine}\nBeside it: {}\n", measured.peer);
    let write = arguments.write.as_deref();
    publish(
        workspace,
        &measured.report(),
        &notes,
        write,
        "bench-browser.md",
    )
}

impl Measured {
    fn report(&self) -> Report {
        let mut report = Report::default();
        report.note(NOTE.into());
        for length in &self.lengths {
            let tokens = length.tokens;
            let rows = [
                ("median", length.ms, length.peer_ms),
                ("least", length.least_ms, length.peer_least_ms),
            ];
            for (which, ours, peer) in rows {
                let what = format!("a text of {tokens} tokens, {which}");
                let target = Target::Ratio(1.3);
                report.beside(what, Unit::Milliseconds, target, ours, peer);
            }
        }
        let seconds = self.first_ms / 1e3;
        let first = "first embedding of a new page, all in its caches";
        report.alone(first, Unit::Seconds, Target::AtMost(1.0), seconds);
        let (ours, peer) = (self.wasm_bytes / 1e6, self.peer_wasm_bytes / 1e6);
        let target = Target::AtMost(6.0);
        report.beside("the module", Unit::Megabytes, target, ours, peer);
        let brotli = "the module in brotli";
        report.alone(
            brotli,
            Unit::Megabytes,
            Target::AtMost(2.0),
            self.brotli_bytes / 1e6,
        );
        report
    }
}
