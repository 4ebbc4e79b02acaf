//! `cargo xtask quickstart`: from a fresh clone to a model in one file that runs
//! natively and as wasm, with the numbers side by side.
//!
//! The wasm file runs under the host that the tool has inside: the wasmtime CLI, which
//! runs it just as well, would take longer to compile than all else together.

use crate::dist::{self, Dist, Scope, megabytes, size};
use crate::infer::Program;
use crate::setup::{self, WASM};
use crate::similarity::{cosine, largest_difference};
use crate::steps::Steps;
use crate::table::{Align, Table};
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Two pairs of near meaning.
const SENTENCES: [&str; 4] = [
    "A cat sits on the mat.",
    "A kitten is resting on the rug.",
    "The stock market fell sharply today.",
    "Share prices dropped this morning.",
];

/// `cargo xtask quickstart`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Put the files into DIR, a new or an empty folder [default: quickstart in the target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The files made.
struct Files {
    folder: PathBuf,
    native: PathBuf,
    wasm: PathBuf,
}

/// What each step took, in order.
type Times = Vec<(&'static str, Duration)>;

/// Vectors of [`SENTENCES`], from either file.
struct Vectors {
    native: Vec<Vec<f64>>,
    wasm: Vec<Vec<f64>>,
}

/// Builds, runs, compares and prints.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let files = Files::new(workspace, arguments)?;
    let mut steps = Steps::new();
    steps.begin("setup", "the wasm target");
    setup::targets(workspace, &mut steps, &[WASM])?;
    let dist = dist::build(workspace, &mut steps, Scope::Trial)?;
    let mut times = Times::new();
    steps.begin("build", "two encoderfiles of the embedded default model");
    files.build(&dist, &mut times)?;
    steps.begin("infer", "four sentences, natively and as wasm");
    let vectors = files.infer(&dist, &mut times)?;

    println!("\nCosine similarity, as the native file computes it\n");
    print!("{}", similarities(&vectors.native).to_terminal());
    let difference = largest_difference(&vectors.native, &vectors.wasm);
    println!("\n  Largest difference of any number between native and wasm: {difference:.1e}");
    println!("\nSizes and times\n");
    print!("{}", files.sizes(&dist)?.to_terminal());
    println!();
    print!("{}", shown(&times).to_terminal());
    files.print_commands(&dist, workspace);
    Ok(())
}

impl Files {
    fn new(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Self> {
        let folder = match &arguments.out {
            Some(folder) => std::path::absolute(folder)?,
            None => workspace.target.join("quickstart"),
        };
        if arguments.out.is_none() && folder.exists() {
            // Only ever our own.
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let is_empty = fs::read_dir(&folder)?.next().is_none();
        ensure!(
            is_empty,
            "{}: not empty; give --out a new folder",
            folder.display()
        );
        Ok(Self {
            native: folder.join("minilm.encoderfile"),
            wasm: folder.join("minilm.ef.wasm"),
            folder,
        })
    }

    fn build(&self, dist: &Dist, times: &mut Times) -> anyhow::Result<()> {
        times.push((
            "build, native",
            dist.build_model(None, None, &[], &self.native)?,
        ));
        times.push((
            "build, wasm",
            dist.build_model(None, Some(WASM), &[], &self.wasm)?,
        ));
        Ok(())
    }

    fn infer(&self, dist: &Dist, times: &mut Times) -> anyhow::Result<Vectors> {
        let native = Program::Native(self.native.clone());
        let wasm = Program::Hosted {
            tool: dist.tool.clone(),
            file: self.wasm.clone(),
        };
        let (time, native) = native.embed(&SENTENCES)?;
        times.push(("infer, native", time));
        let (time, first) = wasm.embed(&SENTENCES)?;
        times.push(("infer, wasm, first run", time));
        let (time, second) = wasm.embed(&SENTENCES)?;
        times.push(("infer, wasm, second run", time));
        ensure!(
            first == second,
            "two runs of the wasm file gave different numbers"
        );
        Ok(Vectors {
            native,
            wasm: first,
        })
    }

    fn sizes(&self, dist: &Dist) -> anyhow::Result<Table> {
        let mut table = Table::new(&[("file", Align::Left), ("size", Align::Right)]);
        for path in [&dist.tool, &self.native, &self.wasm] {
            let name = path.file_name().unwrap_or(path.as_os_str());
            table.push(vec![name.to_string_lossy().into(), megabytes(size(path)?)]);
        }
        Ok(table)
    }

    fn print_commands(&self, dist: &Dist, workspace: &Workspace) {
        println!("\nTry them\n");
        println!("  cd {}", workspace.shown(&self.folder));
        println!("  ./minilm.encoderfile infer \"Any text of yours.\"");
        println!("  ./minilm.encoderfile info");
        let tool = dist.tool.display();
        println!("  {tool} run minilm.ef.wasm infer \"Any text of yours.\"");
        println!(
            "  wasmtime run minilm.ef.wasm infer \"Any text of yours.\"   # where wasmtime is installed"
        );
        println!("\nThe tool that made them: {tool}");
    }
}

fn similarities(vectors: &[Vec<f64>]) -> Table {
    let columns = [("sentence", Align::Left)].into_iter();
    let numbers = ["1", "2", "3", "4"].map(|number| (number, Align::Right));
    let columns: Vec<_> = columns.chain(numbers).collect();
    let mut table = Table::new(&columns);
    for (index, (sentence, vector)) in SENTENCES.iter().zip(vectors).enumerate() {
        let cosines = vectors
            .iter()
            .map(|other| format!("{:.2}", cosine(vector, other)));
        let mut row = vec![format!("{} {sentence}", index + 1)];
        row.extend(cosines);
        table.push(row);
    }
    table
}

fn shown(times: &Times) -> Table {
    let mut table = Table::new(&[("step", Align::Left), ("time", Align::Right)]);
    for (step, time) in times {
        table.push(vec![(*step).into(), format!("{:.2} s", time.as_secs_f64())]);
    }
    table
}
