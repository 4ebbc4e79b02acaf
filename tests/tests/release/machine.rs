//! Running a program of another machine.

use anyhow::Context;
use encoderfile_builder::target::Target;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What a program is run by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Machine {
    /// This one, in a root folder with nothing else in it and without a network.
    EmptyRoot,
    /// This one.
    Here,
    /// An emulator of another processor, whose libraries are in that folder.
    Qemu(&'static str),
    /// A substitute for Windows.
    Wine,
}

/// A folder with a program.
pub(crate) struct Root {
    machine: Machine,
    folder: TempDir,
    pub(crate) program: PathBuf,
}

impl Machine {
    /// `None` for what nothing here can run.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        Some(match target.triple {
            "x86_64-unknown-linux-gnu" => Self::Here,
            "x86_64-unknown-linux-musl" => Self::EmptyRoot,
            "aarch64-unknown-linux-gnu" | "aarch64-unknown-linux-musl" => {
                Self::Qemu("/usr/aarch64-linux-gnu")
            }
            super::windows::TARGET => Self::Wine,
            _ => return None,
        })
    }

    /// A folder for a program of a target.
    pub(crate) fn root(self, target: &Target) -> anyhow::Result<Root> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join(format!("model{}", target.suffix()));
        if let Self::Wine = self {
            add_wine_library(folder.path())?;
        }
        Ok(Root {
            machine: self,
            folder,
            program,
        })
    }
}

impl Root {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program, to be given arguments; it has no network where it has a root of its own.
    pub(crate) fn command(&self) -> Command {
        self.command_in(&["--net"])
    }

    /// The same with this machine's network, for servers.
    pub(crate) fn command_with_network(&self) -> Command {
        self.command_in(&[])
    }

    fn command_in(&self, namespaces: &[&str]) -> Command {
        match self.machine {
            Machine::Here => Command::new(&self.program),
            Machine::EmptyRoot => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--pid", "--fork"]);
                command.args(namespaces).arg("--root");
                command.arg(self.folder()).arg("/model");
                command
            }
            Machine::Qemu(libraries) => {
                let mut command = Command::new("qemu-aarch64");
                command.args(["-L", libraries]).arg(&self.program);
                command
            }
            Machine::Wine => {
                let mut command = Command::new("wine");
                command.arg(&self.program);
                wine_environment(&mut command);
                command
            }
        }
    }
}

/// Puts what Wine lacks beside a program.
pub(crate) fn add_wine_library(folder: &Path) -> anyhow::Result<()> {
    let library = std::env::var("ENCODERFILE_WINE_LIBRARY");
    let library = library.context("ENCODERFILE_WINE_LIBRARY names no library")?;
    let name = Path::new(&library).file_name().context("no name")?;
    fs::copy(&library, folder.join(name))?;
    Ok(())
}

/// Errors of the program alone, and the library beside it where Wine has none of that name.
fn wine_environment(command: &mut Command) {
    command.env("WINEDEBUG", "-all");
    command.env("WINEDLLOVERRIDES", "bcryptprimitives=n,b");
}
