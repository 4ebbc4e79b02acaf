//! `cargo xtask bench rows`: `infer` over files of many short rows with a tiny model, where reading,
//! writing and keeping parts are what takes the time.

use super::machine::Machine;
use super::publish;
use super::report::{Report, Target, Unit};
use super::turns::Taken;
use crate::dist::{self, Scope};
use crate::process;
use crate::setup::{self, WASM};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// `cargo xtask bench rows`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many rows
    #[arg(long, value_name = "N", default_value = "1000000")]
    rows: u32,

    /// A Python that has pyarrow
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,

    /// How often each is measured
    #[arg(long, value_name = "N", default_value = "3")]
    turns: u32,

    /// Write the table as Markdown to FILE [default: bench-rows.md in the target folder]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Of the tests: 2 layers of 32 dimensions.
const MODEL: &str = "tests/models/st-mean-normalize";

/// Of JSON lines and of Parquet.
#[derive(Deserialize)]
struct Of<T> {
    jsonl: T,
    parquet: T,
}

/// What rows.py prints.
#[derive(Deserialize)]
struct Measured {
    seconds: Of<Taken>,
    /// Bytes.
    peak: Of<f64>,
    peak_of_fewer: Of<f64>,
    lost_or_doubled: f64,
}

/// Measures, prints and writes the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    setup::targets(workspace, &mut steps, &[WASM])?;
    let dist = dist::build(workspace, &mut steps, Scope::Programs)?;
    let folder = workspace.target.join("bench-rows");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let model = folder.join("model.ef");
    let source = workspace.root.join(MODEL);
    dist.build_model(Some(&source), None, &["--target", "bundle"], &model)?;

    let machine = Machine::now()?;
    steps.begin("measure", "in turns");
    let mut measure = Command::new(&arguments.python);
    measure.arg(workspace.root.join("xtask/bench/rows.py"));
    measure.arg(&dist.tool).arg(&model).arg(&folder);
    measure.args([arguments.rows, arguments.turns].map(|it| it.to_string()));
    let json = process::capture(&mut measure)?;
    let measured: Measured = serde_json::from_str(&json).context("of rows.py")?;
    let write = arguments.write.as_deref();
    let report = measured.report(arguments.rows);
    publish(
        workspace,
        &report,
        &format!("{machine}\n"),
        write,
        "bench-rows.md",
    )
}

impl Measured {
    fn report(&self, rows: u32) -> Report {
        let mut report = Report::default();
        report.note(format!(
            "{rows} rows of five words through a model of two layers and 32 dimensions, start and \
             load included. Killed twice and resumed, JSON lines and Parquet were the same bytes as \
             of a run that nobody killed."
        ));
        let rate = |taken: Taken| taken.map(|seconds| f64::from(rows) / seconds);
        let race = [rate(self.seconds.parquet), rate(self.seconds.jsonl)];
        let what = "Parquet to Parquet; beside it: JSON lines to JSON lines";
        report.race(what, Unit::TextsPerSecond, Target::Ratio(0.95), race);
        for (what, of) in [
            ("JSON lines", |it: &Of<f64>| it.jsonl),
            ("Parquet", |it: &Of<f64>| it.parquet),
        ] as [(&str, fn(&Of<f64>) -> f64); 2]
        {
            let [all, fewer] = [&self.peak, &self.peak_of_fewer].map(|it| of(it) / 1e6);
            let what = format!("peak memory, {what}; beside it: of a tenth of the rows");
            report.beside(what, Unit::Megabytes, Target::Ratio(0.8), all, fewer);
        }
        let what = "rows lost or doubled by two kills";
        report.alone(what, Unit::Count, Target::AtMost(0.0), self.lost_or_doubled);
        report
    }
}
