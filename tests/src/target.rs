//! The ways to run a model: the same command line, or the same requests, on every
//! target.

use crate::component_service::{REUSED, Served};
use crate::process::{self, Finished};
use crate::programs::Programs;
use crate::request::{self, Item};
use crate::rows::{self, Row, Tokenized};
use crate::workbench::Workbench;
use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The builder's name for WASI hosts.
pub const WASI: &str = "wasm32-wasip1";

/// The builder's name for hosts of components.
pub const COMPONENT: &str = "wasm32-wasip2";

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
    /// The wasmtime CLI with the base component, and a bundle in a pre-opened folder.
    Component,
    /// The base component in a program of wasmtime's crate, which opens a bundle by its WIT.
    Library,
    /// `wasmtime serve` with the model's own component.
    Service,
    /// `encoderfile run` with the model's own component, with the memory of the loaded model and compiled ahead.
    Snapshot,
    /// Node's WASI with the model's own module.
    Node,
    /// `encoderfile run` with the model's own module.
    Run,
    /// Chromium with the npm package, and the payload of the native executable.
    Browser,
    /// The Python package, which maps the native executable.
    Python,
    /// A program in C with the shared library, and a bundle.
    C,
}

impl Target {
    /// Those that are quick enough for every model.
    pub const EVERY_MODEL: [Self; 8] = [
        Self::Native,
        Self::Wasmtime,
        Self::Component,
        Self::Library,
        Self::Node,
        Self::Browser,
        Self::Python,
        Self::C,
    ];

    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Native,
        Self::Wasmtime,
        Self::WasmtimeModule,
        Self::Component,
        Self::Library,
        Self::Service,
        Self::Snapshot,
        Self::Node,
        Self::Run,
        Self::Browser,
        Self::Python,
        Self::C,
    ];

    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Wasmtime => "wasmtime",
            Self::WasmtimeModule => "wasmtime module",
            Self::Component => "component",
            Self::Library => "component library",
            Self::Service => "component service",
            Self::Snapshot => "component snapshot",
            Self::Node => "node",
            Self::Run => "run",
            Self::Browser => "browser",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// Whether it takes the command line of a built file, rather than being a library.
    pub fn has_command_line(self) -> bool {
        !matches!(
            self,
            Self::Library | Self::Service | Self::Browser | Self::Python | Self::C
        )
    }

    /// Whether it can recompute the results that are stored in a file.
    pub fn has_self_test(self) -> bool {
        !matches!(self, Self::Library | Self::Service)
    }

    /// Whether it is what [`Self::Wasmtime`] runs in another form, and has its numbers to the bit.
    pub fn has_the_modules_numbers(self) -> bool {
        matches!(
            self,
            Self::WasmtimeModule
                | Self::Component
                | Self::Library
                | Self::Service
                | Self::Snapshot
                | Self::Run
        )
    }

    /// As names of trials have it.
    pub fn trial(self) -> String {
        self.name().replace(' ', "-")
    }
}

/// A built model on any target.
impl Workbench {
    /// Whether the programs for a target are there.
    pub fn has(&self, target: Target) -> bool {
        match target {
            Target::Native | Target::Run | Target::Library | Target::Snapshot => true,
            Target::Wasmtime | Target::WasmtimeModule | Target::Component | Target::Service => {
                self.programs().wasmtime.is_some()
            }
            Target::Node => self.programs().node.is_some(),
            Target::Browser => self.programs().of_browser().is_some(),
            Target::Python => self.programs().python.is_some(),
            Target::C => self.programs().library.is_some(),
        }
    }

