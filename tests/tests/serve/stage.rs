//! Built models, and servers of them.

use crate::client;
use anyhow::{Context, bail};
use encoderfile_tests::fixture;
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::programs::Programs;
use encoderfile_tests::server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything is waited for that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tool, and a folder for what it builds.
pub(crate) struct Stage {
    programs: Programs,
    folder: TempDir,
}

impl Stage {
    /// `None` where there is no tool to test.
    pub(crate) fn open() -> anyhow::Result<Option<Self>> {
        let Some(programs) = Programs::find()? else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        Ok(Some(Self { programs, folder }))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Builds a fixture.
    pub(crate) fn build(&self, model: &str) -> anyhow::Result<PathBuf> {
        self.build_folder(&fixture::folder(model), model)
    }

    /// Builds a model folder as `name`.
    pub(crate) fn build_folder(&self, folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let mut build = Command::new(&self.programs.encoderfile);
        build.args(["build", "--model"]).arg(folder);
        self.finish_build(build, name)
    }

    /// Builds the model that the tool carries: the others are so small that
    /// they are done before anybody could look.
    pub(crate) fn build_default(&self) -> anyhow::Result<PathBuf> {
        let mut build = Command::new(&self.programs.encoderfile);
        build.arg("build");
        self.finish_build(build, "default")
    }

    fn finish_build(&self, mut build: Command, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder().join(name);
        process::succeed(build.arg("-o").arg(&path))?;
        Ok(path)
    }

    /// A server of a fixture.
    pub(crate) fn serve(&self, model: &str, arguments: &[&str]) -> anyhow::Result<Server> {
        Server::start(&self.build(model)?, arguments)
    }

    /// A server of the model that the tool carries.
    pub(crate) fn serve_default(&self, arguments: &[&str]) -> anyhow::Result<Server> {
        Server::start(&self.build_default()?, arguments)
    }
}

/// Runs a built file to its end.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> anyhow::Result<Finished> {
    process::finish(Command::new(program).args(arguments))
}

/// A figure of `/metrics`; 0 where nothing has been counted.
pub(crate) fn figure(server: &Server, name: &str) -> anyhow::Result<f64> {
    let answer = client::get(&format!("{}/metrics", server.http()))?;
    let mut lines = answer.text().lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(Ok(0.0), |value| {
        value.parse().with_context(|| format!("{name} {value}"))
    })
}

/// Asks for a figure until it is as wanted.
pub(crate) fn wait_for(
    server: &Server,
    name: &str,
    wanted: impl Fn(f64) -> bool,
) -> anyhow::Result<f64> {
    let begin = Instant::now();
    loop {
        let value = figure(server, name)?;
        if wanted(value) {
            return Ok(value);
        }
        if begin.elapsed() > PATIENCE {
            bail!(
                "{name} is still {value}; the server said: {}",
                server.said()
            );
        }
        thread::yield_now();
    }
}
