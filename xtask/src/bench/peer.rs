//! ONNX Runtime in a Python environment of its own, and the same environment's
//! `getrusage` for peak memory. Nothing outside `bench` needs Python.

mod service;

use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) use service::{Model, Service};

const PACKAGES: [&str; 4] = ["onnxruntime", "tokenizers", "numpy", "onnx"];

/// The environment and our scripts for it.
pub(super) struct Peer {
    python: PathBuf,
    /// `bench/` beside our `src/`.
    scripts: PathBuf,
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
            install.args(["-m", "pip", "install", "--quiet"]);
            process::run(install.args(PACKAGES))?;
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

    /// Starts the process that sessions are loaded in.
    pub(super) fn serve(&self) -> anyhow::Result<Service> {
        Service::start(self.script("onnxruntime_peer.py").arg("serve"))
    }

    /// A process that prints the embedding of one text.
    pub(super) fn first_result(&self, model: &Path, text: &str) -> Command {
        let mut command = self.script("onnxruntime_peer.py");
        command.arg("first").arg(model).arg(text);
        command
    }

    /// Seconds to make a session, in a process that has made none before.
    pub(super) fn load_seconds(&self, model: &Path) -> anyhow::Result<f64> {
        let mut load = self.script("onnxruntime_peer.py");
        let seconds = process::capture(load.arg("load").arg(model))?;
        seconds.trim().parse().context("the output of `load`")
    }

    /// The most memory that a command ever has resident.
    pub(super) fn peak_bytes(&self, command: &Command) -> anyhow::Result<f64> {
        let mut wrapper = self.script("peak_memory.py");
        wrapper.arg(command.get_program()).args(command.get_args());
        let bytes = process::capture(&mut wrapper)?;
        bytes.trim().parse().context("the output of peak_memory.py")
    }

    /// The model as ONNX Runtime makes it int8 by default.
    pub(super) fn quantize(&self, model: &Path, folder: &Path) -> anyhow::Result<()> {
        process::capture(self.script("quantize.py").arg(model).arg(folder))?;
        Ok(())
    }

    /// A model folder of one of `graphs/`, with random weights and the tokenizer
    /// of `tokenized`.
    pub(super) fn fill(&self, graph: &str, tokenized: &Path, folder: &Path) -> anyhow::Result<()> {
        let mut fill = self.script("fill_graph.py");
        fill.arg(self.scripts.join("graphs").join(graph));
        process::capture(fill.arg(tokenized).arg(folder))?;
        Ok(())
    }

    /// A model folder with a large vocabulary, of `minilm`'s.
    pub(super) fn multilingual(&self, minilm: &Path, folder: &Path) -> anyhow::Result<()> {
        let mut make = self.script("multilingual.py");
        process::capture(make.arg(minilm).arg(folder))?;
        Ok(())
    }

    /// A process that prints the rates of MatMul by shape.
    pub(super) fn matmul(&self, shapes: &[&str]) -> Command {
        let mut matmul = self.script("matmul_peer.py");
        matmul.args(shapes);
        matmul
    }

    /// Makes one file of a graph and its external data.
    pub(super) fn inline(&self, folder: &Path) -> anyhow::Result<()> {
        process::capture(self.script("inline_weights.py").arg(folder))?;
        Ok(())
    }

    fn script(&self, name: &str) -> Command {
        let mut command = process::timed(&self.python);
        command.arg(self.scripts.join(name));
        command
    }
}