    /// A built model on a target, to be told what to do.
    pub fn command(&self, target: Target, built: &Built) -> anyhow::Result<Command> {
        let programs = self.programs();
        let command = match target {
            Target::Native => Command::new(&built.native),
            Target::Wasmtime | Target::Component => {
                let mut command = wasmtime(programs)?;
                let base = match target {
                    Target::Component => COMPONENT,
                    _ => WASI,
                };
                if target == Target::Component {
                    // Which no command has unless it is told to.
                    command.args(["-S", "http"]);
                }
                command
                    .arg("--dir")
                    .arg(built.folder.path())
                    .arg(self.base(base)?);
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
                // V8's fast calls of Node's WASI collect garbage where they must not, and then
                // it crashes (nodejs/node#46777).
                command.args(["--no-warnings", "--no-turbo-fast-api-calls"]);
                // Compiling hot functions again takes twice as long as all else that a process does here,
                // and is what the browser does.
                command.arg("--liftoff-only");
                command.arg(script).arg(&built.module);
                command
            }
            Target::Run => {
                let mut command = Command::new(&programs.encoderfile);
                command.arg("run").arg(&built.module);
                command
            }
            Target::Snapshot => {
                let mut command = Command::new(&programs.encoderfile);
                command.args(["run", "--allow-precompiled"]);
                command.arg(built.snapshot(self)?);
                command
            }
            Target::Library | Target::Service | Target::Browser | Target::Python | Target::C => {
                bail!("a library has no command line")
            }
        };
        Ok(command)
    }

