//! ONNX Runtime in a Python environment of its own, and the same environment's
//! `getrusage` for peak memory. Nothing outside `bench` needs Python.

use super::median;
use super::subject::{Subject, TEXT};
use crate::infer::argument;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use serde_json::{Map, Value};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const PACKAGES: [&str; 3] = ["onnxruntime", "tokenizers", "numpy"];

/// The environment and our scripts for it.
pub(super) struct Peer {
    python: PathBuf,
    /// `bench/` beside our `src/`.
    scripts: PathBuf,
}

/// What `onnxruntime_peer.py measure` prints.
pub(super) struct Measured {
    /// Milliseconds to make a session.
    pub(super) load_ms: f64,
    /// In the order of the texts given.
    pub(super) ms: Vec<f64>,
    pub(super) passages_tokens: u64,
    /// Tokens/s, texts sorted by length, in batches of 8: its best.
    pub(super) sorted_8: f64,
    /// Tokens/s, texts as they come, in padded batches of 32.
    pub(super) padded_32: f64,
}

impl Peer {
    /// Makes the environment, unless it is there.
    pub(super) fn install(workspace: &Workspace) -> anyhow::Result<Self> {
        let venv = workspace.target.join("bench-venv");
        let programs = if cfg!(windows) { "Scripts" } else { "bin" };
        let peer = Self {
            python: venv.join(programs).join("python"),
            scripts: workspace.root.join("xtask").join("bench"),
        };
        let import = format!("import {}", PACKAGES.join(", "));
        let mut works = Command::new(&peer.python);
        if !process::succeeds(works.args(["-c", &import])).unwrap_or(false) {
            println!(
                "    installing ONNX Runtime into {}",
                workspace.shown(&venv)
            );
            let mut create = Command::new("python3");
            process::run(create.args(["-m", "venv", "--clear"]).arg(&venv))
                .context("bench needs Python 3 with its venv module")?;
            let mut install = Command::new(&peer.python);
            process::run(
                install
                    .args(["-m", "pip", "install", "--quiet"])
                    .args(PACKAGES),
            )?;
        }
        Ok(peer)
    }

    /// One line: the version of Python and of every package.
    pub(super) fn versions(&self) -> anyhow::Result<String> {
        let script = "import platform, sys; from importlib.metadata import version; \
            print('Beside it: Python', platform.python_version(), \
            *(f'{name} {version(name)}' for name in sys.argv[1:]), sep=' ')";
        let mut python = Command::new(&self.python);
        let versions = process::capture(python.args(["-c", script]).args(PACKAGES))?;
        Ok(versions.trim().to_owned())
    }

    /// From process start to a printed embedding of the same text.
    pub(super) fn first_result_seconds(&self, subject: &Subject) -> anyhow::Result<f64> {
        let run = || process::seconds(&mut self.first_result(subject));
        run()?;
        median(subject.inputs.runs.short, run)
    }

    /// Peak memory of that process.
    pub(super) fn first_result_bytes(&self, subject: &Subject) -> anyhow::Result<f64> {
        let command = self.first_result(subject);
        median(subject.inputs.runs.short, || self.peak_bytes(&command))
    }

    fn first_result(&self, subject: &Subject) -> Command {
        let mut command = self.script("onnxruntime_peer.py");
        command.arg("first").arg(&subject.inputs.model).arg(TEXT);
        command
    }

    /// The most memory that a command ever has resident.
    pub(super) fn peak_bytes(&self, command: &Command) -> anyhow::Result<f64> {
        let mut wrapper = self.script("peak_memory.py");
        wrapper.arg(command.get_program()).args(command.get_args());
        let bytes = process::capture(&mut wrapper)?;
        bytes.trim().parse().context("the output of peak_memory.py")
    }

    /// The texts one by one, and the passages in batches.
    pub(super) fn measure(
        &self,
        subject: &Subject,
        texts: &[(u64, String)],
    ) -> anyhow::Result<Measured> {
        println!("    ONNX Runtime at the same texts (some minutes)");
        let file = subject.folder.join("texts.json");
        let by_tokens = texts
            .iter()
            .map(|(tokens, text)| (tokens.to_string(), Value::from(text.as_str())));
        let json = Value::Object(by_tokens.collect::<Map<_, _>>()).to_string();
        fs::write(&file, json).with_context(|| file.display().to_string())?;
        let mut command = self.script("onnxruntime_peer.py");
        command.arg("measure").arg(&subject.inputs.model);
        command.args(["--passages", argument(&subject.inputs.passages)?]);
        command.args(["--texts", argument(&file)?]);
        command.args(["--runs", &subject.inputs.runs.long.to_string()]);
        let json = process::capture(&mut command)?;
        let json = serde_json::from_str(&json).context("the output of onnxruntime_peer.py")?;
        Measured::read(&json, texts).context("onnxruntime_peer.py left out a number")
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.scripts.join(name));
        command
    }
}

impl Measured {
    fn read(json: &Value, texts: &[(u64, String)]) -> Option<Self> {
        let ms = json.get("ms_by_tokens")?;
        let ms = texts
            .iter()
            .map(|(tokens, _)| ms.get(tokens.to_string())?.as_f64());
        Some(Self {
            load_ms: json.get("load_ms")?.as_f64()?,
            ms: ms.collect::<Option<_>>()?,
            passages_tokens: json.get("passages_tokens")?.as_u64()?,
            sorted_8: json.get("sorted_8_tokens_per_s")?.as_f64()?,
            padded_32: json.get("padded_32_tokens_per_s")?.as_f64()?,
        })
    }
}
