//! `cargo xtask bench python`: the Python package, beside the command line, a server, and what of
//! sentence-transformers and fastembed is installed.

use super::machine::Machine;
use super::report::{Report, Target, Unit};
use super::turns::Taken;
use super::{PASSAGES, minilm, publish};
use crate::dist::{self, Scope};
use crate::process;
use crate::python;
use crate::setup::{self, WASM};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// `cargo xtask bench python`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model's folder: sentence embeddings by mean pooling, in float32
    /// [default: the default model's]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// The Python that has what is to stand beside it: any of sentence-transformers and fastembed;
    /// NumPy it needs
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,

    /// How often the passages are computed
    #[arg(long, value_name = "N", default_value = "5")]
    turns: u32,

    /// Write the table as Markdown to FILE [default: bench-python.md in the target folder]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// What python_package.py prints; times are seconds.
#[derive(Deserialize)]
struct Measured {
    texts: f64,
    /// Their versions.
    peers: BTreeMap<String, String>,
    passages: BTreeMap<String, Taken>,
    short: BTreeMap<String, f64>,
    starts: BTreeMap<String, f64>,
}

const NOTE: &str = "\
All passages as they come, on all cores. `encode` and the peers are loaded in one process of Python;
`infer` is a whole process, with start, load and output; the server is encoderfile's, asked for 32
texts at a time over one connection. \
Vectors of the peers are compared with ours, unless \
their weights are random: the folder has none of PyTorch's then. They pad a batch, encoderfile does not.";

/// Measures, prints and writes the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    setup::targets(workspace, &mut steps, &[WASM])?;
    let dist = dist::build(workspace, &mut steps, Scope::Programs)?;
    let wheel = python::build(workspace, &mut steps, &dist.tool)?.context("no wheel to measure")?;
    let folder = workspace.target.join("bench-python");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let model = minilm::or_given(arguments.model.as_deref(), workspace, &dist, &folder)?;
    let native = folder.join("model.encoderfile");
    dist.build_model(Some(&model), None, &[], &native)?;
    let site = folder.join("site");
    wheel.unpack(&arguments.python, &site)?;

    let machine = Machine::now()?;
    steps.begin("measure", "in turns");
    let mut measure = Command::new(&arguments.python);
    measure.arg(workspace.root.join("xtask/bench/python_package.py"));
    measure.arg(&native).arg(&model);
    measure.arg(workspace.root.join(PASSAGES));
    measure.arg(arguments.turns.to_string());
    let json = process::capture(measure.env("PYTHONPATH", &site).env("HF_HUB_OFFLINE", "1"))?;
    let measured: Measured = serde_json::from_str(&json).context("of python_package.py")?;
    let notes = format!("{machine}\n");
    let write = arguments.write.as_deref();
    publish(
        workspace,
        &measured.report()?,
        &notes,
        write,
        "bench-python.md",
    )
}

impl Measured {
    fn report(&self) -> anyhow::Result<Report> {
        let mut report = Report::default();
        report.note(NOTE.into());
        let rate = |name: &str| {
            let taken = self.passages.get(name).with_context(|| name.to_owned())?;
            anyhow::Ok(taken.map(|seconds| self.texts / seconds))
        };
        for (name, target) in [("infer", 0.97), ("http", 1.0)] {
            let what = format!("passages; beside it: `{name}`");
            let race = [rate("encode")?, rate(name)?];
            report.race(what, Unit::TextsPerSecond, Target::Ratio(target), race);
        }
        for (name, version) in &self.peers {
            let what = format!("passages; beside it: {name} {version}");
            let race = [rate("encode")?, rate(name)?];
            report.race(what, Unit::TextsPerSecond, Target::Ratio(1.0), race);
        }
        let milliseconds = |times: &BTreeMap<String, f64>, name: &str| {
            let seconds = times.get(name).with_context(|| name.to_owned())?;
            anyhow::Ok(seconds * 1e3)
        };
        let [ours, native] = ["encode", "infer"].map(|it| milliseconds(&self.short, it));
        let what = "a short text, loaded; beside it: `infer` by pipes";
        report.beside(what, Unit::Milliseconds, Target::Ratio(1.0), ours?, native?);
        for (what, name, most) in [
            ("import encoderfile", "import", 60.0),
            ("Encoderfile.load", "load", 100.0),
        ] {
            let milliseconds = milliseconds(&self.starts, name)?;
            report.alone(what, Unit::Milliseconds, Target::AtMost(most), milliseconds);
        }
        Ok(report)
    }
}
