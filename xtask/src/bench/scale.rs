//! `cargo xtask bench scale`: Spark and Ray on this machine, beside one process with as many threads.

use super::machine::Machine;
use super::report::{Report, Target, Unit};
use super::{PASSAGES, publish};
use crate::dist::{self, DEFAULT_MODEL, Scope};
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

/// `cargo xtask bench scale`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// An encoderfile [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,

    /// A Python with pyspark, ray[data], pandas and pyarrow
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,

    /// How many rows the longer of the jobs has
    #[arg(long, value_name = "N", default_value = "20000", value_parser = clap::value_parser!(u64).range(100..))]
    rows: u64,

    /// How often each job is run: a turn takes ten minutes on two cores
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,

    /// Write the table as Markdown to FILE [default: bench-scale.md in the target folder]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// What cluster.py prints; times are seconds.
#[derive(Deserialize)]
struct Measured {
    cores: u32,
    rows: [u64; 2],
    versions: String,
    of_a_row: BTreeMap<String, f64>,
    of_a_job: BTreeMap<String, f64>,
}

/// What the others stand beside.
const ONE: &str = "one process";

/// Measures, prints and writes the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    setup::targets(workspace, &mut steps, &[WASM])?;
    let dist = dist::build(workspace, &mut steps, Scope::Programs)?;
    let wheel = python::build(workspace, &mut steps, &dist.tool)?.context("no wheel to measure")?;
    let folder = workspace.target.join("bench-scale");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let site = folder.join("site");
    wheel.unpack(&arguments.python, &site)?;

    let machine = Machine::now()?;
    steps.begin("measure", "in turns");
    let default = workspace.root.join(DEFAULT_MODEL);
    let mut measure = Command::new(&arguments.python);
    measure.arg(workspace.root.join("xtask/bench/cluster.py"));
    measure.arg(arguments.model.as_ref().unwrap_or(&default));
    measure.arg(workspace.root.join(PASSAGES));
    measure.args([arguments.rows.to_string(), arguments.turns.to_string()]);
    measure.env("PYTHONPATH", &site);
    // Ray reports to nobody and listens on loopback alone.
    measure.env("RAY_USAGE_STATS_ENABLED", "0");
    measure.env("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0");
    let json = process::capture(&mut measure)?;
    // Whatever the engines print is before it.
    let last = json.lines().last().unwrap_or_default();
    let measured: Measured = serde_json::from_str(last).context("of cluster.py")?;
    let report = measured.report()?;
    let notes = format!("{machine}\n");
    let write = arguments.write.as_deref();
    publish(workspace, &report, &notes, write, "bench-scale.md")
}

impl Measured {
    fn report(&self) -> anyhow::Result<Report> {
        let Self {
            cores,
            rows: [short, long],
            versions,
            ..
        } = self;
        let mut report = Report::default();
        report.note(format!(
            "{versions}. Rows are passages as they come, in memory before a job begins. Beside each \
             engine, which has all {cores} cores, stands one process with {cores} threads that encodes \
             the same. A row's time is the difference of jobs of {long} and of {short} rows; what a job \
             takes beside its rows is the rest, its start above all."
        ));
        let of_one = self.of_a_row.get(ONE).context(ONE)?;
        for (name, of_a_row) in self.of_a_row.iter().filter(|(name, _)| *name != ONE) {
            let target = Target::Ratio(0.9);
            let rate = Unit::TextsPerSecond;
            report.beside(name, rate, target, of_a_row.recip(), of_one.recip());
        }
        for (name, of_a_job) in self.of_a_job.iter().filter(|(name, _)| *name != ONE) {
            let what = format!("{name}: a job beside its rows");
            report.alone(what, Unit::Seconds, Target::None, *of_a_job);
        }
        Ok(report)
    }
}
