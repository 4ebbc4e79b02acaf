//! A tool and an empty folder to use it in.

use encoderfile_tests::fixture;
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::programs::Programs;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The programs, and an empty folder.
pub(crate) struct Workshop {
    pub(crate) programs: Programs,
    folder: TempDir,
}

impl Workshop {
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

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        fs::write(self.path(name), content)?;
        Ok(self.path(name))
    }

    pub(crate) fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        Ok(fs::read(self.path(name))?)
    }

    /// The names in the folder, sorted.
    pub(crate) fn names(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The tool, to be run in the folder.
    pub(crate) fn tool<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        self.program(&self.programs.encoderfile, arguments)
    }

    /// Any program, to be run in the folder.
    pub(crate) fn program<A: AsRef<OsStr>>(&self, program: &Path, arguments: &[A]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder());
        command
    }

    /// Builds a fixture as `name` in the folder.
    pub(crate) fn build(
        &self,
        model: &str,
        options: &[&str],
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let mut command = self.tool(&["build", "--model"]);
        command.arg(fixture::folder(model)).args(options);
        process::succeed(command.args(["-o", name]))?;
        Ok(self.path(name))
    }

    /// Runs the tool, which must succeed.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> anyhow::Result<Finished> {
        process::succeed(&mut self.tool(arguments))
    }

    /// Runs the tool, which must refuse and name `words`.
    pub(crate) fn refuses<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
        words: &[&str],
    ) -> anyhow::Result<()> {
        process::finish(&mut self.tool(arguments))?.refused(words)
    }
}
