//! The ways to run a model: the same command line, on every target.

use crate::process::{self, Finished};
use crate::programs::Programs;
use crate::request::Item;
use crate::rows::{self, Row, Tokenized};
use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The builder's name for WASI hosts.
pub const WASI: &str = "wasm32-wasip1";

/// A way to run a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The native executable.
    Native,
    /// The wasmtime CLI with the base module, which it compiles once for all
    /// models, and a bundle in a pre-opened folder.
    Wasmtime,
    /// The wasmtime CLI with the model's own module, and no flags.
    WasmtimeModule,
    /// Node's WASI with the model's own module.
    Node,
    /// `encoderfile run` with the model's own module.
    Run,
}

impl Target {
    /// Those that are quick enough for every model.
    pub const EVERY_MODEL: [Self; 3] = [Self::Native, Self::Wasmtime, Self::Node];

    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Wasmtime,
        Self::WasmtimeModule,
        Self::Node,
        Self::Run,
    ];

    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Wasmtime => "wasmtime",
            Self::WasmtimeModule => "wasmtime module",
            Self::Node => "node",
            Self::Run => "run",
        }
    }
}

/// The programs, and the base module that the tool carries.
pub struct Runner {
    programs: Programs,
    base: PathBuf,
    folder: TempDir,
}

impl Runner {
    /// Takes the base module out of the tool.
    pub fn new(programs: Programs) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut extract = Command::new(&programs.encoderfile);
        extract.arg("extract").arg(&programs.encoderfile);
        process::succeed(extract.arg("-o").arg(folder.path()))?;
        let base = folder.path().join(format!("base-{WASI}"));
        ensure!(base.is_file(), "the tool carries no base for {WASI}");
        Ok(Self {
            programs,
            base,
            folder,
        })
    }

    /// A place for files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The `encoderfile` command.
    pub fn encoderfile(&self) -> Command {
        Command::new(&self.programs.encoderfile)
    }

    /// Whether the programs for a target are there.
    pub fn has(&self, target: Target) -> bool {
        match target {
            Target::Native | Target::Run => true,
            Target::Wasmtime | Target::WasmtimeModule => self.programs.wasmtime.is_some(),
            Target::Node => self.programs.node.is_some(),
        }
    }

    /// A built model on a target, to be told what to do.
    pub fn command(&self, target: Target, built: &Built) -> anyhow::Result<Command> {
        let programs = &self.programs;
        let command = match target {
            Target::Native => Command::new(&built.native),
            Target::Wasmtime => {
                let mut command = wasmtime(programs)?;
                command
                    .arg("--dir")
                    .arg(built.folder.path())
                    .arg(&self.base);
                command.arg("--payload").arg(&built.bundle);
                command
            }
            Target::WasmtimeModule => {
                let mut command = wasmtime(programs)?;
                command.arg(&built.module);
                command
            }
            Target::Node => {
                let node = programs.node.as_ref().context("no Node")?;
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node-wasi.mjs");
                let mut command = Command::new(node);
                command.arg("--no-warnings").arg(script).arg(&built.module);
                command
            }
            Target::Run => {
                let mut command = self.encoderfile();
                command.arg("run").arg(&built.module);
                command
            }
        };
        Ok(command)
    }

    /// The result line of each item, in one run.
    pub fn infer<S: AsRef<OsStr>>(
        &self,
        target: Target,
        built: &Built,
        items: &[Item],
        options: &[S],
    ) -> anyhow::Result<Vec<String>> {
        let lines = self.lines(target, built, items, options)?;
        ensure!(
            lines.len() == items.len(),
            "{} results for {} texts",
            lines.len(),
            items.len()
        );
        Ok(lines)
    }

    /// The lines that come out of one run; not one an item where items are ranked.
    pub fn lines<S: AsRef<OsStr>>(
        &self,
        target: Target,
        built: &Built,
        items: &[Item],
        options: &[S],
    ) -> anyhow::Result<Vec<String>> {
        let mut command = self.command(target, built)?;
        command.args(["infer", "--format", "jsonl", "--input", "-"]);
        let finished = with_items(command.args(options), items)?;
        Ok(finished.text()?.lines().map(str::to_owned).collect())
    }

    /// The same, read.
    pub fn rows(
        &self,
        target: Target,
        built: &Built,
        items: &[Item],
        options: &[&str],
    ) -> anyhow::Result<Vec<Row>> {
        rows::parse(&self.infer(target, built, items, options)?.join("\n"))
    }

    /// The tokens of each item, in one run.
    pub fn tokenize(
        &self,
        target: Target,
        built: &Built,
        items: &[Item],
    ) -> anyhow::Result<Vec<Tokenized>> {
        let mut command = self.command(target, built)?;
        let finished = with_items(command.args(["tokenize", "--input", "-"]), items)?;
        let tokenized = rows::parse_tokenized(finished.text()?)?;
        ensure!(
            tokenized.len() == items.len(),
            "{} results",
            tokenized.len()
        );
        Ok(tokenized)
    }
}

fn wasmtime(programs: &Programs) -> anyhow::Result<Command> {
    let mut command = Command::new(programs.wasmtime.as_ref().context("no wasmtime")?);
    command.arg("run");
    Ok(command)
}

/// Runs a command with items as JSON lines on its standard input.
fn with_items(command: &mut Command, items: &[Item]) -> anyhow::Result<Finished> {
    let mut lines = String::new();
    for item in items {
        lines += &serde_json::to_string(item)?;
        lines.push('\n');
    }
    let input = tempfile::NamedTempFile::new()?;
    fs::write(input.path(), lines)?;
    process::finish_with_input(command, input.path())?.succeeded()
}

/// A model, built in every form.
pub struct Built {
    folder: TempDir,
    /// The executable for this machine.
    pub native: PathBuf,
    /// The module with its payload.
    pub module: PathBuf,
    /// The payload alone.
    pub bundle: PathBuf,
}

impl Built {
    /// Builds a folder's model, or the tool's own.
    pub fn new(runner: &Runner, model: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let build = |target: Option<&str>, name: &str| {
            let path = folder.path().join(name);
            let mut command = runner.encoderfile();
            command.arg("build").arg("-o").arg(&path);
            if let Some(model) = model {
                command.arg("--model").arg(model);
            }
            if let Some(target) = target {
                command.args([OsStr::new("--target"), OsStr::new(target)]);
            }
            process::succeed(&mut command)?;
            anyhow::Ok(path)
        };
        Ok(Self {
            native: build(None, "model.encoderfile")?,
            module: build(Some(WASI), "model.ef.wasm")?,
            bundle: build(Some("bundle"), "model.ef")?,
            folder,
        })
    }

    /// Where the files are; for others beside them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