    /// The result line of each item, in one run.
    pub fn infer(
        &self,
        target: Target,
        built: &Built,
        items: &[Item],
        options: &Map<String, Value>,
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
    pub fn lines(
        &self,
        target: Target,
        built: &Built,
        items: &[Item],
        options: &Map<String, Value>,
    ) -> anyhow::Result<Vec<String>> {
        if !target.has_command_line() {
            return self.in_library(target, built, "infer", items, options);
        }
        let mut command = self.command(target, built)?;
        command.args(["infer", "--format", "jsonl", "--input", "-"]);
        let finished = with_items(command.args(request::arguments(options)), items)?;
        Ok(finished.text()?.lines().map(str::to_owned).collect())
    }

    /// The results without options, read.
    pub fn rows(&self, target: Target, built: &Built, items: &[Item]) -> anyhow::Result<Vec<Row>> {
        let lines = self.infer(target, built, items, &Map::new())?;
        rows::parse(&lines.join("\n"))
    }

    /// The tokens of each item, in one run.
    pub fn tokenize(
        &self,
        target: Target,
        built: &Built,
        items: &[Item],
    ) -> anyhow::Result<Vec<Tokenized>> {
        let tokenized = if !target.has_command_line() {
            let lines = self.in_library(target, built, "tokenize", items, &Map::new())?;
            rows::parse_tokenized(&lines.concat())?
        } else {
            let mut command = self.command(target, built)?;
            let finished = with_items(command.args(["tokenize", "--input", "-"]), items)?;
            rows::parse_tokenized(finished.text()?)?
        };
        ensure!(
            tokenized.len() == items.len(),
            "{} results",
            tokenized.len()
        );
        Ok(tokenized)
    }

    /// Has a model recompute the results stored in its file.
    pub fn self_test(&self, target: Target, built: &Built) -> anyhow::Result<()> {
        if !target.has_command_line() {
            let report = self
                .in_library(target, built, "self-test", &[], &Map::new())?
                .concat();
            let report: Value = serde_json::from_str(&report)?;
            let passed = report["passed"] == true && report["cases"] == 6;
            ensure!(passed, "{report}");
            return Ok(());
        }
        let finished = process::succeed(self.command(target, built)?.arg("self-test"))?;
        let passed = finished.text()?.starts_with("self-test passed: 6 cases");
        ensure!(passed, "{finished:?}");
        Ok(())
    }

    /// The answer to one request, by the program of `tests/capi/lines.c`.
    fn in_c(
        &self,
        built: &Built,
        command: &str,
        items: &[Item],
        options: &Map<String, Value>,
    ) -> anyhow::Result<Value> {
        let request = request::body(items, options)?;
        let input = tempfile::NamedTempFile::new()?;
        fs::write(input.path(), format!("{command} {request}\n"))?;
        let mut lines = Command::new(self.c_program("lines")?);
        lines.arg(&built.bundle);
        process::finish_with_input(&mut lines, input.path())?
            .succeeded()?
            .json()
    }

    /// The answer to one request, by wasmtime's server.
    fn in_service(
        &self,
        built: &Built,
        items: &[Item],
        options: &Map<String, Value>,
    ) -> anyhow::Result<Value> {
        let request = request::body(items, options)?.to_string();
        let (status, answer) = built.served(self)?.post("/predict", &request)?;
        ensure!(status == 200, "{status} {answer}");
        Ok(serde_json::from_str(&answer)?)
    }

    /// What a library gives for a command, as the command line prints it.
    fn in_library(
        &self,
        target: Target,
        built: &Built,
        command: &str,
        items: &[Item],
        options: &Map<String, Value>,
    ) -> anyhow::Result<Vec<String>> {
        let answer = match target {
            Target::C => Some(self.in_c(built, command, items, options)?),
            Target::Service if command == "infer" => Some(self.in_service(built, items, options)?),
            // Over HTTP, tokens are TEI's: spelt as in the text, and of no pairs.
            Target::Library | Target::Service => {
                let mut library = self.component_library(built.folder())?;
                let results = library.results(&built.bundle, command, items, options)?;
                Some(json!({ "results": results }))
            }
            _ => None,
        };
        if let Some(answer) = answer {
            return Ok(match answer["results"].as_array() {
                Some(results) if command == "infer" => {
                    results.iter().map(Value::to_string).collect()
                }
                _ => vec![answer.to_string()],
            });
        }
        if target == Target::Python {
            let python = self.programs().python.as_ref().context("no Python")?;
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python-target.py");
            let mut run = Command::new(python);
            run.arg(script).arg(&built.native).arg(command);
            let finished = with_items(run.arg(Value::from(options.clone()).to_string()), items)?;
            return Ok(finished.text()?.lines().map(str::to_owned).collect());
        }
        let mut browser = self.browser()?;
        let browser = browser.as_mut().context("no browser")?;
        browser.lines(&built.native, command, items, options)
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
    /// Its component under wasmtime, started when it is first asked.
    served: OnceLock<Result<Served, String>>,
    /// The component with the memory of the loaded model, compiled ahead.
    snapshot: OnceLock<Result<PathBuf, String>>,
}

impl Built {
    /// Builds a folder's model, or the tool's own.
    pub fn new(workbench: &Workbench, model: Option<&Path>) -> anyhow::Result<Self> {
        Self::with_options(workbench, model, &[])
    }

    /// The same with options of `build`.
    pub fn with_options(
        workbench: &Workbench,
        model: Option<&Path>,
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let build = |target: Option<&str>, name: &str| {
            let path = folder.path().join(name);
            let mut command = workbench.tool(&["build"]);
            command.args(options).arg("-o").arg(&path);
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
            served: OnceLock::new(),
            snapshot: OnceLock::new(),
        })
    }

    fn snapshot(&self, workbench: &Workbench) -> anyhow::Result<&Path> {
        let build = || {
            let snapshot = self.folder.path().join("model.cwasm");
            let options = ["--target", COMPONENT, "--snapshot", "--precompile"];
            let mut build = workbench.tool(&["build"]);
            build.args(options).arg("--from").arg(&self.bundle);
            process::succeed(build.arg("-o").arg(&snapshot))?;
            Ok(snapshot)
        };
        let snapshot = self.snapshot.get_or_init(|| {
            let built: anyhow::Result<PathBuf> = build();
            built.map_err(|error| format!("{error:#}"))
        });
        let snapshot = snapshot
            .as_ref()
            .map_err(|it| anyhow::Error::msg(it.clone()))?;
        Ok(snapshot)
    }

    /// A server of the model's own component, whose instances are used again.
    fn served(&self, workbench: &Workbench) -> anyhow::Result<&Served> {
        let start = || {
            let component = self.folder.path().join("model.wasm");
            let mut build = workbench.tool(&["build", "--target", COMPONENT, "--from"]);
            process::succeed(build.arg(&self.bundle).arg("-o").arg(&component))?;
            let wasmtime = workbench.programs().wasmtime.as_ref();
            Served::start(wasmtime.context("no wasmtime")?, &REUSED, &component)
        };
        let served = self.served.get_or_init(|| {
            let served: anyhow::Result<Served> = start();
            served.map_err(|error| format!("{error:#}"))
        });
        served
            .as_ref()
            .map_err(|error| anyhow::Error::msg(error.clone()))
    }

    /// Where the files are; for others beside them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
